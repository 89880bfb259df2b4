"""Optimizers: one config class for each, with the names and the defaults of Keras.

    config = OPTIMIZERS["adamw"](clip_global_norm=1.0, weight_decay_exclude=("bias$", "gamma$", "beta$"))
    optimizer = config.build(learning_rate)            # a float or a schedule
    config.exclude_from_weight_decay(optimizer, model.trainable_variables)
    optimizer.build(model.trainable_variables)

Keras is imported only when an optimizer is built.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework.config.schema import setting
from framework.errors import ConfigError, Problem, unknown_name
from framework.optim.optimizer import OPTIMIZERS, SHARED, Optimizer, register_optimizer

if TYPE_CHECKING:
    import keras


@register_optimizer("sgd")
@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with or without momentum."""

    keras_class = "SGD"

    momentum: float = setting(
        0.0, "Fraction of the last update that is added to the next one. 0: none.", ge=0, le=1
    )
    nesterov: bool = setting(False, "Use Nesterov's momentum.")

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        if self.nesterov and self.momentum == 0:
            yield Problem(
                "nesterov",
                "does nothing without momentum",
                given=True,
                hint="set optimizer.momentum, 0.9 say",
            )


@register_optimizer("momentum")
@dataclass(frozen=True, kw_only=True)
class Momentum(SGD):
    """SGD with momentum by default (Polyak 1964, Some methods of speeding up the convergence of iteration
    methods)."""

    momentum: float = setting(0.9, "Fraction of the last update that is added to the next one.", ge=0, le=1)


@register_optimizer("rmsprop")
@dataclass(frozen=True, kw_only=True)
class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, Neural Networks for Machine Learning, lecture 6e)."""

    keras_class = "RMSprop"

    rho: float = setting(0.9, "Decay of the mean squared gradient.", ge=0, lt=1)
    momentum: float = setting(
        0.0, "Fraction of the last update that is added to the next one. 0: none.", ge=0, le=1
    )
    epsilon: float = setting(1e-7, "Added under the root of the mean squared gradient.", gt=0)
    centered: bool = setting(
        False, "Divide by the root of the variance of the gradient instead of the root of its mean square."
    )


@dataclass(frozen=True, kw_only=True)
class _Moments(Optimizer):
    """Settings of the optimizers of the Adam family: the decays of two moving averages."""

    beta_1: float = setting(0.9, "Decay of the mean of the gradient.", ge=0, lt=1)
    beta_2: float = setting(
        0.999,
        "Decay of the mean squared gradient (adamax: of the largest gradient; adabelief: of the mean "
        "squared deviation).",
        ge=0,
        lt=1,
    )
    epsilon: float = setting(1e-7, "Added to the divisor of the mean.", gt=0)


@register_optimizer("adam")
@dataclass(frozen=True, kw_only=True)
class Adam(_Moments):
    """Adam (Kingma and Ba 2015, Adam: A Method for Stochastic Optimization, algorithm 1)."""

    keras_class = "Adam"

    amsgrad: bool = setting(
        False, "Divide by the largest mean square so far (Reddi et al. 2018, algorithm 2)."
    )


@register_optimizer("adamw")
@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay by default (Loshchilov and Hutter 2019, Decoupled Weight Decay
    Regularization)."""

    keras_class = "AdamW"

    # Not None: Keras' AdamW needs a number. 0 turns the decay off.
    weight_decay: float = setting(
        0.004,
        "Decoupled weight decay: each step subtracts weight_decay * learning rate * weight from each weight.",
        ge=0,
    )


@register_optimizer("adamax")
@dataclass(frozen=True, kw_only=True)
class Adamax(_Moments):
    """AdaMax: Adam with the infinity norm of the gradients (Kingma and Ba 2015, algorithm 2)."""

    keras_class = "Adamax"


@register_optimizer("nadam")
@dataclass(frozen=True, kw_only=True)
class Nadam(_Moments):
    """Adam with Nesterov's momentum (Dozat 2016, Incorporating Nesterov Momentum into Adam)."""

    keras_class = "Nadam"


@register_optimizer("lamb")
@dataclass(frozen=True, kw_only=True)
class Lamb(_Moments):
    """LAMB, for large batches (You et al. 2020, Large Batch Optimization for Deep Learning, algorithm 2). As
    in Keras, its weight decay is decoupled."""

    keras_class = "Lamb"


@register_optimizer("adabelief")
@dataclass(frozen=True, kw_only=True)
class AdaBelief(_Moments):
    """AdaBelief (Zhuang et al. 2020, AdaBelief Optimizer). Keras does not have it; see
    `framework.optim.adabelief`."""

    epsilon: float = setting(1e-14, "Added to the squared deviation at each step, and to its root.", gt=0)

    def optimizer_class(self) -> type[keras.optimizers.Optimizer]:
        from framework.optim import adabelief  # imports Keras

        return adabelief.AdaBelief


@register_optimizer("lion")
@dataclass(frozen=True, kw_only=True)
class Lion(Optimizer):
    """Lion (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms). Its steps all have one size, so
    it needs a learning rate that is 3 to 10 times lower."""

    keras_class = "Lion"

    beta_1: float = setting(0.9, "Share of the moving mean in the direction of a step.", gt=0, le=1)
    beta_2: float = setting(0.99, "Decay of the mean of the gradient.", ge=0, lt=1)


@register_optimizer("keras")
@dataclass(frozen=True, kw_only=True)
class KerasOptimizer(Optimizer):
    """Any other optimizer of `keras.optimizers`. `weight_decay: null` keeps the default of the class."""

    class_name: str = setting("Adagrad", "The name of a class of keras.optimizers.")
    arguments: dict[str, object] = dataclasses.field(
        default_factory=dict, metadata={"help": "Arguments of the class, by their names in Keras."}
    )

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        elsewhere = {theirs: f"optimizer.{ours}" for ours, theirs in SHARED.items()}
        elsewhere |= {"learning_rate": "learning_rate.lr", "use_ema": "trainer.calc_ema"}
        elsewhere |= {"gradient_accumulation_steps": "optimizer.accumulate_steps"}
        for name, given in self.arguments.items():
            if name in elsewhere:
                yield Problem(
                    f"arguments.{name}",
                    "has a setting of its own",
                    given=given,
                    hint=f"set {elsewhere[name]}",
                )
        # Both compute the weights anew in each step, from variables of theirs that do not decay.
        if self.weight_decay is not None and self.class_name in ("Ftrl", "ScheduleFreeAdamW"):
            yield Problem(
                "weight_decay",
                f"has no true effect on {self.class_name}",
                given=self.weight_decay,
                allowed="null",
            )

    def build(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
    ) -> keras.optimizers.Optimizer:
        cls = self.optimizer_class()
        known = [
            name for name in inspect.signature(cls).parameters if name not in ("learning_rate", "kwargs")
        ]
        unknown = [name for name in self.arguments if name not in known]
        if unknown:
            kind = f"argument of {self.class_name}"
            raise ConfigError(
                [unknown_name(f"optimizer.arguments.{name}", kind, name, known) for name in unknown]
            )
        try:
            return super().build(learning_rate)
        except (TypeError, ValueError) as error:
            message = f"{self.class_name} refuses them: {error}"
            raise ConfigError(Problem("optimizer.arguments", message, given=self.arguments)) from error

    def _own_arguments(self) -> dict[str, object]:
        return self.arguments

    def optimizer_class(self) -> type[keras.optimizers.Optimizer]:
        import keras

        classes = inspect.getmembers(keras.optimizers, inspect.isclass)
        # Classes without a learning rate are base classes and wrappers.
        found = {name: cls for name, cls in classes if "learning_rate" in inspect.signature(cls).parameters}
        if self.class_name not in found:
            raise ConfigError(
                unknown_name("optimizer.class_name", "optimizer of Keras", self.class_name, sorted(found))
            )
        return found[self.class_name]


__all__ = ["OPTIMIZERS", "Optimizer", "register_optimizer"]
