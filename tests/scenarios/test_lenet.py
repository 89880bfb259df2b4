"""LeNet: the network and the digits that it reads."""

from __future__ import annotations

import csv
import gzip
import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework.cli import lav, predict, train
from framework.data.source import Split
from framework.errors import ConfigError, DataError
from framework.optim.optimizers import Momentum
from framework.scenario import compose
from scenarios.lenet.data import Digits, Mnist, read_idx
from scenarios.lenet.model import LeNet5

Command = Callable[..., subprocess.CompletedProcess[str]]


def idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype("uint8").tobytes()
    )


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Files as MNIST has them, some packed and some not, of 100 and 20 digits; a digit's pixels say which one
    it is."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, count in (("train", 100), ("t10k", 20)):
        labels = np.arange(count) % 10
        images = np.zeros((count, 28, 28)) + 10 * labels[:, None, None]
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        dotted = name == "t10k"
        (folder / (f"{name}-labels.idx1-ubyte" if dotted else f"{name}-labels-idx1-ubyte")).write_bytes(
            idx(labels)
        )
    return folder


# The network ------------------------------------------------------------------------------------------------


def test_the_network_is_that_of_the_tutorial() -> None:
    import keras

    keras.utils.set_random_seed(0)
    model = LeNet5().build(classes=10)
    assert model.count_params() == 61_706
    shapes = {layer.name: tuple(layer.output.shape)[1:] for layer in model.layers}
    assert [shapes[name] for name in ("conv1", "pool1", "conv2", "pool2", "flatten")] == [
        (28, 28, 6),
        (14, 14, 6),
        (10, 10, 16),
        (5, 5, 16),
        (400,),
    ]
    for name in ("dense1", "dense2", "output"):
        kernel = keras.ops.convert_to_numpy(model.get_layer(name).kernel)
        assert kernel.std() == pytest.approx(0.02, rel=0.1)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1)).astype("float32")
    np.testing.assert_allclose(model.predict_on_batch(images).sum(axis=1), 1, rtol=1e-5)


def test_the_settings_of_the_network() -> None:
    import keras

    keras.utils.set_random_seed(0)
    model = LeNet5(image_size=28, deviation=0.1, dropout=0.3).build(classes=4)
    assert model.input_shape == (None, 28, 28, 1)
    assert model.output_shape == (None, 4)
    assert keras.ops.convert_to_numpy(model.get_layer("dense1").kernel).std() == pytest.approx(0.1, rel=0.1)
    assert [model.get_layer(f"dropout{i}").rate for i in (1, 2)] == [0.3, 0.3]


# The digits -------------------------------------------------------------------------------------------------


def test_mnist_is_read_from_its_files(mnist: Path) -> None:
    config = Mnist(dir=str(mnist))
    for split, count in ((Split.TRAIN, 100), (Split.VALIDATION, 20), (Split.TEST, 20)):
        images, labels = config.source(split, seed=0).numpy()
        assert (images.shape, images.dtype) == ((count, 32, 32, 1), np.uint8)
        assert labels.tolist() == [i % 10 for i in range(count)]
        assert (images == 10 * labels[:, None, None, None]).all()


def test_a_part_of_the_training_digits_can_be_kept_for_validation(mnist: Path) -> None:
    config = Mnist(dir=str(mnist), validation_split=0.13, image_size=28)
    sizes = [len(config.source(split, seed=0)) for split in Split]
    assert sizes == [87, 13, 20]
    assert config.source(Split.TRAIN, seed=0).numpy()[0].shape == (87, 28, 28, 1)
    assert config.source(Split.VALIDATION, seed=0).numpy()[1].tolist() == [i % 10 for i in range(87, 100)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not an idx file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "is not an idx file"),
        (idx(np.zeros(100))[:-1], "is damaged: it says that it holds 100 bytes, and has 99"),
        (idx(np.zeros((100, 2))), "do not fit"),
        (idx(np.zeros(99)), "do not fit"),
        (gzip.compress(idx(np.zeros(100)), mtime=0)[:-9], "cannot read"),
        (b"\x00\x00\x08\x03\x00\x00", "is damaged"),
    ],
)
def test_a_damaged_file_is_named(mnist: Path, content: bytes, reason: str) -> None:
    (mnist / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        Mnist(dir=str(mnist)).source(Split.TRAIN, seed=0)
    assert str(mnist) in str(caught.value)


def test_missing_files_are_answered_with_what_is_wanted(mnist: Path, tmp_path: Path) -> None:
    (mnist / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(
        DataError, match=r"no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte\.gz in(.|\n)*train-labels"
    ):
        Mnist(dir=str(mnist)).source(Split.VALIDATION, seed=0)
    with pytest.raises(ConfigError, match=r"data\.dir"):
        Mnist(dir=str(tmp_path / "nowhere")).source(Split.TRAIN, seed=0)


def test_a_run_records_where_the_files_are_whatever_the_working_directory(
    mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mnist.parent)
    resolved = Mnist(dir="mnist").resolve()
    assert resolved.dir == str(mnist)
    assert Mnist().resolve().dir is None


def test_without_files_and_without_a_network_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def unreachable() -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", unreachable)
    with pytest.raises(DataError, match=r"no route to host(.|\n)*data\.dir=DIR(.|\n)*data=digits"):
        Mnist().source(Split.TRAIN, seed=0)


def test_the_shared_mnist(shared_data: Path) -> None:
    images = read_idx(shared_data / "mnist" / "train-images-idx3-ubyte.gz")
    assert images.shape == (60_000, 28, 28)
    source = Mnist(dir=str(shared_data / "mnist")).source(Split.VALIDATION, seed=0)
    assert np.bincount(source.numpy()[1]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_the_digits_of_scikit_learn() -> None:
    train, validation = (Digits().source(split, seed=0).numpy() for split in (Split.TRAIN, Split.VALIDATION))
    assert (len(train[1]), len(validation[1])) == (1437, 360)
    assert train[0].shape[1:] == (32, 32, 1)
    assert (train[0].min(), train[0].max()) == (0, 255)
    assert min(np.bincount(validation[1])) > 25
    with pytest.raises(DataError, match="have no test split"):
        Digits().source(Split.TEST, seed=0)


# The scenario -----------------------------------------------------------------------------------------------


def test_augmentation_is_a_choice() -> None:
    assert not compose("scenario=lenet").augments()
    scenario = compose("scenario=lenet", "scenario.augment=true")
    assert scenario.augments()
    images = np.zeros((2, 32, 32, 1), "uint8")
    images[:, 12:20, 12:20] = 255
    changed, labels = scenario.augment((images, np.arange(2)), np.array([[0, 1], [0, 2]]))
    assert changed.shape == images.shape
    assert np.abs(changed[0] - changed[1]).max() > 50
    assert labels.tolist() == [0, 1]


def test_another_optimizer_can_be_chosen() -> None:
    scenario = compose("scenario=lenet")
    assert (scenario.composed.optimizer, scenario.composed.learning_rate.lr) == (Momentum(momentum=0.9), 0.01)
    assert compose("scenario=lenet", "optimizer=adam").composed.optimizer.name == "adam"


def test_one_size_is_set_in_one_place() -> None:
    assert compose("scenario=lenet", "data.image_size=28").model.image_size == 28
    with pytest.raises(ConfigError, match=r"set data\.image_size alone"):
        compose("scenario=lenet", "model.image_size=28")


@pytest.mark.slow
def test_the_walk_of_a_run(command_here: Command, tmp_path: Path) -> None:
    """Trained as the README has it, in fewer epochs, validated, and asked about files."""
    result = command_here(
        train.main,
        "scenario=lenet",
        "lr=0.05",
        "epochs=20",
        "output_dir=run",
        "trainer.export_saved_model=false",
    )
    assert result.returncode == 0, result.stderr
    best = json.loads((tmp_path / "run" / "result.json").read_text())["best"]["metrics"]
    assert best["val_accuracy"] > 0.9
    validated = command_here(lav.main, "run")
    assert validated.returncode == 0, validated.stderr
    report = json.loads((tmp_path / "run" / "lav.json").read_text())
    assert report["metrics"]["accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-6)
    assert report["metrics"]["balanced_accuracy"] > 0.9
    images, labels = Digits().source(Split.VALIDATION, seed=0).numpy()
    (tmp_path / "photos").mkdir()
    for i in range(20):
        Image.fromarray(images[i, ..., 0]).save(tmp_path / "photos" / f"{i:02}.png")
    (tmp_path / "photos" / "bad.png").write_bytes(b"")
    predicted = command_here(predict.main, "run", "photos", "--output", "predictions.csv")
    assert predicted.returncode == 1
    assert "bad.png: is empty" in predicted.stderr
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "label", *"0123456789"]
    assert sum(row["label"] == str(label) for row, label in zip(rows, labels[:20], strict=True)) >= 17


@pytest.mark.long
def test_lenet_on_mnist_as_the_tutorial_has_it(command: Command, tmp_path: Path, shared_data: Path) -> None:
    words = ["scenario=lenet", "data=mnist", f"data.dir={shared_data / 'mnist'}", "output_dir=run"]
    result = command("train-scenario", *words, timeout=1200)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (found["epochs"], found["steps"]) == (10, 18_750)
    assert found["final"]["val_accuracy"] >= 0.987
