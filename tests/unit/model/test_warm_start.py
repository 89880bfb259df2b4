"""Warm start: from each kind of file, each variable gets the source's bits or a reason why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from framework.config.schema import read
from framework.config.warm_start_config import WarmStartConfig
from framework.errors import ConfigError, Problem
from framework.model.warm_start import Transfer, describe, warm_start
from framework.run.checkpoint import CheckpointStore, NamedArray, Snapshot, copy_variables
from scenarios.mesonet.model import Meso4

LAYERS = keras.layers


def make(
    seed: int, *, units: int = 4, head: str = "output", inner: str = "dense1", classes: int = 1
) -> keras.Model:
    """A model in a model, BatchNorm, a layer inside a layer, and a seed; the initial values of two seeds
    differ everywhere."""
    backbone_in = keras.Input((3,))
    x = LAYERS.Dense(units, name=inner)(backbone_in)
    backbone = keras.Model(backbone_in, LAYERS.BatchNormalization(name="bn1")(x), name="backbone")
    inputs = keras.Input((3,), name="image")
    x = LAYERS.Dropout(0.5, name="dropout")(backbone(inputs))
    x = LAYERS.LSTM(2, name="lstm")(LAYERS.Reshape((1, units), name="reshape")(x))
    model = keras.Model(inputs, LAYERS.Dense(classes, name=head)(x), name=f"model{seed}")
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


PATHS = [
    *[f"backbone/dense1/{name}" for name in ("kernel", "bias")],
    *[f"backbone/bn1/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")],
    *[f"lstm/lstm_cell/{name}" for name in ("kernel", "recurrent_kernel", "bias")],
    *[f"output/{name}" for name in ("kernel", "bias")],
]


def values(model: keras.Model) -> dict[str, bytes]:
    return dict(zip(PATHS, (weight.numpy().tobytes() for weight in model.weights), strict=True))


def save_run(model: keras.Model, folder: Path) -> Path:
    (folder / "run" / "best").mkdir(parents=True)
    (folder / "run" / "export").mkdir()
    model.save(folder / "run" / "best" / "model.keras")
    make(99).save(folder / "run" / "export" / "model.keras")  # the last one; best comes first
    return folder / "run"


def save_exported_run(model: keras.Model, folder: Path) -> Path:
    (folder / "run" / "export").mkdir(parents=True)
    model.save(folder / "run" / "export" / "model.keras")
    return folder / "run"


def save_keras(model: keras.Model, folder: Path) -> Path:
    model.save(folder / "a.keras")
    return folder / "a.keras"


def save_trained_weights(model: keras.Model, folder: Path) -> Path:
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)  # whose variables are in the file, too
    model.save_weights(folder / "a.weights.h5")
    return folder / "a.weights.h5"


def save_legacy_model(model: keras.Model, folder: Path) -> Path:
    model.save(folder / "a.h5")
    return folder / "a.h5"


def save_legacy_weights(model: keras.Model, folder: Path) -> Path:
    """As Keras 2 wrote them: names as bytes, `:0` behind each, and no model around the layers of a nested
    one."""
    with h5py.File(folder / "a.h5", "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            weights = {f"{w.path.removeprefix('backbone/')}:0": w for w in layer.weights}
            group.attrs["weight_names"] = [name.encode() for name in weights]
            for name, weight in weights.items():
                group.create_dataset(name, data=weight.numpy())
    return folder / "a.h5"


def save_saved_model(model: keras.Model, folder: Path) -> Path:
    model.export(folder / "saved", format="tf_saved_model", verbose=False)
    return folder / "saved"


def save_checkpoint(model: keras.Model, folder: Path, *, step: int = 220, averaged: bool = False) -> Path:
    """As a run saves its raw model, or with averages of twice the weights beside it."""
    arrays = copy_variables(model.variables)
    variables: dict[str, Sequence[NamedArray]] = {"model": arrays, "optimizer": [], "metrics": []}
    if averaged:
        variables["average"] = [
            NamedArray(f"average_{i}", 2 * weight.numpy()) for i, weight in enumerate(model.weights)
        ]
    return CheckpointStore(folder / "run" / "checkpoints").save(
        Snapshot(step=step, state={}, variables=variables)
    )


def save_run_without_a_model(model: keras.Model, folder: Path) -> Path:
    save_checkpoint(make(98), folder, step=110)
    return save_checkpoint(model, folder).parents[1]


KINDS: list[Callable[[keras.Model, Path], Path]] = [
    *[save_run, save_exported_run, save_keras, save_trained_weights],
    *[save_legacy_model, save_legacy_weights, save_saved_model, save_checkpoint, save_run_without_a_model],
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of seed 1 in a file."""
    return save_keras(make(1), tmp_path_factory.mktemp("saved"))


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_trained_weights(make(1), tmp_path_factory.mktemp("numbered"))


def start(model: keras.Model, source: Path, **settings: Any) -> list[Transfer]:
    return warm_start(model, WarmStartConfig(model=str(source), **settings))


def outcomes(rows: list[Transfer]) -> dict[str, str]:
    return {row.path: row.outcome for row in rows if row.path}


@pytest.mark.parametrize("save", KINDS)
def test_each_kind_of_source_is_loaded_bit_for_bit(
    save: Callable[[keras.Model, Path], Path], tmp_path: Path
) -> None:
    source, model = make(1), make(2)
    seed = model.get_layer("dropout").seed_generator.state.numpy()
    rows = start(model, save(source, tmp_path))
    assert [(row.path, row.outcome, row.reason) for row in rows] == [(path, "loaded", "") for path in PATHS]
    assert values(model) == values(source)
    np.testing.assert_array_equal(model.get_layer("dropout").seed_generator.state.numpy(), seed)


def test_a_checkpoint_with_averaged_weights_gives_these(tmp_path: Path) -> None:
    source, model = make(1), make(2)
    start(model, save_checkpoint(source, tmp_path, averaged=True))
    for weight, raw in zip(model.weights, source.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), 2 * raw.numpy())


@pytest.mark.parametrize(
    "place", ["checkpoints", "checkpoints/step-00000220", "checkpoints/step-00000220/variables.npz"]
)
def test_a_checkpoint_of_layers_that_keras_named(place: str, tmp_path: Path) -> None:
    source, model = automatic(1), automatic(2)
    save_checkpoint(source, tmp_path)
    start(model, tmp_path / "run" / place)
    for weight, expected in zip(model.weights, source.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy())


def test_a_part_of_a_checkpoint(tmp_path: Path) -> None:
    model = make(2, head="other")
    rows = start(model, save_checkpoint(make(1), tmp_path), allow_partial=True)
    assert outcomes(rows) == dict.fromkeys(PATHS[:-2], "loaded") | {
        "other/kernel": "skipped",
        "other/bias": "skipped",
    }


def test_a_damaged_checkpoint_is_named_or_passed_over(tmp_path: Path) -> None:
    older, newer = save_checkpoint(make(1), tmp_path, step=110), save_checkpoint(make(3), tmp_path)
    (newer / "variables.npz").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"step-00000220/variables\.npz is damaged") as caught:
        start(make(2), newer)
    assert [problem.path for problem in caught.value.problems] == ["warmstart.model"]
    model = make(2)
    start(model, tmp_path / "run")
    assert values(model) == values(make(1)), "the newest intact one"
    (older / "state.json").unlink()
    with pytest.raises(ConfigError, match="none of the 2 checkpoints"):
        start(make(2), tmp_path / "run")


def test_averages_alone_are_no_model(tmp_path: Path) -> None:
    snapshot = Snapshot(step=220, state={}, variables={"power-0.1": copy_variables(make(1).weights)})
    with pytest.raises(ConfigError, match="ema-weights"):
        start(make(2), CheckpointStore(tmp_path / "averages").save(snapshot))


def test_without_a_model_nothing_is_done() -> None:
    model = make(2)
    assert warm_start(model, WarmStartConfig()) == []
    assert values(model) == values(make(2))


def test_weights_of_the_authors_of_mesonet_are_taken_by_order(shared_data: Path) -> None:
    file = shared_data.parent / "weights" / "Meso4_DF.h5"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    model, loaded = Meso4().build(classes=2), Meso4().build(classes=2)
    rows = start(model, file)
    loaded.load_weights(file)  # Keras itself goes by the order, too
    assert len(rows) == 28
    assert rows[0] == Transfer("conv1/kernel", "conv2d_5/kernel", (3, 3, 3, 8), "loaded", "by order")
    assert {(row.outcome, row.reason) for row in rows} == {("loaded", "by order")}
    for weight, expected in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy())
    with h5py.File(file) as stored:
        np.testing.assert_array_equal(
            model.get_layer("conv1").kernel.numpy(), stored["conv2d_5/conv2d_5/kernel:0"][()]
        )


def test_the_order_counts_only_where_all_shapes_agree(shared_data: Path) -> None:
    file = shared_data.parent / "weights" / "Meso4_DF.h5"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    with pytest.raises(
        ConfigError,
        match=r"some with other shapes:\s+.*: shape \(16, 1\) in the source, \(16, 3\) in the model",
    ):
        start(Meso4().build(classes=3), file, allow_partial=True)
    with pytest.raises(
        ConfigError, match=r"shape \(1024, 16\) in the source, \(64, 16\) in the model"
    ) as caught:
        start(Meso4(image_size=64).build(classes=2), file)
    assert "data.image_size" in str(caught.value)


def automatic(seed: int, *, wide_first: bool = True) -> keras.Model:
    widths = (5, 4) if wide_first else (4, 5)
    layers = [LAYERS.Dense(units) for units in widths]
    model = keras.Sequential([keras.Input((4,)), layers[0], LAYERS.BatchNormalization(), layers[1]])
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.mark.parametrize("named", [True, False])
def test_numbered_weights_of_automatic_names_are_taken_by_structure(named: bool, tmp_path: Path) -> None:
    source, file = automatic(1), tmp_path / "a.weights.h5"
    source.save_weights(file)
    if not named:  # as an early Keras 3 wrote them
        with h5py.File(file, "a") as stored:
            stored.visititems(lambda _, node: node.attrs.pop("name", None) and None)
    model = automatic(2)
    assert {(row.outcome, row.reason) for row in start(model, file)} == {("loaded", "by order")}
    for weight, expected in zip(model.weights, source.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy())
    with pytest.raises(ConfigError, match="nothing in it fits"):
        start(automatic(2, wide_first=False), file)


@pytest.mark.parametrize(
    ("kind", "rename"), [("saved", "head/->output/"), ("numbered", "^head/(.)->output/\\1")]
)
def test_rename(kind: str, rename: str, tmp_path: Path) -> None:
    source, model = make(1, head="head"), make(2)
    file = {"saved": save_keras, "numbered": save_trained_weights}[kind](source, tmp_path)
    with pytest.raises(ConfigError, match=r"warmstart\.allow_partial=true") as caught:
        start(model, file)
    assert "output/kernel: no such path in the source" in str(caught.value)
    assert values(model) == values(make(2))  # an error leaves the model as it was
    rows = start(model, file, rename=(rename,))
    assert outcomes(rows) == {path: "renamed" if path.startswith("output/") else "loaded" for path in PATHS}
    assert {row.source for row in rows if row.outcome == "renamed"} in (
        {"head/kernel", "head/bias"},
        {"head/0", "head/1"},
    )
    assert values(model) == values(source)


def test_two_variables_cannot_become_one(saved: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"warmstart\.rename: 'backbone/dense1/kernel' and 'lstm/lstm_cell/kernel'"
    ):
        start(make(2), saved, rename=("^.*/(?=kernel)->x/",))


def test_include_and_exclude(saved: Path) -> None:
    model = make(2)
    rows = start(model, saved, include="backbone|output", exclude=".*/bias")
    loaded = [
        path for path in PATHS if path.startswith(("backbone/", "output/")) and not path.endswith("/bias")
    ]
    assert [path for path, outcome in outcomes(rows).items() if outcome == "loaded"] == loaded
    assert {row.reason for row in rows if row.outcome == "skipped"} == {"excluded"}
    assert values(model) == values(make(2)) | {path: values(make(1))[path] for path in loaded}


def test_a_pattern_is_a_whole_name(saved: Path) -> None:
    with pytest.raises(ConfigError, match=r"warmstart\.include: leaves no variable to load"):
        start(make(2), saved, include="back")
    with pytest.raises(ConfigError, match=r"warmstart\.exclude: leaves no variable to load"):
        start(make(2), saved, exclude=".*")


def test_an_excluded_variable_may_be_of_another_shape(saved: Path) -> None:
    model = make(2, classes=3)
    rows = start(model, saved, exclude="output")
    assert values(model)["backbone/dense1/kernel"] == values(make(1))["backbone/dense1/kernel"]
    assert [row.path for row in rows if row.outcome == "skipped"] == ["output/kernel", "output/bias"]


def test_other_shapes_are_an_error_unless_partial(saved: Path) -> None:
    model = make(2, classes=3)
    with pytest.raises(ConfigError) as caught:
        start(model, saved)
    assert "warmstart.model" in str(caught.value)
    assert "output/kernel: shape (2, 1) in the source, (2, 3) in the model" in str(caught.value)
    rows = start(model, saved, allow_partial=True)
    assert (
        Transfer("output/bias", "output/bias", (3,), "skipped", "shape (1,) in the source, (3,) in the model")
        in rows
    )
    expected = values(make(1)) | {
        path: values(make(2, classes=3))[path] for path in ("output/kernel", "output/bias")
    }
    assert values(model) == expected


def test_what_the_model_does_not_have_is_listed(saved: Path) -> None:
    rows = start(make(2, head="head"), saved, allow_partial=True)
    assert Transfer("", "output/kernel", (2, 1), "skipped", "not in the model") in rows
    assert Transfer("head/kernel", "", (2, 1), "skipped", "no such path in the source") in rows
    assert len(rows) == len(PATHS) + 2
    table = describe(rows)
    assert ("-", "(2, 1)", "output/kernel", "skipped: not in the model") in table
    assert ("backbone/dense1/kernel", "(3, 4)", "backbone/dense1/kernel", "loaded") in table


def test_numbers_do_not_fit_a_layer_with_other_variables(tmp_path: Path) -> None:
    """Without gamma, what was beta has the number that gamma has, and the same shape."""

    def norm(scale: bool) -> keras.Model:
        layers = [LAYERS.Dense(4, name="dense"), LAYERS.BatchNormalization(scale=scale, name="bn")]
        return keras.Sequential([keras.Input((3,)), *layers])

    norm(scale=False).save_weights(tmp_path / "a.weights.h5")
    rows = start(norm(scale=True), tmp_path / "a.weights.h5", allow_partial=True)
    reason = "its layer has 3 variables in the source, 4 in the model"
    assert Transfer("bn/gamma", "bn/0", (4,), "skipped", reason) in rows
    assert [path for path, outcome in outcomes(rows).items() if outcome == "loaded"] == [
        "dense/kernel",
        "dense/bias",
    ]


def test_nothing_loaded_names_what_is_near(tmp_path: Path) -> None:
    small = keras.Sequential([keras.Input((2,)), LAYERS.Dense(1, name="outputs")])
    with pytest.raises(ConfigError) as caught:
        start(make(2), save_keras(small, tmp_path), allow_partial=True)
    text = str(caught.value)
    assert "warmstart.model: nothing in it fits the model" in text
    assert "'outputs/kernel' is near to 'output/kernel'" in text


class Scale(keras.layers.Layer):
    def build(self, shape: Any) -> None:
        self.factor = self.add_weight(shape=(), initializer="uniform", name="factor")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return x * self.factor


def test_a_model_of_unknown_classes_gives_its_weights_without_them(tmp_path: Path) -> None:
    def scaled() -> keras.Model:
        lambda_layer = LAYERS.Lambda(lambda x: x, name="lambda")  # which is not run
        return keras.Sequential(
            [keras.Input((3,)), LAYERS.Dense(2, name="dense"), Scale(name="scale"), lambda_layer]
        )

    source, model = scaled(), scaled()
    rows = start(model, save_keras(source, tmp_path))
    assert outcomes(rows) == {"dense/kernel": "loaded", "dense/bias": "loaded", "scale/factor": "loaded"}
    assert float(model.get_layer("scale").factor) == float(source.get_layer("scale").factor)


@pytest.mark.parametrize(("first", "second"), [("head", "tail"), ("head", "head")])
def test_a_subclassed_model(first: str, second: str, tmp_path: Path) -> None:
    class Sum(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [LAYERS.Dense(2, name=first), LAYERS.Dense(2, name=second)]

        def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
            return self.parts[0](x) + self.parts[1](x)

    source, model = Sum(), Sum()
    for each in (source, model):
        each(np.zeros((1, 3), "float32"))
    source.save_weights(tmp_path / "a.weights.h5")
    if first == second:  # which is which cannot be told
        with pytest.raises(ConfigError, match="nothing in it fits"):
            start(model, tmp_path / "a.weights.h5")
        return
    assert [row.path for row in start(model, tmp_path / "a.weights.h5")] == [
        "head/kernel",
        "head/bias",
        "tail/kernel",
        "tail/bias",
    ]
    for weight, expected in zip(model.weights, source.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy())


@pytest.mark.parametrize("save", [save_trained_weights, save_saved_model])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_name_of_the_outermost_model_does_not_count(
    save: Callable[[keras.Model, Path], Path], dtype: str, tmp_path: Path
) -> None:
    def sequential(name: str, classes: int) -> keras.Model:
        layers = [
            LAYERS.Dense(2, name="dense", dtype=dtype),
            LAYERS.Dense(classes, name="output", dtype=dtype),
        ]
        return keras.Sequential([keras.Input((3,)), *layers], name=name)

    source, model = sequential("one", 1), sequential("other", 3)
    rows = start(model, save(source, tmp_path), allow_partial=True)
    expected = {
        "dense/kernel": "loaded",
        "dense/bias": "loaded",
        "output/kernel": "skipped",
        "output/bias": "skipped",
    }
    assert outcomes(rows) == expected
    assert model.weights[0].numpy().tobytes() == source.weights[0].numpy().tobytes()


def test_under_a_strategy(saved: Path) -> None:
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = make(2)
        start(model, saved)
    assert values(model) == values(make(1))


def test_what_is_missing_damaged_or_of_another_kind(saved: Path, numbered: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no weights")
    (tmp_path / "truncated.keras").write_bytes(saved.read_bytes()[:3000])
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "flipped.keras").write_bytes(content)
    (tmp_path / "truncated.weights.h5").write_bytes(numbered.read_bytes()[:3000])
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"damaged")
    h5py.File(tmp_path / "other.h5", "w").close()
    cases = {
        "absent": "there is no such file or folder",
        "empty": "holds no model",
        "notes.txt": "is damaged, or not a file of weights",
        "truncated.keras": "is damaged, or not a file of weights",
        "flipped.keras": "cannot be read",
        "truncated.weights.h5": "cannot be read",
        "saved_model": "cannot be read",
        "other.h5": "it holds no weights",
    }
    for name, message in cases.items():
        with pytest.raises(ConfigError) as caught:
            start(make(2), tmp_path / name)
        assert caught.value.problems[0].path == "warmstart.model", name
        assert message in str(caught.value), name


def problems_of(**settings: Any) -> list[str]:
    problems: list[Problem] = []
    read(WarmStartConfig, settings, "warmstart", problems)
    return [problem.path for problem in problems]


def test_the_settings_are_checked_before_a_run() -> None:
    assert problems_of(model="a", include="(", exclude="[") == ["warmstart.include", "warmstart.exclude"]
    renames = ["a->b", "ab", "(->b", "a->\\1", "->b"]
    assert problems_of(model="a", rename=renames) == [f"warmstart.rename[{i}]" for i in (1, 2, 3, 4)]
    assert problems_of(include="a", allow_partial=True) == ["warmstart.allow_partial", "warmstart.include"]
    assert problems_of(model="a", rename=["a->"], include="a", allow_partial=True) == []
    assert problems_of() == []
