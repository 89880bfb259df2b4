"""docs/tutorial.md and docs/extending.md, typed as they stand: their files are written, their commands run
one after the other, and say what the pages say they do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def said(line: str, output: str) -> bool:
    """Whether a line is in what was printed, whatever its numbers are."""
    pattern = re.sub(r"(?:\\?\.)?\d[\d\\.,]*", r"[\\d.,]+", re.escape(line.strip()))
    return re.search(pattern.replace(r"\ ", r"\s+"), output) is not None


def type_page(name: str, place: Path) -> tuple[Path, int]:
    """Type a page of docs/. Gives the folder in which one is then, and how many commands there were."""
    blocks = _BLOCK.findall((REPOSITORY / "docs" / name).read_text())
    assert {kind for kind, _ in blocks} == {"console", "python", "yaml", "text"}
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "",
    }
    folder, output, ran = place, "", 0
    for kind, content in blocks:
        if kind in ("python", "yaml"):
            # Copied whole, as a person does: a line `# @package` counts for Hydra where it is the first one
            # only.
            (named,) = re.findall(r"\A(?:# @package \S+\n)?# (\S+)\n", content)
            path = folder / named
            assert path.parent.is_dir(), f"{path} is a file of the package"
            path.write_text(content)
        elif kind == "text":
            assert [line for line in content.splitlines() if not said(line, output)] == [], output
        else:
            # One shell a block; what a person would have set by then is carried along.
            shell = f"set -e\n{content}\npwd > {place}/.pwd\nenv > {place}/.env\n"
            done = subprocess.run(
                ["bash", "-c", shell],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            output = done.stdout
            assert done.returncode == 0, f"{content}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            assert "Traceback" not in done.stderr
            folder = Path((place / ".pwd").read_text().strip())
            (path,) = re.findall(r"^PYTHONPATH=(.*)$", (place / ".env").read_text(), re.MULTILINE)
            environment["PYTHONPATH"] = path
            ran += content.count("\n")
    return folder, ran


@pytest.mark.slow
def test_the_tutorial_as_it_stands(tmp_path: Path) -> None:
    folder, ran = type_page("tutorial.md", tmp_path)
    assert ran == 13
    best = (folder / "outputs" / "run1" / "metrics.jsonl").read_text()
    assert (
        max(float(value) for value in re.findall(r'"phase": "validation".*?"accuracy": ([\d.]+)', best))
        > 0.94
    )
    assert len((folder / "predictions.csv").read_text().splitlines()) == 6


@pytest.mark.slow
def test_the_page_on_parts_of_ones_own_as_it_stands(tmp_path: Path) -> None:
    folder, ran = type_page("extending.md", tmp_path)
    assert ran == 7
    run = folder / "outputs" / "run1"
    config = (run / "config.yaml").read_text()
    for chosen in ("name: signum", "momentum: 0.7", "name: polynomial", "name: timed", "name: dense"):
        assert chosen in config
    values = re.findall(r'"phase": "validation".*?"accuracy": ([\d.]+)', (run / "metrics.jsonl").read_text())
    assert len(values) == 4
    assert float(values[-1]) > 0.7
