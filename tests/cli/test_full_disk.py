"""A disk that is truly full: a run says so, goes on as far as it can, and is finished when there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from framework.cli import resume
from framework.evaluation.compare_runs import differences
from tests.conftest import TOY_WORDS

WORDS = ("epochs=4", "trainer.calc_ema=0.9", "trainer.tensorboard=true", "trainer.export_saved_model=true")
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A small disk; called, it has that many kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("needs to mount a small disk, which takes a superuser on Linux")

    def resize(kilobytes: int) -> Path:
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(folder)], check=True)
        return folder

    yield resize
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, finished: Callable[..., Path]) -> Path:
    return finished(tmp_path_factory.mktemp("undisturbed") / "run", *WORDS)


# What there is no room for, at first: the event files; the best model; the exported model.
@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [24, 56, 170])
def test_a_run_on_a_full_disk_is_finished_when_there_is_room(
    command: Command, command_here: Command, undisturbed: Path, disk: Callable[[int], Path], kilobytes: int
) -> None:
    run = disk(kilobytes) / "run"
    full = command("train-scenario", *TOY_WORDS, *WORDS, f"output_dir={run}")
    assert full.returncode == 1
    assert "Traceback" not in full.stdout + full.stderr
    assert "Error in" not in full.stderr
    assert full.stderr.count(f"resume-training {run}") == 1
    disk(20_000)
    resumed = command_here(resume.main, str(run))
    assert resumed.returncode == 0, resumed.stderr
    assert differences(run, undisturbed) == []
