"""The section `warmstart` of a config: the weights that a run begins with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from framework.config.schema import setting
from framework.errors import Problem


@dataclass(frozen=True, kw_only=True)
class WarmStartConfig:
    """Which weights to start from. A pattern (a regular expression) matches the whole path of a variable, or
    a leading part of it: `backbone` matches every variable inside."""

    model: str | None = setting(
        None,
        "Weights to start from: a run directory (its best model, or if it has none yet, its newest "
        "checkpoint), a checkpoint (`RUN/checkpoints/step-00000220`), a `.keras`, `.weights.h5` or `.h5` "
        "file, or a SavedModel.",
    )
    allow_partial: bool = setting(
        False, "Start even if some variables find no weights; they keep their initial values."
    )
    include: str | None = setting(None, "Pattern of the variables to load. null: all.")
    exclude: str | None = setting(
        None, "Pattern of the variables that keep their initial values, such as the last layer: `output`."
    )
    rename: tuple[str, ...] = setting(
        (),
        "Changes to the paths in the source, each `FROM->TO`: a regular expression, and the replacement of "
        "each match.",
    )

    def check(self) -> Iterator[Problem]:
        for name in ("include", "exclude"):
            pattern = getattr(self, name)
            if pattern is not None and (error := _regex_error(pattern)):
                yield Problem(name, f"must be a regular expression: {error}", given=pattern)
        for i, rename in enumerate(self.rename):
            old, arrow, new = rename.partition("->")
            if not arrow or not old:
                yield Problem(
                    f"rename[{i}]", "does not say what becomes what", given=rename, allowed="FROM->TO"
                )
            elif error := _regex_error(old, new):
                yield Problem(
                    f"rename[{i}]",
                    f"must be a regular expression with its replacement: {error}",
                    given=rename,
                )
        if self.model is None:
            for name in ("allow_partial", "include", "exclude", "rename"):
                if getattr(self, name):
                    yield Problem(
                        name,
                        "does nothing without a model",
                        given=getattr(self, name),
                        hint="set warmstart.model=...",
                    )


def _regex_error(pattern: str, replacement: str = "") -> str | None:
    try:
        re.sub(pattern, replacement, "")
    except (re.error, IndexError) as error:
        return str(error)
    return None
