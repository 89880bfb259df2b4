"""Keras schedules made of the settings of a learning rate.

Importing this module imports Keras; it is imported only when a schedule is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

import keras
import numpy as np
import tensorflow as tf

from framework.config.schema import PlainValue, read, to_plain
from framework.errors import ConfigError, Problem
from framework.evaluators import Mode
from framework.optim.clock import LEARNING_RATES, Clock, Formula
from framework.optim.plateau import Plateau, PlateauSettings, PlateauState


class ScheduleConfig(TypedDict):
    """What Keras saves of a schedule."""

    learning_rate: dict[str, PlainValue]
    steps_per_epoch: int
    epochs: int
    state: NotRequired[PlateauState]


@keras.saving.register_keras_serializable(package="framework")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A Keras schedule with the formula of a `LearningRate`, for one run.

    Args:
        learning_rate: the settings, with the formula.
        steps_per_epoch: steps in an epoch, >= 1.
        epochs: epochs of the whole run, >= 1.
    """

    def __init__(self, learning_rate: Formula, steps_per_epoch: int, epochs: int) -> None:
        self.learning_rate = learning_rate
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """Return the learning rate, a float32 scalar, at a step counted from 0, an int64 scalar."""
        step = tf.cast(step, tf.int64)
        # float64, because float32 cannot represent every step of a long run.
        if self.learning_rate.per == "epoch":
            epoch = tf.cast(step // self.steps_per_epoch, tf.float64)
        else:
            epoch = tf.cast(step, tf.float64) / self.steps_per_epoch
        run = Clock(epoch, float(self.epochs), self.steps_per_epoch)
        return tf.cast(self.learning_rate.value(run.later(self.learning_rate.offset_epochs)), tf.float32)

    def get_config(self) -> ScheduleConfig:
        plain = to_plain(self.learning_rate)
        return {"learning_rate": plain, "steps_per_epoch": self.steps_per_epoch, "epochs": self.epochs}

    @classmethod
    def from_config(cls, config: ScheduleConfig) -> Schedule:
        settings = dict(config["learning_rate"])
        problems: list[Problem] = []
        learning_rate = read(LEARNING_RATES[str(settings.pop("name"))], settings, "learning_rate", problems)
        if learning_rate is None:
            raise ConfigError(problems, subject="a saved learning rate schedule")
        return cls(learning_rate, config["steps_per_epoch"], config["epochs"])


@keras.saving.register_keras_serializable(package="framework")
class PlateauSchedule(Schedule):
    """The schedule of `reduce_on_plateau`: a rate that `end_epoch` reduces when a value no longer improves.

    The rate is in a variable, so that a compiled training step sees changes. It is not a variable of the
    optimizer: a checkpoint saves `state`, which determines it.

    Args:
        learning_rate, steps_per_epoch, epochs: as for `Schedule`.

    Attributes:
        settings: when the rate is reduced, and by how much.
    """

    def __init__(self, learning_rate: Formula, steps_per_epoch: int, epochs: int) -> None:
        super().__init__(learning_rate, steps_per_epoch, epochs)
        assert isinstance(learning_rate, PlateauSettings)
        self.settings: PlateauSettings = learning_rate
        monitor, mode = learning_rate.monitor or "val_loss", learning_rate.mode or "min"
        self._plateau = Plateau(self.settings, lr=self.learning_rate.lr, monitor=monitor, mode=mode)
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self._rate = tf.Variable(self._plateau.rate, trainable=False, dtype=tf.float32, aggregation=first)

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """Return the current learning rate, a float32 scalar, whatever the step."""
        return tf.convert_to_tensor(self._rate)

    def follow(self, monitor: str, mode: Mode) -> None:
        """Set the monitored value, and whether its lowest or highest is best, before the first step."""
        self._plateau = Plateau(self.settings, lr=self.learning_rate.lr, monitor=monitor, mode=mode)

    @property
    def monitor(self) -> str:
        """The name of the monitored value."""
        return self._plateau.monitor

    def end_epoch(self, epoch: int, values: Mapping[str, float]) -> str | None:
        """Record the values of an epoch, and reduce the rate if it is time.

        Args:
            epoch: counted from 1.
            values: by name; if the monitored one is not among them, nothing changes.

        Returns:
            A sentence that says how the rate changed; None if it did not.
        """
        plateau = self._plateau
        value, before = values.get(plateau.monitor), plateau.rate
        if value is None or epoch <= self.learning_rate.offset_epochs or not plateau.update(value):
            return None
        self._rate.assign(plateau.rate)
        best = "no value yet" if plateau.best is None else f"best: {plateau.best:.6g}"
        return (
            f"learning rate reduced from {before:.4g} to {plateau.rate:.4g}: {plateau.monitor} no longer "
            f"improves ({best})"
        )

    def state(self) -> PlateauState:
        """Return the state, for a checkpoint."""
        return self._plateau.state()

    def restore(self, state: PlateauState | None) -> str | None:
        """Restore a state that `state` returned; see `framework.optim.plateau.Plateau.restore`."""
        news = self._plateau.restore(state)
        self._rate.assign(self._plateau.rate)
        return news

    def get_config(self) -> ScheduleConfig:
        return {**super().get_config(), "state": self.state()}

    @classmethod
    def from_config(cls, config: ScheduleConfig) -> PlateauSchedule:
        state = config["state"]
        schedule = super().from_config(config)
        assert isinstance(schedule, PlateauSchedule)
        schedule.follow(state["monitor"], state["mode"])
        schedule.restore(state)
        return schedule


def last_learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Return the learning rate of the optimizer's last step; before any step, that of its first."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # mixed_float16 wraps it
    rate = optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        rate = rate(max(int(keras.ops.convert_to_numpy(optimizer.iterations)) - 1, 0))
    # By way of its shortest decimal: 0.001, and not 0.0010000000474974513.
    return float(str(np.float32(keras.ops.convert_to_numpy(rate))))
