"""Reading of the files of a run as untrusted input: bounded in size and depth, and typed.

A file that is a pipe or a device, too large, nested too deeply, or of wrong types raises an
`UnusableFileError`. Its message is one line with the file and the place in it. Unknown keys are kept, since
another version may have written them.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import reprlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import yaml

from framework.config.schema import read
from framework.errors import NOT_GIVEN, Problem, RunDirectoryError

MEGABYTE = 2**20
_DEPTH = 50  # what a run writes has a depth of at most 10
_NODES = 20_000_000
_BITS = 1024  # of a whole number, so that it is also a finite float
_YAML_BYTES, _YAML_NODES, _YAML_TEXT = 2 * MEGABYTE, 100_000, 65_536
_EVENTS_THAT_OPEN = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_EVENTS_THAT_CLOSE = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


JsonObject: TypeAlias = dict[str, Any]
"""A mapping as JSON holds it. What is read of one is of the types that its `FileRecord` says."""


class UnusableFileError(RunDirectoryError):
    """A file that cannot be read, or does not hold what it should. The message names the file."""


class MissingFileError(UnusableFileError):
    """A file that does not exist."""


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A mapping in a file of a run. Keys that are not fields are kept.

    Attributes:
        limit: the most bytes that a file with this mapping may have.
    """

    other_keys: ClassVar[bool] = True
    limit: ClassVar[int] = 16 * MEGABYTE


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a file to read. Pipes and devices are refused, since a read might never return.

    Raises:
        UnusableFileError: if it cannot be opened.
    """
    fault = None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening, since opening a device may have effects
            fault = "is a folder" if os.path.isdir(path) else "is a pipe or a device, and not a file"
        else:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return os.fdopen(handle, "rb")
            os.close(handle)
            fault = "is not a file"
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is missing") from error
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise UnusableFileError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    raise UnusableFileError(f"{path} {fault}")


def read_bytes(path: str | Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises:
        UnusableFileError: if it is larger, or cannot be read.
    """
    with open_regular(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > limit else file.read(limit + 1)
        except OSError as error:
            raise UnusableFileError(f"{path} cannot be read: {error.strerror or error}") from error
    if max(size, len(content)) > limit:
        raise UnusableFileError(
            f"{path} is damaged: it has {max(size, len(content)):,} bytes, and at most {limit:,} are read"
        )
    return content


def read_json(path: str | Path, kind: type[FileRecord]) -> JsonObject:
    """Read the mapping in a JSON file, with values of the types in `kind`.

    Raises:
        UnusableFileError: naming file and place.
    """
    return parse_json(read_bytes(path, kind.limit), kind, str(path))


def read_json_lines(
    path: str | Path, kind: type[FileRecord], *, limit: int = 512 * MEGABYTE
) -> list[JsonObject]:
    """Read the lines of a file of JSON lines that are mappings of this kind.

    Other lines are left out, since a kill may leave half a line.

    Raises:
        UnusableFileError: if the file cannot be read.
    """
    records = []
    for line in read_bytes(path, limit).splitlines():
        try:
            records.append(parse_json(line, kind, str(path)))
        except UnusableFileError:
            continue
    return records


def parse_json(content: bytes, kind: type[FileRecord], name: str) -> JsonObject:
    """Parse the mapping in a JSON text, as `read_json` does.

    Args:
        name: the file that the text is from, for messages.
    """
    try:
        if content.count(b",") + content.count(b"[") + content.count(b"{") > _NODES:
            raise ValueError("it holds too many values")
        node = json.loads(content.decode("utf-8"))
        check_plain(node, nodes=_NODES)
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UnusableFileError(f"{name} is damaged: {reason}") from error
    return typed(node, kind, name)


def typed(node: object, kind: type[FileRecord], name: str) -> JsonObject:
    """Check that a mapping has values of the types in `kind`, and return it with typed values.

    Raises:
        UnusableFileError: naming the first wrong place.
    """
    if not isinstance(node, dict):
        raise UnusableFileError(f"{name} is damaged: it holds no mapping")
    problems: list[Problem] = []
    record = read(kind, node, "", problems)
    if record is None:
        raise UnusableFileError(f"{name} is damaged: {_one_line(problems[0])}")
    values: JsonObject = _with_other_keys(record, node)
    return values


def check_plain(node: object, *, nodes: int) -> None:
    """Raise a `ValueError` if plain values are nested too deeply, too many, or not valid as UTF-8."""
    level, depth = [node], 0
    while level:
        nodes -= len(level)
        if nodes < 0:
            raise ValueError("it holds too many values")
        if depth > _DEPTH:
            raise ValueError("it is nested too deeply")
        below: list[object] = []
        for value in level:
            if isinstance(value, str):
                value.encode()  # a lone surrogate raises a UnicodeEncodeError, a ValueError
            elif isinstance(value, int) and value.bit_length() > _BITS:
                # The number is not shown, since Python refuses to print thousands of digits.
                raise ValueError("it holds a number of hundreds of digits")
            elif isinstance(value, Mapping):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list | tuple | set):
                below += value
        level, depth = below, depth + 1


def read_yaml(path: Path) -> tuple[str, object]:
    """Read a YAML file, and return its text and its plain values.

    Aliases are refused, since a few of them can stand for any number of values.

    Raises:
        UnusableFileError: naming the file, and what is wrong with it.
    """
    content = read_bytes(path, _YAML_BYTES)
    try:
        text = content.decode("utf-8")
        _check_events(text)
        plain = yaml.load(text, Loader=_LOADER)
        check_plain(plain, nodes=3 * _YAML_NODES)
    except (
        ValueError,
        RecursionError,
        MemoryError,
        OverflowError,
        TypeError,
        AttributeError,
        yaml.YAMLError,
    ) as error:
        # The library's constructors of times and sets raise any of these errors on invalid input.
        raise UnusableFileError(
            f"{path} cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        ) from error
    return text, plain


def _check_events(text: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {line} has an alias, *{event.anchor}, and a run's configuration has none")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > _YAML_TEXT:
            raise ValueError(f"line {line} has a text of {len(event.value):,} characters")
        depth += isinstance(event, _EVENTS_THAT_OPEN) - isinstance(event, _EVENTS_THAT_CLOSE)
        if depth > _DEPTH:
            raise ValueError(f"line {line} is nested too deeply")
        if count > _YAML_NODES:
            raise ValueError("it holds too many values")


def memory_bytes() -> int:
    """Return the memory of this machine, which is more than any file of a run takes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _with_other_keys(value: object, node: Any) -> Any:
    """Return the plain values of a record, with the keys of `node` that are not its fields."""
    if isinstance(value, FileRecord):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if node is None:  # null stands for a section without settings
            return {name: inner for name, inner in fields.items() if not isinstance(inner, FileRecord)}
        return {
            key: _with_other_keys(fields[key], inner) if key in fields else inner
            for key, inner in node.items()
        }
    if isinstance(value, tuple):
        return [_with_other_keys(*pair) for pair in zip(value, node, strict=True)]
    if isinstance(value, dict):
        return {key: _with_other_keys(inner, node[key]) for key, inner in value.items()}
    return value


def _one_line(problem: Problem) -> str:
    given = "" if problem.given is NOT_GIVEN else f" ({reprlib.repr(problem.given)})"
    allowed = f"; {problem.allowed} is wanted" if problem.allowed else ""
    return f"{problem.path or 'it'}: {problem.message}{given}{allowed}"
