"""Classes under other names, and data of which nothing is kept for validation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from framework.data.image_list import ImageList
from framework.data.images import ImageFolder
from framework.data.source import Split
from framework.data.tables import Table
from framework.data.texts import TextFiles
from framework.errors import ConfigError, DataError, Problem
from framework.evaluation.load_and_validate import load_and_validate
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario, compose
from framework.training.trainer import Trainer
from tests.conftest import TOY
from tests.runs import quiet
from tests.unit.data.test_images import PHOTO, folder_of, labels_of, save
from tests.unit.data.test_rows import write


def problem_of(config: ImageFolder | TextFiles | Table, split: Split = Split.TRAIN) -> Problem:
    with pytest.raises(ConfigError) as caught:
        config.source(split, seed=0)
    return caught.value.problems[0]


# Names ------------------------------------------------------------------------------------------------------


def test_folders_get_other_names_and_are_merged(tmp_path: Path) -> None:
    train = folder_of(tmp_path / "train", df=4, f2f=3, original=5)
    val = folder_of(tmp_path / "val", df=2, real=1)
    config = ImageFolder(
        train_dir=str(train),
        val_dir=str(val),
        rename={"df": "fake", "f2f": "fake", "original": "real"},
        positive_class="fake",
    ).resolve()
    assert (config.classes, config.positive_class) == (("fake", "real"), "fake")
    source = config.source(Split.TRAIN, seed=0)
    assert [Path(path).parent.name for path in source.paths] == ["df"] * 4 + ["f2f"] * 3 + ["original"] * 5
    assert labels_of(source) == [0] * 7 + [1] * 5
    assert labels_of(config.source(Split.VALIDATION, seed=0)) == [0, 0, 1]
    divided = ImageFolder(train_dir=str(train), rename={"df": "fake", "f2f": "fake"}, validation_split=0.5)
    assert divided.source(Split.VALIDATION, seed=0).classes == ("fake", "original")
    assert [len(divided.source(split, seed=0)) for split in (Split.TRAIN, Split.VALIDATION)] == [6, 6]
    swapped = ImageFolder(train_dir=str(val), rename={"df": "real", "real": "df"}, val_dir=str(val))
    assert labels_of(swapped.source(Split.TRAIN, seed=0)) == [1, 1, 0]


def test_names_that_cannot_be(tmp_path: Path) -> None:
    train = str(folder_of(tmp_path / "train", df=2, real=2))
    unknown = problem_of(ImageFolder(train_dir=train, rename={"dff": "fake"}))
    assert (unknown.path, unknown.given, unknown.allowed) == ("data.rename", "dff", "df, real")
    assert unknown.hint == "did you mean 'df'?"
    one = problem_of(ImageFolder(train_dir=train, rename={"df": "real"}))
    assert (one.path, one.message) == ("data.train_dir", "holds one class only, 'real'")
    old = problem_of(ImageFolder(train_dir=train, rename={"df": "fake"}, positive_class="df"))
    assert (old.path, old.hint) == ("data.positive_class", "data.rename calls it 'fake'")
    (empty,) = ImageFolder(rename={"df": " "}).check()
    assert empty.path == "rename.df"
    other = folder_of(tmp_path / "val", forged=1, real=1)
    beside = problem_of(ImageFolder(train_dir=train, val_dir=str(other)), Split.VALIDATION)
    assert "'data.rename={forged: CLASS}' gives it the name of a class" in (beside.hint or "")
    assert f"--data {other} --class-map forged=CLASS" in (beside.hint or "")
    with pytest.raises(ConfigError, match=r"data\.rename\.df"):
        compose("scenario=mesonet", "data=image_folder", "data.rename={df: 1}")


def test_a_name_that_only_the_validation_data_have(tmp_path: Path) -> None:
    train, val = folder_of(tmp_path / "train", fake=2, real=2), folder_of(tmp_path / "val", df=2, real=1)
    config = ImageFolder(train_dir=str(train), val_dir=str(val), rename={"df": "fake"})
    assert labels_of(config.source(Split.VALIDATION, seed=0)) == [0, 0, 1]
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(("fake", "real", "fake"))]
    others = [row | {"label": row["label"].replace("fake", "df")} for row in rows]
    texts = TextFiles(
        train=str(write(tmp_path / "a.csv", rows)),
        val=str(write(tmp_path / "b.csv", others)),
        rename={"df": "fake"},
    ).resolve()
    assert texts.classes == ("fake", "real")
    indices = [texts.labels(texts.rows(split, seed=0)).tolist() for split in (Split.TRAIN, Split.VALIDATION)]
    assert indices == [[0, 1, 0]] * 2
    unknown = problem_of(TextFiles(train=texts.train, val=texts.val, rename={"dff": "fake"}))
    assert (unknown.path, unknown.allowed) == ("data.rename", "df, fake, real")


def test_lists_and_tables_rename_their_labels(tmp_path: Path) -> None:
    save(tmp_path / "one.png", PHOTO)
    rows = [
        {"file": "one.png", "label": label, "x": i} for i, label in enumerate(("df", "f2f", "real", "df"))
    ]
    path, names = str(write(tmp_path / "a.csv", rows)), {"df": "fake", "f2f": "fake"}
    images = ImageList(train=path, val=path, rename=names).source(Split.TRAIN, seed=0)
    assert (images.classes, labels_of(images)) == (("fake", "real"), [0, 0, 1, 0])
    table = Table(train=path, val=path, target="label", inputs=("x",), rename=names).source(
        Split.TRAIN, seed=0
    )
    np.testing.assert_array_equal(table.numpy()[1][:, 0], [0, 0, 1, 0])
    (problem,) = Table(task="regression", rename=names).check()
    assert (problem.path, problem.allowed) == ("rename", "{}")


# Nothing for validation -------------------------------------------------------------------------------------


def test_all_of_it_can_be_trained_on(tmp_path: Path) -> None:
    folder = str(folder_of(tmp_path / "images", cat=4, dog=1))
    images = ImageFolder(train_dir=folder, validation_split=0)
    texts = TextFiles(
        train=str(write(tmp_path / "a.csv", [{"text": "x", "label": "a"}, {"text": "y", "label": "b"}])),
        validation_split=0,
    )
    assert (len(images.source(Split.TRAIN, seed=0)), len(texts.source(Split.TRAIN, seed=0))) == (5, 2)
    assert not images.has_validation()
    assert not texts.has_validation()
    assert ImageFolder(train_dir=folder, validation_split=0, val_dir=folder).has_validation()
    for config, path in ((images, "data.val_dir"), (texts, "data.val")):
        problem = problem_of(config, Split.VALIDATION)
        assert problem.path == path
        assert "data.validation_split=0 keeps nothing for validation" in (problem.hint or "")


@pytest.fixture
def scenario(tmp_path: Path, toy: Path) -> Scenario:
    """Two classes of points, all of them trained on."""
    rng = np.random.default_rng(0)
    rows = [
        {"x": x, "y": y, "kind": "df" if x + y > 0 else "real"}
        for x, y in rng.normal(size=(64, 2)).round(3).tolist()
    ]
    words = [f"data.train={write(tmp_path / 'a.csv', rows)}", "data.target=kind", "data.validation_split=0"]
    others = [row | {"kind": row["kind"].replace("df", "forged")} for row in rows]
    write(tmp_path / "other.csv", others)
    quick = (
        "trainer.tensorboard=false",
        "trainer.report=false",
        "trainer.export_saved_model=false",
        "epochs=3",
        "lr=0.05",
    )
    return compose("scenario=table_toy", *words, "data.rename={df: fake}", *quick, config_dir=toy)


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOY))
        import tables_toy

        yield tables_toy.write_conf(tmp_path / "conf")
        sys.modules.pop("tables_toy")


@pytest.mark.slow
def test_a_run_without_validation_and_its_model_on_other_data(
    scenario: Scenario, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    with caplog.at_level("INFO", "framework"):
        result = Trainer(scenario, RunDirectory.create(run), console=quiet()).train()
    assert (
        "without validation (data.validation_split=0), the best epoch is the one with the best training "
        "accuracy" in caplog.text
    )
    assert (result.status, result.epochs, set(result.final)) == ("finished", 3, {"accuracy", "loss"})
    with pytest.raises(
        ConfigError, match=r"data\.val: is needed for the validation rows(.|\n)*add data\.val=FILE"
    ):
        load_and_validate(run)
    other = f"data.val={tmp_path / 'other.csv'}"
    with pytest.raises(DataError, match="have labels of no class"):
        load_and_validate(run, other)
    report = load_and_validate(run, other, "data.rename={forged: fake}")
    assert result.best is not None
    assert report.samples == 64
    assert report.metrics["accuracy"] == pytest.approx(result.best["metrics"]["accuracy"], abs=0.2)
    with pytest.raises(ConfigError, match="has nothing to validate on"):
        Trainer.resume(run, "epochs=4", "trainer.lav_every_n=1", console=quiet())
    continued = Trainer.resume(
        run, "epochs=4", other, "data.rename={df: fake, forged: fake}", console=quiet()
    ).train()
    assert {"val_accuracy", "accuracy"} <= set(continued.final)


# Losses -----------------------------------------------------------------------------------------------------


def loss_of(toy: Path, classes: str, targets: list[float], outputs: list[list[float]], *words: str) -> float:
    """The loss of a batch, as the compiled model computes it."""
    import keras
    import tensorflow as tf

    objective = compose(
        "scenario=table_toy", f"data.classes=[{classes}]", "data.inputs=[x,y]", *words, config_dir=toy
    ).objective()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(len(outputs[0]))])
    model.compile(**objective.compile_arguments())
    y = tf.constant(targets)[:, None] if len(outputs[0]) == 1 else tf.constant(targets, tf.int32)
    return float(model.compute_loss(x=tf.zeros([2, 2]), y=y, y_pred=tf.constant(outputs)))


P = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
Y = np.eye(3)[[0, 1]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], -np.log([0.7, 0.3]).mean()),
        (["scenario.loss=categorical_crossentropy"], -np.log([0.7, 0.3]).mean()),
        (
            ["scenario.loss=categorical_focal_crossentropy"],
            -(0.25 * (1 - P) ** 2 * Y * np.log(P)).sum(1).mean(),
        ),
        (["scenario.loss=mean_squared_error"], ((P - Y) ** 2).mean()),
        (
            ["scenario.loss=categorical_hinge"],
            np.maximum(1 - (P * Y).sum(1) + (P * (1 - Y)).max(1), 0).mean(),
        ),
        (["scenario.label_smoothing=0.3"], -((0.7 * Y + 0.1) * np.log(P)).sum(1).mean()),
    ],
)
def test_losses_of_several_classes(toy: Path, words: list[str], expected: float) -> None:
    assert loss_of(toy, "a,b,c", [0, 1], P.tolist(), *words) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], -np.log([0.8, 0.4]).mean()),
        (
            ["scenario.loss=binary_focal_crossentropy"],
            -(np.array([0.2, 0.6]) ** 2 * np.log([0.8, 0.4])).mean(),
        ),
        pytest.param(["scenario.loss=mean_squared_error"], np.mean([0.04, 0.36]), id="squared"),
        (["scenario.label_smoothing=0.2"], -np.mean(0.9 * np.log([0.8, 0.4]) + 0.1 * np.log([0.2, 0.6]))),
    ],
)
def test_losses_of_two_classes(toy: Path, words: list[str], expected: float) -> None:
    assert loss_of(toy, "a,b", [1, 0], [[0.8], [0.6]], *words) == pytest.approx(expected, rel=1e-5)


def test_losses_that_do_not_fit(toy: Path) -> None:
    with pytest.raises(ConfigError, match="does not fit 3 classes, of which the model gives a softmax"):
        loss_of(toy, "a,b,c", [0, 1], P.tolist(), "scenario.loss=binary_crossentropy")
    with pytest.raises(
        ConfigError,
        match=r"does not fit 2 classes(.|\n)*allowed: binary_crossentropy, binary_focal_crossentropy",
    ):
        loss_of(toy, "a,b", [1, 0], [[0.8], [0.6]], "scenario.loss=sparse_categorical_crossentropy")
    with pytest.raises(ConfigError, match=r"scenario\.loss(.|\n)*did you mean 'binary_focal_crossentropy'"):
        compose("scenario=table_toy", "scenario.loss=binary_focal_crossentropi", config_dir=toy)
    with pytest.raises(ConfigError, match=r"scenario\.label_smoothing: means nothing with huber"):
        compose("scenario=table_toy", "scenario.loss=huber", "scenario.label_smoothing=0.1", config_dir=toy)
