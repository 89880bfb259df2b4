"""The state of a training run: everything that its next step depends on, and nothing else."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from framework.errors import CheckpointError
from framework.model.evaluation_weights import AveragedWeights
from framework.run.checkpoint import Snapshot, copy_variables, restore_variables
from framework.run.recorder import Recorder
from framework.training.early_stopping import EarlyStopping

if TYPE_CHECKING:
    import keras

    from framework.optim.schedule import PlateauSchedule

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a run is.

    Args:
        epoch: epochs done, with their validation.
        step: training steps done.
        best: the best epoch and its metrics, `{"epoch": 3, "step": 84, "metrics": {...}}`.
        final: the metrics of the last epoch done.
        seconds: time spent, all sessions together.
        stopped: why early stopping ended the run.
        left_out: the steps, counted from 0, that changed nothing, because their numbers were not finite.
        before_end: what the run goes on from where it gets more epochs: `best` and `final` without what was
            validated at the end of the run alone, and how many `records` its history has without that. None
            where there was no such validation.
    """

    epoch: int = 0
    step: int = 0
    best: dict[str, Any] | None = None
    final: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: str | None = None
    left_out: list[int] = field(default_factory=list)
    before_end: dict[str, Any] | None = None

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Progress:
        """The progress that a checkpoint saved, without what another version keeps beside it."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: copy.deepcopy(value) for key, value in saved.items() if key in known})


class TrainingState:
    """Snapshots and restores a run.

    Args:
        model: compiled, its optimizer built, its metrics made: every variable must exist already.
        early_stopping: its state goes along.
        recorder: its history goes along.
        averages: the averaged weights, by the names that checkpoints have for them.
        steps_per_epoch, data: go along, since an epoch of another length, or other samples, would make
            another run of it.
        plateau: the learning rate schedule, where it is one with a state.
    """

    def __init__(
        self,
        model: keras.Model,
        early_stopping: EarlyStopping,
        recorder: Recorder,
        averages: Mapping[str, AveragedWeights],
        *,
        steps_per_epoch: int,
        data: str,
        plateau: PlateauSchedule | None = None,
    ) -> None:
        self.progress = Progress()
        self._steps_per_epoch = steps_per_epoch
        self._data = data
        self._model = model
        self._averages = averages
        self._early_stopping = early_stopping
        self._recorder = recorder
        self._plateau = plateau

    def _variables(self) -> dict[str, list[Any]]:
        # The raw lists, seed generators of dropout included, which no built-in store of Keras keeps all of.
        return {
            "model": self._model.variables,
            "optimizer": self._model.optimizer.variables,
            "metrics": self._model.metrics_variables,
            **{name: average.variables for name, average in self._averages.items()},
        }

    def snapshot(self) -> Snapshot:
        """A copy of the state, which later training leaves alone."""
        return Snapshot(
            step=self.progress.step,
            state={
                "steps_per_epoch": self._steps_per_epoch,
                "data": self._data,
                "progress": copy.deepcopy(asdict(self.progress)),
                "early_stopping": self._early_stopping.state(),
                "history": list(self._recorder.history),
                **({"learning_rate": self._plateau.state()} if self._plateau else {}),
            },
            variables={group: copy_variables(variables) for group, variables in self._variables().items()},
        )

    def restore(self, snapshot: Snapshot, *, new_optimizer: bool = False, new_monitor: bool = False) -> None:
        """Take up the state of a snapshot, bit for bit.

        Args:
            new_optimizer: leave the optimizer's state as it is, since the run goes on with another one.
            new_monitor: leave early stopping's as it is, since it watches another value now.

        Raises:
            CheckpointError: where it does not fit the model.
        """
        for group, variables in self._variables().items():
            if group in self._averages and group not in snapshot.variables:
                continue
            if not (new_optimizer and group == "optimizer"):
                restore_variables(variables, snapshot.group(group), what=group)
        for name, average in self._averages.items():
            if name not in snapshot.variables:
                average.reset()  # averaging begins with this session
        try:
            vars(self.progress).update(vars(Progress.of(snapshot.state["progress"])))
            if not new_monitor:
                self._early_stopping.restore(snapshot.state["early_stopping"])
            news = self._plateau.restore(snapshot.state.get("learning_rate")) if self._plateau else None
            history = snapshot.state["history"]
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"the checkpoint of step {snapshot.step:,} does not hold the state of a run: {error}"
            ) from error
        if news:
            log.info(news)
        self._recorder.restore(history)

    def go_on(self) -> None:
        """Take the run back to before its end, since it is not the end any more."""
        before = self.progress.before_end
        if before is not None:
            self.progress.best, self.progress.final, self.progress.before_end = (
                before["best"],
                before["final"],
                None,
            )
            self._recorder.restore(self._recorder.history[: before["records"]])
