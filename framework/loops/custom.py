"""Steps of a model, several in one call of a compiled function."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    from framework.data.structure import Tensors

# A call should take about this long: then calls are so few that they cost nothing, and so many that a signal
# or a progress bar waits only shortly.
_SECONDS_PER_CALL = 0.2


class Pace:
    """The number of steps that make a call of about a fifth of a second, found from the calls so far.

    Args:
        most: the most steps of one call; None: as many as fit.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._steps = 1

    @contextlib.contextmanager
    def measure(self, at_most: int) -> Iterator[int]:
        """Measure the call in the context.

        Yields:
            The steps that it should do, 1 to `at_most`.
        """
        steps = min(self._steps, at_most)
        start = time.perf_counter()
        yield steps
        seconds = time.perf_counter() - start
        if steps == self._steps:
            # Slowly up, since the first calls hold some waiting for data; down at once.
            fitting = max(1, int(_SECONDS_PER_CALL * steps / max(seconds, 1e-6)))
            self._steps = min(self._most or fitting, fitting, 2 * self._steps)


class WaitClock:
    """The time that a compiled function waits for its batches, in seconds.

    TensorFlow's own clock fails in a graph that is to be deterministic, and Python's costs some tenths of a
    millisecond a batch where all threads are busy. So calls are timed now and then, for one per cent of the
    time at most, and those between are taken to have waited for the same share of their time.

    Attributes:
        waited: seconds that were spent waiting, in all calls so far.
    """

    _COST, _BUDGET = 5e-4, 0.01

    def __init__(self) -> None:
        self.waited = 0.0
        self._asked = self._seconds = 0.0
        self._spent = 0.0
        self._in_call = self._share = 0.0

    @contextlib.contextmanager
    def measure(self, batches: int) -> Iterator[bool]:
        """Measure the call of the function in the context.

        Args:
            batches: how many it takes.

        Yields:
            Whether it is to be timed.
        """
        timed = self._spent <= self._BUDGET * self._seconds
        self._in_call = 0.0
        start = time.perf_counter()
        yield timed
        seconds = time.perf_counter() - start
        if timed:
            self._spent += self._COST * batches
            self._share = min(1.0, self._in_call / max(seconds, 1e-9))
        self._seconds += seconds
        self.waited += self._share * seconds

    def next_batch(self, iterator: tf.data.Iterator, timed: tf.Tensor, after: tf.Tensor) -> Tensors:
        """Take the next batch, in the graph.

        Args:
            iterator: where from.
            timed: what `measure` gave, a bool.
            after: known when the batch before is dealt with; nothing is waited for earlier.
        """
        import tensorflow as tf

        def begin() -> None:
            self._asked = time.perf_counter()

        def end() -> None:
            self._in_call += time.perf_counter() - self._asked

        def where_timed(function: Callable[[], None]) -> tf.Operation:
            return tf.cond(timed, lambda: tf.group(tf.numpy_function(function, [], [])), tf.no_op)

        # Nothing but these dependencies keeps the three in their order.
        with tf.control_dependencies([after]):
            begun = where_timed(begin)
        with tf.control_dependencies([begun]):
            batch = iterator.get_next()
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            where_timed(end)
        return batch


class Stepper:
    """A step of a model, repeated over batches inside one compiled function.

    A call does as many steps as fit into a fifth of a second. How many these are changes only the speed.

    Args:
        step: `(batch) -> logs`, a model's `train_step` or `test_step`.
        strategy: the strategy that each step runs under.
        jit_compile: whether XLA compiles the step.
        run_eagerly: whether each step is plain Python, one a call.
        max_steps_per_call: the most steps of one call.
        after_step: called in the graph after each step, outside of the strategy's replicas.
        batches_per_step: calls of `step` that make one step.
        before_last: entered while those before the last one are traced.
    """

    def __init__(
        self,
        step: Callable[[Tensors], object],
        strategy: tf.distribute.Strategy,
        *,
        jit_compile: bool,
        run_eagerly: bool,
        max_steps_per_call: int,
        after_step: Callable[[], None] | None = None,
        batches_per_step: int = 1,
        before_last: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        import tensorflow as tf

        def compiled() -> Callable[[Tensors], object]:
            return tf.function(step, jit_compile=True, reduce_retracing=True) if jit_compile else step

        # Two functions, because XLA's is traced once.
        gather, one_step = compiled(), compiled()

        self._clock = clock = WaitClock()

        def several(iterator: tf.data.Iterator, steps: tf.Tensor, timed: tf.Tensor) -> None:
            for _ in tf.range(steps):
                taken = tf.constant(0)
                if batches_per_step > 1:
                    for _ in tf.range(batches_per_step - 1):
                        batch = clock.next_batch(iterator, timed, after=taken)
                        with before_last():
                            strategy.run(gather, args=(batch,))
                        taken += 1
                batch = clock.next_batch(iterator, timed, after=taken)
                strategy.run(one_step, args=(batch,))
                if after_step:
                    after_step()

        self._batches_per_step = batches_per_step
        self._compiled = None if run_eagerly else tf.function(several, reduce_retracing=True)
        self._several = self._compiled or several
        self._pace = Pace(1 if run_eagerly else max_steps_per_call)

    def prepare(self, iterator: tf.data.Iterator) -> None:
        """Trace the function. That makes all variables that are made when first used. No step is done, and no
        batch is taken."""
        import tensorflow as tf

        if self._compiled is not None:
            self._compiled.get_concrete_function(iterator, tf.constant(1), tf.constant(True))

    @property
    def waited(self) -> float:
        """Seconds that were spent waiting for batches, in all calls so far."""
        return self._clock.waited

    def run(self, iterator: tf.data.Iterator, at_most: int) -> int:
        """Do steps on the next batches of `iterator`.

        Returns:
            How many were done: at least one, and no more than `at_most`.
        """
        import tensorflow as tf

        with (
            self._pace.measure(at_most) as steps,
            self._clock.measure(steps * self._batches_per_step) as timed,
        ):
            self._several(iterator, tf.constant(steps), tf.constant(timed))
        return steps
