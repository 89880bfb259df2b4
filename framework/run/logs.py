"""The log: its level, the terminal, and the file of a run."""

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
from typing import Any

from framework.config.run_config import SCENARIOS
from framework.errors import ConfigError, unknown_name

LOG_LEVEL_VARIABLE = "SCENARIO_LOG_LEVEL"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

# Where the code of libraries lies, which log much that is of no interest to a run.
_LIBRARY = re.compile(
    rf"(^|[/\\])(site|dist)-packages[/\\]|^{re.escape(sysconfig.get_path('stdlib'))}[/\\]|^<frozen "
)


def start_logging() -> None:
    """Log to stderr, at the level that `SCENARIO_LOG_LEVEL` names (INFO where it is not set): for a command,
    which owns its process.

    Shown is what this package logs, what the user's own code logs, and warnings and errors of all others.

    Raises:
        ConfigError: where it names no level.
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
    """Whether a record that came to the root logger is shown and kept: one of the user's own code, or a
    warning of any library."""
    package = _package(record.name)
    if package == "framework":  # has handlers of its own
        return False
    return (
        record.levelno >= logging.WARNING
        or package in _scenario_packages()
        or not _LIBRARY.search(record.pathname)
    )


def _scenario_packages() -> set[str]:
    """The top-level packages of all scenarios that are known, wherever they are installed, and of the classes
    that they derive from."""
    classes = {ancestor for scenario in SCENARIOS.values() for ancestor in scenario.__mro__}
    return {_package(cls.__module__) for cls in classes} - {"builtins", "framework"}


def _package(name: str) -> str:
    return name.partition(".")[0]


class _RunLogHandler(logging.FileHandler):
    """A file on a disk that may be full: that is said once, and does not end a run."""

    def __init__(self, path: Path, *, mode: str, encoding: str) -> None:
        super().__init__(path, mode=mode, encoding=encoding)
        self._said = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name in logging
        if not self._said:
            self._said = True
            with contextlib.suppress(OSError):
                print(f"warning: {self.baseFilename} cannot be written: {sys.exc_info()[1]}", file=sys.stderr)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def run_log() -> Iterator[Callable[[Path], None]]:
    """Keep what is logged for a file that is named later, since a run has no folder before it is known to be
    sound.

    Kept is what `start_logging` shows, and what `warnings.warn` says. In an application that has not called
    `start_logging`, nothing is shown that was not shown before, and all is put back when the context ends.

    Gives a function; called with a path, it appends to that file all that was logged, and from then on each
    line at once.
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
    """Within the context, what is logged is logged at INFO at least: used as a library, the file is complete
    all the same."""
    lowered = []
    try:
        for name in ("framework", *sorted(_scenario_packages())):
            logger = logging.getLogger(name)
            wanted = (
                logging.INFO if name == "framework" else logging.getLogger("framework").getEffectiveLevel()
            )
            # One that somebody set is left alone.
            if logger.level == logging.NOTSET and logger.getEffectiveLevel() > wanted:
                logger.setLevel(wanted)
                lowered.append(logger)
        yield
    finally:
        for logger in lowered:
            logger.setLevel(logging.NOTSET)


@contextlib.contextmanager
def _handled_by(handler: logging.Handler) -> Iterator[None]:
    """Within the context, a handler has all that concerns the run."""
    root, logger = logging.getLogger(), logging.getLogger("framework")
    # A filter of this logger's connection to the handler, which the handler itself must not have: both
    # loggers share it.
    relay = _Relay(handler)
    added: list[tuple[logging.Logger, logging.Handler]] = [(logger, handler), (root, relay)]
    if not root.handlers and logging.lastResort is not None:
        # With a handler at the root, Python would no longer show the warnings that nobody handles.
        added.append((root, logging.lastResort))
    showwarning = warnings.showwarning

    def noting(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any, **more: Any
    ) -> None:
        text = warnings.formatwarning(message, category, filename, lineno).strip()
        handler.handle(
            logging.LogRecord("py.warnings", logging.WARNING, filename, lineno, "%s", (text,), None)
        )
        showwarning(message, category, filename, lineno, *rest, **more)

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
    """Hands what came to the root logger, and concerns the run, to another handler."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler
        self.addFilter(_concerns_the_run)

    def emit(self, record: logging.LogRecord) -> None:
        self._handler.handle(record)
