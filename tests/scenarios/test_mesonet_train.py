"""train_model trains in a run directory: the model, its optimizer and the run go on from there."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from framework import ConfigError, RunDirectory, ScenarioError, Trainer
from framework.evaluation.compare_runs import differences
from framework.run.checkpoint import CheckpointStore
from framework.scenario import scenario_of
from scenarios.mesonet import build_model, evaluate_model, get_loaded_model, make_prediction, train_model
from scenarios.mesonet.given_model import KerasModel, copy_state, taking_pixels
from scenarios.mesonet.networks import Meso4
from tests.cli.test_commands import write_images
from tests.conftest import environment

SIZE = 32
SCRIPTS = Path(sys.executable).parent
QUICK: dict[str, Any] = {
    "batch_size": 8,
    "use_default_augmentation": False,
    "tensorboard": False,
    "loss_curve": False,
}


def small_model() -> keras.Model:
    keras.utils.set_random_seed(7)
    return build_model(keras.Input((SIZE, SIZE, 3)))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images each of two classes, of which a fifth is kept for validation: 16 to train on, 2 steps of 8."""
    return write_images(tmp_path_factory.mktemp("train") / "images", count=10, size=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder: `outputs/` is in it."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        yield place


@dataclass(frozen=True)
class Trained:
    """A model that was trained for three epochs, then for two with `compile=False`."""

    model: keras.Model
    first: keras.callbacks.History
    after_first: dict[str, np.ndarray]
    weights_after_first: list[np.ndarray]
    second: keras.callbacks.History

    @property
    def runs(self) -> list[Path]:
        return [Path(history.params["run"]) for history in (self.first, self.second)]


def state_of(optimizer: keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    return {variable.path.partition("/")[2]: variable.numpy() for variable in optimizer.variables}


@pytest.fixture(scope="module")
def trained(images: Path, folder: Path) -> Trained:
    model = small_model()
    first = train_model(model, images, 0.2, epochs=3, **QUICK)
    state, weights = state_of(model.optimizer), model.get_weights()
    second = train_model(model, images, 0.2, epochs=2, compile=False, **QUICK)
    return Trained(model, first, state, weights, second)


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


# What is returned -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_history_is_what_the_run_recorded(trained: Trained) -> None:
    history, run = trained.first, trained.runs[0]
    assert isinstance(history, keras.callbacks.History)
    assert history.epoch == [0, 1, 2]
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    for prefix, phase in (("", "train"), ("val_", "validation")):
        of_phase = [record["metrics"] for record in records(run) if record["phase"] == phase]
        for name in ("loss", "accuracy"):
            assert history.history[prefix + name] == [metrics[name] for metrics in of_phase]
    assert (history.params["epochs"], history.params["steps"]) == (3, 2)
    assert history.model is trained.model
    result = RunDirectory.open(run).load_result()
    assert result is not None
    assert (result["status"], result["monitor"], result["mode"]) == ("finished", "val_accuracy", "max")


@pytest.mark.slow
def test_the_model_has_the_weights_that_were_validated_last(trained: Trained, images: Path) -> None:
    run = trained.runs[1]
    exported = get_loaded_model(run / "export" / "model.keras")
    for ours, theirs in zip(trained.model.get_weights(), exported.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    scenario = scenario_of(RunDirectory.open(run).load_config())
    assert evaluate_model(trained.model, images) == pytest.approx(evaluate_model(exported, images), rel=1e-5)
    assert scenario.data.positive_class == "light"
    rows, _ = make_prediction(run, images / "dark", return_probs=True)
    assert set(rows[:, 1]) <= {"Dark", "Light"}, "a run knows the names of its classes"
    assert trained.model.layers[1].name not in ("unit_range", "rescaling"), "it is the model that was given"


@pytest.mark.slow
def test_the_learning_rate_comes_down_to_the_limit_and_stays(trained: Trained) -> None:
    rates = [
        record["learning_rate"]
        for run in trained.runs
        for record in records(run)
        if record["phase"] == "train"
    ]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-5, 1e-6, 1e-6])
    assert float(trained.model.optimizer.learning_rate) == pytest.approx(1e-6)


# The optimizer ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_compile_the_state_of_the_optimizer_goes_on(trained: Trained, tmp_path: Path) -> None:
    assert trained.after_first["iteration"] == 6
    assert state_of(trained.model.optimizer)["iteration"] == 10
    assert any(np.any(value) for name, value in trained.after_first.items() if name.endswith("velocity"))
    # The first checkpoint of the second run has what the first one ended with.
    shutil.copytree(trained.runs[1], tmp_path / "run")
    for step in ("step-00000004", "step-00000002"):
        assert (tmp_path / "run" / "checkpoints" / step).is_dir()
        shutil.rmtree(tmp_path / "run" / "checkpoints" / step)
    snapshot = CheckpointStore(tmp_path / "run" / "checkpoints", keep=3).load_newest()
    assert snapshot is not None
    assert snapshot.step == 0
    saved = [member.array for member in snapshot.variables["optimizer"]]
    for ours, theirs in zip(saved, trained.after_first.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_an_optimizer_of_the_users_own_goes_on(images: Path, folder: Path) -> None:
    model = small_model()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 1, 0.5)
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, clipnorm=0.5)
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.BinaryCrossentropy(label_smoothing=0.1),
        metrics=["accuracy", keras.metrics.AUC()],
    )
    history = train_model(model, images, 0.2, epochs=2, compile=False, monitor="val_auc", mode="max", **QUICK)
    assert set(history.history) == {
        f"{p}{name}" for p in ("", "val_") for name in ("loss", "accuracy", "auc")
    }
    assert model.optimizer is optimizer
    assert int(optimizer.iterations) == 4
    run = Path(history.params["run"])
    assert [r["learning_rate"] for r in records(run) if r["phase"] == "train"] == pytest.approx(
        [0.005, 0.00125]
    )
    config = RunDirectory.open(run).load_config()
    assert (config.optimizer.name, config.to_plain()["optimizer"]["clip_norm"]) == ("keras", 0.5)
    assert (config.learning_rate.name, config.early_stopping.monitor) == ("keras", "val_auc")


@pytest.mark.slow
def test_a_saved_model_is_trained_on(trained: Trained, images: Path, tmp_path: Path) -> None:
    trained.model.save(tmp_path / "model.keras")
    model = get_loaded_model(tmp_path / "model.keras")
    assert state_of(model.optimizer).keys() == state_of(trained.model.optimizer).keys()
    train_model(model, images, 0.2, epochs=1, compile=False, **QUICK)
    assert int(model.optimizer.iterations) == int(trained.model.optimizer.iterations) + 2


def test_the_state_of_an_optimizer_of_other_weights_is_refused() -> None:
    one, other = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(n)]) for n in (3, 4))
    optimizers = [keras.optimizers.Adam(), keras.optimizers.Adam()]
    copy_state(*optimizers)  # it was not used yet
    for optimizer, model in zip(optimizers, (one, other), strict=True):
        optimizer.build(model.trainable_variables)
    with pytest.raises(ScenarioError, match="does not fit its weights"):
        copy_state(*optimizers)


# Resuming ---------------------------------------------------------------------------------------------------

TRAIN = """
import sys, keras
from scenarios.mesonet import build_model, train_model
import own_layers
keras.utils.set_random_seed(7)
model = own_layers.model()
train_model(model, sys.argv[1], 0.2, batch_size=8, epochs=4, tensorboard=False, loss_curve=False)
"""
OWN_LAYERS = """
import os, signal, keras
from scenarios.mesonet import conv2D

class Brighter(keras.layers.Layer):
    def __init__(self, by=1.0, **arguments):
        super().__init__(**arguments)
        self.by = by

    def call(self, images):
        return images + self.by

    def get_config(self):
        return {**super().get_config(), "by": self.by}

def model():
    ip = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(conv2D(Brighter(0.1)(ip), 4, 3, "relu", pool_size=8))
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(ip, keras.layers.Dense(1, activation="sigmoid")(x))
"""
INTERRUPTED = """
from framework.run.signals import Interruption
from framework.errors import Interrupted
count = 0
def check(self):
    global count
    count += 1
    if count == 6:
        raise Interrupted(15)
Interruption.check = check
"""


@pytest.mark.slow
def test_a_run_is_resumed_in_another_process_to_the_same_bits(images: Path, tmp_path: Path) -> None:
    (tmp_path / "own_layers.py").write_text(OWN_LAYERS)
    here = environment() | {"PYTHONPATH": str(tmp_path)}

    def python(code: str, place: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / place).mkdir()
        command = [sys.executable, "-c", code, str(images)]
        return subprocess.run(
            command, cwd=tmp_path / place, env=here, capture_output=True, text=True, check=False
        )

    whole, part = python(TRAIN, "whole"), python(INTERRUPTED + TRAIN, "part")
    assert whole.returncode == 0, whole.stderr[-2000:]
    assert "Interrupted" in part.stderr
    (at_once,), (run,) = ((tmp_path / place / "outputs").iterdir() for place in ("whole", "part"))
    assert len(records(run)) < len(records(at_once))
    moved = run.rename(tmp_path / "moved")
    resumed = subprocess.run(
        [str(SCRIPTS / "resume-training"), str(moved)], env=here, capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert [r["metrics"] for r in records(moved)] == [r["metrics"] for r in records(at_once)]
    # The name of an output has a number that depends on what a process has built before.
    assert set(differences(at_once, moved)) <= {"the best model", "the exported model"}
    without = environment() | {"PYTHONPATH": ""}
    command = [str(SCRIPTS / "resume-training"), str(moved), "epochs=5"]
    refused = subprocess.run(command, env=without, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "there is no module 'own_layers'" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_run_that_lost_its_first_weights_is_not_begun_anew(
    trained: Trained, folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / trained.runs[0], run)
    for checkpoint in (run / "checkpoints").glob("step-*"):
        shutil.rmtree(checkpoint)
    (run / "result.json").unlink()
    with pytest.raises(ScenarioError, match="weights that it started from are lost"):
        Trainer.resume(run).train()


@pytest.mark.slow
def test_a_resume_takes_other_settings(trained: Trained, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / trained.runs[0], tmp_path / "run")
    result = Trainer.resume(tmp_path / "run", "epochs=4", "optimizer=sgd").train()
    assert (result.epochs, result.status) == (4, "finished")


# Arguments --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_validation_training_values_stand_in(images: Path, folder: Path) -> None:
    model = Meso4(image_size=SIZE).build(classes=2)  # it scales pixels itself
    history = train_model(model, images, validation_split=0, epochs=1, lr_decay=False, **QUICK)
    assert set(history.history) == {"loss", "accuracy"}
    run = RunDirectory.open(history.params["run"])
    result = run.load_result()
    assert result is not None
    assert result["monitor"] == "accuracy"
    assert not run.tensorboard.exists()
    assert (run.plots / "loss_curve.png").is_file()
    layers = [layer.name for layer in get_loaded_model(run.path).layers]
    assert layers == [layer.name for layer in model.layers], "pixels are not scaled twice"


@pytest.mark.slow
def test_arguments_become_settings(images: Path, folder: Path) -> None:
    two: Any = np.int64(2)
    history = train_model(
        small_model(),
        images,
        0.3,
        batch_size=4,
        use_default_augmentation=False,
        augmentations={"width_shift_range": 0.1, "horizontal_flip": True},
        epochs=two,
        lr=0.01,
        loss="mse",
        lr_decay=True,
        decay_rate=0.5,
        decay_limit=0.005,
        checkpoint=False,
        monitor="val_loss",
        patience=1,
        tensorboard=True,
    )
    run = RunDirectory.open(history.params["run"])
    config: dict[str, Any] = run.load_config().to_plain()
    assert config["data"]["validation_split"] == 0.3
    assert (config["data"]["batch_size"], config["trainer"]["epochs"]) == (4, 2)
    assert config["data"]["image_size"] == [SIZE, SIZE]
    assert config["scenario"]["loss"] == "mean_squared_error"
    assert config["scenario"]["augment"]
    assert config["scenario"]["displacement"] == {
        "shear": 0.0,
        "width_shift": 0.1,
        "height_shift": 0.0,
        "vertical_flip": False,
    }
    assert config["scenario"]["augmentation"]["horizontal_flip"]
    assert config["scenario"]["augmentation"]["rotation"] == 0
    rate = config["learning_rate"]
    assert (rate["name"], rate["lr"], rate["decay_rate"], rate["decay_limit"]) == (
        "decay_to_limit",
        0.01,
        0.5,
        0.005,
    )
    assert (config["early_stopping"]["monitor"], config["early_stopping"]["patience"]) == ("val_loss", 1)
    assert len(list(run.checkpoints.glob("step-*"))) == 2, "that of the beginning, and that of the end"
    assert run.tensorboard.is_dir()
    assert config["trainer"]["histograms_every_n"] == 1
    assert isinstance(history.model.optimizer, keras.optimizers.Adam)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"train_data_dir": "nowhere"}, r"train_data_dir: does not exist"),
        ({"train_data_dir": 5}, r"train_data_dir: wrong type"),
        ({"validation_split": 1.5}, r"validation_split: out of range"),
        ({"validation_split": 1}, r"validation_split: out of range"),
        (
            {"epochs": 2.5, "batch_size": 0, "lr": "a"},
            r"(?s)3 problems in the arguments.*epochs.*batch_size.*lr",
        ),
        ({"epochs": 2}, r"(?s)decay_limit: takes 3 decays.*or lr_decay=False"),
        ({"mode": "best"}, r"mode: unknown mode"),
        ({"loss": "binary_crosentropy"}, r"(?s)loss: unknown.*did you mean 'binary_crossentropy'"),
        ({"loss": len}, r"loss: must be the name of a loss"),
        ({"compile": False}, r"(?s)compile: needs a model that is compiled"),
        ({"augmentations": {"rotation": 3}}, r"augmentations\['rotation'\]: is not an argument"),
        ({"model": "model.h5"}, r"a Keras model is needed, not str"),
        ({"model": keras.Sequential([keras.layers.Dense(1)])}, r"does not say what it takes"),
        (
            {"model": keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])},
            r"takes \(None, 8, 8, 1\), and not RGB images",
        ),
    ],
)
def test_what_cannot_be_trained_is_said_in_terms_of_the_arguments(
    arguments: dict[str, Any], words: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")]
    )
    given: dict[str, Any] = {"model": model, "train_data_dir": images} | arguments
    with pytest.raises(ScenarioError, match=words):
        train_model(**given)
    assert not list(tmp_path.glob("outputs/*")), "no run is left behind"


@pytest.mark.slow
def test_what_the_data_and_the_model_do_not_have_is_said(
    images: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=r"(?s)monitor: must be.*allowed: loss, accuracy, val_loss, val_accuracy"
    ):
        train_model(small_model(), images, 0.2, monitor="val_acc", **QUICK)
    with pytest.raises(ConfigError, match="loss: does not fit 2 classes"):
        train_model(small_model(), images, loss="sparse_categorical_crossentropy", **QUICK)
    shutil.copytree(images, "three")
    shutil.copytree(images / "dark", "three/other")
    with pytest.raises(ScenarioError, match="has 3 classes, dark, light, other, and the model gives one"):
        train_model(small_model(), "three", **QUICK)
    ip = keras.Input((SIZE, SIZE, 3))
    softmax = keras.Model(ip, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(ip)))
    history = train_model(
        softmax, "three", 0.2, epochs=1, lr_decay=False, loss="sparse_categorical_crossentropy", **QUICK
    )
    assert len(history.history["val_accuracy"]) == 1
    assert os.listdir("outputs") == [Path(history.params["run"]).name]


def test_arguments_that_are_not_used_are_told(caplog: pytest.LogCaptureFixture, images: Path) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(ConfigError):
        train_model(model, "nowhere", compile=False, lr=0.1, decay_limit=1e-5)
    assert "lr, decay_limit: not used with compile=False" in caplog.text


# The description of a model ---------------------------------------------------------------------------------


def test_a_model_is_made_again_from_its_description() -> None:
    ip = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="elu")(ip))
    for model in (
        keras.Model(ip, keras.layers.Dense(1)(x)),
        keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(1)]),
    ):
        described = KerasModel.describing(model)
        again = described.bare()
        assert described.image_size == (8, 8)
        assert described.classes_of_layers == {}
        assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
        again.set_weights(model.get_weights())
        batch = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
        for scaled in (taking_pixels(model), taking_pixels(again)):
            np.testing.assert_allclose(scaled(batch), model(batch / 255), atol=1e-5)
        assert [
            weight is own for weight, own in zip(taking_pixels(model).weights, model.weights, strict=True)
        ]


@pytest.mark.parametrize("damage", ["", "AAAA", "eJxLSwAAAZoBFg==", "not base64!"])
def test_a_damaged_description_is_answered(damage: str) -> None:
    with pytest.raises(ScenarioError, match="cannot be made again from the description"):
        KerasModel(architecture=damage, image_size=(8, 8)).bare()


def test_a_bomb_is_not_unpacked() -> None:
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"[" + b" " * 2**25 + b"]")).decode()
    with pytest.raises(ScenarioError, match="cut off, or too large"):
        KerasModel(architecture=bomb, image_size=(8, 8)).bare()


class Brighter(keras.layers.Layer):
    """A layer that is not registered in Keras."""

    def call(self, inputs: Any) -> Any:
        return inputs + 1


def test_classes_of_layers_are_found() -> None:
    ip = keras.Input((8, 8, 3))
    described = KerasModel.describing(keras.Model(ip, Brighter()(ip)))
    assert described.classes_of_layers == {"Brighter": f"{__name__}:Brighter"}
    assert isinstance(described.bare().layers[1], Brighter)
    moved = dataclasses.replace(described, classes_of_layers={"Brighter": "nowhere:Brighter"})
    with pytest.raises(
        ConfigError, match=r"model\.classes_of_layers\.Brighter: there is no module 'nowhere'"
    ):
        moved.bare()
    registered = dataclasses.replace(described, classes_of_layers={"Brighter": "keras.layers:Identity"})
    assert isinstance(registered.bare().layers[1], keras.layers.Identity)


class Cropped(keras.layers.Layer):
    """A layer with an argument that its config does not give."""

    def __init__(self, units: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.units = units
        self.kernel = self.add_weight(shape=(1, units))

    def call(self, inputs: Any) -> Any:
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {name: value for name, value in super().get_config().items() if name != "units"}


def test_a_layer_that_cannot_be_made_again_is_refused_before_training() -> None:
    ip = keras.Input((8, 8, 3))
    with pytest.raises(ScenarioError, match=r"(?s)cannot be made again.*get_config\(\)"):
        KerasModel.describing(keras.Model(ip, Cropped(2)(ip)))
