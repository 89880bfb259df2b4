"""The learning rate schedule that Keras optimizers call. It imports Keras, so it is imported only when one is built."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from framework.errors import ConfigError, Problem
from framework.learning_rates import LEARNING_RATES, Clock, LearningRate
from framework.schema import read, to_plain


@keras.saving.register_keras_serializable(package="framework")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A `LearningRate` and the run that it is for.

    Args:
        learning_rate: the settings, with the formula.
        steps_per_epoch: steps that make an epoch, >= 1.
        epochs: epochs of the whole run, >= 1.
    """

    def __init__(self, learning_rate: LearningRate, steps_per_epoch: int, epochs: int) -> None:
        self.learning_rate = learning_rate
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The learning rate of a step, counted from 0: an int64 scalar in, a float32 scalar out."""
        step = tf.cast(step, tf.int64)
        # float64, because float32 cannot tell the steps of a long run apart.
        if self.learning_rate.per == "epoch":
            epoch = tf.cast(step // self.steps_per_epoch, tf.float64)
        else:
            epoch = tf.cast(step, tf.float64) / self.steps_per_epoch
        run = Clock(epoch, float(self.epochs), self.steps_per_epoch)
        return tf.cast(self.learning_rate.value(run.later(self.learning_rate.offset_epochs)), tf.float32)

    def get_config(self) -> dict[str, Any]:
        plain = to_plain(self.learning_rate)
        return {"learning_rate": plain, "steps_per_epoch": self.steps_per_epoch, "epochs": self.epochs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        settings = dict(config["learning_rate"])
        problems: list[Problem] = []
        learning_rate = read(LEARNING_RATES[settings.pop("name")], settings, "learning_rate", problems)
        if learning_rate is None:
            raise ConfigError(problems, subject="a saved learning rate schedule")
        return cls(learning_rate, config["steps_per_epoch"], config["epochs"])
