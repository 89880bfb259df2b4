"""Data that are bad from the start, and data that go bad while a run trains on them."""

from __future__ import annotations

import csv
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.cli import resume, train, validate_data
from framework.evaluation.compare_runs import differences
from tests.cli.test_commands import assert_clean, write_images
from tests.conftest import environment
from tests.torture import command as script

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    faces = write_images(tmp_path / "faces")
    return [
        "scenario=mesonet",
        "model=meso1",
        "data=image_folder",
        f"data.train_dir={faces}",
        "data.image_size=32",
        "batch_size=8",
    ]


@pytest.mark.slow
def test_data_are_validated_before_training(command_here: Command, tmp_path: Path, words: list[str]) -> None:
    sound = command_here(validate_data.main, *words)
    assert_clean(sound, 0)
    (tmp_path / "faces" / "dark" / "empty file.png").write_bytes(b"")
    (tmp_path / "faces" / "light" / "zwölf.jpg").write_text("no image")
    found = command_here(validate_data.main, *words, "--output", "faults.csv")
    assert_clean(found, 1)
    assert "faces/dark/empty file.png: is empty" in " ".join(found.stdout.split())
    with open(tmp_path / "faults.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted((row["kind"], Path(row["sample"]).name) for row in rows) == [
        ("empty", "empty file.png"),
        ("not an image", "zwölf.jpg"),
    ]
    missing = command_here(validate_data.main, *words, "data.val_dir=nowhere")
    assert_clean(missing, 2)
    assert "data.val_dir" in missing.stderr
    wrong = command_here(validate_data.main, "scenario=mesonet", "data.batch_sise=3")
    assert_clean(wrong, 2)
    assert "did you mean 'batch_size'" in wrong.stderr


@pytest.mark.slow
def test_a_file_that_disappears_ends_the_run_by_name_and_brought_back_changes_nothing(
    command_here: Command, tmp_path: Path, words: list[str]
) -> None:
    words += ["epochs=3", "steps_per_epoch=40", "data.cache=off", "trainer.checkpoint_every_n_steps=10"]
    words = [word.replace("steps_per_epoch", "trainer.steps_per_epoch") for word in words]
    run, lost = tmp_path / "run", tmp_path / "faces" / "dark" / "07.png"
    start = script("train-scenario", *words, f"output_dir={run}")
    process = subprocess.Popen(
        start, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not list(run.glob("checkpoints/step-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    lost.rename(tmp_path / "07.png")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert f"{lost}: No such file or directory" in errors
    assert "Traceback" not in errors
    without = command_here(resume.main, str(run))
    assert_clean(without, 1)
    assert "are not what they were: they were 32 files" in without.stderr
    (tmp_path / "07.png").rename(lost)
    assert_clean(command_here(resume.main, str(run)), 0)
    assert_clean(command_here(train.main, *words, "output_dir=undisturbed"), 0)
    assert differences(run, tmp_path / "undisturbed") == []
