"""A scenario from `compose` is what a Trainer trains: its data are asked for what the words leave to them,
when that is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from framework import RunDirectory, ScenarioError, Split, Trainer, compose
from tests.cli.test_commands import write_images
from tests.conftest import environment


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("api") / "images", count=5, size=16)


def words(images: Path) -> list[str]:
    return [
        "scenario=mesonet",
        "model=meso1",
        "data=image_folder",
        f"data.train_dir={images}",
        "data.image_size=16",
    ]


def test_model_and_data_are_built_as_the_trainer_builds_them(images: Path, tmp_path: Path) -> None:
    scenario = compose(*words(images))
    assert scenario.build_model().output_shape == (None, 1)
    assert (scenario.data.classes, scenario.data.positive_class) == (("dark", "light"), "light")
    source = scenario.source(Split.TRAIN)
    assert len(source) == 8
    (evaluator,) = scenario.evaluators()
    assert "light/f1" in evaluator.names
    assert scenario.describe_prediction(np.array([0.75], np.float32)) == {
        "label": "light",
        "dark": 0.25,
        "light": 0.75,
    }
    trainer = Trainer(scenario, RunDirectory.create(tmp_path / "run"))
    assert trainer.scenario.config == scenario.config
    assert trainer.scenario.config.device.threads


def test_the_data_are_not_looked_at_before_they_are_needed(tmp_path: Path) -> None:
    scenario = compose("scenario=mesonet", "data=image_folder", "data.train_dir=nowhere", "lr=0.5")
    composed = scenario.composed
    assert (composed.learning_rate.lr, composed.optimizer.name, scenario.model.name) == (0.5, "adam", "meso4")
    with pytest.raises(ScenarioError, match=r"data\.train_dir: does not exist"):
        scenario.build_model()
    folder = tmp_path / "run"
    run = RunDirectory.create(folder)
    with pytest.raises(ScenarioError, match=r"data\.train_dir: does not exist"):
        Trainer(scenario, run)
    assert not folder.exists(), "no folder is left behind"


def test_what_the_data_say_is_known_without_tensorflow(images: Path) -> None:
    code = (
        "import sys\n"
        "from framework import compose\n"
        "assert compose(*sys.argv[1:]).config.data.classes == ('dark', 'light')\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, *words(images)], check=True, env=environment())
