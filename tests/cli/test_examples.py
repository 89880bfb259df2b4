"""The scripts in examples/ run as they are, and again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, environment

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_an_example_trains_and_continues(script: Path, tmp_path: Path) -> None:
    def run() -> str:
        done = subprocess.run(
            [sys.executable, str(script), "run"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "finished after 8 epochs" in run()
    assert "finished after 10 epochs" in run()
    best = json.loads((tmp_path / "run" / "result.json").read_text())["best"]
    assert best["metrics"]["val_accuracy"] > 0.9


def test_there_are_examples() -> None:
    assert EXAMPLES
