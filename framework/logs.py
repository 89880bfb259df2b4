"""The log of the package: its level, the terminal, and the file of a run."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from framework.errors import ConfigError, unknown_name

LOG_LEVEL_VARIABLE = "SCENARIO_LOG_LEVEL"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def start_logging() -> None:
    """Log of the package to stderr, at the level that `SCENARIO_LOG_LEVEL` names (INFO where it is not set).

    Raises:
        ConfigError: where it names no level.
    """
    level = os.environ.get(LOG_LEVEL_VARIABLE, "INFO").upper()
    if level not in _LEVELS:
        raise ConfigError(unknown_name(LOG_LEVEL_VARIABLE, "log level", level, _LEVELS), subject="the environment")
    logger = logging.getLogger("framework")
    logger.setLevel(level)
    logger.propagate = False
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        handler = _StderrHandler()
        handler.setFormatter(_TerminalFormatter())
        handler.addFilter(lambda record: not getattr(record, "file_only", False))
        logger.addHandler(handler)


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    pass


class _TerminalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno == logging.INFO else f"{record.levelname.lower()}: {message}"


class _RunLogHandler(logging.FileHandler):
    """A file whose disk may be full: that is said once, and is no reason to end a run."""

    def __init__(self, path: Path, *, mode: str, encoding: str) -> None:
        super().__init__(path, mode=mode, encoding=encoding)
        self._said = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name in logging
        if not self._said:
            self._said = True
            print(f"warning: {self.baseFilename} cannot be written: {sys.exc_info()[1]}", file=sys.stderr)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def run_log() -> Iterator[Callable[[Path], None]]:
    """Keep what is logged for a file that is named later, since a run has no folder before it is known to be sound.

    Gives a function; called with a path, it appends to that file all that was logged, and from then on each line at once.
    """
    logger = logging.getLogger("framework")
    memory = logging.handlers.MemoryHandler(capacity=10_000, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
    logger.addHandler(memory)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)  # used as a library: the file is complete all the same
    file: _RunLogHandler | None = None

    def write_to(path: Path) -> None:
        nonlocal file
        file = _RunLogHandler(path, mode="a", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        memory.setTarget(file)
        memory.flush()
        logger.removeHandler(memory)
        logger.addHandler(file)

    try:
        yield write_to
    finally:
        logger.removeHandler(memory)
        if file is not None:
            logger.removeHandler(file)
            file.close()
