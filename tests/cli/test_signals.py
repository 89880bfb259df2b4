"""Ctrl-C and SIGTERM in the parts of a run that are no training steps: it saves, ends with its code, and goes
on with the same bits."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.cli import resume
from framework.evaluation.compare_runs import differences
from tests.cli.test_commands import assert_clean
from tests.conftest import TOY_WORDS, environment
from tests.torture import command as script

Command = Callable[..., subprocess.CompletedProcess[str]]

WORDS = (
    "epochs=3",
    "trainer.calc_ema=0.9",
    "trainer.tensorboard=true",
    "trainer.export_saved_model=true",
    "trainer.lav_every_n=1",
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, finished: Callable[..., Path]) -> Path:
    return finished(tmp_path_factory.mktemp("undisturbed") / "run", *WORDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("appears", "number", "code"),
    [
        (".lav", signal.SIGINT, 130),
        (".best.draft", signal.SIGTERM, 143),
        (".export.draft", signal.SIGINT, 130),
    ],
)
def test_a_signal_is_answered_in_validation_and_export(
    command_here: Command, tmp_path: Path, undisturbed: Path, appears: str, number: signal.Signals, code: int
) -> None:
    run = tmp_path / "run"
    start = script("train-scenario", *TOY_WORDS, *WORDS, f"output_dir={run}")
    process = subprocess.Popen(
        start, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not (run / appears).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert json.loads((run / "result.json").read_text())["status"] == "interrupted"
    assert_clean(command_here(resume.main, str(run)), 0)
    assert differences(run, undisturbed) == []
