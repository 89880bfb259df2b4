"""The main job on real faces: what the README promises of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.long
def test_meso4_on_faces(
    command: Callable[..., subprocess.CompletedProcess[str]], shared_data: Path, tmp_path: Path
) -> None:
    faces = shared_data / "faces"
    words = [
        f"data.train_dir={faces / 'train'}",
        f"data.val_dir={faces / 'val'}",
        "epochs=12",
        "output_dir=faces",
    ]
    result = command("train-scenario", "scenario=mesonet", "data=image_folder", *words, timeout=1500)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in (tmp_path / "faces" / "metrics.jsonl").read_text().splitlines()]
    accuracies = [line["metrics"]["accuracy"] for line in lines if line["phase"] == "validation"]
    assert accuracies[0] >= 0.90
    assert max(accuracies[:6]) >= 0.99
    assert max(accuracies) >= 0.994
    validated = command("load-and-validate", "faces")
    assert validated.returncode == 0, validated.stderr
    report = json.loads((tmp_path / "faces" / "lav.json").read_text())
    assert report["metrics"]["accuracy"] == pytest.approx(max(accuracies), abs=1e-6)


@pytest.mark.long
def test_the_recipe_on_faces(
    command: Callable[..., subprocess.CompletedProcess[str]], shared_data: Path, tmp_path: Path
) -> None:
    faces = shared_data / "faces"
    words = [f"data.train_dir={faces / 'train'}", f"data.val_dir={faces / 'val'}", "output_dir=faces"]
    result = command("train-scenario", "experiment=mesonet_best", *words, timeout=1500)
    assert result.returncode == 0, result.stderr
    last = json.loads((tmp_path / "faces" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["phase"] == "validation"
    assert last["metrics"]["accuracy"] >= 0.989
