"""docs/tutorial.md, typed as it stands: its files are written, its commands run one after the other, and say what it says they do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def said(line: str, output: str) -> bool:
    """Whether a line is in what was printed, whatever its numbers are."""
    pattern = re.sub(r"(?:\\?\.)?\d[\d\\.,]*", r"[\\d.,]+", re.escape(line.strip()))
    return re.search(pattern.replace(r"\ ", r"\s+"), output) is not None


def test_the_tutorial_as_it_stands(tmp_path: Path) -> None:
    blocks = _BLOCK.findall((REPOSITORY / "docs" / "tutorial.md").read_text())
    assert {kind for kind, _ in blocks} == {"console", "python", "yaml", "text"}
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    folder, output, ran = tmp_path, "", 0
    for kind, content in blocks:
        if kind in ("python", "yaml"):
            named, _, rest = content.partition("\n")
            path = folder / named.removeprefix("# ")
            assert path.parent.is_dir(), f"{path} is a file of the package"
            path.write_text(rest)
        elif kind == "text":
            assert [line for line in content.splitlines() if not said(line, output)] == [], output
        else:
            # One shell a block; what a person would have set by then is carried along.
            shell = f"set -e\n{content}\npwd > {tmp_path}/.pwd\nenv > {tmp_path}/.env\n"
            done = subprocess.run(
                ["bash", "-c", shell], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
            )
            output = done.stdout
            assert done.returncode == 0, f"{content}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            assert "Traceback" not in done.stderr
            folder = Path((tmp_path / ".pwd").read_text().strip())
            (path,) = re.findall(r"^PYTHONPATH=(.*)$", (tmp_path / ".env").read_text(), re.MULTILINE)
            environment["PYTHONPATH"] = path
            ran += content.count("\n")
    assert ran == 13
    best = (folder / "outputs" / "run1" / "metrics.jsonl").read_text()
    assert max(float(value) for value in re.findall(r'"phase": "validation".*?"accuracy": ([\d.]+)', best)) > 0.94
    assert len((folder / "predictions.csv").read_text().splitlines()) == 6
