"""The functions of the package scenarios.mesonet: names, arguments and results are those that its page has."""

from __future__ import annotations

import importlib
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf

import scenarios.mesonet
from framework import ConfigError, DataError, ScenarioError
from framework.data.images import load_image
from framework.errors import RunDirectoryError
from scenarios.mesonet import (
    activation_layer,
    build_model,
    conv2D,
    evaluate_model,
    fully_connected_layer,
    get_activation_model,
    get_classification_report,
    get_loaded_model,
    get_test_data_generator,
    get_train_data_generator,
    make_prediction,
    plot_loss_curve,
    predict,
    save_model_history,
    visualize_conv_layers,
)
from scenarios.mesonet.augmentations import settings_of
from scenarios.mesonet.displacement import Displacement
from scenarios.mesonet.networks import Meso4
from tests.cli.test_commands import write_images

SIZE = 32


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images each of two classes, dark and light."""
    return write_images(tmp_path_factory.mktemp("package") / "images", count=5, size=16)


@pytest.fixture(scope="module")
def small() -> keras.Model:
    """Meso-4 for images of 32x32, with drawn weights."""
    model = build_model(keras.Input((SIZE, SIZE, 3)))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "moving_variance":
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        elif weight.name in ("bias", "beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def loaded(folder: Path, size: int = SIZE) -> np.ndarray:
    """All images of a folder of classes, float32 with values of 0 to 1, in the order of their names."""
    paths = sorted(folder.glob("*/*"))
    return np.stack([load_image(path, size) for path in paths]).astype("float32") / 255


# Names ------------------------------------------------------------------------------------------------------

SIGNATURES = {
    "model": {
        "activation_layer": "ip, activation, *args",
        "conv2D": "ip, filters, kernel_size, activation, padding='same', pool_size=(2, 2)",
        "fully_connected_layer": "ip, units, activation, dropout",
        # The page has a keras.Input as default, which would be shared by all models.
        "build_model": "ip=None, activation='relu', dropout=0.5, hidden_activation='lrelu'",
        "predict": "model, data, steps=None, threshold=0.5",
        "make_prediction": "model_path, data_dir, threshold=0.5, batch_size=64, return_probs=False, "
        "return_report=False",
        "get_loaded_model": "path",
        "get_activation_model": "model, conv_idx",
        "evaluate_model": "model, test_data_dir, batch_size=64",
        "get_classification_report": "true, preds, output_dict=False",
        "save_model_history": "history, filename",
    },
    "train": {
        "train_model": "model, train_data_dir, validation_split=None, batch_size=32, "
        "use_default_augmentation=True, augmentations=None, epochs=30, compile=True, lr=0.001, "
        "loss='binary_crossentropy', lr_decay=True, decay_rate=0.1, decay_limit=1e-06, checkpoint=True, "
        "stop_early=True, monitor='val_accuracy', mode='auto', patience=20, tensorboard=True, "
        "loss_curve=True",
    },
    "visualization": {"plot_loss_curve": "history", "visualize_conv_layers": "model, imgs, conv_idx"},
    "data": {
        "get_train_data_generator": "train_data_dir, batch_size, validation_split=None, "
        "use_default_augmentation=True, augmentations=None",
        "get_test_data_generator": "test_data_dir, batch_size, shuffle=False",
    },
}


def test_names_arguments_and_defaults_are_those_of_the_page() -> None:
    names = set()
    for module, functions in SIGNATURES.items():
        for name, arguments in functions.items():
            function = getattr(importlib.import_module(f"scenarios.mesonet.{module}"), name)
            assert getattr(scenarios.mesonet, name) is function
            signature = inspect.signature(function)
            bare = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
            assert str(inspect.Signature(bare)) == f"({arguments})", name
            names.add(name)
    assert names == set(scenarios.mesonet.__all__)
    with pytest.raises(AttributeError, match="no attribute 'train_modl'"):
        importlib.import_module("scenarios.mesonet").train_modl  # noqa: B018


# Building ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("relu", (), [0.0, 2.0]),
        ("relu", (1.5,), [0.0, 1.5]),
        ("elu", (), [np.expm1(-1.0), 2.0]),
        ("lrelu", (), [-0.3, 2.0]),
        ("lrelu", (0.5,), [-0.5, 2.0]),
    ],
)
def test_activations(name: str, arguments: tuple[float, ...], expected: list[float]) -> None:
    for given in ([-1.0, 2.0], np.array([-1.0, 2.0], "float32")):
        np.testing.assert_allclose(activation_layer(given, name, *arguments), expected, rtol=1e-6)


def test_an_unknown_activation_is_a_key_error() -> None:
    ip = keras.Input((SIZE, SIZE, 3))
    builds: list[Callable[[], object]] = [
        lambda: activation_layer(ip, "selu"),
        lambda: conv2D(ip, 4, 3, "selu"),
        lambda: fully_connected_layer(ip, 4, "selu", 0.5),
        lambda: build_model(ip, activation="selu"),
        lambda: build_model(ip, hidden_activation="selu"),
    ]
    for build in builds:
        with pytest.raises(KeyError, match="'selu'; known are relu, elu, lrelu"):
            build()


@pytest.mark.parametrize("field", ["activation", "hidden_activation"])
def test_an_unknown_activation_of_a_network_is_a_problem(field: str) -> None:
    settings: Any = {field: "selu"}
    with pytest.raises(ConfigError, match=rf"model\.{field}: unknown activation"):
        Meso4(**settings).build(classes=2)


def test_the_blocks_are_made_of_these_layers() -> None:
    ip = keras.Input((10, 10, 3))
    model = keras.Model(ip, conv2D(ip, 6, (3, 5), "elu", "valid", 3))
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    assert kinds == ["Conv2D", "ELU", "BatchNormalization", "MaxPooling2D"]
    assert (model.layers[1].kernel_size, model.output_shape) == ((3, 5), (None, 2, 2, 6))
    vector = keras.Input((4,))
    for name, below in (("relu", 0.0), ("elu", 0.1 * np.expm1(-2.0)), ("lrelu", -0.2)):
        dense, activation, dropout = keras.Model(vector, fully_connected_layer(vector, 7, name, 0.25)).layers[
            1:
        ]
        assert (dense.units, dropout.rate) == (7, 0.25)
        np.testing.assert_allclose(activation(np.array([-2.0, 5.0], "float32")), [below, 5.0], rtol=1e-6)


def test_build_model_gives_the_network_of_the_paper(small: keras.Model) -> None:
    model = build_model()
    assert (model.input_shape, model.count_params()) == ((None, 256, 256, 3), 28_073)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 27_977
    assert build_model().input is not model.input
    ours = Meso4(image_size=SIZE).build(classes=2)
    ours.set_weights(small.get_weights())
    batch = np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3)).astype("float32")
    np.testing.assert_allclose(small(batch / 255), ours(batch), atol=1e-6)
    assert [layer.rate for layer in small.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]
    with pytest.raises(TypeError, match=r"must be a keras\.Input"):
        build_model((256, 256, 3))


# Observing --------------------------------------------------------------------------------------------------


def test_an_activation_model_keeps_the_order(small: keras.Model) -> None:
    batch = np.random.default_rng(0).random((2, SIZE, SIZE, 3)).astype("float32")
    convolutions = [layer for layer in small.layers if isinstance(layer, keras.layers.Conv2D)]
    by_hand = [keras.Model(small.input, layer.output)(batch).numpy() for layer in convolutions]
    for indices in ([0, 3], [3, 0], [-1, 1]):
        outputs = get_activation_model(small, indices)(batch)
        assert isinstance(outputs, list)
        for index, output in zip(indices, outputs, strict=True):
            np.testing.assert_allclose(output, by_hand[index], atol=1e-6)
    bare = get_activation_model(small, [2]).predict(batch, verbose=0)
    np.testing.assert_allclose(bare, by_hand[2], atol=1e-6)
    with pytest.raises(ValueError, match="at least one"):
        get_activation_model(small, [])
    with pytest.raises(IndexError, match=r"no convolutional layer 4; .* these: 0: conv2d.*, 3: conv2d"):
        get_activation_model(small, [0, 4])
    for wrong in (None, 0, "0", [0.0]):
        with pytest.raises(TypeError, match="conv_idx must be whole numbers"):
            get_activation_model(small, wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_convolutions_are_drawn_with_all_filters() -> None:
    ip = keras.Input((8, 8, 3))
    model = keras.Model(ip, conv2D(conv2D(ip, 6, 3, "relu"), 2, 3, "relu"))
    figures = visualize_conv_layers(model, np.random.default_rng(0).random((2, 8, 8, 3)), [1, 0])
    assert [len([a for a in figure.axes if a.images]) for figure in figures] == [2, 6, 2, 6]
    titles = [figure.get_suptitle() for figure in figures]
    assert titles == ["Convolutional layer 2", "Convolutional layer 1"] * 2
    image = figures[1].axes[5].images[0]
    assert np.asarray(image.get_array()).shape == (8, 8)
    assert image.get_cmap().name == "viridis"
    for wrong in (np.zeros((8, 8, 3)), np.zeros((2, 8, 9, 3))):
        with pytest.raises(ValueError, match=r"the model takes \(None, 8, 8, 3\)"):
            visualize_conv_layers(model, wrong, [0])


def test_the_loss_curve_has_what_was_recorded(tmp_path: Path) -> None:
    history = keras.callbacks.History()
    history.history = {"loss": [3.0, 2.0], "accuracy": [0.1, 0.2], "val_loss": [4.0, 3.0]}
    axes = plot_loss_curve(history)
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    np.testing.assert_array_equal(lines["training"], [(1, 3), (2, 2)])
    np.testing.assert_array_equal(lines["validation"], [(1, 4), (2, 3)])
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(tmp_path / "loss.png")
    history.history = {"loss": [3.0, 2.0]}
    assert len(plot_loss_curve(history).lines) == 1
    assert len(plt.get_fignums()) == 1, "pyplot keeps the last one only"
    save_model_history(history, tmp_path / "history.pickle")
    with open(tmp_path / "history.pickle", "rb") as file:
        saved = pickle.load(file)  # noqa: S301 - it was written one line above
    assert saved == {"loss": [3.0, 2.0]}
    history.history = {}
    with pytest.raises(ValueError, match="no loss"):
        plot_loss_curve(history)


# Predicting -------------------------------------------------------------------------------------------------


def test_predict_takes_the_threshold_for_the_positive_class(small: keras.Model) -> None:
    batch = np.random.default_rng(0).random((5, SIZE, SIZE, 3)).astype("float32")
    expected = small(batch).numpy().ravel()
    threshold = float(np.float32(sorted(expected)[2]))
    probabilities, classes = predict(small, batch, threshold=threshold)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert classes.tolist() == (probabilities >= threshold).astype(int).tolist()
    for wrong in (-0.1, 1.5, float("nan"), "0.5"):
        with pytest.raises(ConfigError, match="threshold: must be a number from 0 to 1"):
            predict(small, batch, threshold=wrong)  # type: ignore[arg-type]
    softmax = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    with pytest.raises(ScenarioError, match=r"one probability for each image, and it gives \(3,\)"):
        predict(softmax, batch)


@pytest.mark.slow
def test_predictions_name_files_and_classes(small: keras.Model, images: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    small.save(path)
    expected = small(loaded(images)).numpy().ravel()
    threshold = float(np.median(expected))
    rows, report = make_prediction(path, images, threshold, 3, return_probs=True, return_report=True)
    assert rows[:, 0].tolist() == [f"{path.parent.name}/{path.name}" for path in sorted(images.glob("*/*"))]
    assert rows[:, 1].tolist() == ["Light" if one >= threshold else "Dark" for one in expected]
    shown = np.where(expected >= threshold, expected, 1 - expected) * 100
    np.testing.assert_allclose(rows[:, 2].astype(float), shown, atol=1e-3)
    true = [int(path.parent.name == "light") for path in sorted(images.glob("*/*"))]
    assert report == get_classification_report(true, (expected >= threshold).astype(int))
    rows, report = make_prediction(path, images / "dark")
    assert (rows.shape, report) == ((5, 2), "")
    assert set(rows[:, 1]) <= {"0", "1"}, "nothing says what the classes are called"
    with pytest.raises(DataError, match="does not say the classes of its images"):
        make_prediction(path, images / "dark", return_report=True)


@pytest.mark.slow
def test_folders_that_cannot_be_predicted(small: keras.Model, images: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    small.save(path)
    three = tmp_path / "three"
    for name in ("a", "b", "c"):
        (three / name).mkdir(parents=True)
        (three / name / "one.png").write_bytes(next(images.glob("dark/*")).read_bytes())
    (tmp_path / "empty").mkdir()
    for folder, words in (
        (three, "has 3 classes, a, b, c, and the model gives one probability"),
        (tmp_path / "empty", "there are no images"),
        (tmp_path / "thre", "there is no folder(.|\n)*did you mean .*three"),
        (path, "is a file, and a folder of images is needed"),
    ):
        with pytest.raises(DataError, match=words):
            make_prediction(path, folder)
    with pytest.raises(DataError, match="has 3 classes"):
        evaluate_model(small, three)
    with pytest.raises(ConfigError, match="the folder of images: does not exist"):
        evaluate_model(small, tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
def test_a_model_is_loaded_as_it_was_saved(suffix: str, small: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    small.save(path)
    model = get_loaded_model(path)
    assert not model.compiled
    for ours, theirs in zip(model.get_weights(), small.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    compiled = keras.models.clone_model(small)
    compiled.compile("sgd", "binary_crossentropy", ["accuracy"])
    compiled.save(path)
    again = get_loaded_model(path)
    assert again.compiled
    assert isinstance(again.optimizer, keras.optimizers.SGD)


def test_models_that_cannot_be_loaded(tmp_path: Path, images: Path, small: keras.Model) -> None:
    (tmp_path / "bad.keras").write_text("nothing")
    (tmp_path / "bad.h5").write_text("nothing")
    small.save_weights(tmp_path / "only.weights.h5")
    for name, words in (
        ("model.keras", r"there is no model .*model\.keras"),
        ("bad.keras", "cannot be loaded: File is not a zip file"),
        ("bad.h5", "cannot be loaded"),
        ("only.weights.h5", r"(?s)weights without the layers.*model\.load_weights"),
    ):
        with pytest.raises(RunDirectoryError, match=words):
            get_loaded_model(tmp_path / name)
    with pytest.raises(RunDirectoryError, match="holds no model"):
        get_loaded_model(images)


@pytest.mark.slow
def test_a_saved_model_predicts(small: keras.Model, images: Path, tmp_path: Path) -> None:
    small.export(tmp_path / "saved", verbose=False)
    rows, _ = make_prediction(tmp_path / "saved", images, return_probs=True)
    small.save(tmp_path / "model.keras")
    expected, _ = make_prediction(tmp_path / "model.keras", images, return_probs=True)
    assert (rows == expected).all()
    with pytest.raises(IndexError, match="the model has these: none"):
        get_activation_model(get_loaded_model(tmp_path / "saved"), [0])


@pytest.mark.slow
def test_a_model_is_evaluated_with_its_own_metrics(small: keras.Model, images: Path) -> None:
    batch = loaded(images)
    targets = np.repeat([[0.0], [1.0]], 5, axis=0)
    outputs = small(batch).numpy()
    loss, accuracy = evaluate_model(small, images, batch_size=3)
    assert loss == pytest.approx(float(np.mean(keras.losses.binary_crossentropy(targets, outputs))), rel=1e-4)
    assert accuracy == pytest.approx(float(np.mean((outputs > 0.5) == (targets == 1))))
    assert not small.compiled
    compiled = keras.models.clone_model(small)
    compiled.set_weights(small.get_weights())
    compiled.compile(loss="mse")
    (error,) = evaluate_model(compiled, images)
    assert error == pytest.approx(float(np.mean((targets - outputs) ** 2)), rel=1e-4)


@pytest.mark.slow
def test_a_model_that_scales_pixels_gets_pixels(small: keras.Model, images: Path) -> None:
    ours = Meso4(image_size=SIZE).build(classes=2)
    ours.set_weights(small.get_weights())
    assert evaluate_model(ours, images) == pytest.approx(evaluate_model(small, images), rel=1e-4)


@pytest.mark.slow
def test_a_report_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import classification_report

    true, predicted = np.array([[0], [1], [1]]), [0, 1, 0]
    report = get_classification_report(true, predicted, output_dict=True)
    assert isinstance(report, dict)
    assert report["1"]["recall"] == 0.5
    assert get_classification_report(true, predicted) == classification_report([0, 1, 1], predicted)


# Batches and augmentation -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_batches_hold_the_images_of_a_folder(images: Path) -> None:
    data = get_test_data_generator(images, 4)
    assert (len(data), data.samples, data.class_indices) == (3, 10, {"dark": 0, "light": 1})
    assert data.filenames[5].startswith("light/")
    shapes = [(batch.shape, labels.tolist()) for batch, labels in data]
    assert [shape for shape, _ in shapes] == [(4, 256, 256, 3)] * 2 + [(2, 256, 256, 3)]
    assert [label for _, labels in shapes for label in labels] == data.classes.tolist() == [0] * 5 + [1] * 5
    np.testing.assert_allclose(data[0][0], loaded(images, 256)[:4], atol=1e-6)
    mixed = get_test_data_generator(images, 10, shuffle=True)
    first = mixed[0][1].tolist()
    mixed.on_epoch_end()
    assert sorted(first) == sorted(mixed[0][1].tolist()) == [0] * 5 + [1] * 5
    assert first != mixed[0][1].tolist() or first != data.classes.tolist()
    with pytest.raises(ConfigError, match="batch_size"):
        get_test_data_generator(images, 0)


@pytest.mark.slow
def test_what_is_kept_for_validation_is_not_augmented(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    train, val = get_train_data_generator(images, 64, 0.2, augmentations={"zca_whitening": True})
    assert "zca_whitening'] is left out" in caplog.text
    assert val is not None
    assert sorted(train.filenames + val.filenames) == get_test_data_generator(images, 4).filenames
    assert (train.samples, val.samples) == (8, 2)
    as_it_is = dict(zip(get_test_data_generator(images, 4).filenames, loaded(images, 256), strict=True))
    for name, image in zip(val.filenames, val[0][0], strict=True):
        np.testing.assert_allclose(image, as_it_is[name], atol=1e-6)
    first, again = train[0][0], train[0][0]
    np.testing.assert_array_equal(first, again)
    train.on_epoch_end()
    assert not np.allclose(first, train[0][0])
    assert get_train_data_generator(images, 4)[1] is None
    for wrong in (1, 1.5, -0.1, "a"):
        with pytest.raises(ConfigError, match="validation_split"):
            get_train_data_generator(images, 4, wrong)  # type: ignore[arg-type]


def test_augmentations_have_the_names_of_keras() -> None:
    assert settings_of(None, use_default=False) == {
        "augment": False,
        "augmentation": {},
        "displacement": {},
    }
    given = {
        "rotation_range": 90,
        "zoom_range": [0.7, 1.3],
        "width_shift_range": 0.1,
        "shear_range": 5,
        "vertical_flip": True,
        "fill_mode": "nearest",
    }
    own = settings_of(given, use_default=False)
    assert own["augment"]
    assert (own["augmentation"]["rotation"], own["augmentation"]["zoom"]) == (90.0, 0.3)
    assert own["displacement"] == {"width_shift": 0.1, "shear": 5.0, "vertical_flip": True}
    both = settings_of(given, use_default=True)
    assert both["augmentation"] == {
        "rotation": 15.0,
        "zoom": 0.2,
        "horizontal_flip": True,
        "channel_shift": 30.0,
        "brightness": [0.8, 1.2],
    }, "the defaults take precedence"
    with pytest.raises(ConfigError) as caught:
        settings_of(
            {
                "rotation_rang": 1,
                "width_shift_range": 20,
                "fill_mode": "wrap",
                "zoom_range": [0.5, 1.2],
                "horizontal_flip": 1,
                "brightness_range": 0.5,
            },
            use_default=False,
        )
    assert len(caught.value.problems) == 6
    assert "did you mean 'rotation_range'" in str(caught.value)
    with pytest.raises(ConfigError, match="must be a mapping"):
        settings_of([1], use_default=True)  # type: ignore[arg-type]


def seeds_of(count: int) -> tf.Tensor:
    return tf.constant([[1, i] for i in range(count)], tf.int64)


def test_displacement_at_zero_changes_no_bit() -> None:
    batch = tf.random.uniform([4, 6, 8, 3])
    np.testing.assert_array_equal(Displacement().apply(batch, seeds_of(4)), batch)


@pytest.mark.slow
def test_a_vertical_flip_mirrors_half_of_the_images() -> None:
    batch = np.random.default_rng(0).random((40, 6, 8, 3)).astype("float32")
    flipped = Displacement(vertical_flip=True).apply(tf.constant(batch), seeds_of(40)).numpy()
    mirrored = [np.allclose(one, image[::-1], atol=1e-5) for one, image in zip(flipped, batch, strict=True)]
    kept = [np.allclose(one, image, atol=1e-5) for one, image in zip(flipped, batch, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 10 <= sum(mirrored) <= 30


@pytest.mark.slow
@pytest.mark.parametrize(("name", "axis"), [("width_shift", 1), ("height_shift", 0)])
def test_a_shift_moves_along_its_axis(name: str, axis: int) -> None:
    settings: Any = {name: 0.25}
    ramp = np.moveaxis(np.broadcast_to(np.arange(40.0)[:, None], (40, 40)), 0, axis)
    batch = np.repeat(ramp[None, ..., None].astype("float32"), 30, axis=0)
    moved = Displacement(**settings).apply(tf.constant(batch), seeds_of(30)).numpy()
    centre = moved[:, 20, 20, 0] - 20
    assert -10 <= centre.min() < -5 < 5 < centre.max() <= 10
    other = np.moveaxis(moved[..., 0], 1 + axis, 1)
    np.testing.assert_allclose(other, np.repeat(other[:, :, :1], 40, axis=2), atol=1e-4)


@pytest.mark.slow
def test_a_shear_is_that_of_keras() -> None:
    from keras.src.legacy.preprocessing.image import apply_affine_transform

    y, x = np.mgrid[:33, :33] / 32
    image = np.stack([y, x, np.sin(3 * y) * np.cos(5 * x)], axis=2).astype("float32")
    sheared = Displacement(shear=20).apply(tf.constant(image[None].repeat(6, 0)), seeds_of(6)).numpy()
    for one in sheared:
        # The second channel says how far the rows were moved.
        angle = np.degrees(np.arcsin((one[16, 16, 1] - one[20, 16, 1]) * 32 / 4))
        assert abs(angle) <= 20
        # The centre of Keras is half a pixel off.
        theirs = apply_affine_transform(image.copy(), shear=angle, row_axis=0, col_axis=1, channel_axis=2)
        np.testing.assert_allclose(one[8:25, 8:25], theirs[8:25, 8:25], atol=0.03)
    assert len({round(float(one[20, 16, 1]), 4) for one in sheared}) == 6
