"""What all optimizers share: their registry, clipping, weight decay, accumulation over batches."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from framework.config.parts import OptimizerSection
from framework.config.registry import Registry
from framework.config.schema import regex_fault, setting
from framework.errors import ConfigError, Problem

if TYPE_CHECKING:
    import keras

OPTIMIZERS = Registry("optimizer")


def register_optimizer(name: str) -> Callable[[type[OptimizerSection]], type[OptimizerSection]]:
    """Register a config class derived from `Optimizer` as `optimizer=NAME`. A class decorator.

    Args:
        name: the name on the command line; `optimizer.name` in the config.

    Raises:
        ValueError: if another class has the name.

    >>> @register_optimizer("nesterov")
    ... @dataclass(frozen=True, kw_only=True)
    ... class Nesterov(Optimizer):
    ...     keras_class = "SGD"
    ...     momentum: float = setting(0.9, "Fraction of the last update that is added.", ge=0, lt=1)
    ...     nesterov: bool = setting(True, "Nesterov's momentum.")
    """
    return OPTIMIZERS.register(name)


# The settings that all optimizers share, and their names in Keras.
SHARED = {
    "clip_value": "clipvalue",
    "clip_norm": "clipnorm",
    "clip_global_norm": "global_clipnorm",
    "weight_decay": "weight_decay",
}


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Base class of the optimizers: the settings that all of them have.

    The fields that a derived class adds are arguments of the Keras class `keras_class`.

    A step uses all samples of its `accumulate_steps` batches, on all replicas. Their gradients are summed,
    then clipped; then the weights decay; then they are updated.
    """

    name: ClassVar[str]
    keras_class: ClassVar[str]

    clip_value: float | None = setting(None, "Clip each element of a gradient to [-x, x].", gt=0)
    clip_norm: float | None = setting(None, "Scale the gradient of each variable down to this norm.", gt=0)
    clip_global_norm: float | None = setting(None, "Scale all gradients together down to this norm.", gt=0)
    weight_decay: float | None = setting(
        None,
        "Decoupled weight decay: each step subtracts weight_decay * learning rate * weight from each weight.",
        ge=0,
    )
    weight_decay_exclude: tuple[str, ...] = setting(
        (),
        "Regular expressions: a variable does not decay if one of them is found in its path (`dense/bias`).",
    )

    accumulate_steps: int = setting(
        1,
        "Batches whose gradients make one step, for a batch that is larger than the memory allows. "
        "Everything else counts these steps, not batches.",
        ge=1,
        le=10_000,
    )

    def check(self) -> Iterator[Problem]:
        clips = [
            name
            for name in ("clip_value", "clip_norm", "clip_global_norm")
            if getattr(self, name) is not None
        ]
        if len(clips) > 1:
            yield Problem(
                clips[1],
                f"{' and '.join(clips)} are set",
                given=getattr(self, clips[1]),
                allowed="one of them",
            )
        if self.weight_decay_exclude and self.weight_decay is None:
            yield Problem(
                "weight_decay_exclude",
                "there is no weight decay to exclude from",
                given=list(self.weight_decay_exclude),
                hint="set optimizer.weight_decay",
            )
        for index, pattern in enumerate(self.weight_decay_exclude):
            if reason := regex_fault(pattern):
                yield Problem(
                    f"weight_decay_exclude[{index}]", f"must be a regular expression: {reason}", given=pattern
                )

    def build(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
    ) -> keras.optimizers.Optimizer:
        """Build the Keras optimizer, without its variables yet.

        Args:
            learning_rate: a number >= 0, or a schedule that `LearningRate.build` returned.

        Raises:
            ConfigError: if the Keras class does not accept the settings.
        """
        from framework.optim.gradient_accumulation import WholeSteps  # imports Keras

        optimizer = self.optimizer_class()(
            learning_rate=_as_float(learning_rate), **self._own_arguments(), **self._shared_arguments()
        )
        WholeSteps(optimizer, self.accumulate_steps)
        return optimizer

    def exclude_from_weight_decay(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
    ) -> None:
        """Exclude the variables that `weight_decay_exclude` matches from the weight decay.

        Args:
            optimizer: what `build` returned. Its own `build(variables)` must not have been called yet.
            variables: the trainable variables of the model.

        Raises:
            ConfigError: if a regular expression is not found in the path of any variable.
        """
        excluded = []
        problems = []
        for index, pattern in enumerate(self.weight_decay_exclude):
            found = [variable for variable in variables if re.search(pattern, variable.path)]
            excluded.extend(found)
            if not found:
                paths = ", ".join(variable.path for variable in variables)
                where = f"optimizer.weight_decay_exclude[{index}]"
                problems.append(
                    Problem(
                        where, "is found in no variable's path", given=pattern, allowed=f"a part of: {paths}"
                    )
                )
        if problems:
            raise ConfigError(problems)
        if excluded:
            optimizer.exclude_from_weight_decay(var_list=excluded)

    def optimizer_class(self) -> type[keras.optimizers.Optimizer]:
        """Return the class of the optimizer, derived from `keras.optimizers.Optimizer`.

        By default it is the class of `keras.optimizers` that `keras_class` names. Override this method for an
        optimizer class of your own, and import Keras inside it.
        """
        import keras

        return getattr(keras.optimizers, self.keras_class)

    def _own_arguments(self) -> dict[str, object]:
        shared = {field.name for field in dataclasses.fields(Optimizer)}
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in shared
        }

    def _shared_arguments(self) -> dict[str, object]:
        """Return the shared settings that are set, by their names in Keras."""
        return {
            theirs: getattr(self, ours) for ours, theirs in SHARED.items() if getattr(self, ours) is not None
        }


def _as_float(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    # Keras does not accept an int.
    return float(learning_rate) if isinstance(learning_rate, int) else learning_rate
