"""Ctrl-C and SIGTERM: the first ends a run in good order, a second one at once.

A run that hangs is ended by the first signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from framework.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# A run must answer a signal within these seconds, or within this multiple of the longest time between two
# checks so far, if that is longer.
_PATIENCE, _TIMES = 20.0, 3.0

# Seconds in which signals count as one. A single Ctrl-C reaches a run from the terminal, and again from the
# sweep or the launcher of a cluster, which pass it on. When a parent process ends, Linux signals its child
# once for each thread of the parent.
ECHO = 1.0


class Interruption:
    """A record of the signal that came, which the run checks between its steps.

    A run that waits in native code, for data for example, cannot check. So the system's own handler wakes a
    thread, which ends the process if the run has not answered in time.

    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._answered = False
        self._last_asked: float | None = None
        self._longest = 0.0

    def check(self) -> None:
        """Raise `Interrupted` if a signal came."""
        now = time.monotonic()
        if self._last_asked is not None:  # building comes before, and takes longer than any step
            self._longest = max(self._longest, now - self._last_asked)
        self._last_asked = now
        if self._signal is not None:
            self._answered = True
            raise Interrupted(self._signal)

    @contextlib.contextmanager
    def listening(self, give_up: Callable[[int], None] = lambda number: None) -> Iterator[None]:
        """Handle the signals while the context lasts.

        Only the main thread can. In other threads the signals are handled as before.

        Args:
            give_up: called with the signal's number in another thread, before a run that hangs is ended.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        watch = threading.Thread(target=self._watch, args=(reader, give_up), name="signal-watch", daemon=True)
        watch.start()
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            os.close(writer)  # this ends the thread
            watch.join(timeout=1)
            os.close(reader)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # The watching thread gets the signal first, and prints the messages.
        self._signal = self._signal or number

    def _watch(self, reader: int, give_up: Callable[[int], None]) -> None:
        first: int | None = None
        came = 0.0
        deadline = None
        while True:
            ready = _wait_for(reader, None if deadline is None else max(0.0, deadline - time.monotonic()))
            if ready:
                data = os.read(reader, 1)
                if not data:
                    return
                number = data[0]
                if number not in _SIGNALS:
                    continue
                if first is not None:
                    if time.monotonic() - came < ECHO:
                        continue
                    os._exit(128 + number)
                first, came = number, time.monotonic()
                deadline = came + max(_PATIENCE, _TIMES * self._longest)
                _say(b"\ninterrupted: saving; once more ends at once\n")
            elif first is not None and not self._answered:
                _say(
                    b"the run hangs, in its input pipeline or in a step, and is ended; "
                    b"its checkpoints are whole\n"
                )
                with contextlib.suppress(Exception):
                    give_up(first)
                os._exit(128 + first)
            else:
                deadline = None


def _say(text: bytes) -> None:
    """Write to stderr, and ignore a failure, since the thread must go on."""
    with contextlib.suppress(OSError):
        os.write(2, text)


def _wait_for(reader: int, seconds: float | None) -> bool:
    """Wait for something to read, for at most that many seconds, and return whether there is."""
    import select

    return bool(select.select([reader], [], [], seconds)[0])
