"""The kit: a new scenario in a minute, without YAML where nobody wants it, and a contract that says what is
wrong with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.cli import check_scenario, lav, predict, resume, train
from tests.cli.test_commands import assert_clean
from tests.torture import command as script

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit")
    made = subprocess.run(
        script("new-scenario", "my_digits", "--dir", "new/place"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "train-scenario --config-dir conf scenario=my_digits" in made.stdout
    return folder / "new" / "place" / "my_digits"


def in_package(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(package)}
    return subprocess.run(
        words, cwd=package, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_a_new_scenario_is_small_and_trains_at_once(package: Path) -> None:
    lines = [line for path in package.rglob("*.py") for line in path.read_text().splitlines()]
    assert len(lines) <= 40
    assert sorted(path.name for path in package.parent.iterdir()) == ["my_digits"], "no draft stays behind"
    trained = in_package(
        package, *script("train-scenario", "--config-dir", "conf", "scenario=my_digits", "output_dir=run")
    )
    assert_clean(trained, 0)
    accuracy = re.search(r"best epoch .* val_accuracy (0\.\d+)", " ".join(trained.stdout.split()))
    assert accuracy is not None
    assert float(accuracy[1]) > 0.9, "what its config promises"
    assert "predict-scenario" not in trained.stdout, "it does not say how to read what is to be predicted"
    # A run needs the package, and nothing else of it.
    for words in (["load-and-validate", "run"], ["resume-training", "run", "epochs=11"]):
        assert_clean(in_package(package, *script(*words)), 0)


@pytest.mark.long
def test_its_own_test_passes(package: Path) -> None:
    passed = in_package(package, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert passed.returncode == 0, passed.stdout[-3000:]


def test_check_scenario_says_what_is_wrong_and_where(command_here: Command) -> None:
    words = ("scenario=module", "--traceback", "scenario.target=broken:Raising")
    result = command_here(check_scenario.main, *words)
    assert result.returncode == 1, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "passed    it composes"
    assert "failed    it builds: KeyError: 'units'" in lines
    assert "broken.py:" in result.stdout
    assert 'raise KeyError("units")' in result.stdout
    assert result.stdout.count("not tried") == 8
    result = command_here(check_scenario.main, "scenario=mesonet", "modl=meso4")
    assert result.returncode == 2
    assert "did you mean 'model'?" in result.stderr


@pytest.mark.slow
def test_a_scenario_without_yaml_with_dicts_in_and_out(command_here: Command, tmp_path: Path) -> None:
    words = [
        "scenario=module",
        "scenario.target=structures:TwoByTwo",
        "epochs=2",
        "output_dir=run",
        "trainer.export_saved_model=false",
    ]
    assert_clean(command_here(train.main, *words), 0)
    assert_clean(command_here(resume.main, "run", "epochs=3"), 0)
    result = command_here(lav.main, "run")
    assert_clean(result, 0)
    assert "brightness_mae" in result.stdout
    assert_clean(command_here(predict.main, "run", "anything", "--output", "predictions.csv"), 0)
    head, *rows = (tmp_path / "predictions.csv").read_text().splitlines()
    assert (head, len(rows)) == ("file,pattern_0,pattern_1,brightness", 90)
    result = command_here(train.main, "scenario=module")
    assert result.returncode == 2
    assert "scenario.target: must name the class of a scenario" in result.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("json", "is the name of a Python module that is there already"),
        ("lenet", "is the name of a scenario that is there already"),
        ("My-Scenario", "must be a name for a Python package"),
        ("class", "must be a name for a Python package"),
    ],
)
def test_names_that_cannot_be_used(command: Command, tmp_path: Path, name: str, said: str) -> None:
    result = command("new-scenario", name)
    assert_clean(result, 2)
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    result = command("new-scenario", "mine")
    assert_clean(result, 1)
    assert "mine is there already" in result.stderr
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_scenario_of_ones_own_without_its_folder_is_told_how_it_is_found(command: Command) -> None:
    result = command("train-scenario", "scenario=wine")
    assert_clean(result, 2)
    assert "a scenario of your own is found with --config-dir FOLDER" in result.stderr
