"""The training steps of a run, done on the batches that belong to them."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

from framework.data.source import raise_unreadable
from framework.errors import NumericsError, listing
from framework.model.trace_nan import watching, what_was_bad
from framework.run.checkpoint import Snapshot
from framework.training.components import Components
from framework.training.state import TrainingState

if TYPE_CHECKING:
    import tensorflow as tf


class Steps:
    """The steps of a run: forward, and back to the last state that was kept.

    The batches follow the state: after it was taken elsewhere, they go on from there.

    Args:
        components: what the run trains with.
        state: its state, which counts the steps.
    """

    def __init__(self, components: Components, state: TrainingState) -> None:
        self._components, self._state = components, state
        self._traces_nan = components.scenario.config.trainer.trace_nan
        self._kept: Snapshot | None = None
        self._batches: tf.data.Iterator = iter(())
        self._next: int | None = None
        """The step that the next batch is of; None where that is not known."""
        with self._watching():
            components.loop.prepare(components.batches(0))

    def do(self, at_most: int) -> None:
        """Do the next steps: at least one, and no more than `at_most`.

        Raises:
            NumericsError: where `trainer.trace_nan` finds a number that is not finite, in the state that was
                kept.
            DataError: naming the samples that cannot be loaded.
        """
        import tensorflow as tf

        step = self._state.progress.step
        if self._next != step:
            self._batches = self._components.batches(step)
        self._next = None  # as long as it is not known how many batches the call takes
        try:
            with self._watching():
                done = self._components.loop.run(self._batches, 1 if self._traces_nan else at_most)
        except tf.errors.OpError as error:
            self._explain(error, at_most)
            raise
        self._next = step + done
        self._state.advance(done)

    def keep(self, snapshot: Snapshot) -> None:
        """Take a state as the one to go back to: of this epoch, or of the end of the one before."""
        self._kept = snapshot

    def go_back(self) -> None:
        """Make the state that was kept the state of the run."""
        assert self._kept is not None
        self._state.restore(self._kept)

    def describe_next(self, what: str) -> str:
        """Describe what is wrong with the next step, with its number, its epoch and its samples."""
        components, step = self._components, self._state.progress.step
        names = [components.source.sample_name(i) for i in components.stream.indices(step)]
        epoch = step // components.steps_per_epoch + 1
        return f"{what}: step {step + 1:,}, in epoch {epoch}. Its samples:{listing(names)}"

    def _explain(self, error: tf.errors.OpError, at_most: int) -> None:
        """Raise an error with the cause, where the data or the numbers of a step made a call of the loop
        fail."""
        if (bad := what_was_bad(error)) is not None:
            what = self.describe_next(bad)
            self.go_back()
            raise NumericsError(what) from error
        # The batch that failed is one of these, so a sample that cannot be loaded can be named.
        step, components = self._state.progress.step, self._components
        indices = (components.stream.indices(k) for k in range(step, step + at_most + 2))
        raise_unreadable(components.source, itertools.chain.from_iterable(indices), error)

    def _watching(self) -> contextlib.AbstractContextManager[None]:
        return watching(self._components.model) if self._traces_nan else contextlib.nullcontext()
