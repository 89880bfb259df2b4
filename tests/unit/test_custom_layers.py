"""Layers of a scenario's own: docs/custom_layers.md, typed, and what finds their classes in a process that
has not built the model."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from framework.errors import RunDirectoryError, ScenarioError
from framework.evaluation.compare_weights import RunWeights
from framework.evaluation.load_and_validate import load_and_validate
from framework.evaluation.predict import predict
from framework.model.export import load_model
from framework.run.run_directory import RunDirectory
from framework.scenario import compose
from framework.testing.checks import CHECKS
from framework.testing.subject import Subject
from framework.training.agreement import Broken
from framework.training.trainer import Trainer
from tests.conftest import REPOSITORY, environment
from tests.runs import quiet

PAGE = (REPOSITORY / "docs" / "custom_layers.md").read_text()
SHORT = (
    "epochs=1",
    "trainer.tensorboard=false",
    "trainer.report=false",
    "trainer.lav_every_n=1",
    "trainer.export_saved_model=true",
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files of the page, where Python finds them."""
    folder = tmp_path_factory.mktemp("custom")
    (folder / "my_package").mkdir()
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        name = block.splitlines()[0].removeprefix("# ")
        (folder / name).write_text(block)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder
    forget()


@pytest.fixture(scope="module")
def run(package: Path) -> Path:
    scenario = compose("scenario=module", "scenario.target=my_package.scenario:Scaled", *SHORT)
    assert (
        Trainer(scenario, RunDirectory.create(package / "run"), console=quiet()).train().status == "finished"
    )
    return package / "run"


def forget() -> None:
    """Leave the module of the layers as it is in a process that has not built the model."""
    for name in [name for name in keras.saving.get_custom_objects() if "Scale" in name]:
        del keras.saving.get_custom_objects()[name]
    sys.modules.pop("my_package.layers", None)


@pytest.fixture(autouse=True)
def forgotten(run: Path) -> None:
    forget()


def test_validation_and_prediction_find_the_classes(run: Path, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.save(tmp_path / "points.npy", points)
    rows = predict(run, [tmp_path / "points.npy"]).rows
    forget()
    report = load_and_validate(run, output=tmp_path / "lav.json")
    assert report.metrics["loss"] == pytest.approx(report.facts["metrics"]["val_loss"], rel=1e-5)
    model = load_model(run / "best")
    assert [row["output"] for row in rows] == pytest.approx(np.ravel(model(points)), rel=1e-5)


@pytest.mark.slow
def test_a_process_of_its_own_finds_them(run: Path, package: Path) -> None:
    words = [sys.executable, "-m", "framework.cli.lav", str(run), "--output", str(package / "lav.json")]
    done = subprocess.run(
        words, env=environment() | {"PYTHONPATH": str(package)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_weights_of_a_run_and_a_warm_start_need_nothing_more(run: Path, tmp_path: Path) -> None:
    weights = RunWeights(run)
    weights.export(weights.candidate("raw"), tmp_path / "raw", {})
    forget()
    words = (
        "scenario=module",
        "scenario.target=my_package.scenario:Scaled",
        f"warmstart.model={run}",
        *SHORT,
        "lr=0",
    )
    trainer = Trainer(compose(*words), RunDirectory.create(tmp_path / "warm"), console=quiet())
    trainer.train()
    before, after = (
        load_model(folder, trainer.scenario.build_model).get_weights()
        for folder in (run / "best", tmp_path / "warm/best")
    )
    assert [array.tobytes() for array in before] == [array.tobytes() for array in after]


def test_a_class_that_is_missing_all_the_same_is_named(run: Path, tmp_path: Path) -> None:
    """And without a scenario nothing is looked for: a file imports nothing."""
    with pytest.raises(
        RunDirectoryError, match=r"Keras does not know its class 'Scale'(.|\n)*register_keras_serializable"
    ) as caught:
        load_model(run / "best")
    assert "my_package.layers" not in sys.modules
    assert "could not be deserialized" not in str(caught.value)
    renamed = renamed_class(run, tmp_path)
    with pytest.raises(ScenarioError, match="Keras does not know its class 'Ghost'"):
        load_and_validate(renamed, output=tmp_path / "lav.json")


@pytest.mark.slow
def test_check_scenario_loads_in_a_process_of_its_own(run: Path, tmp_path: Path) -> None:
    name = "the exported model loads in a process of its own"
    subject = Subject(["scenario=module"], None, tmp_path)
    subject.undisturbed = renamed_class(run, tmp_path)
    with pytest.raises(Broken, match=r"load-and-validate failed(.|\n)*Keras does not know its class 'Ghost'"):
        CHECKS[name](subject)


def renamed_class(run: Path, folder: Path) -> Path:
    """A copy of the run whose best model has a class that nobody has."""
    copy = folder / "renamed"
    shutil.copytree(run, copy)
    path = copy / "best" / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name).replace(b"Scale", b"Ghost") for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return copy
