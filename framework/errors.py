"""Errors that a user meets: what is wrong, where, what was given, what is allowed, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NOT_GIVEN = object()


def nearest(name: object, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`, or None if none is similar.

    >>> nearest("optimizr", ["model", "optimizer"])
    'optimizer'
    """
    matches = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: object, known: Iterable[str]) -> str | None:
    """Return a hint with the known name that is most similar to `name`, or None if none is similar.

    >>> did_you_mean("optimizr", ["model", "optimizer"])
    "did you mean 'optimizer'?"
    """
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else None


def listing(lines: Sequence[str], limit: int = 10) -> str:
    """Return the first `limit` lines, each indented on a line of its own, and how many more there are."""
    more = [f"and {len(lines) - limit:,} more"] if len(lines) > limit else []
    return "".join(f"\n    {line}" for line in [*lines[:limit], *more])


def reason_of(error: Exception) -> str:
    """Return the first line of a library's error, without the graph nodes that TensorFlow names in it.

    >>> reason_of(ValueError("{{node DecodeJpeg}} Invalid JPEG data [Op:DecodeJpeg]"))
    'Invalid JPEG data'
    """
    lines = str(getattr(error, "message", None) or error).strip().splitlines() or [type(error).__name__]
    line = (
        lines[-1] if lines[0] == "in user code:" else lines[0]
    )  # where a graph is traced, the cause comes last
    return re.sub(r"\{\{.*?\}\}|\[Op:\w+\].*", "", line).strip()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config.

    Args:
        path: the setting, as it is typed (`optimizer.beta_1`).
        message: what is wrong, as a short sentence without its full stop.
        given: the value of the setting, if it has one.
        allowed: which values are allowed.
        hint: what to do, often the most similar known name.
    """

    path: str
    message: str
    given: object = NOT_GIVEN
    allowed: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        lines = [f"{_shortened(self.path)}: {self.message}"]
        if self.given is not NOT_GIVEN:
            lines.append(f"    given:   {_shortened(repr(self.given))}")
        if self.allowed:
            lines.append(f"    allowed: {self.allowed}")
        if self.hint:
            lines.append(f"    hint:    {self.hint}")
        return "\n".join(lines)


def _shortened(text: str, limit: int = 500) -> str:
    """Return a text cut off after `limit` characters, with its full length."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"


def unknown_name(path: str, kind: str, given: object, known: Sequence[str]) -> Problem:
    """Return the problem of an unknown name, with the most similar known name as its hint."""
    return Problem(
        path,
        f"unknown {kind}",
        given=given,
        allowed=", ".join(known) if known else "nothing: there is none",
        hint=did_you_mean(given, known),
    )


class ScenarioError(Exception):
    """An error that a user can mend.

    The commands print it without a traceback and exit with `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n    hint:    {hint}")


class ConfigError(ScenarioError):
    """All problems of a config at once."""

    exit_code = 2

    def __init__(self, problems: Problem | Sequence[Problem], *, subject: str = "the configuration") -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count > 1 else ''} in {subject}:"
        super().__init__(
            "\n".join([head, *(f"  {line}" for p in self.problems for line in str(p).splitlines())])
        )


class DataError(ScenarioError):
    """Data that cannot be used as they are. The message names the files."""


class NumericsError(ScenarioError):
    """A number that is not finite. The message says where it was made."""


class RunDirectoryError(ScenarioError):
    """A run directory that cannot be created, opened or continued."""


class CheckpointError(RunDirectoryError):
    """No intact checkpoint where one is needed."""


class Interrupted(Exception):  # noqa: N818 - it ends a run in good order; it is not an error
    """A signal asked the run to end. What was done until then is to be saved.

    Args:
        signal_number: the number of the signal; the commands exit with 128 + it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by signal {signal_number}")
        self.exit_code = 128 + signal_number
