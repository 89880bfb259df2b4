"""The inner loop, which does the training steps between two checks of the session. There are three, which
give the same weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from framework.config.parts import Loop, LoopSection, StepListener
from framework.config.registry import Registry
from framework.config.schema import setting

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

LOOPS = Registry("loop")


def register_loop(name: str) -> Callable[[type[LoopSection]], type[LoopSection]]:
    """Make a config class, derived from `LoopConfig`, known as `loop=NAME`. A class decorator.

    Raises:
        ValueError: where another class has the name.
    """
    return LOOPS.register(name)


class LoopConfig:
    """The section `loop` of a config. Derive from it, and write `build`."""

    name: ClassVar[str]
    sees_batches: ClassVar[bool] = False
    """Whether it tells the callbacks of each step (`begin_step`, `end_step`), as Keras callbacks of batches
    need."""

    def build(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        after_step: Callable[[], None] | None,
        callbacks: StepListener,
    ) -> Loop:
        """Make the loop of a compiled model.

        Args:
            model: compiled, its optimizer as `framework.optim.optimizers` builds it.
            strategy: the strategy that it was made under.
            after_step: called in a graph after each step, outside of the strategy's replicas.
            callbacks: told of each step, where the loop can.
        """
        raise NotImplementedError


@register_loop("custom")
@dataclass(frozen=True, kw_only=True)
class CustomLoop(LoopConfig):
    """`model.train_step`, several times in one call of a compiled function, under any strategy."""

    max_steps_per_call: int = setting(64, "The most training steps in one call.", ge=1, le=10_000)

    sees_batches: ClassVar[bool] = False  # the steps of a call are one graph

    def build(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        after_step: Callable[[], None] | None = None,
        callbacks: StepListener | None = None,
    ) -> Loop:
        """Make the loop of a compiled model; see `LoopConfig`."""
        from framework.loops.custom import Stepper
        from framework.optim.gradient_accumulation import batches_per_step, gathering

        return Stepper(
            lambda batch: model.train_step(batch),  # looked up when it is called: it may be watched then
            strategy,
            jit_compile=bool(model.jit_compile),
            run_eagerly=bool(model.run_eagerly),
            max_steps_per_call=self.max_steps_per_call,
            after_step=after_step,
            batches_per_step=batches_per_step(model.optimizer),
            before_last=functools.partial(gathering, model.optimizer),
        )


class _OfKeras(LoopConfig):
    """A loop of Keras, which calls Python for each step."""

    sees_batches: ClassVar[bool] = True

    def _loop_class(self) -> Callable[..., Loop]:
        raise NotImplementedError

    def build(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        after_step: Callable[[], None] | None,
        callbacks: StepListener,
    ) -> Loop:
        """Make the loop of a compiled model; see `LoopConfig`."""
        return self._loop_class()(model, strategy, after_step, callbacks)


@register_loop("fit")
@dataclass(frozen=True, kw_only=True)
class FitLoop(_OfKeras):
    """`model.fit`: Keras' own training, one call of its train function a step, with Keras callbacks."""

    def _loop_class(self) -> Callable[..., Loop]:
        from framework.loops.keras_loops import Fit

        return Fit


@register_loop("train_on_batch")
@dataclass(frozen=True, kw_only=True)
class TrainOnBatchLoop(_OfKeras):
    """`model.train_on_batch`: each batch is handed over in Python, and can be looked at there."""

    def _loop_class(self) -> Callable[..., Loop]:
        from framework.loops.keras_loops import TrainOnBatch

        return TrainOnBatch
