"""The loops of Keras: `fit` and `train_on_batch`.

Keras does all that is in a step; the session does the epochs around the steps. It imports Keras, so it is
imported only when a loop is built.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import keras
import tensorflow as tf

from framework.config.parts import StepListener
from framework.data.structure import Tensors
from framework.loops.custom import Pace
from framework.optim.gradient_accumulation import batches_per_step, gathering
from framework.run.patching import patching

Logs: TypeAlias = Mapping[str, float]
"""Loss and metrics of an epoch so far, by name."""
TrainFunction: TypeAlias = Callable[[Iterator[Tensors]], Logs]
"""Keras' `model.train_function`: trains on the next batch."""


class _KerasLoop:
    """The part that both have in common: Keras' train function, made twice where several batches make a step.

    Args:
        model, strategy, after_step, callbacks: as for `framework.loops.loop.LoopConfig.build`.

    Attributes:
        waited: seconds that were spent waiting for batches, in all calls so far.
    """

    def __init__(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        after_step: Callable[[], None] | None,
        callbacks: StepListener,
    ) -> None:
        self.model, self._strategy, self.callbacks = model, strategy, callbacks
        self._batches_before_last = batches_per_step(model.optimizer) - 1
        self._after_step = tf.function(after_step) if after_step and not model.run_eagerly else after_step
        self._pace = Pace()
        self.waited = 0.0
        # Made when first used: `train_step` may be watched then.
        self._functions: tuple[TrainFunction, TrainFunction] | None = None

    def prepare(self, iterator: tf.data.Iterator) -> None:
        """Trace a step; see `framework.config.parts.Loop`. Keras' own function would do one."""

        @tf.function
        def step(iterator: tf.data.Iterator) -> None:
            self._strategy.run(self.model.train_step, args=(next(iterator),))

        if not self.model.run_eagerly:
            step.get_concrete_function(iterator)
        self._functions = self._make_functions()

    def run(self, iterator: tf.data.Iterator, at_most: int) -> int:
        """Do steps; see `framework.config.parts.Loop`."""
        self._functions = self._functions or self._make_functions()
        first = self.callbacks.step
        with self._pace.measure(at_most) as steps:
            self._do(iterator, steps)
        return self.callbacks.step - first

    def _do(self, iterator: tf.data.Iterator, steps: int) -> None:
        raise NotImplementedError

    def _time_batches(self, iterator: tf.data.Iterator) -> Iterator[Tensors]:
        """Pass on the batches of an iterator, and add up how long each is waited for."""
        while True:
            before = time.perf_counter()
            batch = next(iterator)
            self.waited += time.perf_counter() - before
            yield batch

    def _do_step(self, train: Callable[[], Logs]) -> Logs:
        """Do the batches of a step.

        Args:
            train: lets `model.train_function`, which is set by then, do the next batch.

        Returns:
            What `train` gave for the last batch.
        """
        assert self._functions is not None
        gather, last = self._functions
        for _ in range(self._batches_before_last):
            with gathering(self.model.optimizer), self._training_with(gather):
                train()
        with self._training_with(last):
            logs = train()
        if self._after_step:
            self._after_step()
        return logs

    def _make_functions(self) -> tuple[TrainFunction, TrainFunction]:
        def make() -> TrainFunction:
            self.model.make_train_function(force=True)
            function: TrainFunction = self.model.train_function
            return function

        return make(), make()

    def _training_with(self, function: TrainFunction) -> contextlib.AbstractContextManager[None]:
        # The metrics of an epoch go on from one call of Keras, and from one session, to the next; the trainer
        # resets them.
        def keep(force: bool = False) -> None:
            pass

        return patching(self.model, train_function=function, make_train_function=keep, reset_metrics=keep)


class Fit(_KerasLoop):
    """`model.fit`, for a fifth of a second at a time, which the callbacks do not notice."""

    def __init__(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        after_step: Callable[[], None] | None,
        callbacks: StepListener,
    ) -> None:
        super().__init__(model, strategy, after_step, callbacks)
        # `fit` is told that it trains on this. It must be able to divide a batch among the devices.
        self._nothing = tf.data.Dataset.from_tensors(tf.zeros([strategy.num_replicas_in_sync])).repeat()

    def _do(self, iterator: tf.data.Iterator, steps: int) -> None:
        # Keras' function takes batches one by one from anything but an iterator of tf.data.
        batches = self._time_batches(iterator)

        def train_function(_: Iterator[Tensors]) -> Logs:
            return self._do_step(lambda: self.model.train_function(batches))

        with self._training_with(train_function):
            told = _Steps(self.callbacks, self.model)
            self.model.fit(self._nothing, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=told)


class _Steps(keras.callbacks.CallbackList):
    """The callbacks of `fit`: passes on what they are told of steps, and nothing of its epochs."""

    def __init__(self, callbacks: StepListener, model: keras.Model) -> None:
        super().__init__(add_history=True, model=model)
        self._told = callbacks

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        pass

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        pass

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._told.begin_step()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._told.end_step(logs or {})


class TrainOnBatch(_KerasLoop):
    """`model.train_on_batch`, batch after batch."""

    def _do(self, iterator: tf.data.Iterator, steps: int) -> None:
        batches = self._time_batches(iterator)

        def train() -> Logs:
            inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(next(batches))
            logs: Logs = self.model.train_on_batch(inputs, targets, weights, return_dict=True)
            return logs

        for _ in range(steps):
            self.callbacks.begin_step()
            self.callbacks.end_step(self._do_step(train))
