"""Writing of files and folders that are whole or missing after a crash, a kill or a full disk."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path

from framework.errors import RunDirectoryError


def now() -> str:
    """Return the time in ISO 8601, with its offset."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def strict_json(value: object, *, indent: int | None = None) -> str:
    """Format JSON that every program can read: numbers that are not finite become null."""

    def finite(node: object) -> object:
        if isinstance(node, Mapping):
            return {key: finite(inner) for key, inner in node.items()}
        if isinstance(node, list | tuple):
            return [finite(inner) for inner in node]
        return None if isinstance(node, float) and not math.isfinite(node) else node

    return json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def sha256_of(content: str | bytes | BufferedReader) -> str:
    """Return the SHA-256, in hex, of a text in UTF-8, of bytes, or of the unread rest of an open file."""
    if isinstance(content, str | bytes):
        return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
    return hashlib.file_digest(content, "sha256").hexdigest()


def check_report(path: Path, *, overwrite: bool = True) -> None:
    """Raise a `RunDirectoryError` if `write_report` could not write, before its content is computed.

    Args:
        path: the file.
        overwrite: whether the file may exist already.
    """
    if not overwrite and path.exists():
        raise RunDirectoryError(
            f"{path} is there already; nothing was changed",
            hint="name another file with --output, or add --overwrite",
        )
    with _report_folder(path):
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        write_durably(draft, "")
        draft.unlink()


def check_report_folder(path: Path, *, overwrite: bool = True) -> None:
    """Raise a `RunDirectoryError` if files could not be written into a folder, before their content is computed.

    Args:
        path: the folder; it is made where it is missing.
        overwrite: whether it may hold files already.
    """
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise RunDirectoryError(
            f"{path} holds files already; nothing was changed",
            hint="name another folder with --output, or add --overwrite",
        )
    check_report(path / "report")


def write_report(path: Path, content: str | bytes) -> None:
    """Write a file to a path that the user gave.

    Raises:
        RunDirectoryError: if that is not possible.
    """
    with _report_folder(path):
        write_atomically(path, content)


@contextlib.contextmanager
def _report_folder(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {path}: {error.strerror or error}", hint="name another file with --output"
        ) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file in one step.

    A reader, or a start after a crash, sees either the old content or the new one, whole.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    write_durably(draft, content)
    os.replace(draft, path)
    sync_directory(path.parent)


def write_durably(path: Path, content: str | bytes) -> None:
    """Write a new file, and return when the disk holds it. A file or link of that name is replaced."""
    path.unlink(missing_ok=True)
    with open(path, "xb") as file:  # "x" does not follow a link that was put there meanwhile
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(path: Path) -> None:
    """Make every file below a folder durable, and the names of the files."""
    for folder, _, files in os.walk(path):
        for name in files:
            handle = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_directory(Path(folder))


@contextlib.contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Fill a new folder that takes the place of `path` when the block ends without an error.

    A folder cannot be replaced in one step, so the old one is kept under another name meanwhile.
    `recover_directory` brings it back after a crash.
    """
    draft, old = _beside(path, "draft"), _beside(path, "old")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        sync_tree(draft)
        recover_directory(path)
        if path.exists():
            os.rename(path, old)
        os.rename(draft, path)
        sync_directory(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def swap_directories(path: Path, other: Path) -> None:
    """Exchange two folders; `path` need not exist.

    After a crash in between, `recover_directory(path)` brings back one of them.
    """
    old = _beside(path, "old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.rename(path, old)
    os.rename(other, path)
    if old.exists():
        os.rename(old, other)
    sync_directory(path.parent)


def recover_directory(path: Path) -> None:
    """Bring back a folder that a crash left without its replacement."""
    old = _beside(path, "old")
    if old.exists():
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, path)


def recover_directories(parent: Path) -> None:
    """Bring back each folder in `parent` that a crash left without its replacement.

    Only the process that holds the run may do so, since it may be replacing a folder just now.
    """
    for old in parent.glob(".*.old"):
        recover_directory(parent / old.name[1 : -len(".old")])


def standing(path: Path) -> Path:
    """Return where a folder can be read, which is beside its path for a moment while it is replaced."""
    old = _beside(path, "old")
    return old if old.is_dir() and not path.exists() else path


def _beside(path: Path, role: str) -> Path:
    return path.with_name(f".{path.name}.{role}")
