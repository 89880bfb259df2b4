"""Files of rows in UTF-8: JSON lines, or CSV and TSV with a head line, packed by gzip or not."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import json
import os
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framework.errors import DataError, listing, nearest

KINDS = "JSON lines (.jsonl) or CSV (.csv, .tsv) with a head line, packed by gzip (.gz) or not"

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON = (".jsonl", ".json", ".ndjson")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file.

    Args:
        name: `FILE:ROW`, counted from 1; the head line and empty lines do not count.
        cells: the values of the row, by column: texts in CSV, any values of JSON in JSON lines.
        problem: why the row cannot be read and has no cells; None if it can be read.
    """

    name: str
    cells: Mapping[str, object] = field(default_factory=dict)
    problem: str | None = None


def read_rows(path: str | Path, wanted: str = KINDS) -> Sequence[Row]:
    """Read the rows of a file, in their order, including those with a problem.

    Args:
        path: `.jsonl`, `.json` or `.ndjson` (an object in each line), `.csv` or `.tsv` (with a head line),
            followed by `.gz` if it is packed.
        wanted: which files are allowed, for messages.

    Raises:
        DataError: if the file cannot be read as a whole, is of another kind, or has no rows.
    """
    path = os.fspath(path)
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error, wanted) from error
    return _read_rows(path, wanted, (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size))


# A run reads the same file several times: for its classes, for each part of it, for the words in it.
@functools.lru_cache(maxsize=2)
def _read_rows(path: str, wanted: str, version: tuple[int, ...]) -> Sequence[Row]:
    """Read the rows of a file.

    Args:
        version: identifies the file and its time of change, so that a changed file is read again.
    """
    suffix = Path(path.lower().removesuffix(".gz")).suffix
    if suffix not in (*_SEPARATORS, *_JSON):
        raise DataError(f"cannot tell the kind of {path}", hint=f"wanted: {wanted}")
    content = read_text(path, wanted)
    rows = tuple(
        _json_rows(path, content) if suffix in _JSON else _csv_rows(path, content, _SEPARATORS[suffix])
    )
    if not rows:
        raise DataError(f"{path} has no rows", hint=f"wanted: {wanted}")
    return rows


def read_text(path: str, wanted: str) -> str:
    """Read a text file in UTF-8, with or without a byte order mark, unpacked if its name ends in `.gz`.

    Args:
        path: the file.
        wanted: which files are allowed, for the message.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    try:
        content = Path(path).read_bytes()
        return (gzip.decompress(content) if path.lower().endswith(".gz") else content).decode("utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _unreadable(path, error, wanted) from error


def _unreadable(path: str, error: Exception, wanted: str) -> DataError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"cannot read {path}: {reason}", hint=f"wanted: {wanted}, in UTF-8")


def _json_rows(path: str, content: str) -> Iterator[Row]:
    # Not splitlines(): it also splits at other characters, which a text may hold.
    lines = (line for line in content.split("\n") if line.strip())
    for number, line in enumerate(lines, start=1):
        name = f"{path}:{number}"
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row(name, problem=f"must be JSON: {error}")
            continue
        yield Row(name, cells) if isinstance(cells, dict) else Row(name, problem="must be a JSON object")


def _csv_rows(path: str, content: str, separator: str) -> Iterator[Row]:
    # By default the module refuses cells of more than 131,072 characters.
    limit = csv.field_size_limit(len(content) + 1)
    try:
        lines = [line for line in csv.reader(io.StringIO(content, newline=""), delimiter=separator) if line]
    except csv.Error as error:
        raise _unreadable(path, error, KINDS) from error
    finally:
        csv.field_size_limit(limit)
    head, *rest = lines or [[]]
    if twice := sorted({column for column in head if head.count(column) > 1}):
        raise DataError(
            f"{path}: the head line has {', '.join(map(repr, twice))} twice",
            hint="give each column a name of its own",
        )
    for number, line in enumerate(rest, start=1):
        name = f"{path}:{number}"
        if len(line) == len(head):
            yield Row(name, dict(zip(head, line, strict=True)))
        else:
            hint = "; is a cell with a separator in it not in quotes?" if len(line) > len(head) else ""
            yield Row(name, problem=f"has {len(line)} cells, where the head line has {len(head)}{hint}")


def check_rows(rows: Sequence[Row], columns: Mapping[str, str], *, texts: Container[str] = ()) -> None:
    """Raise a `DataError` that names each row that cannot be read or lacks a column, if there are any.

    Args:
        rows: all rows of a file.
        columns: the columns that are needed, each with the setting that names it, for the message: `{"body":
            "data.text"}`.
        texts: the columns that must hold a text, or a whole number, which is taken as a text.
    """
    faults: list[tuple[Row, str]] = []
    near: dict[str, None] = {}
    for row in rows:
        missing = [column for column in columns if column not in row.cells]
        if row.problem is not None:
            faults.append((row, row.problem))
        elif missing:
            faults.append(
                (row, f"has no {' and no '.join(map(repr, missing))}; it has {_names(list(row.cells))}")
            )
            near |= {
                repr(found): None
                for column in missing
                if (found := nearest(column, set(row.cells) - set(columns)))
            }
        else:
            found_in = ((column, _no_text(row.cells[column])) for column in columns if column in texts)
            faults += [(row, f"its {column!r} {reason}") for column, reason in found_in if reason]
    settings = list(dict.fromkeys(columns.values()))
    hint = f"{' and '.join(settings)} name{'s' if len(settings) == 1 else ''} the columns"
    refuse(rows, faults, hint=f"{hint}; did you mean {' and '.join(near)}?" if near else hint)


def _no_text(cell: object) -> str | None:
    """Return why a cell cannot be taken as a text, or None if it can."""
    if not isinstance(cell, str | int):
        return f"is {cell!r}, which is not a text"
    try:
        str(cell).encode()
    except UnicodeEncodeError:
        return f"is {cell!r}, which has half a character in it (a lone surrogate)"
    return None


def _names(columns: Sequence[str]) -> str:
    more = f", and {len(columns) - 20:,} more" if len(columns) > 20 else ""
    return f"{', '.join(map(repr, columns[:20]))}{more}" if columns else "nothing"


def refuse(rows: Sequence[Row], faults: Sequence[tuple[Row, str]], *, hint: str) -> None:
    """Raise a `DataError` that names the rows with faults, if there are any.

    Args:
        rows: the rows that were checked.
        faults: rows, each with what is wrong with it.
        hint: what to do.
    """
    if faults:
        bad = len({row.name for row, _ in faults})
        lines = [f"{row.name}: {fault}" for row, fault in faults]
        raise DataError(f"{bad:,} of {len(rows):,} rows cannot be used:{listing(lines)}", hint=hint)
