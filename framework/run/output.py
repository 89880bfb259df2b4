"""Standard output and error that may fail, such as on a full disk or when the reader of a pipe has ended."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any

log = logging.getLogger("framework")


class OutputLost(Exception):  # noqa: N818 - it ends a command; it is not an error itself
    """The output of a command cannot be written.

    Args:
        name: `stdout` or `stderr`.
        error: the error of the system.
    """

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(f"{name} cannot be written: {error.strerror or error}")
        self.broken_pipe = error.errno == errno.EPIPE


class Output:
    """A text stream that reports its first failure to `lost` instead of raising it in `write` or `flush`.

    An error is raised only if `lost` raises it. Each later write is tried again, since a disk may have room
    by then. Characters that the encoding of the stream lacks are escaped.

    Args:
        stream: the stream to write to. It also answers everything else.
        lost: called with the name of the stream and the error when a write first fails. It may be replaced.
    """

    def __init__(self, stream: IO[str], lost: Callable[[str, OSError], None]) -> None:
        self._stream, self.lost = stream, lost
        self._failed = False

    def write(self, text: str) -> int:
        """Write a text if that is possible, and return its length in any case."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except OSError as error:
            self._fail(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass what was written to the system, if that is possible."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def finish(self) -> None:
        """Flush for the last time, and drop what cannot be written.

        Otherwise Python would complain when it exits.
        """
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
    """Log to the file only that an output is lost. The run goes on."""
    reason = error.strerror or error
    log.warning(
        "%s cannot be written (%s); what is shown there is lost, the run goes on",
        name,
        reason,
        extra={"file_only": True},
    )


def end_command(name: str, error: OSError) -> None:
    """End a command that is run only for its output."""
    raise OutputLost(name, error)


def tolerant(stream: IO[str] | Output | None) -> Any:
    """Wrap a stream so that its failures only go to `note_lost`."""
    return stream if stream is None or isinstance(stream, Output) else Output(stream, note_lost)


def guard_standard_streams(lost: Callable[[str, OSError], None]) -> None:
    """Make this process print through `Output`.

    Args:
        lost: called if standard output fails. A failure of standard error is never raised, since errors are
            reported there.
    """
    # If the shell has closed a standard stream (`>&-`), the next opened file would get its number, and the
    # messages of libraries.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    if sys.stdout is not None and not isinstance(sys.stdout, Output):
        sys.stdout = Output(sys.stdout, lost)
    sys.stderr = tolerant(sys.stderr)
