"""The time of a run as a schedule sees it, and the interface of a schedule's formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from framework.config.registry import Registry
from framework.config.schema import Section

if TYPE_CHECKING:
    import tensorflow as tf

LEARNING_RATES = Registry("learning_rate")


class Clock(NamedTuple):
    """The time that a schedule computes its value from.

    Args:
        epoch: epochs since the schedule began, a float64 scalar >= 0. With `per=epoch` it is constant within
            an epoch.
        epochs: epochs from the beginning of the schedule to the end of the run.
        steps_per_epoch: steps in an epoch.
    """

    epoch: tf.Tensor
    epochs: float
    steps_per_epoch: int

    def later(self, epochs: float) -> Clock:
        """Return the clock of a phase that begins `epochs` after the schedule; until then its epoch is 0."""
        import tensorflow as tf

        return Clock(tf.maximum(self.epoch - epochs, 0.0), self.epochs - epochs, self.steps_per_epoch)


class Formula(Section, Protocol):
    """The interface that a schedule needs of a section `learning_rate`.

    `framework.optim.learning_rates.LearningRate` implements it.
    """

    @property
    def lr(self) -> float: ...

    @property
    def offset_epochs(self) -> float: ...

    @property
    def per(self) -> str: ...

    def value(self, clock: Clock) -> tf.Tensor | float: ...
