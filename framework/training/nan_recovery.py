"""What becomes of a run whose loss or weights are no longer finite: it is taken back to where they were, and
the step is found.

A run repeats itself bit for bit. So nothing is checked within a step, which would cost time: the loss is
looked at after each call of the loop, the weights before each checkpoint and at each epoch's end. Where a
number is bad, the run goes back to its last good state and does the steps once more, one by one, until the
bad one is known, its samples, and the layer that made it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from framework.errors import Interrupted, NumericsError, listing
from framework.model.trace_nan import watching, what_was_bad
from framework.run.checkpoint import Snapshot
from framework.run.console import plural
from framework.training.components import Components
from framework.training.state import TrainingState
from framework.training.validation import metric_values

if TYPE_CHECKING:
    import tensorflow as tf

log = logging.getLogger(__name__)

# More bad steps than that without a good one between are no accident.
_MOST_IN_A_ROW = 10


class NanRecovery:
    """Keeps the last good state of a run, and takes the run back to it.

    Args:
        components: what the run trains with.
        state: its state.
        on_nan: `stop`, `skip` or `rollback`, as `trainer.on_nan` says.
        check_interruption: raises `Interrupted` after a signal.
    """

    def __init__(
        self,
        components: Components,
        state: TrainingState,
        on_nan: str,
        check_interruption: Callable[[], None],
    ) -> None:
        self._components, self._state, self._on_nan = components, state, on_nan
        self._check_interruption = check_interruption
        self._good: Snapshot | None = None
        self._all_finite: Any = None

    def keep(self, snapshot: Snapshot) -> None:
        """Take a state of this epoch, or of the end of the one before, as the last good one."""
        self._good = snapshot

    def found(self, *, thorough: bool) -> bool:
        """Whether the loss of the epoch so far is no finite number.

        Args:
            thorough: look at the weights and the optimizer's variables, too: a step can spoil these while its
                loss is sound.
        """
        if not math.isfinite(metric_values(self._components.model).get("loss", 0.0)):
            return True
        if not thorough:
            return False
        self._all_finite = self._all_finite or _make_check(
            [*self._components.model.weights, *self._components.model.optimizer.variables]
        )
        return not bool(self._all_finite())

    def recover(self) -> None:
        """Find the bad step among those since the last good state. Then the state is the one before it, and
        with `skip` the run goes on behind it; with `rollback` the state is the last good one, and the run
        goes on behind the bad step all the same.

        Raises:
            NumericsError: with `stop`; where step after step is bad; where the bad numbers do not come a
                second time.
        """
        try:
            self._recover()
        except Interrupted:
            self.go_back()
            raise

    def _recover(self) -> None:
        progress = self._state.progress
        end = progress.step
        self.go_back()
        first = progress.step
        bad = next((step - 1 for step in self._steps(end, at_once=1) if self.found(thorough=True)), None)
        if bad is None:
            self.go_back()
            raise NumericsError(
                f"loss or weights were not finite between steps {first + 1:,} and {end:,}, and are when "
                "these are done once more",
                hint="a run repeats itself with device.deterministic=true; trainer.trace_nan=true watches "
                "each step",
            )
        self._go_to(bad)
        what = describe_bad_step(self._components, bad, self._where())
        self._go_to(bad)
        if self._on_nan == "stop":
            raise NumericsError(
                what,
                hint=f"nothing of it was kept: resume-training goes on from step {bad:,}. Give it a smaller "
                "lr, "
                f"optimizer.clip_global_norm=1, or trainer.on_nan=skip to leave such steps out",
            )
        if self._on_nan == "rollback":
            self.go_back()
        left_out = range(progress.step, bad + 1)
        progress.left_out = [*progress.left_out, *left_out]
        progress.step = bad + 1
        log.warning("%s\n    left out: %s", what, plural(len(left_out), "step"))
        if (
            progress.left_out[-_MOST_IN_A_ROW:] == list(range(bad + 1 - _MOST_IN_A_ROW, bad + 1))
            and self._on_nan == "skip"
        ):
            raise NumericsError(
                f"{_MOST_IN_A_ROW} steps in a row, up to step {bad + 1:,}, were not finite",
                hint="this is more than one bad batch: lower lr, or see with trainer.trace_nan=true what "
                "makes them",
            )

    def go_back(self) -> None:
        """Make the last good state the state of the run."""
        assert self._good is not None
        self._state.restore(self._good)

    def _go_to(self, step: int) -> None:
        """The state before a step."""
        self.go_back()
        for _ in self._steps(step):
            pass

    def _steps(self, end: int, *, at_once: int | None = None) -> Iterator[int]:
        """Do the steps up to `end`; gives the number of steps done, after each call of the loop."""
        progress = self._state.progress
        batches = self._components.batches(progress.step)
        while progress.step < end:
            self._check_interruption()
            progress.step += self._components.loop.run(batches, at_once or end - progress.step)
            yield progress.step

    def _where(self) -> str:
        """Where the next step makes a bad number. The state is of no use then."""
        import tensorflow as tf

        batches = self._components.batches(self._state.progress.step)
        try:
            with watching(self._components.model):
                self._components.make_loop().run(batches, 1)
        except tf.errors.OpError as error:
            if (where := what_was_bad(error)) is not None:
                return where
        return "loss or weights are not finite"


def describe_bad_step(components: Components, step: int, where: str) -> str:
    """A bad step in words.

    Args:
        step: counted from 0.
        where: where a number was bad.
    """
    names = [components.source.sample_name(i) for i in components.stream.indices(step)]
    return (
        f"{where}: step {step + 1:,}, in epoch {step // components.steps_per_epoch + 1}. Its "
        f"samples:{listing(names)}"
    )


def _make_check(variables: Sequence[Any]) -> Any:
    """A compiled function that says whether all floats in variables are finite."""
    import keras
    import tensorflow as tf

    floats = [variable for variable in variables if keras.backend.is_float_dtype(variable.dtype)]

    @tf.function
    def all_finite() -> tf.Tensor:
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(variable.value)) for variable in floats])

    return all_finite
