"""Logging: its level, to the terminal, and to the file of a run."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from framework.config.targets import SCENARIOS
from framework.errors import ConfigError, unknown_name

LOG_LEVEL_VARIABLE = "SCENARIO_LOG_LEVEL"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

# Paths of the code of libraries, which log much that does not concern a run.
_LIBRARY = re.compile(
    rf"(^|[/\\])(site|dist)-packages[/\\]|^{re.escape(sysconfig.get_path('stdlib'))}[/\\]|^<frozen "
)


def start_logging() -> None:
    """Log to stderr, at the level in `SCENARIO_LOG_LEVEL`, by default INFO.

    Only commands do this, since they own their process.

    It shows what this package and the user's own code log, and warnings and errors of everything else.

    Raises:
        ConfigError: if the level is unknown.
    """
    level = os.environ.get(LOG_LEVEL_VARIABLE, "INFO").upper()
    if level not in _LEVELS:
        raise ConfigError(
            unknown_name(LOG_LEVEL_VARIABLE, "log level", level, _LEVELS), subject="the environment"
        )
    logger, root = logging.getLogger("framework"), logging.getLogger()
    logger.propagate = False
    for each in (logger, root):
        each.setLevel(level)
        if not any(isinstance(handler, _StderrHandler) for handler in each.handlers):
            handler = _StderrHandler()
            handler.setFormatter(_TerminalFormatter())
            handler.addFilter(lambda record: not getattr(record, "file_only", False))
            if each is root:
                handler.addFilter(_concerns_the_run)
            each.addHandler(handler)


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    pass


class _TerminalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno == logging.INFO else f"{record.levelname.lower()}: {message}"


def _concerns_the_run(record: logging.LogRecord) -> bool:
    """Return whether to show and keep a record of the root logger.

    These are records of the user's own code, and warnings of any library.
    """
    package = _package(record.name)
    if package == "framework":  # it has its own handlers
        return False
    return (
        record.levelno >= logging.WARNING
        or package in _scenario_packages()
        or not _LIBRARY.search(record.pathname)
    )


def _scenario_packages() -> set[str]:
    """Return the top-level packages of all known scenarios and of their base classes.

    They are found wherever they are installed.
    """
    classes = {ancestor for scenario in SCENARIOS.values() for ancestor in scenario.__mro__}
    return {_package(cls.__module__) for cls in classes} - {"builtins", "framework"}


def _package(name: str) -> str:
    return name.partition(".")[0]


class _RunLogHandler(logging.FileHandler):
    """A handler for a file on a disk that may be full. It reports a failure once, and goes on."""

    def __init__(self, path: Path, *, mode: str, encoding: str) -> None:
        super().__init__(path, mode=mode, encoding=encoding)
        self._said = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name in logging
        if not self._said:
            self._said = True
            with contextlib.suppress(OSError):
                print(f"warning: {self.baseFilename} cannot be written: {sys.exc_info()[1]}", file=sys.stderr)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def run_log() -> Iterator[Callable[[Path], None]]:
    """Keep what is logged, and write it to a file that is named later.

    A run has no folder before it is known to be sound. Kept is what `start_logging` shows, and what
    `warnings.warn` says. An application that has not called `start_logging` shows no more than before.
    Everything is restored when the context ends.

    The context gives a function. Called with a path, it appends to that file all that was logged, and from
    then on each line at once.
    """
    memory = logging.handlers.MemoryHandler(
        capacity=10_000, flushLevel=logging.CRITICAL + 1, flushOnClose=False
    )
    file: _RunLogHandler | None = None

    def write_to(path: Path) -> None:
        nonlocal file
        file = _RunLogHandler(path, mode="a", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        memory.setTarget(file)
        memory.flush()
        handled.close()
        handled.enter_context(_handled_by(file))

    with _levels(), contextlib.ExitStack() as handled:
        handled.enter_context(_handled_by(memory))
        try:
            yield write_to
        finally:
            handled.close()
            if file is not None:
                file.close()


@contextlib.contextmanager
def _levels() -> Iterator[None]:
    """Log at INFO at least while the context lasts, so that the file is complete without `start_logging`."""
    lowered = []
    try:
        for name in ("framework", *sorted(_scenario_packages())):
            logger = logging.getLogger(name)
            wanted = (
                logging.INFO if name == "framework" else logging.getLogger("framework").getEffectiveLevel()
            )
            # A level that was set stays.
            if logger.level == logging.NOTSET and logger.getEffectiveLevel() > wanted:
                logger.setLevel(wanted)
                lowered.append(logger)
        yield
    finally:
        for logger in lowered:
            logger.setLevel(logging.NOTSET)


@contextlib.contextmanager
def _handled_by(handler: logging.Handler) -> Iterator[None]:
    """Give a handler all records that concern the run while the context lasts."""
    root, logger = logging.getLogger(), logging.getLogger("framework")
    # Only records of the root logger are filtered. The handler itself has no filter, since both loggers share
    # it.
    relay = _Relay(handler)
    added: list[tuple[logging.Logger, logging.Handler]] = [(logger, handler), (root, relay)]
    if not root.handlers and logging.lastResort is not None:
        # With a handler at the root, Python would no longer show warnings that have no other handler.
        added.append((root, logging.lastResort))
    showwarning = warnings.showwarning

    def noting(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = warnings.formatwarning(message, category, filename, lineno).strip()
        handler.handle(
            logging.LogRecord("py.warnings", logging.WARNING, filename, lineno, "%s", (text,), None)
        )
        showwarning(message, category, filename, lineno, file, line)

    for owner, each in added:
        owner.addHandler(each)
    warnings.showwarning = noting
    try:
        yield
    finally:
        if warnings.showwarning is noting:
            warnings.showwarning = showwarning
        for owner, each in added:
            owner.removeHandler(each)


class _Relay(logging.Handler):
    """A handler that passes on the records of the root logger that concern the run."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler
        self.addFilter(_concerns_the_run)

    def emit(self, record: logging.LogRecord) -> None:
        self._handler.handle(record)
