"""A TensorBoard profile of some training steps."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)

# Enough to see what a step consists of, few enough for a file that a browser opens.
_STEPS = 10


class Profiling:
    """Profiles the steps that were chosen; where none were, those after the first call of the loop, which
    compiles: at least ten, or those to the end of the epoch.

    Args:
        folder: where TensorBoard looks; the profile is below `plugins/profile` in it. None profiles nothing.
        chosen: the first and the last step of the run to profile, counted from 1. What comes between them,
            such as a validation, is in the profile, too. Where the session ends before the last, the profile
            ends there.
    """

    def __init__(self, folder: Path | None, chosen: tuple[int, ...] = ()) -> None:
        self._folder = folder
        self._chosen = chosen
        self._calls = 0
        self._first: int | None = None
        self._step = 0

    def next_edge(self, step: int) -> int:
        """The step, after `step`, behind which a call of the loop has to end, so that the profile has the
        chosen steps and no others."""
        edges = (self._chosen[0] - 1, self._chosen[1]) if self._chosen else ()
        return next((edge for edge in edges if edge > step), 2**62)

    def before_call(self, step: int) -> None:
        """The loop is about to be called, when `step` steps are done."""
        import tensorflow as tf

        due = self._chosen[0] - 1 <= step < self._chosen[1] if self._chosen else self._calls > 0
        if self._folder is not None and self._first is None and due:
            tf.profiler.experimental.start(str(self._folder))
            self._first = step
        self._calls += 1
        self._step = step

    def after_call(self, step: int, *, epoch_ends: bool) -> tuple[int, int] | None:
        """The loop has returned, when `step` steps are done. Gives the first and the last step of the profile
        when it is written."""
        import tensorflow as tf

        self._step = step
        if self._folder is None or self._first is None:
            return None
        if step < self._chosen[1] if self._chosen else step - self._first < _STEPS and not epoch_ends:
            return None
        tf.profiler.experimental.stop()
        self._folder = None
        return self._first + 1, step

    def close(self) -> None:
        """End a profile that was begun. One of chosen steps is written, another given up."""
        import tensorflow as tf

        if self._folder is None:
            return
        if self._first is not None:
            tf.profiler.experimental.stop(save=bool(self._chosen))
        if self._chosen and self._first is not None:
            log.warning("the profile ends with the session, at step %d of %d", self._step, self._chosen[1])
        elif self._chosen and self._calls and self._step < self._chosen[0]:
            log.warning(
                "no profile: the session ended at step %d, before step %d", self._step, self._chosen[0]
            )
        self._folder = None
