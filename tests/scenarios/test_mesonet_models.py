"""The MesoNet models are those of their authors: sizes, weights, and what they compute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from omegaconf import OmegaConf
from sklearn.datasets import load_sample_image

from framework.config.run_config import read_variant
from framework.errors import ConfigError, Problem
from framework.scenario import compose
from scenarios.mesonet.networks import MODELS, Meso1, Meso4, MesoInception4, MesoModel

CONF = Path(__file__).parents[2] / "conf" / "model"
ALL = [Meso1, Meso4, MesoInception4]


def photograph(size: int) -> np.ndarray:
    """A real image, float32 [1, size, size, 3] with values of 0 to 255: the pagoda."""
    return load_sample_image("china.jpg")[40 : 40 + size, 80 : 80 + size].astype("float32")[None]


# The models once more, in NumPy: each takes the arrays of its layers in order, and images in [0, 1] ---------


def conv(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, *, dilation: int = 1) -> np.ndarray:
    """A 'same' convolution and its ReLU."""
    reach = dilation * (kernel.shape[0] - 1)
    before, after = reach // 2, reach - reach // 2
    x = np.pad(x, [(0, 0), (before, after), (before, after), (0, 0)])
    windows = sliding_window_view(x, (reach + 1, reach + 1), axis=(1, 2))[..., ::dilation, ::dilation]
    return np.maximum(np.einsum("bhwcij,ijcf->bhwf", windows, kernel, optimize=True) + bias, 0)


def norm_and_pool(
    x: np.ndarray, size: int, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    x = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    batch, rows, columns, channels = x.shape
    return x.reshape(batch, rows // size, size, columns // size, size, channels).max(axis=(2, 4))


def sigmoid(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(x.reshape(len(x), -1) @ kernel + bias)))


def meso4_head(x: np.ndarray, *arrays: np.ndarray) -> np.ndarray:
    kernel, bias, *output = arrays
    x = x.reshape(len(x), -1) @ kernel + bias
    return sigmoid(np.where(x > 0, x, 0.1 * x), *output)


def meso1(x: np.ndarray, a: list[np.ndarray]) -> np.ndarray:
    x = conv(conv(x, *a[0:2]), *a[2:4])
    return sigmoid(norm_and_pool(x, 8, *a[4:8]), *a[8:])


def meso4(x: np.ndarray, a: list[np.ndarray]) -> np.ndarray:
    for stage, size in enumerate((2, 2, 2, 4)):
        x = norm_and_pool(conv(x, *a[6 * stage :][:2]), size, *a[6 * stage + 2 :][:4])
    return meso4_head(x, *a[24:])


def meso_inception4(x: np.ndarray, a: list[np.ndarray]) -> np.ndarray:
    for _ in range(2):
        reduce1, reduce2, reduce3, point, wide1, wide2, wide3 = [a[i : i + 2] for i in range(0, 14, 2)]
        branches = [conv(x, *point)]
        for dilation, (reduced, wide) in enumerate(
            [(reduce1, wide1), (reduce2, wide2), (reduce3, wide3)], start=1
        ):
            branches.append(conv(conv(x, *reduced), *wide, dilation=dilation))
        x = norm_and_pool(np.concatenate(branches, axis=-1), 2, *a[14:18])
        a = a[18:]
    for size in (2, 4):
        x = norm_and_pool(conv(x, *a[:2]), size, *a[2:6])
        a = a[6:]
    return meso4_head(x, *a)


REFERENCE = {Meso1: meso1, Meso4: meso4, MesoInception4: meso_inception4}


def draw_weights(model: keras.Model) -> None:
    """Weights of which none is 0 or 1, so that each of them, BatchNorm's too, counts for the output."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        elif weight.name in ("beta", "bias", "moving_mean"):
            weight.assign(rng.normal(0, 0.2, weight.shape))


# Sizes and shapes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "parameters", "trainable"),
    [(Meso1, 4_629, 4_621), (Meso4, 28_073, 27_977), (MesoInception4, 28_725, 28_615)],
)
def test_parameters_are_the_authors(config: type[MesoModel], parameters: int, trainable: int) -> None:
    model = config().build(classes=2)
    assert model.input_shape == (None, 256, 256, 3)
    assert model.output_shape == (None, 1)
    assert model.count_params() == parameters
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == trainable


@pytest.mark.parametrize("config", ALL)
def test_computes_what_the_architecture_says(config: type[MesoModel]) -> None:
    model = config(image_size=64).build(classes=2)
    draw_weights(model)
    image = photograph(64)
    expected = REFERENCE[config](image.astype("float64") / 255, model.get_weights())
    assert 0.01 < expected.item() < 0.99  # a saturated output would agree with anything
    np.testing.assert_allclose(model(image, training=False).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("config", ALL)
def test_more_than_two_classes_give_a_probability_each(config: type[MesoModel]) -> None:
    output = (
        config(image_size=64).build(classes=5)(np.repeat(photograph(64), 3, axis=0), training=False).numpy()
    )
    assert output.shape == (3, 5)
    np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-6)


def test_one_class_is_none() -> None:
    with pytest.raises(ValueError, match="2 classes or more"):
        Meso4().build(classes=1)


@pytest.mark.parametrize("config", ALL)
def test_output_is_float32_under_mixed_precision(config: type[MesoModel]) -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = config(image_size=64).build(classes=2)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert model.get_layer("conv1" if config is not MesoInception4 else "conv3").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"
    assert model.input.dtype == "float32"


# Settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MODELS))
def test_yaml_holds_the_defaults(name: str) -> None:
    conf = OmegaConf.merge({"data": {"image_size": 96}}, {"model": OmegaConf.load(CONF / f"{name}.yaml")})
    problems: list[Problem] = []
    plain: Any = OmegaConf.to_container(conf, resolve=True)
    model = read_variant(MODELS, plain["model"], "model", problems)
    assert not problems
    assert model == MODELS[name](image_size=96)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("relu", [0.0, 2.0]), ("elu", [np.expm1(-1.0), 2.0]), ("lrelu", [-0.1, 2.0])],
)
@pytest.mark.parametrize(
    ("field", "layer"), [("activation", "conv4_activation"), ("hidden_activation", "hidden_activation")]
)
def test_activation(setting: str, expected: list[float], field: str, layer: str) -> None:
    settings: Any = {field: setting}
    model = Meso4(image_size=64, **settings).build(classes=2)
    np.testing.assert_allclose(
        model.get_layer(layer)(np.array([-1.0, 2.0], "float32")).numpy(), expected, rtol=1e-6
    )


@pytest.mark.parametrize("config", [Meso4, MesoInception4])
def test_dropout_reaches_every_dropout_layer(config: type[MesoModel]) -> None:
    model = config(image_size=64, dropout=0.25).build(classes=2)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.25, 0.25]


@pytest.mark.parametrize(("config", "smallest"), [(Meso1, 8), (Meso4, 32), (MesoInception4, 32)])
def test_image_too_small(config: type[MesoModel], smallest: int) -> None:
    config(image_size=smallest).build(classes=2)
    problems: list[Problem] = []
    assert read_variant(MODELS, {"name": config.name, "image_size": smallest - 1}, "model", problems) is None
    with pytest.raises(ConfigError) as caught:
        config(image_size=smallest - 1).build(classes=2)
    assert list(caught.value.problems) == problems
    (problem,) = problems
    assert (problem.path, problem.given) == ("model.image_size", smallest - 1)
    assert f">= {smallest}" in (problem.allowed or "")


def test_a_config_needs_no_tensorflow() -> None:
    code = (
        "import sys, scenarios.mesonet.model, scenarios.mesonet.data, scenarios.mesonet.train\n"
        "import scenarios.mesonet.visualization, scenarios.mesonet.given_model\n"
        "assert not {'tensorflow', 'keras', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


# The authors' weights ---------------------------------------------------------------------------------------


def test_the_authors_weights_load(shared_data: Path) -> None:
    path = shared_data.parent / "weights" / "Meso4_DF.h5"
    if not path.is_file():
        pytest.skip("needs the authors' weights, and weights/Meso4_DF.h5 is absent beside the real data sets")
    with h5py.File(path) as file:
        layers = [file[name] for name in file.attrs["layer_names"]]
        arrays = [np.asarray(layer[name]) for layer in layers for name in layer.attrs["weight_names"]]
    model = Meso4().build(classes=2)
    model.load_weights(path)
    assert len(arrays) == len(model.weights) == 28
    for weight, array in zip(model.get_weights(), arrays, strict=True):
        np.testing.assert_array_equal(weight, array)
    image = photograph(256)
    np.testing.assert_allclose(
        model(image, training=False).numpy(), meso4(image.astype("float64") / 255, arrays), atol=1e-5
    )


def test_augmentation_that_is_set_and_off_is_told() -> None:
    def told(*words: str) -> list[str]:
        return list(compose("scenario=mesonet", *words).unused_settings())

    assert told() == told("scenario.augment=true", "scenario.augmentation.jpeg=0.5") == []
    assert told("scenario.augmentation.jpeg=0.5") == [
        "scenario.augmentation has no effect: scenario.augment=true turns augmentation on"
    ]
    assert told("scenario.augment=true", "scenario.augmentation.jpeg_quality=[40,50]") == [
        "scenario.augmentation.jpeg_quality has no effect: scenario.augmentation.jpeg is 0"
    ]
