"""The recovery of a run with a loss or weights that are not finite: it goes back, and the bad step is found.

A run repeats itself bit for bit. So nothing is checked within a step, which would cost time: the loss is
checked after each call of the loop, the weights before each checkpoint and at the end of each epoch. Where a
number is bad, the run goes back to its last good state and does the steps once more, one by one, until the
bad one is known, its samples, and the layer that made it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from framework.errors import Interrupted, NumericsError
from framework.model.trace_nan import watching, what_was_bad
from framework.run.console import plural
from framework.run.signals import Interruption
from framework.training.components import Components
from framework.training.state import TrainingState
from framework.training.steps import Steps
from framework.training.validation import metric_values

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

log = logging.getLogger(__name__)

# As many bad steps without a good one between them have another cause than one bad batch.
_MOST_IN_A_ROW = 10


class NanRecovery:
    """The recovery of a run from a step that makes bad numbers, as `trainer.on_nan` says.

    Args:
        components: what the run trains with.
        state: its state.
        steps: does its steps, and goes back to its last good state.
        interruption: ends the search after a signal.
    """

    def __init__(
        self, components: Components, state: TrainingState, steps: Steps, interruption: Interruption
    ) -> None:
        self._components, self._state, self._steps = components, state, steps
        self._on_nan = components.scenario.config.trainer.on_nan
        self._interruption = interruption
        self._all_finite: Callable[[], tf.Tensor] | None = None

    def recover(self, *, thorough: bool) -> bool:
        """Check what was computed. Where it is not finite, find the bad step and go on behind it.

        With `skip` the state is the one before the bad step; with `rollback` it is the last good one. The
        callbacks are not told of the steps that are done once more.

        Args:
            thorough: check the weights and the optimizer's variables, too: a step can spoil these while its
                loss is sound.

        Returns:
            Whether there was something to recover from.

        Raises:
            NumericsError: with `stop`, in the state before the bad step; where step after step is bad; where
                the bad numbers do not come a second time.
            Interrupted: after a signal, in the last good state.
        """
        if not self._is_bad(thorough=thorough):
            return False
        callbacks = self._components.callbacks
        with callbacks.muted():
            try:
                bad = self._find()
                self._leave_out(bad)
            except Interrupted:
                self._steps.go_back()
                raise
        callbacks.go_to(self._state.progress.step % self._components.steps_per_epoch)
        return True

    def ensure_sound(self) -> None:
        """Go back to the last good state where the present one is not sound, before it is saved."""
        if self._is_bad(thorough=True):
            self._steps.go_back()

    def _is_bad(self, *, thorough: bool) -> bool:
        if not math.isfinite(metric_values(self._components.model).get("loss", 0.0)):
            return True
        if not thorough:
            return False
        self._all_finite = self._all_finite or _make_check(
            [*self._components.model.weights, *self._components.model.optimizer.variables]
        )
        return not bool(self._all_finite())

    def _find(self) -> int:
        """Find the first bad step since the last good state, and take the run to the state before it.

        Returns:
            The step, counted from 0.
        """
        end = self._state.progress.step
        self._steps.go_back()
        first = self._state.progress.step
        while self._state.progress.step < end:
            self._interruption.check()
            self._steps.do(at_most=1)
            if self._is_bad(thorough=True):
                bad = self._state.progress.step - 1
                self._go_to(bad)
                return bad
        self._steps.go_back()
        raise NumericsError(
            f"loss or weights were not finite between steps {first + 1:,} and {end:,}, and are when "
            "these are done once more",
            hint="a run repeats itself with device.deterministic=true; trainer.trace_nan=true watches each "
            "step",
        )

    def _leave_out(self, bad: int) -> None:
        """Say what is wrong with the next step, and go on behind it, or end the run before it."""
        what = self._steps.describe_next(self._find_place())
        self._go_to(bad)  # what was done to find the place changed variables
        if self._on_nan == "stop":
            raise NumericsError(
                what,
                hint=f"nothing of it was kept: resume-training goes on from step {bad:,}. Give it a smaller "
                "lr, optimizer.clip_global_norm=1, or trainer.on_nan=skip to leave such steps out",
            )
        if self._on_nan == "rollback":
            self._steps.go_back()
        count = bad + 1 - self._state.progress.step
        self._state.leave_out(bad + 1)
        log.warning("%s\n    left out: %s", what, plural(count, "step"))
        in_a_row = list(range(bad + 1 - _MOST_IN_A_ROW, bad + 1))
        if self._on_nan == "skip" and list(self._state.progress.left_out[-_MOST_IN_A_ROW:]) == in_a_row:
            raise NumericsError(
                f"{_MOST_IN_A_ROW} steps in a row, up to step {bad + 1:,}, were not finite",
                hint="this is more than one bad batch: lower lr, or see with trainer.trace_nan=true what "
                "makes them",
            )

    def _go_to(self, step: int) -> None:
        """Take the run to the state before a step."""
        self._steps.go_back()
        while (now := self._state.progress.step) < step:
            self._interruption.check()
            self._steps.do(at_most=step - now)

    def _find_place(self) -> str:
        """Find where the next step makes a bad number, and say it in words. The state is unusable
        afterwards."""
        import tensorflow as tf

        batches = self._components.batches(self._state.progress.step)
        try:
            with watching(self._components.model):
                self._components.make_loop().run(batches, 1)
        except tf.errors.OpError as error:
            if (where := what_was_bad(error)) is not None:
                return where
        return "loss or weights are not finite"


def _make_check(variables: Sequence[keras.Variable]) -> Callable[[], tf.Tensor]:
    """Compile a function that returns whether all floats in variables are finite."""
    import keras
    import tensorflow as tf

    floats = [variable for variable in variables if keras.backend.is_float_dtype(variable.dtype)]

    @tf.function
    def all_finite() -> tf.Tensor:
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(variable.value)) for variable in floats])

    return all_finite
