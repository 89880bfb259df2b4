"""When a learning rate is reduced: after some epochs in which a value no longer improves. Plain numbers,
without TensorFlow.

plateau = Plateau(PlateauSettings(factor=0.5, patience=2), lr=0.1, monitor="val_loss", mode="min")
for loss in (0.9, 0.8, 0.8, 0.8):
    plateau.update(loss)
plateau.rate                                      # 0.05, rounded to float32
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from framework.config.schema import setting
from framework.evaluators import Mode


@dataclass(frozen=True, kw_only=True)
class PlateauSettings:
    """The arguments of Keras' `ReduceLROnPlateau`, by its names and with its defaults, and PyTorch's
    `threshold_mode`."""

    factor: float = setting(0.1, "What the learning rate is multiplied by at each reduction.", gt=0, lt=1)
    patience: int = setting(10, "Epochs without improvement after which it is reduced.", ge=1, le=1_000_000)
    min_delta: float = setting(1e-4, "A change that is not larger than that is not an improvement.", ge=0)
    threshold_mode: Literal["abs", "rel"] = setting(
        "abs",
        "What `min_delta` is. abs: a difference, as in Keras; rel: a part of the best value, as by default "
        "in PyTorch.",
    )
    cooldown: int = setting(
        0, "Epochs after a reduction that are not counted as without improvement.", ge=0, le=1_000_000
    )
    min_lr: float = setting(0.0, "The learning rate that no reduction goes below.", ge=0)
    monitor: str | None = setting(
        None, "The value to watch, such as `val_loss`. null: the one that decides what is best."
    )
    mode: Mode | None = setting(
        None,
        "Whether the lowest or the highest value of it is best. null: as for the value that decides what is "
        "best.",
    )


class Plateau:
    """The learning rate of a run so far, and how long its value has not improved.

    It gives the rates of Keras' `ReduceLROnPlateau`, bit for bit: a rate is a float32, as it is in an
    optimizer. Unlike there, NaN is never the best value, not even as the first one.

    Args:
        settings: when to reduce it, and by how much.
        lr: the rate that a run starts from, >= 0.
        monitor: the name of the value that is watched.
        mode: whether its lowest or its highest value is best.
    """

    def __init__(self, settings: PlateauSettings, *, lr: float, monitor: str, mode: Mode) -> None:
        self.settings = settings
        self.lr, self.monitor, self.mode = lr, monitor, mode
        self.rate = _float32(lr)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.wait = self.cooldown = 0

    def update(self, value: float) -> bool:
        """Take in the value of an epoch; whether the rate is reduced. NaN is not an improvement."""
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
        # Keras compares float32, so that is what is compared here.
        if self.mode == "max":
            return _float32(value - needed) > _float32(self.best)
        return _float32(value + needed) < _float32(self.best)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        about = {"lr": self.lr, "monitor": self.monitor, "mode": self.mode}
        return about | {"rate": self.rate, "best": self.best, "wait": self.wait, "cooldown": self.cooldown}

    def restore(self, state: Mapping[str, Any] | None) -> str | None:
        """Take up the state that `state` gave. With another `lr` the rate starts anew from it; where another
        value is watched now, the rate stays what it was.

        Args:
            state: None where the run had none: then everything starts anew.

        Returns:
            What starts anew though there was a state, as a sentence.
        """
        self.rate = _float32(self.lr)
        self._forget()
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
    """The float32 that is nearest to a number."""
    return ctypes.c_float(value).value
