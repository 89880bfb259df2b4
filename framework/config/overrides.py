"""Overrides as they are typed, each read once with Hydra's grammar."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from framework.config.sections import SHORT_FORMS
from framework.errors import Problem

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

# Groups with options that need no file: the module of the scenario, which is imported after composition, can
# register a class.
REGISTERED = ("optimizer", "learning_rate", "loop")


class GroupOptions:
    """The options of each group, by the names of the files. Hydra itself takes 0.05 s to list them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self.of = functools.cache(self._list)

    def _list(self, group: str) -> list[str]:
        """Return the options of a group; an empty list if there is no such group."""
        if not group:
            return []
        return sorted({path.stem for folder in self._folders for path in (folder / group).glob("*.yaml")})


@dataclass(frozen=True)
class TypedOverride:
    """An override, parsed with Hydra's grammar.

    Args:
        text: the override as it was typed.
        parsed: the override as Hydra parses it.
        group: the options of the group that it chooses from; empty if it sets a value.
    """

    text: str
    parsed: Override
    group: Sequence[str]

    @property
    def key(self) -> str:
        """The setting or the group, without the signs before it."""
        return self.parsed.key_or_group

    @property
    def swept(self) -> bool:
        """Whether it has several values."""
        return self.parsed.is_sweep_override()

    @property
    def sets_hydra(self) -> bool:
        """Whether it sets something of Hydra's own."""
        return self.key == "hydra" or self.key.startswith(("hydra.", "hydra/"))

    @property
    def sets_value(self) -> bool:
        """Whether it sets a value of ours, and chooses no option."""
        return not self.group and not self.sets_hydra and not self.parsed.is_delete()

    @property
    def composed(self) -> str:
        """The form for composition: a value is forced in (`++`), an option of a group is chosen.

        A value that is forced in may have any key. The typed config then finds an unknown key, together with
        all other problems.
        """
        if self.sets_hydra or self.parsed.is_delete():
            return self.text
        return ("++" if self.sets_value else "") + self.text.lstrip("+")

    def paths(self) -> list[str]:
        """Return the paths that it sets, in their long form; for a group, its name and `=`."""
        if self.parsed.is_delete():
            return []
        if self.group or "/" in self.key:
            return [f"{self.key}="]
        value = None if self.swept else self.parsed.value()
        return [SHORT_FORMS.get(path, path) for path in _leaves(self.key, value)]

    def chosen(self) -> list[object] | None:
        """Return the options that it chooses, or that `glob(...)` matches; None if it sets values."""
        from hydra.core.override_parser.types import Glob

        value = self.parsed.value()
        if isinstance(value, Glob):
            return [*value.filter(list(self.group))]
        if not self.group or self.parsed.is_interval_sweep():
            return None
        return list(self.parsed.sweep_iterator()) if self.swept else [value]

    def first(self) -> str:
        """Return the form for composition with the first of its values; for an interval, its start."""
        from hydra.core.override_parser.types import Glob, IntervalSweep

        if not self.swept:
            return self.composed
        value = self.parsed.value()
        if isinstance(value, IntervalSweep):
            first = str(value.start)
        elif isinstance(value, Glob):
            first = value.filter(list(self.group))[0]
        else:
            first = str(next(iter(self.parsed.sweep_string_iterator())))
        return f"{self.composed.partition('=')[0]}={first}"


def key_of(override: str) -> str:
    """Return the setting or the group of an override as it was typed."""
    return override.lstrip("+~").partition("=")[0]


def read_override(text: str, options: GroupOptions) -> TypedOverride:
    """Parse one override with Hydra's grammar.

    Raises:
        HydraException: if it cannot be parsed.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides([text])[0]
    except (
        ValueError,
        RecursionError,
    ) as error:  # a number of more digits, or more levels, than Python reads
        raise HydraException(str(error).partition(":")[0]) from error
    return TypedOverride(text, parsed, options.of(parsed.key_or_group))


def read_all(
    overrides: Sequence[str], options: GroupOptions, problems: list[Problem]
) -> Iterator[TypedOverride]:
    """Parse overrides, and append a problem for each that cannot be parsed."""
    from hydra.errors import HydraException

    for text in overrides:
        reason = "it has no key"
        try:
            override = read_override(text, options)
            if override.key:
                yield override
                continue
        except HydraException as error:
            reason = str(error).splitlines()[0]
        problems.append(
            Problem(
                text, "must be an override", hint=f"write key=value, and quote special characters ({reason})"
            )
        )


def _leaves(path: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    else:
        yield path
