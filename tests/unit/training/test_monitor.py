"""Which value decides what is best, and which way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framework.config.run_config import parse
from framework.errors import ConfigError
from framework.run.run_directory import RunDirectory
from framework.scenario import Objective
from framework.training.monitor import find_monitor
from tests.runs import compose_toy, records, resume, train

pytestmark = pytest.mark.usefixtures("toy_on_the_path")


@pytest.fixture(scope="module")
def model() -> Any:
    """Two outputs, with metrics that know their direction and some that do not."""
    import keras
    import numpy as np

    class Sharpness(keras.metrics.Mean):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            return super().update_state(y_pred)

    class Gloom(Sharpness):
        _direction = "down"

    inputs = keras.Input((3,))
    outputs = {name: keras.layers.Dense(1, "sigmoid", name=name)(inputs) for name in ("topic", "tone")}
    model = keras.Model(inputs, outputs)
    metrics = {
        "topic": ["accuracy", Gloom(name="gloom"), keras.metrics.Poisson(name="fish")],
        "tone": ["mae", Sharpness(name="sharpness"), Sharpness(name="accuracy")],
    }
    model.compile(loss={"topic": "binary_crossentropy", "tone": "mse"}, metrics=metrics)
    zeros = np.zeros((4, 1), "float32")
    model._symbolic_build(data_batch=(np.zeros((4, 3), "float32"), {"topic": zeros, "tone": zeros}))
    return model


def found(model: Any, monitor: str, objective: Objective | None = None) -> tuple[str, str]:
    scenario = compose_toy(f"early_stopping.monitor={monitor}")
    return find_monitor(scenario, objective or Objective(loss="mse"), model, validates=True, lists=())


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        *[("val_loss", "min"), ("loss", "min"), ("val_topic_loss", "min"), ("val_topic_accuracy", "max")],
        *[
            ("val_tone_mae", "min"),
            ("val_topic_gloom", "min"),
            ("val_topic_fish", "min"),
            ("tone_accuracy", "max"),
        ],
    ],
)
def test_the_metric_or_its_name_says_which_way(model: Any, monitor: str, mode: str) -> None:
    assert found(model, monitor) == (monitor, mode)


def test_where_nothing_says_which_way_it_must_be_given(model: Any) -> None:
    with pytest.raises(ConfigError, match="must be given for val_tone_sharpness") as caught:
        found(model, "val_tone_sharpness")
    assert [problem.path for problem in caught.value.problems] == ["early_stopping.mode"]
    given = Objective(loss="mse", monitor="val_tone_sharpness", mode="max")
    assert found(model, "tone_sharpness", given) == ("tone_sharpness", "max"), (
        "the scenario has said it of that value"
    )


def test_a_scenario_need_not_say_what_its_name_says(model: Any) -> None:
    objective = Objective(loss="mse", monitor="val_topic_accuracy")
    assert found(model, "null", objective) == ("val_topic_accuracy", "max")


def test_an_own_monitor_keeps_the_best_and_says_which_way(tmp_path: Path) -> None:
    result = train(tmp_path / "run", "epochs=3", "early_stopping.monitor=val_loss")
    losses = {
        r["epoch"]: r["metrics"]["loss"] for r in records(tmp_path / "run") if r["phase"] == "validation"
    }
    assert result.best is not None
    assert result.best["metrics"]["val_loss"] == min(losses.values())
    assert (tmp_path / "run" / "train.log").read_text().count("best: lowest val_loss") == 1


def test_a_detail_of_a_report_can_be_monitored(tmp_path: Path) -> None:
    words = ("epochs=2", "trainer.lav_every_n=1", "'early_stopping.monitor=lav_positive/mean_output'")
    with pytest.raises(ConfigError, match="must be given for lav_positive/mean_output"):
        train(tmp_path / "first", words[0], words[1], words[2].strip("'"))
    result = train(tmp_path / "run", words[0], words[1], words[2].strip("'"), "early_stopping.mode=max")
    values = [r["metrics"]["positive/mean_output"] for r in records(tmp_path / "run") if r["phase"] == "lav"]
    assert result.best is not None
    assert result.best["metrics"]["lav_positive/mean_output"] == max(values)


@pytest.mark.slow
def test_a_run_that_was_begun_the_other_way_goes_on_so_and_says_it(tmp_path: Path) -> None:
    """As earlier versions began it, with the mode of the scenario for another value."""
    path = tmp_path / "run"
    train(path, "epochs=2", "early_stopping.monitor=val_loss", "early_stopping.mode=max")
    run = RunDirectory.open(path)
    plain = run.load_config().to_plain()
    plain["early_stopping"]["mode"] = None
    run.save_config(parse(plain))
    worst = resume(path, "epochs=3", "lr=1e-5").best
    assert worst is not None
    assert worst["epoch"] == 1
    log = (path / "train.log").read_text()
    assert f"for the lowest val_loss: resume-training {path} early_stopping.mode=min" in log
    assert "best: highest val_loss" in log
    best = resume(path, "epochs=4", "early_stopping.mode=min").best
    assert best is not None
    assert best["epoch"] == 4
