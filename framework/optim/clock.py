"""What a learning rate schedule goes by: the time in a run, and the formula that it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from framework.config.registry import Registry
from framework.config.schema import Section

if TYPE_CHECKING:
    import tensorflow as tf

LEARNING_RATES = Registry("learning_rate")


class Clock(NamedTuple):
    """What time it is for a schedule.

    Args:
        epoch: epochs since the schedule began, a float64 scalar >= 0. With `per=epoch` it stands still during
            an epoch.
        epochs: how many epochs there are from the schedule's beginning to the end of the run.
        steps_per_epoch: steps that make an epoch.
    """

    epoch: tf.Tensor
    epochs: float
    steps_per_epoch: int

    def later(self, epochs: float) -> Clock:
        """The clock of a phase that begins `epochs` after the schedule; it stands at 0 until then."""
        import tensorflow as tf

        return Clock(tf.maximum(self.epoch - epochs, 0.0), self.epochs - epochs, self.steps_per_epoch)


class Formula(Section, Protocol):
    """What a schedule needs of a section `learning_rate`; see
    `framework.optim.learning_rates.LearningRate`."""

    @property
    def lr(self) -> float: ...

    @property
    def offset_epochs(self) -> float: ...

    @property
    def per(self) -> str: ...

    def value(self, clock: Clock) -> tf.Tensor | float: ...
