"""A TensorBoard profile of some training steps."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)


class ProfileTimes(Protocol):
    """When a profile begins and ends, as `framework.training.due.Due` says it."""

    def begins_profile(self, step: int, *, calls: int) -> bool:
        """Whether a profile takes in what comes after a step."""

    def ends_profile(self, step: int, *, begun: int) -> bool:
        """Whether a profile ends with a step."""


class Profiler:
    """The profile of a session, of the steps for which it is due.

    Args:
        folder: where TensorBoard looks; the profile is below `plugins/profile` in it. None profiles nothing.
        times: when it begins and ends.
        chosen: the first and the last step of the run to profile, counted from 1; empty where none are
            chosen. What comes between them, such as a validation, is in the profile, too. Where the session
            ends before the last, the profile ends there.
    """

    def __init__(self, folder: Path | None, times: ProfileTimes, chosen: tuple[int, ...] = ()) -> None:
        self._folder = folder
        self._times = times
        self._chosen = chosen
        self._calls = 0
        self._begun: int | None = None
        self._step = 0

    def before_call(self, step: int) -> None:
        """Begin the profile where it is due. The loop is about to be called, when `step` steps are done."""
        import tensorflow as tf

        if self._folder is None:
            return
        if self._begun is None and self._times.begins_profile(step, calls=self._calls):
            tf.profiler.experimental.start(str(self._folder))
            self._begun = step
        self._calls += 1
        self._step = step

    def after_call(self, step: int) -> tuple[int, int] | None:
        """Write the profile where it ends here. The loop has returned, when `step` steps are done.

        Returns:
            The first and the last step of the profile, when it is written.
        """
        import tensorflow as tf

        self._step = step
        if self._folder is None or self._begun is None:
            return None
        if not self._times.ends_profile(step, begun=self._begun):
            return None
        tf.profiler.experimental.stop()
        self._folder = None
        return self._begun + 1, step

    def close(self) -> None:
        """End a profile that was begun. One of chosen steps is written, another given up."""
        import tensorflow as tf

        if self._folder is None:
            return
        if self._begun is not None:
            tf.profiler.experimental.stop(save=bool(self._chosen))
        if self._chosen and self._begun is not None:
            log.warning("the profile ends with the session, at step %d of %d", self._step, self._chosen[1])
        elif self._chosen and self._calls and self._step < self._chosen[0]:
            log.warning(
                "no profile: the session ended at step %d, before step %d", self._step, self._chosen[0]
            )
        self._folder = None
