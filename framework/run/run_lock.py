"""The lock of a run: one process holds it.

It is a lock of the system or, if the file system has no locks, a file with a heartbeat.

The system frees its lock when the process ends, however it ends. FAT has such locks, but some network and
FUSE file systems do not. There the file `.holder` names the process that holds the run, and that process
touches it every 15 seconds. If the process is dead and of this machine, the file is taken over at once. If it
is of another machine, the file is taken over when it was not touched for two minutes. That is weaker: after a
longer suspension, a process may find that another one went on with its run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from framework.errors import RunDirectoryError
from framework.run.run_files import FileRecord, JsonObject, MissingFileError, UnusableFileError, read_json

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS, STALE_SECONDS = 15.0, 120.0
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@dataclass(frozen=True, kw_only=True)
class HolderFile(FileRecord):
    """`.holder`: the process that holds the run."""

    process: int
    started: str
    host: str
    place: str
    token: str


def this_process() -> str:
    """Return the name of this process in messages to others."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextlib.contextmanager
def lock(folder: Path, lock_file: Path) -> Iterator[None]:
    """Hold a run for this process.

    Args:
        folder: the run directory.
        lock_file: the file in it that the system locks.

    Raises:
        RunDirectoryError: if another process holds it, naming that process, or the folder cannot be written.
    """
    try:
        # A link that leads elsewhere is not followed.
        handle = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise RunDirectoryError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        reason = _take(folder, handle, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):  # on a full disk the lock stays without a name
            if os.fstat(handle).st_nlink == 1:  # else the file has another name elsewhere
                os.ftruncate(handle, 0)
                os.write(handle, this_process().encode())
        with contextlib.nullcontext() if reason is None else _heartbeat(folder, reason):
            yield
    finally:
        os.close(handle)


def check_not_held(folder: Path, lock_file: Path) -> None:
    """Raise a `RunDirectoryError` if another process holds the run.

    Nothing is written but a file to tell the time by.
    """
    try:
        handle = os.open(lock_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunDirectoryError(f"{lock_file} cannot be read: {error.strerror}") from error
    try:
        if _take(folder, handle, fcntl.LOCK_SH) is not None:
            _check_holder(folder)
    finally:
        os.close(handle)


def _take(folder: Path, handle: int, kind: int) -> str | None:
    """Take the lock of the system, and return why it is not available if the file system has none."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _HELD:
            return error.strerror or str(error)
        holder = os.read(handle, 1000).decode(errors="replace").strip() or "another process"
        raise _in_use(folder, holder) from None
    return None


def _in_use(
    folder: Path, holder: str, hint: str = "wait for it to end, or end it; then try again"
) -> RunDirectoryError:
    return RunDirectoryError(f"{folder} is in use by {holder}", hint=hint)


@contextlib.contextmanager
def _heartbeat(folder: Path, reason: str) -> Iterator[None]:
    log.warning(
        "%s is on a file system without locks (%s): it is held by a file with a heartbeat, which is weaker; "
        "start no second process in it",
        folder,
        reason,
    )
    holder_file, token = folder / ".holder", uuid.uuid4().hex
    while not _create_holder(holder_file, token):
        _remove(holder_file, _check_holder(folder))
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(HEARTBEAT_SECONDS):
            if _token_of(holder_file) != token:
                log.error(
                    "%s was taken over by another process while this one did not run; end one of the two",
                    folder,
                )
                return
            with contextlib.suppress(OSError):
                os.utime(holder_file)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        _remove(holder_file, token)


def _create_holder(path: Path, token: str) -> bool:
    """Create `.holder` for this process, and return whether it did not exist."""
    content = {
        "process": os.getpid(),
        "started": _start_of(os.getpid()),
        "host": socket.gethostname(),
        "place": _place(),
    }
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    except FileExistsError:
        return False
    except OSError as error:
        raise RunDirectoryError(f"cannot write to {path.parent}: {error.strerror}") from error
    try:
        os.write(handle, json.dumps(content | {"token": token}).encode())
        os.fsync(handle)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise RunDirectoryError(f"cannot write to {path.parent}: {error.strerror}") from error
    finally:
        os.close(handle)
    return True


def _check_holder(folder: Path) -> str | None:
    """Raise a `RunDirectoryError` if the process in `.holder` may be alive; else return its token, if any."""
    path = folder / ".holder"
    try:
        holder: JsonObject = read_json(path, HolderFile)
    except MissingFileError:
        return None
    except UnusableFileError:
        # It may be written just now.
        holder = {"process": "?", "host": "an unknown host", "place": None, "token": None}
    name = f"process {holder['process']} on {holder['host']}"
    if holder["place"] == _place():
        if _start_of(holder["process"]) == holder["started"]:
            raise _in_use(folder, name)
        log.warning("%s was held by %s, which has ended; it is taken over", folder, name)
        return holder["token"]
    age = _age(path)
    if age < STALE_SECONDS:
        wait = max(1, round(STALE_SECONDS - age))
        raise _in_use(
            folder,
            f"{name}, which gave a sign {max(0, round(age))} s ago",
            hint=f"wait for it to end; where it is dead, the run is free in {wait} s",
        )
    log.warning("%s was held by %s, which gave no sign for %d s; it is taken over", folder, name, age)
    return holder["token"]


def _remove(path: Path, token: str | None) -> None:
    """Remove `.holder` if it still has this token (None: if it cannot be read).

    Only one of several processes succeeds.
    """
    if _token_of(path) != token:
        return
    aside = path.with_name(f".holder.{os.getpid()}")
    with contextlib.suppress(OSError):
        os.rename(path, aside)
        aside.unlink()


def _token_of(path: Path) -> str | None:
    try:
        token: str = read_json(path, HolderFile)["token"]
    except UnusableFileError:
        return None
    return token


def _age(path: Path) -> float:
    """Return the seconds since a file was touched, by the clock of its file system.

    That may be the clock of another machine.
    """
    probe = path.with_name(f".clock.{os.getpid()}")
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644))
        now = probe.stat().st_mtime
    except OSError:
        return 0.0  # so that the run is not taken over
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    try:
        return now - path.stat().st_mtime
    except OSError:
        return 0.0


def _place() -> str:
    """Return what process numbers are unique in: this machine since its start, and this container."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _start_of(process: int) -> str:
    """Return when a process started, to distinguish processes with the same number; empty if it has ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except (OSError, OverflowError):
        pass
    return "unknown"
