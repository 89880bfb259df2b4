"""When to stop before the last epoch, and what counts as better."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from framework.errors import Problem
from framework.schema import setting

Mode = Literal["min", "max"]


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig:
    """Stops a run whose monitored value no longer improves, or is as good as one wants."""

    monitor: str | None = setting(None, "The value to watch, such as `val_accuracy`. null: the scenario's.")
    mode: Mode | None = setting(None, "Whether the lowest or the highest value is best. null: the scenario's.")
    n_to_go: int | None = setting(
        None, "Stop after that many checked epochs without improvement; 1 stops at the first. null: never.", ge=1, le=1_000_000
    )
    frequency: int = setting(1, "Check after each n-th epoch that has a value.", ge=1, le=1_000_000)
    min_delta: float = setting(0.0, "A change smaller than that is no improvement.", ge=0)
    lower_threshold: float | None = setting(
        None, "mode max: no stop while the best is below it. mode min: stop at once where the value reaches it."
    )
    upper_threshold: float | None = setting(
        None, "mode max: stop at once where the value reaches it. mode min: no stop while the best is above it."
    )

    def check(self) -> Iterator[Problem]:
        if self.lower_threshold is not None and self.upper_threshold is not None and self.lower_threshold >= self.upper_threshold:
            yield Problem(
                "lower_threshold",
                "is not below upper_threshold",
                given=self.lower_threshold,
                allowed=f"a number < {self.upper_threshold:g}",
            )


def is_better(value: float, best: float | None, mode: Mode, min_delta: float = 0.0) -> bool:
    """Whether `value` improves on `best`. NaN never does; anything else does where there is no best yet.

    A value beyond `best` by less than `min_delta` does not.
    """
    if math.isnan(value):
        return False
    if best is None:
        return True
    gain = value - best if mode == "max" else best - value
    return gain > 0 and gain >= min_delta


class EarlyStopping:
    """The state of early stopping in one run.

    Args:
        config: when to stop.
        mode: the mode in force, the config's own or else the scenario's.
    """

    def __init__(self, config: EarlyStoppingConfig, mode: Mode) -> None:
        self.config = config
        self.mode = mode
        self._best: float | None = None
        self._checked = 0
        self._without_improvement = 0

    def update(self, value: float) -> str | None:
        """Take in the monitored value of an epoch.

        Returns:
            Why training should stop now, as a sentence for the console; None to go on.
        """
        self._checked += 1
        if (self._checked - 1) % self.config.frequency:
            return None
        if is_better(value, self._best, self.mode, self.config.min_delta):
            self._best = value
            self._without_improvement = 0
        else:
            self._without_improvement += 1
        target, floor = self.config.upper_threshold, self.config.lower_threshold
        if self.mode == "min":
            target, floor = floor, target
        if target is not None and self._reaches(value, target):
            return f"{value:.6g} reached the threshold {target:g}"
        if floor is not None and not (self._best is not None and self._reaches(self._best, floor)):
            return None
        if self.config.n_to_go is not None and self._without_improvement >= self.config.n_to_go:
            best = "none yet" if self._best is None else f"{self._best:.6g}"
            return f"no improvement in {self._without_improvement} checked epochs (best: {best})"
        return None

    def _reaches(self, value: float, threshold: float) -> bool:
        return value >= threshold if self.mode == "max" else value <= threshold

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"best": self._best, "checked": self._checked, "without_improvement": self._without_improvement}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the state that `state` gave."""
        self._best = state["best"]
        self._checked = state["checked"]
        self._without_improvement = state["without_improvement"]
