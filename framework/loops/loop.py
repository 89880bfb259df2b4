"""The inner loop: what does the training steps between two looks of the trainer. There are three, and they
give the same weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from framework.config.registry import Registry
from framework.config.schema import setting

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from framework.loops.callbacks import Callbacks

LOOPS = Registry("loop")


def register_loop(name: str) -> Callable[[type], type]:
    """Make a config class, as `LoopConfig` describes it, known as `loop=NAME`. A class decorator.

    Raises:
        ValueError: where another class has the name.
    """
    return LOOPS.register(name)


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


class LoopConfig(Protocol):
    """The section `loop` of a config."""

    sees_batches: ClassVar[bool] = False
    """Whether it tells the callbacks of each step (`begin_step`, `end_step`), so that Keras callbacks can look at each."""

    def build(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        after_step: Callable[[], None] | None,
        callbacks: Callbacks,
    ) -> Loop:
        """The loop of a compiled model.

        Args:
            model: compiled, its optimizer as `framework.optim.optimizers` builds it.
            strategy: the strategy that it was made under.
            after_step: called in a graph after each step, outside of the strategy's replicas.
            callbacks: told of each step, where the loop can.
        """
        ...


@LOOPS.register("custom")
@dataclass(frozen=True, kw_only=True)
class CustomLoop:
    """`model.train_step`, several times in one call of a compiled function, under any strategy."""

    max_steps_per_call: int = setting(64, "The most training steps in one call.", ge=1, le=10_000)

    sees_batches: ClassVar[bool] = False  # the steps of a call are one graph

    def build(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        after_step: Callable[[], None] | None = None,
        callbacks: Callbacks | None = None,
    ) -> Loop:
        """The loop of a compiled model; see `LoopConfig`."""
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


class _OfKeras:
    """A loop that Keras has: it calls Python for each step."""

    sees_batches: ClassVar[bool] = True

    def _loop_class(self) -> type[Loop]:
        raise NotImplementedError

    def build(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        after_step: Callable[[], None] | None,
        callbacks: Callbacks,
    ) -> Loop:
        """The loop of a compiled model; see `LoopConfig`."""
        loop_class: Any = self._loop_class()
        return loop_class(model, strategy, after_step, callbacks)


@LOOPS.register("fit")
@dataclass(frozen=True, kw_only=True)
class FitLoop(_OfKeras):
    """`model.fit`: Keras' own training, one call of its train function a step, with Keras callbacks."""

    def _loop_class(self) -> type[Loop]:
        from framework.loops.keras_loops import Fit

        return Fit


@LOOPS.register("train_on_batch")
@dataclass(frozen=True, kw_only=True)
class TrainOnBatchLoop(_OfKeras):
    """`model.train_on_batch`: each batch is handed over in Python, and can be looked at there."""

    def _loop_class(self) -> type[Loop]:
        from framework.loops.keras_loops import TrainOnBatch

        return TrainOnBatch
