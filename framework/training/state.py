"""The state of a training run: everything that its next step depends on, and nothing else."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

from framework.errors import CheckpointError
from framework.optim.plateau import PlateauState
from framework.run.checkpoint import Snapshot, copy_variables, restore_variables
from framework.run.recorder import Recorder
from framework.run.run_records import EpochRecord
from framework.training.early_stopping import EarlyStopping, EarlyStoppingState

if TYPE_CHECKING:
    import keras

    from framework.training.components import Components

log = logging.getLogger(__name__)


class BestEpoch(TypedDict):
    """The best epoch of a run, counted from 1, the steps that were done by then, and its metrics."""

    epoch: int
    step: int
    metrics: dict[str, float]


class BeforeEnd(TypedDict):
    """The state that a run goes on from where it gets more epochs: without what was validated because it
    ended.

    `records` is how many records the history has without that.
    """

    best: BestEpoch | None
    final: dict[str, float]
    records: int


class ProgressState(TypedDict, total=False):
    """How far a run is, as a checkpoint has it; see `Progress`. Earlier versions kept less."""

    epoch: int
    step: int
    best: BestEpoch | None
    final: dict[str, float]
    seconds: float
    stopped: str | None
    left_out: list[int]
    before_end: BeforeEnd | None


class RunState(TypedDict):
    """The content of `state.json` of a checkpoint, beside the step and the list of variables."""

    steps_per_epoch: int
    data: NotRequired[str | None]
    progress: ProgressState
    early_stopping: EarlyStoppingState
    history: list[EpochRecord]
    learning_rate: NotRequired[PlateauState | None]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        epoch: epochs done, with their validation.
        step: training steps done.
        best: the best epoch and its metrics.
        final: the metrics of the last epoch done.
        seconds: time spent, all sessions together.
        stopped: why the run ended before its last epoch.
        left_out: the steps, counted from 0, that changed nothing, because their numbers were not finite.
        before_end: what the run goes on from where it gets more epochs. None where nothing was validated at
            the end of the run only.
    """

    epoch: int = 0
    step: int = 0
    best: BestEpoch | None = None
    final: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: str | None = None
    left_out: Sequence[int] = field(default_factory=list)
    before_end: BeforeEnd | None = None

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Progress:
        """Read the progress that a checkpoint saved, without what another version keeps beside it."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: copy.deepcopy(value) for key, value in saved.items() if key in known})


class TrainingState:
    """The state of a run: how far it is, and all variables. Snapshots and restores it.

    Args:
        components: what the run trains with; every variable must exist already.
        early_stopping: its state goes along.
        recorder: its history goes along.

    Attributes:
        data: the fingerprint of the training samples.
    """

    def __init__(self, components: Components, early_stopping: EarlyStopping, recorder: Recorder) -> None:
        self.data = components.source.fingerprint()
        self._progress = Progress()
        self._model = components.model
        self._averages = components.averages
        self._plateau = components.plateau
        self._steps_per_epoch = components.steps_per_epoch
        self._early_stopping = early_stopping
        self._recorder = recorder

    @property
    def progress(self) -> Progress:
        """How far the run is: a frozen value. Only the methods below put another one in its place."""
        return self._progress

    # What moves a run on -----------------------------------------------------------------------------------

    def advance(self, steps: int) -> None:
        """Count steps that were done."""
        self._change(step=self._progress.step + steps)

    def leave_out(self, end: int) -> None:
        """Count the steps from here to `end` as done, though they change nothing."""
        left_out = [*self._progress.left_out, *range(self._progress.step, end)]
        self._change(step=end, left_out=left_out)

    def end_epoch(
        self,
        *,
        best: BestEpoch | None,
        final: Mapping[str, float],
        before_end: BeforeEnd | None,
        early_stopping: EarlyStoppingState,
    ) -> None:
        """Count an epoch as done, with what was found of it; see `Progress`."""
        self._change(epoch=self._progress.epoch + 1, best=best, final=final, before_end=before_end)
        self._early_stopping.restore(early_stopping)

    def set_stopped(self, reason: str | None) -> None:
        """Say why the run ends before its last epoch; None: it goes on."""
        self._change(stopped=reason)

    def set_best(self, best: BestEpoch | None) -> None:
        """Say which epoch is the best one, where the model of the one that was is lost."""
        self._change(best=best)

    def set_seconds(self, seconds: float) -> None:
        """Say how much time was spent, all sessions together."""
        self._change(seconds=seconds)

    def undo_end(self) -> None:
        """Take the run back to before its end, since it gets more epochs."""
        before = self._progress.before_end
        if before is not None:
            self._change(best=before["best"], final=before["final"], before_end=None)
            self._recorder.restore(self._recorder.history[: before["records"]])

    def _change(self, **values: Any) -> None:
        self._progress = replace(self._progress, **values)

    # What checkpoints keep ---------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Copy the state. Later training does not change the copy."""
        state: RunState = {
            "steps_per_epoch": self._steps_per_epoch,
            "data": self.data,
            "progress": cast(ProgressState, asdict(self._progress)),
            "early_stopping": self._early_stopping.state(),
            "history": list(self._recorder.history),
        }
        if self._plateau:
            state["learning_rate"] = self._plateau.state()
        variables = {group: copy_variables(variables) for group, variables in self._variables().items()}
        return Snapshot(step=self._progress.step, state=state, variables=variables)

    def restore(self, snapshot: Snapshot, *, new_optimizer: bool = False, new_monitor: bool = False) -> None:
        """Restore the state of a snapshot, bit for bit.

        Args:
            new_optimizer: leave the optimizer's state as it is, since the run goes on with another one.
            new_monitor: leave early stopping's as it is, since it watches another value now.

        Raises:
            CheckpointError: where it does not fit the model.
        """
        state = cast(RunState, snapshot.state)
        for group, variables in self._variables().items():
            if group in self._averages and group not in snapshot.variables:
                continue
            if not (new_optimizer and group == "optimizer"):
                restore_variables(variables, snapshot.group(group), what=group)
        for name, average in self._averages.items():
            if name not in snapshot.variables:
                average.reset()  # averaging begins with this session
        try:
            self._progress = Progress.of(state["progress"])
            if not new_monitor:
                self._early_stopping.restore(state["early_stopping"])
            news = self._plateau.restore(state.get("learning_rate")) if self._plateau else None
            history = state["history"]
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"the checkpoint of step {snapshot.step:,} does not hold the state of a run: {error}"
            ) from error
        if news:
            log.info(news)
        self._recorder.restore(history)

    def _variables(self) -> dict[str, Sequence[keras.Variable]]:
        # The raw lists, seed generators of dropout included, which no built-in store of Keras keeps all of.
        return {
            "model": self._model.variables,
            "optimizer": self._model.optimizer.variables,
            "metrics": self._model.metrics_variables,
            **{name: average.variables for name, average in self._averages.items()},
        }
