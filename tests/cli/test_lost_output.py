"""What a command prints cannot be written: a run goes on, any other command ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TOY_WORDS, environment


def start(name: str, *words: str, cwd: Path, stdout: int, stderr: int) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).parent / name
    return subprocess.run(
        [str(script), *words],
        cwd=cwd,
        env=environment(),
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=300,
        check=False,
    )


def broken_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.slow
def test_a_run_goes_on_where_nobody_reads(tmp_path: Path) -> None:
    words = [
        *TOY_WORDS,
        "scenario.name=talking",
        "scenario.target=talking:Talking",
        "epochs=1",
        "output_dir=run",
    ]
    quick = ["trainer.tensorboard=false", "trainer.report=false", "trainer.export_saved_model=false"]
    full = os.open("/dev/full", os.O_WRONLY)
    done = start("train-scenario", *words, *quick, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    result = tmp_path / "run" / "result.json"
    assert json.loads(result.read_text())["status"] == "finished"
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("stdout cannot be written (No space left on device)") == 1
    assert "epoch 1/1" in log
    # What the scenario itself has to say is told once, in both places.
    for line in (
        "a line\n",
        "a doubt\n",
        "a line of no logger\n",
        "UserWarning: a warning of Python\n",
        "another's doubt\n",
    ):
        assert (done.stderr.count(line), log.count(line)) == (1, 1), line
    assert "a detail" not in done.stderr + log
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr

    pipe = broken_pipe()
    again = start("resume-training", "run", "epochs=2", cwd=tmp_path, stdout=pipe, stderr=pipe)
    assert again.returncode == 0
    assert json.loads(result.read_text())["epochs"] == 2
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("stdout cannot be written (Broken pipe)") == 1


def test_another_command_ends_as_unix_tools_do(tmp_path: Path) -> None:
    gone = start("new-scenario", "first", cwd=tmp_path, stdout=broken_pipe(), stderr=subprocess.PIPE)
    assert (gone.returncode, gone.stderr) == (141, "")
    full = start(
        "new-scenario",
        "second",
        cwd=tmp_path,
        stdout=os.open("/dev/full", os.O_WRONLY),
        stderr=subprocess.PIPE,
    )
    assert (full.returncode, full.stderr) == (1, "stdout cannot be written: No space left on device\n")
    words = [*TOY_WORDS, "--cfg", "job"]  # of a command that trains, where it trains nothing
    shown = start(
        "train-scenario",
        *words,
        cwd=tmp_path,
        stdout=os.open("/dev/full", os.O_WRONLY),
        stderr=subprocess.PIPE,
    )
    assert (shown.returncode, shown.stderr) == (1, "stdout cannot be written: No space left on device\n")
