"""What an epoch is judged by at its end: validation, LAV, whether it is the best one, and whether it is the
last."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from framework.run.run_directory import RunDirectory
from framework.training.best_model import BestModel
from framework.training.components import Components
from framework.training.due import Due
from framework.training.early_stopping import EarlyStopping, is_best
from framework.training.lav import LavList

log = logging.getLogger(__name__)


@dataclass
class Judged:
    """What was found of an epoch.

    Args:
        phases: the values of each phase, as they are recorded: `train`, `validation`, `lav`, `lav/NAME`.
        logs: all of them in one, with the prefixes of their phases.
        best: the best epoch so far, this one included.
        stopped: why early stopping ends the run; None where it goes on.
        before_end: see `Progress`.
    """

    phases: dict[str, dict[str, float]]
    logs: dict[str, float]
    best: dict[str, Any] | None
    stopped: str | None = None
    before_end: dict[str, Any] | None = None


class EpochEvaluation:
    """Judges the epochs of a run.

    Args:
        components: what the run trains with.
        run: where the best model is written.
        due: when what is done.
        check_interruption: raises `Interrupted` after a signal.
    """

    def __init__(
        self, components: Components, run: RunDirectory, due: Due, check_interruption: Callable[[], None]
    ) -> None:
        self.best_model = BestModel(run, components)
        self._components, self._run, self._due = components, run, due
        self._check_interruption = check_interruption
        self._monitored = (
            {components.monitor, components.plateau.monitor} if components.plateau else {components.monitor}
        )

    def judge(
        self,
        trained: dict[str, float],
        early_stopping: EarlyStopping,
        *,
        epoch: int,
        step: int,
        best: dict[str, Any] | None,
        records: int,
    ) -> Judged:
        """Judge an epoch. The model holds its evaluation weights; where the epoch is the best, it is exported
        with them.

        Args:
            trained: loss and metrics of the epoch in training.
            early_stopping: takes in the monitored value.
            epoch, step: epochs and steps done.
            best: the best epoch so far.
            records: how many records the history has.
        """
        prefixes = {"train": ""}
        judged = Judged({"train": trained}, {}, best)

        def evaluate(*, validates: bool, loads: bool) -> None:
            """What is not done yet. The logs have the details of a report only where one is monitored."""
            if self._components.validator is not None and validates and "validation" not in judged.phases:
                judged.phases["validation"] = self._components.validator(between=self._check_interruption)
                prefixes["validation"] = "val_"
            if (
                self._components.lav is not None
                and loads
                and not any(phase.startswith("lav") for phase in judged.phases)
            ):
                for of, values in self._load_and_validate().items():
                    judged.phases[of.phase], prefixes[of.phase] = values, of.prefix
            named = {
                prefixes[phase] + name: v
                for phase, values in judged.phases.items()
                for name, v in values.items()
            }
            judged.logs = {name: v for name, v in named.items() if "/" not in name or name in self._monitored}

        evaluate(validates=self._due.validation(epoch), loads=self._due.lav(epoch))
        if self._is_best(judged):
            judged.best = self._keep(judged, epoch, step)
        if (value := judged.logs.get(self._components.monitor)) is not None:
            judged.stopped = early_stopping.update(value)
        if self._due.is_last(epoch, judged.stopped):
            # The last epoch is validated in any case. What is done for that alone decides nothing but what is
            # best, and is undone where the run gets more epochs.
            done = len(judged.phases)
            before = {"best": judged.best, "final": judged.logs, "records": records + done}
            evaluate(validates=self._due.validation(epoch, last=True), loads=self._due.lav(epoch, last=True))
            if len(judged.phases) > done:
                judged.before_end = before
                if self._is_best(judged) or (judged.best and judged.best["epoch"] == epoch):
                    judged.best = self._keep(judged, epoch, step, keep_earlier=True)
        return judged

    def _is_best(self, judged: Judged) -> bool:
        loss = "val_loss" if self._components.validator is not None else "loss"
        best = judged.best["metrics"] if judged.best else None
        return is_best(judged.logs, best, self._components.monitor, self._components.mode, loss)

    def _keep(
        self, judged: Judged, epoch: int, step: int, *, keep_earlier: bool = False
    ) -> dict[str, Any] | None:
        record = {"epoch": epoch, "step": step, "metrics": dict(judged.logs)}
        return self.best_model.keep(record, keep_earlier=keep_earlier) or judged.best

    def _load_and_validate(self) -> dict[LavList, dict[str, float]]:
        assert self._components.lav is not None
        try:
            return self._components.lav(self._components.model, self._check_interruption)
        except OSError as error:
            log.warning("no LAV: the model cannot be written to %s: %s", self._run.lav, error)
            return {}
