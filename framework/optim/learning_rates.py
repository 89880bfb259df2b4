"""Learning rate schedules: one config class for each, with its formula.

    schedule = LEARNING_RATES["cosine_decay"](lr=1e-3, final_epochs=5).build(steps_per_epoch=10, epochs=20)
    schedule(175)                                     # 0.00065529, a float32 scalar

A schedule is a function of the step and has no state, so a run that is resumed at step k continues with
exactly the value that it would have had there. The one exception is `reduce_on_plateau`: its state is saved
in the checkpoints.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from framework.config.parts import LearningRateSection
from framework.config.schema import setting
from framework.errors import ConfigError, Problem
from framework.optim.clock import LEARNING_RATES as LEARNING_RATES
from framework.optim.clock import Clock
from framework.optim.plateau import PlateauSettings

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def register_learning_rate(name: str) -> Callable[[type[LearningRateSection]], type[LearningRateSection]]:
    """Register a config class derived from `LearningRate` as `learning_rate=NAME`. A class decorator.

    Raises:
        ValueError: if another class has the name.
    """
    return LEARNING_RATES.register(name)


_PER = "When the value changes. epoch: in stairs, at whole epochs only; step: smoothly, with each step."


@dataclass(frozen=True, kw_only=True)
class LearningRate:
    """Base class of the schedules; a derived class implements `value`."""

    name: ClassVar[str]
    lr: float = setting(1e-3, "The learning rate that the schedule starts from, or rises to.", ge=0)
    offset_epochs: float = setting(
        0.0,
        "Epochs of the run before the schedule begins; until then it has its first value.",
        ge=0,
    )
    per: Literal["step", "epoch"] = setting("epoch", _PER)

    def value(self, clock: Clock) -> tf.Tensor | float:
        """Return the learning rate at a time, a float64 scalar >= 0."""
        raise NotImplementedError

    def build(self, *, steps_per_epoch: int, epochs: int) -> keras.optimizers.schedules.LearningRateSchedule:
        """Build the schedule of a run.

        Args:
            steps_per_epoch: steps in an epoch, >= 1.
            epochs: epochs of the whole run, >= 1.

        Returns:
            A Keras schedule. It maps a step, an int64 scalar or an int counted from 0, to a float32 scalar.
            It can be called inside a `tf.function`, also with steps after the end of the run.

        Raises:
            ConfigError: if the settings do not fit a run of that many epochs.
        """
        from framework.optim.schedule import Schedule  # imports Keras

        self._raise_problems(epochs)
        return Schedule(self, steps_per_epoch, epochs)

    def check_epochs(self, epochs: int) -> Iterator[Problem]:
        """Yield what does not fit a run of `epochs` epochs, with paths relative to the section."""
        if self.offset_epochs >= epochs:
            yield Problem(
                "offset_epochs",
                "the schedule would begin after the end of the run",
                given=self.offset_epochs,
                allowed=f"a number >= 0 and < {epochs}, the epochs of the run",
            )

    def _raise_problems(self, epochs: int) -> None:
        if problems := list(self.problems_in_run(epochs)):
            raise ConfigError(problems)

    def problems_in_run(self, epochs: int) -> Iterator[Problem]:
        """Yield what does not fit a run of `epochs` epochs, with paths from the root of the config."""
        for problem in self.check_epochs(epochs):
            yield dataclasses.replace(problem, path=f"learning_rate.{problem.path}")

    def _stairs(self, decays: tf.Tensor) -> tf.Tensor:
        """Return the number of decays so far; with `per=epoch` a decay counts only when it is complete."""
        import tensorflow as tf

        return tf.floor(decays) if self.per == "epoch" else decays


@register_learning_rate("constant")
@dataclass(frozen=True, kw_only=True)
class Constant(LearningRate):
    """`lr` at every step."""

    def value(self, clock: Clock) -> tf.Tensor | float:
        return self.lr


@register_learning_rate("exponential_decay")
@dataclass(frozen=True, kw_only=True)
class ExponentialDecay(LearningRate):
    """`lr * max(decay ^ (epoch / decay_epochs), decay_min_fraction)`; with `per=epoch` the exponent is
    rounded down."""

    decay: float = setting(0.99, "What the learning rate is multiplied by every `decay_epochs`.", gt=0, le=1)
    decay_epochs: float = setting(3.0, "Epochs that one decay takes.", gt=0)
    decay_min_fraction: float = setting(
        0.0, "The smallest fraction of `lr` that the decay goes down to.", ge=0, le=1
    )

    def value(self, clock: Clock) -> tf.Tensor | float:
        import tensorflow as tf

        return self.lr * tf.maximum(
            self.decay ** self._stairs(clock.epoch / self.decay_epochs), self.decay_min_fraction
        )


@register_learning_rate("cosine_decay")
@dataclass(frozen=True, kw_only=True)
class CosineDecay(ExponentialDecay):
    """Half a cosine from `lr` to `alpha * lr`, smooth, over the whole run or its last epochs (Loshchilov and
    Hutter 2017, SGDR, equation 5).

    `exponential_decay * (alpha + (1 - alpha) * (0.5 + 0.5 * cos(pi * done)))`, where
    `done = (epoch - epochs + final_epochs) / final_epochs`, clipped to [0, 1]. With `decay=1`, the default,
    the exponential factor is 1. tfaip's schedule of that name has `decay=0.99 alpha=0.1 per=epoch`.
    """

    decay: float = setting(
        1.0,
        "What the learning rate is multiplied by every `decay_epochs`, in addition to the cosine. 1: "
        "nothing.",
        gt=0,
        le=1,
    )
    per: Literal["step", "epoch"] = setting("step", _PER)
    final_epochs: float | None = setting(
        None,
        "Epochs that the cosine takes, at the end of the run. null: all epochs that no other phase takes.",
        ge=0,
    )
    alpha: float = setting(0.0, "The fraction that the cosine falls to.", ge=0, le=1)

    def value(self, clock: Clock) -> tf.Tensor | float:
        import tensorflow as tf

        final_epochs = clock.epochs if self.final_epochs is None else self.final_epochs
        decayed = super().value(clock)
        if final_epochs <= 0:
            return decayed
        done = tf.clip_by_value((clock.epoch - clock.epochs + final_epochs) / final_epochs, 0.0, 1.0)
        return decayed * (self.alpha + (1 - self.alpha) * (0.5 + 0.5 * tf.cos(math.pi * done)))

    def check_epochs(self, epochs: int) -> Iterator[Problem]:
        yield from super().check_epochs(epochs)
        room = epochs - self.offset_epochs - self.epochs_before_decay()
        if self.final_epochs is not None and self.final_epochs > max(room, 0):
            yield Problem(
                "final_epochs",
                "more epochs than the run has left for them",
                given=self.final_epochs,
                allowed=f"a number >= 0 and <= {max(room, 0):g}, or null for as many as there are",
            )

    def epochs_before_decay(self) -> float:
        """Return the epochs between the beginning of the schedule and that of the decay."""
        return 0.0


@register_learning_rate("warmup_cosine_decay")
@dataclass(frozen=True, kw_only=True)
class WarmupCosineDecay(CosineDecay):
    """A linear warm-up from `warmup_fraction * lr` to `lr`, then `cosine_decay`, counted from the end of the
    warm-up.

    `(warmup_fraction + (1 - warmup_fraction) * min(epoch / warmup_epochs, 1)) * cosine_decay(epoch -
    warmup_epochs)`
    """

    warmup_epochs: float = setting(1.0, "Epochs that the warm-up takes.", gt=0)
    warmup_fraction: float = setting(0.1, "The fraction of `lr` at the beginning of the warm-up.", ge=0, le=1)

    def value(self, clock: Clock) -> tf.Tensor | float:
        import tensorflow as tf

        risen = tf.minimum(clock.epoch / self.warmup_epochs, 1.0)
        decayed = super().value(clock.later(self.epochs_before_decay()))
        return (self.warmup_fraction + (1 - self.warmup_fraction) * risen) * decayed

    def epochs_before_decay(self) -> float:
        return self.warmup_epochs


@register_learning_rate("warmup_constant_cosine_decay")
@dataclass(frozen=True, kw_only=True)
class WarmupConstantCosineDecay(WarmupCosineDecay):
    """`warmup_cosine_decay` with `constant_epochs` at `lr` between the warm-up and the decay."""

    constant_epochs: float = setting(1.0, "Epochs at `lr` after the warm-up, before the decay.", ge=0)

    def epochs_before_decay(self) -> float:
        return self.warmup_epochs + self.constant_epochs


@register_learning_rate("noam")
@dataclass(frozen=True, kw_only=True)
class Noam(LearningRate):
    """`lr * d_model^-0.5 * min(s^-0.5, s * warmup_steps^-1.5)`, where s counts the schedule's steps from 1.

    Vaswani et al. 2017, Attention Is All You Need, section 5.3. `lr` is a factor here; the paper has 1.
    """

    per: Literal["step", "epoch"] = setting("step", _PER)
    d_model: int = setting(512, "The width of the model.", ge=1, le=1_000_000)
    warmup_steps: int = setting(4000, "Steps during which the learning rate rises.", ge=1, le=10**9)

    def value(self, clock: Clock) -> tf.Tensor | float:
        import tensorflow as tf

        step = clock.epoch * clock.steps_per_epoch + 1.0
        return self.lr * self.d_model**-0.5 * tf.minimum(step**-0.5, step * self.warmup_steps**-1.5)


@register_learning_rate("piecewise")
@dataclass(frozen=True, kw_only=True)
class Piecewise(LearningRate):
    """`lr * values[i]` from epoch `boundaries[i - 1]`, included, to epoch `boundaries[i]`, excluded."""

    boundaries: tuple[float, ...] = setting(
        (5.0, 8.0), "Epochs at which the next value begins, in rising order.", gt=0
    )
    values: tuple[float, ...] = setting(
        (1.0, 0.1, 0.01), "Factors of `lr`, one more than there are boundaries.", ge=0
    )

    def value(self, clock: Clock) -> tf.Tensor | float:
        import tensorflow as tf

        passed = tf.reduce_sum(tf.cast(clock.epoch >= tf.constant(self.boundaries, tf.float64), tf.int32))
        return self.lr * tf.gather(tf.constant(self.values, tf.float64), passed)

    def check(self) -> Iterator[Problem]:
        needed = len(self.boundaries) + 1
        if len(self.values) != needed:
            given = list(self.values)
            yield Problem(
                "values", "are not one more than the boundaries", given=given, allowed=f"{needed} numbers"
            )
        if any(
            later <= earlier for earlier, later in zip(self.boundaries, self.boundaries[1:], strict=False)
        ):
            yield Problem(
                "boundaries", "do not rise", given=list(self.boundaries), allowed="numbers in rising order"
            )


@register_learning_rate("decay_to_limit")
@dataclass(frozen=True, kw_only=True)
class DecayToLimit(LearningRate):
    """`lr * decay_rate ^ (step / decay_steps)`, with as many decays as fit between `lr` and `decay_limit`.

    `decay_steps = steps_per_epoch * (epochs // decays)` and `decays = floor(log(decay_limit / lr) /
    log(decay_rate))`. The exponent is at most `decays`, and with `per=epoch` it is rounded down. Meso-4 is
    trained with this schedule: Afchar et al. 2018, MesoNet, divide the learning rate by 10 from 1e-3 down to
    1e-6. The spacing of the decays is that of MalayAgr/MesoNet-DeepFakeDetection, mesonet/train.py.
    """

    decay_rate: float = setting(0.1, "What the learning rate is multiplied by at each decay.", gt=0, lt=1)
    decay_limit: float = setting(1e-6, "The learning rate below which the decay does not go.", gt=0)

    def decays(self) -> int:
        """Return how many decays lead from `lr` to `decay_limit`; 0 or less if none does."""
        if self.lr == 0:
            return 0
        # The quotient may be a few bits below a whole number, and must not be rounded down then.
        return math.floor(math.log(self.decay_limit / self.lr) / math.log(self.decay_rate) + 1e-9)

    def value(self, clock: Clock) -> tf.Tensor | float:
        import tensorflow as tf

        if self.lr == 0:
            return 0.0
        decays = self.decays()
        decay_epochs = clock.epochs // decays
        return self.lr * self.decay_rate ** tf.minimum(
            self._stairs(clock.epoch / decay_epochs), float(decays)
        )

    def check_epochs(self, epochs: int) -> Iterator[Problem]:
        yield from super().check_epochs(epochs)
        decays, room = self.decays(), epochs - self.offset_epochs
        if decays < 1 and self.lr > 0:
            yield Problem(
                "decay_limit",
                "is reached before the first decay",
                given=self.decay_limit,
                allowed=f"a number > 0 and <= lr * decay_rate, {self.lr * self.decay_rate:g}",
            )
        elif decays > room > 0:
            yield Problem(
                "decay_limit",
                f"takes {decays} decays, one an epoch at most, and the schedule has {room:g} epochs",
                given=self.decay_limit,
                hint="more epochs, a higher decay_limit, or a lower decay_rate",
            )


@register_learning_rate("keras")
@dataclass(frozen=True, kw_only=True)
class KerasSchedule(LearningRate):
    """`lr` times any schedule of `keras.optimizers.schedules`, which counts the steps of the optimizer.

    Of its arguments, `initial_learning_rate` is 1, and `decay_steps` all steps of the run, unless they are given.
    """

    per: Literal["step", "epoch"] = setting("step", _PER)
    class_name: str = setting("CosineDecay", "The name of a class of keras.optimizers.schedules.")
    arguments: dict[str, object] = dataclasses.field(
        default_factory=dict, metadata={"help": "Arguments of the class, by their names in Keras."}
    )

    def value(self, clock: Clock) -> tf.Tensor | float:
        import tensorflow as tf

        schedule = self._schedule(int(clock.epochs * clock.steps_per_epoch))
        step = tf.cast(tf.round(clock.epoch * clock.steps_per_epoch), tf.int64)
        return self.lr * tf.cast(schedule(step), tf.float64)

    def build(self, *, steps_per_epoch: int, epochs: int) -> keras.optimizers.schedules.LearningRateSchedule:
        self._schedule(steps_per_epoch * epochs)  # raises where there is none
        return super().build(steps_per_epoch=steps_per_epoch, epochs=epochs)

    def _schedule(self, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
        from framework.optim.keras_schedules import keras_schedule  # imports Keras

        return keras_schedule(self.class_name, self.arguments, steps=steps)


@register_learning_rate("reduce_on_plateau")
@dataclass(frozen=True, kw_only=True)
class ReduceOnPlateau(PlateauSettings, LearningRate):
    """`lr`, multiplied by `factor` whenever the monitored value has not improved for `patience` epochs, as by
    Keras' `ReduceLROnPlateau`.

    An epoch counts if it has the value (`trainer.val_every_n`) and comes after `offset_epochs`.
    """

    per: Literal["epoch"] = setting(
        "epoch", "It changes only at the end of an epoch, when the value is known."
    )

    def build(self, *, steps_per_epoch: int, epochs: int) -> keras.optimizers.schedules.LearningRateSchedule:
        """Build a `framework.optim.schedule.PlateauSchedule`; see `LearningRate.build`."""
        from framework.optim.schedule import PlateauSchedule  # imports Keras

        self._raise_problems(epochs)
        return PlateauSchedule(self, steps_per_epoch, epochs)

    def check(self) -> Iterator[Problem]:
        if self.min_lr >= self.lr > 0:
            yield Problem(
                "min_lr", "is not below lr", given=self.min_lr, allowed=f"a number >= 0 and < {self.lr:g}"
            )
