"""Typed settings: a frozen dataclass declares them, `read` fills it from plain values and collects every
problem.

    @dataclass(frozen=True, kw_only=True)
    class Adam:
        beta_1: float = setting(0.9, "Decay of the first moment.", ge=0, lt=1)

    problems = []
    adam = read(Adam, {"beta_1": 2}, "optimizer", problems)   # None, and a problem at optimizer.beta_1

Supported types: bool, int, float, str, `Literal`, `T | None`, `tuple[T, ...]` (a list in YAML), `dict[str,
T]` and further dataclasses. A dataclass may have a method `check()` that yields a `Problem` for each rule
that needs more than one field; its paths are relative to the section. Keys that it has no fields for are
problems, unless its class says `other_keys = True`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

from framework.errors import Problem, did_you_mean, unknown_name

PlainValue: TypeAlias = "bool | int | float | str | Sequence[PlainValue] | Mapping[str, PlainValue] | None"
"""What YAML holds."""


class Section(Protocol):
    """An instance of a config dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[object]]]


T = TypeVar("T", bound=Section)

_LARGEST = 2**63 - 1

_WRONG_TYPE = "wrong type"
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_HOLDS = {
    "ge": lambda value, bound: value >= bound,
    "gt": lambda value, bound: value > bound,
    "le": lambda value, bound: value <= bound,
    "lt": lambda value, bound: value < bound,
}


def setting(
    default: object = dataclasses.MISSING,
    help: str = "",
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """A field of a config dataclass: its default, its line in the reference, its bounds.

    The bounds hold for numbers, and for each number of a tuple; None is never out of bounds. A whole number
    wants both bounds: one that is too large takes all memory, or ends in a traceback of TensorFlow. Without
    bounds it must fit into 64 bits.
    """
    bounds = {
        name: bound for name, bound in (("ge", ge), ("gt", gt), ("le", le), ("lt", lt)) if bound is not None
    }
    return dataclasses.field(default=default, metadata={"help": help, "bounds": bounds})


@functools.cache
def type_hints(cls: type[Section]) -> dict[str, object]:
    """The resolved types of the fields of a config dataclass, in their order."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def read(cls: type[T], node: object, path: str, problems: list[Problem]) -> T | None:
    """Make a `cls` from the plain values of `node`.

    Args:
        cls: a config dataclass.
        node: a mapping of plain values, as YAML gives them. Fields that it lacks take their defaults.
        path: where the section stands in the config; the empty string is its root.
        problems: every problem found is appended to it.

    Returns:
        The section, or None where a problem was found.
    """
    if not isinstance(node, Mapping):
        hint = "leave it out for the defaults" if node is None else None
        problems.append(
            Problem(path or "config", "is a section", given=node, allowed="a mapping of settings", hint=hint)
        )
        return None
    before = len(problems)
    hints = type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in node:
        if key not in fields and not getattr(cls, "other_keys", False):
            problems.append(_unknown_key(_join(path, str(key)), str(key), list(fields), node[key]))
    values: dict[str, object] = {}
    for name, field in fields.items():
        where = _join(path, name)
        if name in node:
            found = len(problems)
            value = read_value(hints[name], node[name], where, problems, field.metadata.get("bounds", {}))
            if len(problems) == found:
                values[name] = value
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(
                Problem(where, "is missing", allowed=describe_type(hints[name]), hint=f"set {where}=...")
            )
    if len(problems) > before:
        return None
    section = cls(**values)
    for problem in check(section, path):
        problems.append(problem)
    return section if len(problems) == before else None


def check(section: Section, path: str) -> list[Problem]:
    """The problems that a section's own `check()` finds, with their paths made absolute."""
    own_check = getattr(section, "check", None)
    if own_check is None:
        return []
    return [dataclasses.replace(problem, path=_join(path, problem.path)) for problem in own_check()]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _unknown_key(where: str, key: str, known: Sequence[str], given: object) -> Problem:
    return Problem(
        where,
        "unknown key",
        given=given,
        allowed=", ".join(known) if known else "nothing: this section has no settings",
        hint=did_you_mean(key, known),
    )


def read_value(
    hint: object, value: object, path: str, problems: list[Problem], bounds: Mapping[str, float]
) -> Any:
    """Convert one plain value to the type `hint`; see `read`."""
    origin = typing.get_origin(hint)
    if hint in (Any, object):
        return value
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        attempts = [option for option in options if option is not type(None)]
        trials: list[list[Problem]] = []
        for option in attempts:
            trial: list[Problem] = []
            result = read_value(option, value, path, trial, bounds)
            if not trial:
                return result
            trials.append(trial)
        # What is of one of the types, and wrong all the same, is told by that type.
        closest = next(
            (trial for trial in trials if all(p.path != path or p.message != _WRONG_TYPE for p in trial)),
            None,
        )
        if len(attempts) == 1:
            problems.extend(
                dataclasses.replace(p, allowed=f"{p.allowed}, or null") if p.path == path else p
                for p in trial
            )
        elif closest:
            problems.extend(closest)
        else:
            problems.append(_wrong_type(path, hint, value, bounds))
        return None
    if origin is typing.Literal:
        allowed = typing.get_args(hint)
        # YAML reads a bare `off` or `no` as a boolean; it is a name where the names say so.
        if value is False and "off" in allowed:
            value = "off"
        if value in allowed and not isinstance(value, bool):
            return value
        problems.append(unknown_name(path, "value", value, [str(a) for a in allowed]))
        return None
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            problems.append(_wrong_type(path, hint, value, bounds))
            return None
        item = typing.get_args(hint)[0]
        return tuple(read_value(item, v, f"{path}[{i}]", problems, bounds) for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            problems.append(_wrong_type(path, hint, value, bounds))
            return None
        item = typing.get_args(hint)[1]
        return {str(k): read_value(item, v, _join(path, str(k)), problems, bounds) for k, v in value.items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return read(hint, value, path, problems)
    return _read_scalar(hint, value, path, problems, bounds)


def _read_scalar(
    hint: object, value: object, path: str, problems: list[Problem], bounds: Mapping[str, float]
) -> object:
    given = value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1023 else math.inf
    elif hint is int and isinstance(value, float) and value.is_integer():
        value = int(value)  # 1e3 is how one types a thousand
    if type(value) is not hint:
        problems.append(_wrong_type(path, hint, value, bounds))
        return None
    finite = not isinstance(value, float) or math.isfinite(value)
    if not finite or not all(
        _HOLDS[name](value, bound) for name, bound in bounds.items() if hint in (int, float)
    ):
        problems.append(Problem(path, "out of range", given=given, allowed=describe_type(hint, bounds)))
        return None
    if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        # A larger one passes Python, and ends in a traceback of TensorFlow.
        problems.append(
            Problem(path, "out of range", given=given, allowed=f"{describe_type(hint, bounds)}, in 64 bits")
        )
        return None
    return value


def _wrong_type(path: str, hint: object, value: object, bounds: Mapping[str, float]) -> Problem:
    return Problem(path, _WRONG_TYPE, given=value, allowed=describe_type(hint, bounds))


_NAMES: Mapping[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


def describe_type(hint: object, bounds: Mapping[str, float] | None = None) -> str:
    """What may stand in a field of type `hint`, in words: "a number >= 0 and < 1, or null"."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        choices = [describe_type(o, bounds) for o in options if o is not type(None)]
        return ", or ".join([" or ".join(choices), *(["null"] if type(None) in options else [])])
    if origin is typing.Literal:
        return ", ".join(str(value) for value in typing.get_args(hint))
    if origin is tuple:
        return f"a list of: {describe_type(typing.get_args(hint)[0], bounds)}"
    if origin is dict:
        return f"a mapping of names to: {describe_type(typing.get_args(hint)[1], bounds)}"
    if dataclasses.is_dataclass(hint):
        return "a section"
    words = _NAMES.get(hint, "anything")
    limits = " and ".join(f"{_BOUNDS[name]} {bound:,}" for name, bound in (bounds or {}).items())
    return f"{words} {limits}" if limits and hint in (int, float) else words


def regex_fault(pattern: str) -> str | None:
    """Why a text is no regular expression; None where it is one."""
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return None


def to_plain(section: Section) -> dict[str, PlainValue]:
    """The plain values of a section, as `read` takes them: mappings, lists, texts, numbers, booleans and
    None.

    A class that a `Registry` knows gets its registered name as the first key, `name`.
    """
    name = getattr(type(section), "name", None)
    named: dict[str, PlainValue] = {"name": name} if isinstance(name, str) else {}
    return named | {
        field.name: plain_value(getattr(section, field.name)) for field in dataclasses.fields(section)
    }


def plain_value(value: Any) -> PlainValue:
    """The plain form of one value of a section."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(value)
    if isinstance(value, Mapping):
        return {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain_value(item) for item in value]
    return value
