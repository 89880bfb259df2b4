"""LAV: the exported model, validated during and after training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.errors import ConfigError
from framework.evaluation.load_and_validate import load_and_validate
from tests.runs import LIGHT, comparable, compose_toy, records, resume, train, trainer

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

LISTS = "trainer.lav_lists={same: {}, shifted: {shift: 0.5}, seen: {split: train}}"


def metrics(path: Path, phase: str) -> dict[int, dict[str, float]]:
    return {record["epoch"]: record["metrics"] for record in records(path) if record["phase"] == phase}


@pytest.fixture(scope="module")
def run(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lav") / "run"
    train(
        path, "epochs=5", "trainer.lav_every_n=3", LISTS, "trainer.calc_ema=0.8", "trainer.tensorboard=true"
    )
    return path


@pytest.mark.slow
def test_each_list_after_each_nth_epoch_the_first_and_the_last(run: Path) -> None:
    for name in ("same", "shifted", "seen"):
        assert list(metrics(run, f"lav/{name}")) == [1, 3, 5]


def test_the_exported_model_is_what_was_validated(run: Path) -> None:
    """With averaged weights and recalibrated statistics, to the last bit that a file can hold."""
    validation, same = metrics(run, "validation"), metrics(run, "lav/same")
    for epoch, found in same.items():
        assert found["loss"] == pytest.approx(validation[epoch]["loss"], abs=1e-6)
        assert found["accuracy"] == validation[epoch]["accuracy"]


def test_a_list_has_its_own_data(run: Path) -> None:
    same, shifted, seen = (metrics(run, f"lav/{name}")[5] for name in ("same", "shifted", "seen"))
    assert len({found["loss"] for found in (same, shifted, seen)}) == 3


def test_the_command_finds_what_was_found_in_training(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "lav.json"
    recorded = metrics(run, "lav/shifted")[5]
    by_name = load_and_validate(run, model="export", name="shifted", output=output)
    by_setting = load_and_validate(run, "data.shift=0.5", "batch_size=5", model="export", output=output)
    for report in (by_name, by_setting):
        assert report.metrics == pytest.approx(recorded, abs=1e-5)
    assert "positive/mean_output" in by_name.metrics, "the evaluators' values, details and all"
    content = json.loads(output.read_text())
    assert (content["list"], content["split"], content["data"]["shift"]) == (None, "validation", 0.5)
    assert load_and_validate(run, model="export", name="seen", output=output).samples == 101


def test_the_values_are_in_tensorboard(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard" / "lav" / "shifted"), size_guidance={"tensors": 0})
    events.Reload()
    assert {"loss", "accuracy", "mean_output", "positive/mean_output"} <= set(events.Tags()["tensors"])
    assert [event.step for event in events.Tensors("mean_output")] == [12, 36, 60]


def test_lav_leaves_the_training_alone(tmp_path: Path, finished: Callable[..., Path]) -> None:
    train(tmp_path / "with", "epochs=2", "trainer.lav_every_n=1")
    finished(tmp_path / "without", "epochs=2")
    assert comparable(tmp_path / "with")["variables"] == comparable(tmp_path / "without")["variables"]
    assert list(metrics(tmp_path / "with", "lav")) == [1, 2], (
        "without lists the validation data, under the name `lav`"
    )


@pytest.mark.slow
def test_a_lav_value_decides_what_is_best(tmp_path: Path) -> None:
    words = ("epochs=4", "trainer.lav_every_n=1", LISTS, "early_stopping.monitor=lav_shifted_mean_output")
    for mode, choose in (("max", max), ("min", min)):
        result = train(tmp_path / mode, *words, f"early_stopping.mode={mode}")
        values = {
            epoch: found["mean_output"] for epoch, found in metrics(tmp_path / mode, "lav/shifted").items()
        }
        assert result.best is not None
        assert values[result.best["epoch"]] == choose(values.values())


def test_a_model_that_cannot_be_exported_is_a_warning(tmp_path: Path) -> None:
    first = trainer(tmp_path / "run", *LIGHT, "trainer.lav_every_n=1")
    (tmp_path / "run" / "..lav.draft").write_text("in the way, as a full disk would be")
    assert first.train().status == "finished"
    assert "no LAV" in (tmp_path / "run" / "train.log").read_text()
    assert not (tmp_path / "run" / ".lav").exists()


def test_lav_may_begin_in_a_resume(tmp_path: Path, finished: Callable[..., Path]) -> None:
    resume(finished(tmp_path / "run", "epochs=2"), "epochs=3", "trainer.lav_every_n=1")
    assert list(metrics(tmp_path / "run", "lav")) == [3]


@pytest.mark.parametrize(
    ("words", "path", "text"),
    [
        (["trainer.lav_lists={a: {shfit: 1}}"], "trainer.lav_lists.a.shfit", "did you mean 'shift'"),
        (["trainer.lav_lists={a: {split: vali}}"], "trainer.lav_lists.a.split", "validation"),
        (["trainer.lav_lists={a: {shift: far}}"], "trainer.lav_lists.a.shift", "a number"),
        (["trainer.lav_lists={a b: {}}"], "trainer.lav_lists.a b", "letters"),
        (["trainer.lav_lists={a: 1}"], "trainer.lav_lists.a", "mapping"),
        (["trainer.lav_every_n=0", "trainer.lav_lists={a: {}}"], "trainer.lav_lists", "lav_every_n"),
    ],
)
def test_a_wrong_list_is_answered_before_anything_is_built(words: list[str], path: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        compose_toy("trainer.lav_every_n=1", *words)
    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["early_stopping.monitor=lav_loss"], "set trainer.lav_every_n"),
        (
            ["early_stopping.monitor=lav_mean_outptu", "trainer.lav_every_n=1"],
            "did you mean 'lav_mean_output'",
        ),
    ],
)
def test_a_wrong_monitor_is_answered_before_the_first_step(
    tmp_path: Path, words: list[str], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        train(tmp_path / "run", *words)


def test_an_unknown_list_is_answered(run: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'shifted'"):
        load_and_validate(run, name="shiftet")


def test_evaluators_see_a_models_own_test_step(toy_on_the_path: None) -> None:
    """A test_step that hands no outputs to Keras' metrics, and sample weights, and no targets for some."""
    import keras
    import numpy as np
    import tensorflow as tf

    from framework.data.source import ArraySource
    from framework.evaluators import Evaluator, Sample
    from framework.training.validation import Validator

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1, kernel_initializer="ones")

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.dense(inputs)

        def test_step(self, data: Any) -> dict[str, Any]:
            return {}

    class Keeps(Evaluator):
        names = ("count",)

        def __init__(self) -> None:
            self.samples: list[Sample] = []

        def update(self, sample: Sample) -> None:
            self.samples.append(sample)

        def result(self) -> dict[str, float]:
            return {"count": len(self.samples)}

    inputs = np.arange(14, dtype="float32").reshape(7, 2)
    targets, weights = np.arange(7, dtype="float32")[:, None], np.linspace(0, 1, 7, dtype="float32")
    for model in (
        Own(),
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")]),
    ):
        model(inputs)
        model.compile(loss="mse")
        keeps = Keeps()
        source = ArraySource((inputs, targets, weights))
        validator = Validator(model, source, batch_size=3, strategy=tf.distribute.get_strategy())
        values = validator.evaluate([keeps])
        assert values["count"] == 7
        for i, sample in enumerate(keeps.samples):
            assert sample.output == pytest.approx(inputs[i].sum())
            assert sample.target == targets[i]
            assert sample.weight == pytest.approx(weights[i])
            np.testing.assert_array_equal(sample.inputs, inputs[i])
