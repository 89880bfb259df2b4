"""The evaluation of an epoch at its end: validation, LAV, whether it is the best one and whether it is the
last."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

from framework.model.evaluation_weights import GivenWeights
from framework.run.recorder import RAW
from framework.run.run_directory import RunDirectory
from framework.run.signals import Interruption
from framework.run.speed import RunClock
from framework.training.best_model import BestModel
from framework.training.components import Components
from framework.training.due import Due
from framework.training.early_stopping import EarlyStopping, EarlyStoppingState, is_best
from framework.training.lav import LavList
from framework.training.state import BeforeEnd, BestEpoch, Progress

log = logging.getLogger(__name__)


@dataclass
class Judged:
    """The results of an epoch.

    Args:
        epoch: its number, counted from 1.
        phases: the values of each phase, as they are recorded: `train`, `validation`, `lav`, `lav/NAME`.
        logs: all of them in one, with the prefixes of their phases.
        best: the best epoch so far, this one included.
        early_stopping: the state of early stopping after this epoch.
        improved: whether this epoch is the best one.
        stopped: why early stopping ends the run; None where it goes on.
        before_end: see `Progress`.
    """

    epoch: int
    phases: dict[str, dict[str, float]]
    logs: dict[str, float]
    best: BestEpoch | None
    early_stopping: EarlyStoppingState
    improved: bool = False
    stopped: str | None = None
    before_end: BeforeEnd | None = None

    @property
    def decisive(self) -> dict[str, float]:
        """The logs that decide how the run goes on: without what was validated because the run ends."""
        return self.before_end["final"] if self.before_end else self.logs


class EpochEvaluation:
    """The evaluation of the epochs of a run.

    Args:
        components: what the run trains with.
        run: where the best model is written.
        due: when what is done.
        early_stopping: says whether the run ends. Its state is left as it is.
        interruption: ends an evaluation after a signal.
        clock: measures what takes the time.
    """

    def __init__(
        self,
        components: Components,
        run: RunDirectory,
        due: Due,
        early_stopping: EarlyStopping,
        interruption: Interruption,
        clock: RunClock,
    ) -> None:
        self.best_model = BestModel(run, components)
        self._components, self._run, self._due = components, run, due
        self._early_stopping, self._interruption, self._clock = early_stopping, interruption, clock
        self._monitored = {components.monitor}
        if components.plateau:
            self._monitored.add(components.plateau.monitor)

    def judge(self, trained: dict[str, float], progress: Progress, *, records: int) -> Judged:
        """Judge an epoch. The model holds its evaluation weights; where the epoch is the best, it is exported
        with them.

        Args:
            trained: loss and metrics of the epoch in training.
            progress: how far the run is; the epoch is not counted yet.
            records: how many records the history has.

        Raises:
            Interrupted: after a signal. Nothing but the best model on disk has changed then.
        """
        early_stopping, epoch = copy.copy(self._early_stopping), progress.epoch + 1
        judged = Judged(epoch, {"train": trained}, {}, progress.best, early_stopping.state())
        self._evaluate(judged, validates=self._due.validation(epoch), loads=self._due.lav(epoch))
        if self._is_best(judged):
            self._keep(judged, progress.step)
        if (value := judged.logs.get(self._components.monitor)) is not None:
            judged.stopped = early_stopping.update(value)
        judged.early_stopping = early_stopping.state()
        if self._due.is_last(epoch, judged.stopped):
            self._judge_end(judged, progress.step, records)
        judged.improved = judged.best is not progress.best
        return judged

    def validate_raw(self, judged: Judged, step: int, *, records: int) -> None:
        """Validate the raw weights of a run that is judged by averaged ones, where that is due.

        Their values are recorded, as phase `validation/raw`, and decide nothing. The model holds its raw weights.

        Args:
            judged: the epoch; gets the phase.
            step, records: as for `judge`.

        Raises:
            Interrupted: after a signal.
        """
        components = self._components
        if "average" not in components.averages or "validation" not in judged.phases:
            return
        last = self._due.is_last(judged.epoch, judged.stopped)
        if not self._due.raw_validation(judged.epoch, last=last):
            return
        if judged.before_end is None and not self._due.raw_validation(judged.epoch):
            judged.before_end = {
                "best": judged.best,
                "final": judged.logs,
                "records": records + len(judged.phases),
            }
        assert components.validator is not None  # it gave the phase that is there
        given = GivenWeights.of(components.model)
        measure = self._clock.measure
        with measure("weights"), components.evaluation_weights(step, given), measure(RAW):
            judged.phases[RAW] = components.validator.evaluate(interruption=self._interruption)

    def _judge_end(self, judged: Judged, step: int, records: int) -> None:
        """Evaluate the last epoch in any case.

        What is evaluated because the run ends decides only what is best, and is undone where the run gets
        more epochs.
        """
        done = len(judged.phases)
        before: BeforeEnd = {"best": judged.best, "final": judged.logs, "records": records + done}
        self._evaluate(
            judged,
            validates=self._due.validation(judged.epoch, last=True),
            loads=self._due.lav(judged.epoch, last=True),
        )
        if len(judged.phases) == done:
            return
        judged.before_end = before
        if self._is_best(judged) or (judged.best and judged.best["epoch"] == judged.epoch):
            self._keep(judged, step, keep_earlier=True)

    def _evaluate(self, judged: Judged, *, validates: bool, loads: bool) -> None:
        """Do what is due and not done yet. A detail of a report is among the logs only where it is
        monitored."""
        validator, prefixes = self._components.validator, {"train": "", "validation": "val_"}
        if validator is not None and validates and "validation" not in judged.phases:
            with self._clock.measure("validation"):
                judged.phases["validation"] = validator.evaluate(interruption=self._interruption)
        if loads and not any(phase.startswith("lav") for phase in judged.phases):
            with self._clock.measure("lav"):
                judged.phases |= {of.phase: values for of, values in self._load_and_validate().items()}
        if self._components.lav is not None:
            prefixes |= {of.phase: of.prefix for of in self._components.lav.lists}
        named = {
            prefixes[phase] + name: value
            for phase, values in judged.phases.items()
            for name, value in values.items()
        }
        judged.logs = {
            name: value for name, value in named.items() if "/" not in name or name in self._monitored
        }

    def _load_and_validate(self) -> dict[LavList, dict[str, float]]:
        if self._components.lav is None:
            return {}
        try:
            return self._components.lav.evaluate(self._components.model, self._interruption)
        except OSError as error:
            log.warning("no LAV: the model cannot be written to %s: %s", self._run.lav, error)
            return {}

    def _is_best(self, judged: Judged) -> bool:
        loss = "val_loss" if self._components.validator is not None else "loss"
        best = judged.best["metrics"] if judged.best else None
        return is_best(judged.logs, best, self._components.monitor, self._early_stopping.mode, loss)

    def _keep(self, judged: Judged, step: int, *, keep_earlier: bool = False) -> None:
        """Export the epoch as the best one. Where that cannot be written, the one before stays the best."""
        record: BestEpoch = {"epoch": judged.epoch, "step": step, "metrics": dict(judged.logs)}
        with self._clock.measure("export"):
            judged.best = self.best_model.keep(record, keep_earlier=keep_earlier) or judged.best
