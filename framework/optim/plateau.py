"""Reduction of a learning rate when a value no longer improves, without TensorFlow.

plateau = Plateau(PlateauSettings(factor=0.5, patience=2), lr=0.1, monitor="val_loss", mode="min")
for loss in (0.9, 0.8, 0.8, 0.8):
    plateau.update(loss)
plateau.rate                                      # 0.05, rounded to float32
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Literal, TypedDict

from framework.config.schema import setting
from framework.evaluators import Mode


@dataclass(frozen=True, kw_only=True)
class PlateauSettings:
    """The arguments of Keras' `ReduceLROnPlateau`, with its names and defaults, and PyTorch's
    `threshold_mode`."""

    factor: float = setting(0.1, "What the learning rate is multiplied by at each reduction.", gt=0, lt=1)
    patience: int = setting(
        10, "Epochs without improvement after which the learning rate is reduced.", ge=1, le=1_000_000
    )
    min_delta: float = setting(1e-4, "The change above which a value counts as improved.", ge=0)
    threshold_mode: Literal["abs", "rel"] = setting(
        "abs",
        "The unit of `min_delta`. abs: a difference, as in Keras; rel: a fraction of the best value, as by "
        "default in PyTorch.",
    )
    cooldown: int = setting(
        0, "Epochs after a reduction that do not count towards `patience`.", ge=0, le=1_000_000
    )
    min_lr: float = setting(0.0, "The learning rate below which it is not reduced.", ge=0)
    monitor: str | None = setting(
        None, "The value to watch, such as `val_loss`. null: the value that decides which epoch is best."
    )
    mode: Mode | None = setting(
        None,
        "Whether the lowest (min) or the highest (max) value is best. null: as for the value that decides "
        "which epoch is best.",
    )


class PlateauState(TypedDict):
    """What a checkpoint keeps of a `Plateau`."""

    lr: float
    monitor: str
    mode: Mode
    rate: float
    best: float | None
    wait: int
    cooldown: int


class Plateau:
    """The current learning rate, and how long the watched value has not improved.

    It gives the same rates as Keras' `ReduceLROnPlateau`, bit for bit: a rate is a float32, as in an
    optimizer. Unlike in Keras, NaN is never the best value, not even if it comes first.

    Args:
        settings: when to reduce the learning rate, and by how much.
        lr: the learning rate at the start of the run, >= 0.
        monitor: the name of the watched value.
        mode: whether its lowest or its highest value is best.
    """

    def __init__(self, settings: PlateauSettings, *, lr: float, monitor: str, mode: Mode) -> None:
        self.settings = settings
        self.lr, self.monitor, self.mode = lr, monitor, mode
        self.rate = _float32(lr)
        self.best: float | None = None
        self.wait = self.cooldown = 0

    def update(self, value: float) -> bool:
        """Record the value of an epoch; return whether the rate was reduced. NaN is not an improvement."""
        if self.cooldown:
            self.cooldown -= 1
            self.wait = 0
        if self._improves(value):
            self.best, self.wait = value, 0
            return False
        if self.cooldown:
            return False
        self.wait += 1
        if self.wait < self.settings.patience or self.rate <= _float32(self.settings.min_lr):
            return False
        self.rate = _float32(max(self.rate * self.settings.factor, self.settings.min_lr))
        self.wait, self.cooldown = 0, self.settings.cooldown
        return True

    def _improves(self, value: float) -> bool:
        if self.best is None or math.isnan(value):
            return not math.isnan(value)
        needed = self.settings.min_delta
        if self.settings.threshold_mode == "rel":
            needed *= abs(self.best)
        # In float32, as Keras compares.
        if self.mode == "max":
            return _float32(value - needed) > _float32(self.best)
        return _float32(value + needed) < _float32(self.best)

    def state(self) -> PlateauState:
        """Return the state, for a checkpoint."""
        return {
            "lr": self.lr,
            "monitor": self.monitor,
            "mode": self.mode,
            "rate": self.rate,
            "best": self.best,
            "wait": self.wait,
            "cooldown": self.cooldown,
        }

    def restore(self, state: PlateauState | None) -> str | None:
        """Restore a state that `state` returned.

        If `lr` has changed since, the rate starts again from the new one. If another value is monitored now,
        the rate stays what it was.

        Args:
            state: None if the run had none: everything starts anew.

        Returns:
            A sentence that says what starts anew although there was a state; None if nothing does.
        """
        self.rate, self.best = _float32(self.lr), None
        self.wait = self.cooldown = 0
        if state is None:
            return None
        if state["lr"] != self.lr:
            return f"another lr: the learning rate starts anew from {self.lr:g}"
        self.rate = state["rate"]
        if (state["monitor"], state["mode"]) != (self.monitor, self.mode):
            return f"the learning rate, {self.rate:g} now, goes by {self.monitor} from here on"
        self.best, self.wait, self.cooldown = state["best"], state["wait"], state["cooldown"]
        return None


def _float32(value: float) -> float:
    """Round a number to the nearest float32."""
    return ctypes.c_float(value).value
