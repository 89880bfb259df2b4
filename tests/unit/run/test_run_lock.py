"""One process holds a run: on file systems with locks and hard links, and on those without."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from framework.config.sections import RunConfig
from framework.errors import RunDirectoryError
from framework.run import run_lock
from framework.run.run_directory import RunDirectory
from tests.conftest import environment


def fails_with(number: int) -> object:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture(
    params=[errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL],
    ids=lambda number: errno.errorcode[number],
)
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", fails_with(request.param))


HOLD = """
import errno, fcntl, sys
def flock(*arguments): raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
from framework.run.run_directory import RunDirectory
with RunDirectory(sys.argv[1]).lock():
    print("held", flush=True); sys.stdin.read()
"""


@pytest.fixture
def holder(run: RunDirectory) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run by its heartbeat."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_without_locks_a_heartbeat_holds_the_run_and_that_is_said(
    run: RunDirectory, without_locks: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    run.check_not_in_use()
    with run.lock():
        assert json.loads((run.path / ".holder").read_text())["process"] == os.getpid()
        with pytest.raises(RunDirectoryError, match=rf"in use by process {os.getpid()} on "), run.lock():
            pass
        with pytest.raises(RunDirectoryError, match="in use"):
            run.check_not_in_use()
    assert "file system without locks" in caplog.text
    assert not list(run.path.glob(".holder*"))
    assert not list(run.path.glob(".clock*"))
    with run.lock():
        pass


def test_a_heartbeat_of_a_dead_process_is_taken_over(
    run: RunDirectory,
    holder: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(fcntl, "flock", fails_with(errno.ENOLCK))
    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    with pytest.raises(RunDirectoryError, match=rf"in use by process {holder.pid} on "), run.lock():
        pass
    holder.kill()
    holder.wait()
    run.check_not_in_use()
    with run.lock():
        assert (
            f"process {holder.pid} on {socket.gethostname()}, which has ended; it is taken over"
            in caplog.text
        )


def test_a_heartbeat_of_another_machine_is_taken_over_when_it_is_old(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fcntl, "flock", fails_with(errno.ENOTSUP))
    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    path = run.path / ".holder"
    path.write_text(json.dumps({"process": 5, "started": "1", "host": "far", "place": "far 1", "token": "x"}))
    with (
        pytest.raises(
            RunDirectoryError, match=r"process 5 on far, which gave a sign \d+ s ago(.|\n)*is free in \d+ s"
        ),
        run.lock(),
    ):
        pass
    os.utime(path, (path.stat().st_mtime - 2 * run_lock.STALE_SECONDS,) * 2)
    with run.lock():
        assert json.loads(path.read_text())["process"] == os.getpid()
    assert "process 5 on far, which gave no sign" in caplog.text


def test_the_heart_beats_and_notices_that_another_process_took_over(
    run: RunDirectory, without_locks: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    monkeypatch.setattr(run_lock, "HEARTBEAT_SECONDS", 0.01)
    path = run.path / ".holder"
    with run.lock():
        os.utime(path, (1, 1))
        while path.stat().st_mtime == 1:
            pass
        other = json.loads(path.read_text()) | {"token": "another"}
        (run.path / "other").write_text(json.dumps(other))
        os.replace(run.path / "other", path)
        while "was taken over by another process" not in caplog.text:
            pass
    assert json.loads(path.read_text()) == other  # it is not ours to remove


@pytest.mark.parametrize(
    "number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK], ids=lambda n: errno.errorcode[n]
)
def test_without_hard_links_one_claim_is_granted(
    tmp_path: Path, config: RunConfig, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", fails_with(number))
    run = RunDirectory.create(tmp_path / "run")
    run.claim(config)
    assert RunDirectory.open(tmp_path / "run").load_config() == config
    assert sorted(path.name for path in run.path.iterdir()) == [".lock", "checkpoints", "config.yaml"]
    with pytest.raises(RunDirectoryError, match="already holds a run"):
        RunDirectory(tmp_path / "run").claim(config)
    other = RunDirectory.create(tmp_path / "other")
    with other.lock(), pytest.raises(RunDirectoryError, match="in use by process"):
        RunDirectory(tmp_path / "other").claim(config)


@pytest.mark.parametrize("name", [".lock", ".config.yaml", "train.log", "checkpoints", ".lav"])
@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "broken link"])
def test_a_new_run_follows_nothing_that_lies_in_its_folder(
    tmp_path: Path, config: RunConfig, name: str, kind: str
) -> None:
    mine, folder = tmp_path / "mine", tmp_path / "run"
    mine.write_text("mine")
    folder.mkdir()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "hard link":
        os.link(mine, folder / name)
    else:
        (folder / name).symlink_to(mine if kind == "link" else tmp_path / "nowhere")
    for attempt in (lambda: RunDirectory.create(folder), lambda: RunDirectory(folder).claim(config)):
        with pytest.raises(RunDirectoryError, match=f"{folder}.*wants a folder of its own"):
            attempt()
    assert mine.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "run"]


def test_a_lock_is_not_taken_through_a_link(run: RunDirectory, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (run.path / ".lock").symlink_to(mine)
    with pytest.raises(RunDirectoryError, match="cannot write to"), run.lock():
        pass
    (run.path / ".lock").unlink()
    os.link(mine, run.path / ".lock")
    with run.lock():
        pass
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("path", ["/proc/run", "/dev/null/run", "/proc/self/run"])
def test_what_cannot_be_made_is_said_in_one_line(path: str) -> None:
    with pytest.raises(RunDirectoryError, match=f"cannot make the run directory {path}: ") as raised:
        RunDirectory.create(path)
    assert "\n" not in str(raised.value)
