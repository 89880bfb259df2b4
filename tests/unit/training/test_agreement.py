"""What does not go together is said in a sentence when a run starts, and nothing is left behind."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import numpy as np
import pytest

from framework import RunDirectory, ScenarioError, Trainer, compose
from framework.data.source import ArraySource, Split
from framework.evaluation.load_and_validate import load_and_validate
from framework.model.export import load_model
from framework.scenario import Objective
from framework.training.agreement import check_start
from framework.training.loss_agreement import Broken
from framework.training.training_data import training_stream
from tests.runs import compose_toy, quiet

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

WORDS = (
    "scenario=module",
    "data.batch_size=8",
    "epochs=1",
    "trainer.tensorboard=false",
    "trainer.report=false",
)


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("OtherInputs", r"the input is float32 \(4,\), and the model takes \(5,\)"),
        ("Subclassed", r"the model cannot be called with what the data give"),
        ("OtherOutputs", r"the target is float32 \(2,\), and the model gives float32 \(3,\)"),
        ("TooManyLabels", "the target has labels of 0 to 2, and the model gives 2 classes"),
        (
            "LabelsForOneByOne",
            "the target has values of 0 to 2, and the loss, binary_crossentropy, takes 0 to 1",
        ),
        ("WithoutTargets", r"a sample is not \(inputs, targets\)"),
        ("Texts", "the input is string, and the model takes float32"),
        ("TextLabels", "the target is a text"),
    ],
)
def test_each_start_says_what_does_not_go_together(tmp_path: Path, scenario: str, reason: str) -> None:
    trainer = Trainer(
        compose(*WORDS, f"scenario.target=broken:{scenario}"),
        RunDirectory.create(tmp_path / "run"),
        console=quiet(),
    )
    with pytest.raises(ScenarioError, match=f"do not go together: {reason}") as caught:
        trainer.train()
    assert "hint:" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_missing_softmax_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It can be trained, and the run may be meant so: check-scenario fails there."""
    trainer = Trainer(
        compose(*WORDS, "scenario.target=broken:Logits"),
        RunDirectory.create(tmp_path / "run"),
        console=quiet(),
    )
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert "layer 'scores' gives any number" in caplog.text
    assert 'activation="softmax"' in caplog.text


@pytest.mark.parametrize("name", ["Called", "Nested"])
def test_a_subclassed_model_that_was_called_is_trained_exported_and_loaded(tmp_path: Path, name: str) -> None:
    import tensorflow as tf

    scenario = compose(*WORDS, f"scenario.target=broken:{name}")
    run = RunDirectory.create(tmp_path / "run")
    assert Trainer(scenario, run, console=quiet()).train().status == "finished"
    points = np.random.default_rng(1).normal(size=(5, 4)).astype("float32")
    for folder in (run.best, run.export):
        expected = load_model(folder, scenario.build_model).predict_on_batch(points)
        served = tf.saved_model.load(str(folder / "saved_model"))
        np.testing.assert_allclose(served.serve(points), expected, rtol=1e-6)
    report = load_and_validate(run.path)
    assert report.metrics["loss"] == pytest.approx(report.facts["metrics"]["val_loss"], rel=1e-6)
    assert Trainer.resume(run.path, "epochs=2", console=quiet()).train().status == "finished"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("HalfBuilt", "Net that build_model gives is not built"),
        ("NotMadeAgain", "Net could be trained, but not loaded"),
    ],
)
def test_a_subclassed_model_that_would_be_lost_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    trainer = Trainer(
        compose(*WORDS, f"scenario.target=broken:{name}"),
        RunDirectory.create(tmp_path / "run"),
        console=quiet(),
    )
    with pytest.raises(ScenarioError, match=reason):
        trainer.train()
    assert not (tmp_path / "run").exists()


def start(model: keras.Model, loss: object, targets: np.ndarray) -> Broken | None:
    import tensorflow as tf

    points = np.zeros((len(targets), 4), "float32")
    batch = tuple(tf.TensorSpec((8, *array.shape[1:]), array.dtype) for array in (points, targets))
    return check_start(model, Objective(loss=loss), batch, ArraySource((points, targets)))


def model_of(*layers: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *layers])


def test_what_keras_takes_is_let_pass() -> None:
    layers, losses = keras.layers, keras.losses
    labels, halves = np.arange(16) % 3, (np.arange(16) % 2).astype("float32")
    one_hot = np.eye(3, dtype="float32")[labels]
    for model, loss, targets in (
        (model_of(layers.Dense(3, "softmax")), "sparse_categorical_crossentropy", labels),
        (model_of(layers.Dense(3)), losses.SparseCategoricalCrossentropy(from_logits=True), labels[:, None]),
        (model_of(layers.Dense(3), layers.Softmax()), "sparse_categorical_crossentropy", labels),
        (model_of(layers.Dense(3), layers.Activation("softmax")), losses.CategoricalCrossentropy(), one_hot),
        (model_of(layers.Dense(1, "sigmoid")), "binary_crossentropy", halves),
        (model_of(layers.Dense(1, "sigmoid")), losses.BinaryCrossentropy(), halves[:, None]),
        (model_of(layers.Dense(1)), "mse", halves),
        (model_of(layers.Dense(3)), lambda y_true, y_pred: y_pred, labels),
        (model_of(model_of(layers.Dense(3)), layers.Softmax()), "categorical_crossentropy", one_hot),
    ):
        assert start(model, loss, targets) is None


def test_logits_are_found_below_other_layers_too() -> None:
    layers, losses = keras.layers, keras.losses
    for model, loss in (
        (model_of(layers.Dense(1)), "binary_crossentropy"),
        (model_of(model_of(layers.Dense(1, name="inner"))), losses.BinaryCrossentropy()),
        (model_of(layers.Dense(1), layers.Activation("linear", dtype="float32")), "binary_crossentropy"),
    ):
        assert isinstance(start(model, loss, np.zeros((16, 1), "float32")), Broken)
    with pytest.raises(Broken, match="compares one by one"):
        start(model_of(layers.Dense(3, "softmax")), "categorical_crossentropy", np.zeros(16, "int32"))


def test_the_check_changes_nothing_that_a_run_goes_by() -> None:
    """No random number is drawn, and no variable changed."""
    import random

    import tensorflow as tf

    scenario = compose_toy()
    keras.utils.set_random_seed(7)
    source, model = scenario.source(Split.TRAIN), scenario.build_model()
    spec = training_stream(scenario, source).from_step(0).element_spec

    def state() -> tuple[object, ...]:
        weights = [np.asarray(variable).tobytes() for variable in model.variables]
        return (
            weights,
            random.getstate(),
            np.random.get_state(legacy=False)["state"]["key"].tobytes(),
            tf.random.uniform([3]).numpy().tobytes(),
        )

    keras.utils.set_random_seed(7)
    before = state()
    keras.utils.set_random_seed(7)
    check_start(model, scenario.objective(), spec, source)
    assert state() == before
