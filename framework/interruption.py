"""Ctrl-C and SIGTERM end a run in good order; a second one ends it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from framework.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Notes that a signal came; the run asks between its steps."""

    def __init__(self) -> None:
        self._signal: int | None = None

    def check(self) -> None:
        """Raise `Interrupted` where a signal came."""
        if self._signal is not None:
            raise Interrupted(self._signal)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals while the block runs. Only the main thread can; elsewhere they go where they went before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            os._exit(128 + number)
        self._signal = number
        os.write(2, b"\ninterrupted: saving; once more ends at once\n")
