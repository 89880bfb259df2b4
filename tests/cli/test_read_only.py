"""A run in a folder that cannot be written: it is said in one line, and what only reads works."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, TOY_WORDS, environment
from tests.torture import command as script

_DROP_CAPABILITY, _OVERRIDE_PERMISSIONS, _READ_SEARCH = 24, 1, 2  # prctl(2), capabilities(7)


def obey_permissions() -> None:
    """A superuser writes wherever he likes; from here on this process does not."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (_OVERRIDE_PERMISSIONS, _READ_SEARCH):
            if libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0):
                raise OSError("cannot give up the rights of a superuser")


def run_command(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        script(*words),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=obey_permissions,
    )


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A run that was not finished, in a folder that nobody can write to."""
    run = tmp_path / "run"
    shutil.copytree(REPOSITORY / "tests" / "data" / "run-of-format-1", run)
    everything = [run, *run.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield run
    for path in everything:
        path.chmod(0o755)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs the permissions of a POSIX system")
def test_a_read_only_run_is_read_and_not_resumed(read_only: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in read_only.rglob("*")}
    resumed = run_command(tmp_path, "resume-training", "run", "epochs=3")
    assert resumed.returncode == 1
    assert resumed.stderr.count("\n") <= 3
    assert "cannot write to run: Permission denied" in resumed.stderr
    unwritable = run_command(tmp_path, "load-and-validate", "run")
    assert unwritable.returncode == 1
    assert "cannot write run/lav.json: Permission denied" in unwritable.stderr
    assert "--output" in unwritable.stderr
    validated = run_command(tmp_path, "load-and-validate", "run", "--output", "lav.json")
    assert validated.returncode == 0, validated.stderr
    assert json.loads((tmp_path / "lav.json").read_text())["samples"] == 37
    assert run_command(tmp_path, "ema-weights", "run").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in read_only.rglob("*")} == before


@pytest.mark.skipif(os.name != "posix", reason="needs the permissions of a POSIX system")
def test_a_read_only_place_for_a_new_run_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir(mode=0o555)
    result = run_command(tmp_path, "train-scenario", *TOY_WORDS, "output_dir=shelf/run")
    assert result.returncode == 1
    assert "cannot make the run directory shelf/run: Permission denied" in result.stderr
    assert "Traceback" not in result.stderr
