"""What a run needs of the sections that a user can add to: their types, as far as the rooms below training
know them.

The classes that satisfy them are chosen by name, from a registry, and stand beside what they build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from framework.config.schema import Section
from framework.errors import Problem

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class ChosenSection(Section, Protocol):
    """A section that is chosen by its registered name."""

    name: ClassVar[str]


class OptimizerSection(ChosenSection, Protocol):
    """The section `optimizer`; see `framework.optim.optimizers.Optimizer`."""

    @property
    def accumulate_steps(self) -> int:
        """Batches whose gradients make one step, >= 1."""

    def build(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
    ) -> keras.optimizers.Optimizer:
        """Make the Keras optimizer, without its variables yet."""

    def exclude_from_weight_decay(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
    ) -> None:
        """Take variables out of the weight decay of an optimizer that is made, before it is built."""


class LearningRateSection(ChosenSection, Protocol):
    """The section `learning_rate`; see `framework.optim.learning_rates.LearningRate`."""

    @property
    def lr(self) -> float:
        """The learning rate that the schedule starts from, or rises to, >= 0."""

    def problems_in_run(self, epochs: int) -> Iterator[Problem]:
        """Find what does not fit a run of `epochs` epochs, with paths from the root of the config."""

    def build(self, *, steps_per_epoch: int, epochs: int) -> keras.optimizers.schedules.LearningRateSchedule:
        """Make the schedule of a run."""


class StepListener(Protocol):
    """What a loop tells of its steps, where it can."""

    @property
    def step(self) -> int:
        """Steps of the epoch that are done."""

    def begin_step(self) -> None:
        """Take in that a step begins."""

    def end_step(self, logs: Mapping[str, float]) -> None:
        """Take in that a step is done, with loss and metrics of the epoch so far."""


class Loop(Protocol):
    """Does training steps on the batches of an iterator, which yields as many as a step takes for each step.

    One that has an attribute `waited`, the seconds that it has spent waiting for batches so far, has its
    share of an epoch recorded.
    """

    def prepare(self, iterator: tf.data.Iterator) -> None:
        """Make all variables that are made when first used. No step is done, no batch taken."""

    def run(self, iterator: tf.data.Iterator, at_most: int) -> int:
        """Do steps for about a fifth of a second.

        Returns:
            How many were done: at least one, and no more than `at_most`.
        """


class LoopSection(ChosenSection, Protocol):
    """The section `loop`; see `framework.loops.loop.LoopConfig`."""

    def build(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        after_step: Callable[[], None] | None,
        callbacks: StepListener,
    ) -> Loop:
        """Make the loop of a compiled model."""


class DataSection(Section, Protocol):
    """The section `data`; see `framework.data.source.DataConfig`."""

    @property
    def batch_size(self) -> int:
        """Samples in a training batch, over all devices, >= 1."""

    @property
    def limit(self) -> int | None:
        """How many samples of each split are used, >= 1; None: all."""

    @property
    def cache(self) -> Literal["auto", "memory", "off"]:
        """Whether loaded samples are kept in memory."""

    @property
    def cache_limit(self) -> float:
        """Gigabytes of memory that a split may take under cache=auto, > 0."""

    @property
    def workers(self) -> int | None:
        """Samples that are loaded at the same time, >= 1; None: tuned while running."""

    def has_validation(self) -> bool:
        """Whether there is a validation split."""

    def resolve(self) -> DataSection:
        """Fill in everything that was left for the data to say."""
