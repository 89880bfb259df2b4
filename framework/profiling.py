"""A TensorBoard profile of some training steps."""

from __future__ import annotations

from pathlib import Path

# Enough to see what a step consists of, few enough for a file that a browser opens.
_STEPS = 10


class Profiling:
    """Profiles the steps after the first call of the loop, which compiles: at least ten, or those to the end of the epoch.

    Args:
        folder: where TensorBoard looks; the profile is below `plugins/profile` in it. None profiles nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._calls = 0
        self._first: int | None = None

    def before_call(self, step: int) -> None:
        """The loop is about to be called, when `step` steps are done."""
        import tensorflow as tf

        if self._folder is not None and self._first is None and self._calls:
            tf.profiler.experimental.start(str(self._folder))
            self._first = step
        self._calls += 1

    def after_call(self, step: int, *, epoch_ends: bool) -> tuple[int, int] | None:
        """The loop has returned, when `step` steps are done. Gives the first and the last step of the profile when it is written."""
        import tensorflow as tf

        if self._folder is None or self._first is None or (step - self._first < _STEPS and not epoch_ends):
            return None
        tf.profiler.experimental.stop()
        self._folder = None
        return self._first + 1, step

    def close(self) -> None:
        """Give up a profile that was begun."""
        import tensorflow as tf

        if self._folder is not None and self._first is not None:
            tf.profiler.experimental.stop(save=False)
            self._folder = None
