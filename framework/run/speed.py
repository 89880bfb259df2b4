"""The time a run takes, by phase, the speed of the steps of an epoch, and the share of the time spent waiting
for data."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Speed:
    """The speed of the steps of an epoch that one session did.

    Args:
        seconds: the time of the steps, with the checkpoints between them.
        samples: the number of samples in the steps.
        waited: the seconds in which the loop waited for batches; None if the loop does not measure it.
    """

    seconds: float
    samples: int
    waited: float | None

    @property
    def samples_per_second(self) -> float:
        """The number of training samples a second."""
        return self.samples / max(self.seconds, 1e-9)

    @property
    def input_wait(self) -> float | None:
        """The share of the time in which the loop waited for batches, 0 to 1."""
        return None if self.waited is None else min(1.0, max(0.0, self.waited / max(self.seconds, 1e-9)))

    def values(self) -> dict[str, float]:
        """Return what is recorded: `samples_per_second`, and `input_wait` if it is known."""
        values = {"samples_per_second": round(self.samples_per_second, 1)}
        return values if self.input_wait is None else values | {"input_wait": round(self.input_wait, 4)}


class Stopwatch:
    """A measurement of the steps of a loop, which starts when it is made.

    Args:
        loop: the loop. Its attribute `waited`, if it has one, is the seconds that it has waited for batches
            so far.
    """

    def __init__(self, loop: object) -> None:
        self._loop = loop
        self._start = time.perf_counter()
        self._waited = self._waited_so_far()

    def stop(self, samples: int) -> Speed:
        """Return the speed since the start.

        Args:
            samples: how many samples were trained on.
        """
        waited = self._waited_so_far()
        known = None if waited is None or self._waited is None else waited - self._waited
        return Speed(time.perf_counter() - self._start, samples, known)

    def _waited_so_far(self) -> float | None:
        waited: float | None = getattr(self._loop, "waited", None)  # loops from elsewhere need not have it
        return waited


class RunClock:
    """The time that is spent on a run: in this session, which begins when it is made, and in all
    sessions; and the time of each phase of this session.

    Each moment counts for one phase: the innermost one that is being measured, and `start` or `other` outside of
    all. So the phases add up to the time of the session.

    Attributes:
        before: seconds that were spent in earlier sessions.
    """

    def __init__(self) -> None:
        self.before = 0.0
        self._started = self._saved = self._counted = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._phases = ["start"]

    def session_seconds(self) -> float:
        """Seconds of this session."""
        return time.perf_counter() - self._started

    def run_seconds(self) -> float:
        """Seconds of all sessions together."""
        return self.before + self.session_seconds()

    def minutes_unsaved(self) -> float:
        """Minutes since the newest checkpoint of this session, or since its start."""
        return (time.perf_counter() - self._saved) / 60

    def note_saved(self) -> None:
        """Say that a checkpoint is being saved."""
        self._saved = time.perf_counter()

    # Phases -------------------------------------------------------------------------------------------------

    def begin_epochs(self) -> None:
        """Say that everything is built: what is not measured from here on is `other`."""
        self._count()
        self._phases[0] = "other"

    @contextlib.contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Count the time of the context for a phase, without that of the phases within it."""
        self._count()
        self._phases.append(phase)
        try:
            yield
        finally:
            self._count()
            self._phases.pop()

    def move(self, seconds: float, *, source: str, to: str) -> None:
        """Count seconds for a phase that were counted for another one, but not more than that one has."""
        seconds = min(seconds, self._seconds.get(source, 0.0))
        self._add(source, -seconds)
        self._add(to, seconds)

    def take_phases(self) -> dict[str, float]:
        """Return the seconds of each phase since the call before, or since the start; rounded to milliseconds."""
        self._count()
        found, self._seconds = self._seconds, {}
        return {phase: round(seconds, 3) for phase, seconds in found.items()}

    def _count(self) -> None:
        now = time.perf_counter()
        self._add(self._phases[-1], now - self._counted)
        self._counted = now

    def _add(self, phase: str, seconds: float) -> None:
        self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds


def sum_phases(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Add up the seconds of each phase."""
    total: dict[str, float] = {}
    for part in parts:
        for phase, seconds in part.items():
            total[phase] = round(total.get(phase, 0.0) + seconds, 3)
    return total
