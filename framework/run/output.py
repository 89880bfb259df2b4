"""Standard output and standard error that may fail: a full disk behind `> out`, a reader such as `head` that
has seen enough."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

log = logging.getLogger("framework")


class OutputLost(Exception):  # noqa: N818 - it ends a command and is no error of its own
    """What a command prints cannot be written.

    Args:
        name: `stdout` or `stderr`.
        error: what the system said.
    """

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(f"{name} cannot be written: {error.strerror or error}")
        self.broken_pipe = error.errno == errno.EPIPE


class Output:
    """A text stream whose faults are told once, and never raised by `write` or `flush`, unless `lost` does.

    Each later write is tried again: a disk may have room by then. Characters that the stream's encoding lacks
    are escaped.

    Args:
        stream: the stream behind it. Everything else that is asked of this one, that one answers.
        lost: called with the stream's name and the error when a write fails for the first time. It may be
            exchanged.
    """

    def __init__(self, stream: Any, lost: Callable[[str, OSError], None]) -> None:
        self._stream, self.lost = stream, lost
        self._failed = False

    def write(self, text: str) -> int:
        """Write, where that is possible. Gives the length of the text in any case."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except OSError as error:
            self._fail(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand over to the system what was written, where that is possible."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def finish(self) -> None:
        """Flush for the last time. What cannot be written is dropped, or Python would complain of it while it
        exits."""
        try:
            self._stream.flush()
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            self._stream.flush()
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        # A pipe that does not block may be full for a moment.
        if not self._failed and not isinstance(error, BlockingIOError):
            self._failed = True
            self.lost(str(getattr(self._stream, "name", "the output")).strip("<>"), error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def note_lost(name: str, error: OSError) -> None:
    """Say in the log file, and only there, that an output is lost. What is run goes on."""
    reason = error.strerror or error
    log.warning(
        "%s cannot be written (%s); what is shown there is lost, the run goes on",
        name,
        reason,
        extra={"file_only": True},
    )


def end_command(name: str, error: OSError) -> None:
    """End a command whose output is what it is for."""
    raise OutputLost(name, error)


def tolerant(stream: Any) -> Any:
    """The stream as one whose faults only `note_lost` hears of."""
    return stream if stream is None or isinstance(stream, Output) else Output(stream, note_lost)


def guard_standard_streams(lost: Callable[[str, OSError], None]) -> None:
    """Let this process print through `Output`.

    Args:
        lost: called where standard output fails. A fault of standard error is never raised: it is where
            faults are told.
    """
    # A number that the shell has closed (`>&-`) would become that of the next file that is opened, and have a
    # library's messages in it.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    if sys.stdout is not None and not isinstance(sys.stdout, Output):
        sys.stdout = Output(sys.stdout, lost)
    sys.stderr = tolerant(sys.stderr)
