"""Grad-CAM: equal to what is computed by hand, whatever the model ends with."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from framework.errors import ConfigError, ScenarioError
from framework.model.grad_cam import GradCam, activations, filters


def network(classes: int, activation: str | None, *, flat: bool = False) -> keras.Model:
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((12, 10, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(5, 3, activation="relu", name="first"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(4, 3, activation="relu", name="second"),
            layers.Flatten() if flat else layers.GlobalAveragePooling2D(),
            layers.Dense(classes, activation=activation, name="head"),
        ]
    )


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (4, 12, 10, 3)).astype("uint8")


def by_hand(model: keras.Model, images: np.ndarray, classes: list[int]) -> np.ndarray:
    """Behind global average pooling, the gradient of a logit is the weight of the channel, over all places."""
    maps = activations(model, ["second"], images)["second"]
    kernel = model.get_layer("head").kernel.numpy()
    if kernel.shape[1] == 1:
        weights = np.stack([kernel[:, 0] if chosen else -kernel[:, 0] for chosen in classes])
    else:
        weights = np.stack([kernel[:, chosen] for chosen in classes])
    places = maps.shape[1] * maps.shape[2]
    return np.maximum(np.einsum("bhwc,bc->bhw", maps, weights) / places, 0)


@pytest.mark.parametrize(
    ("classes", "activation"), [(3, "softmax"), (3, None), (1, "sigmoid"), (1, None)], ids=str
)
def test_maps_are_those_computed_by_hand(images: np.ndarray, classes: int, activation: str | None) -> None:
    model, chosen = network(classes, activation), [0, 1, 1, 0]
    expected = by_hand(model, images, chosen)
    assert expected.max() > 0
    found = GradCam(model).maps(images, chosen)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_the_activation_is_back_afterwards(images: np.ndarray) -> None:
    model = network(3, "softmax")
    before = model.predict_on_batch(images)
    GradCam(model).maps(images, [0] * 4)
    assert model.get_layer("head").activation is keras.activations.softmax
    np.testing.assert_array_equal(model.predict_on_batch(images), before)


def test_gradients_are_those_of_differences(images: np.ndarray) -> None:
    """Behind a layer that sees places, too, the weights are means of gradients: tried by small differences."""
    model = network(2, None, flat=True)
    maps = activations(model, ["second"], images[:1])["second"]
    rest = keras.Model(model.get_layer("second").output, model.outputs[0])
    gradients = np.zeros_like(maps[0])
    for place in np.ndindex(gradients.shape):
        step = np.zeros_like(maps)
        step[(0, *place)] = 1e-2
        ends = [float(rest(maps + sign * step)[0, 1]) for sign in (1, -1)]
        gradients[place] = (ends[0] - ends[1]) / 2e-2
    expected = np.maximum((maps[0] * gradients.mean(axis=(0, 1))).sum(-1), 0)
    np.testing.assert_allclose(GradCam(model).maps(images[:1], [1])[0], expected, rtol=1e-3, atol=1e-6)


def test_frozen_weights_change_nothing(images: np.ndarray) -> None:
    model = network(3, "softmax")
    before = GradCam(model).maps(images, [0, 1, 2, 0])
    model.trainable = False
    np.testing.assert_array_equal(GradCam(model).maps(images, [0, 1, 2, 0]), before)


def test_the_last_layer_with_height_and_width_is_taken_unless_another_is_named(images: np.ndarray) -> None:
    model = network(3, "softmax")
    assert GradCam(model).layer == "second"
    assert GradCam(model, "pool").maps(images, [0] * 4).shape == (4, 5, 4)


def test_a_model_within_a_model(images: np.ndarray) -> None:
    inner = network(3, None)
    backbone = keras.Model(inner.inputs, inner.get_layer("second").output, name="backbone")
    inputs = keras.Input((12, 10, 3))
    outputs = layers.Dense(2, "softmax")(layers.GlobalAveragePooling2D()(backbone(inputs)))
    camera = GradCam(keras.Model(inputs, outputs))
    assert camera.layer == "backbone"
    assert camera.maps(images, [0, 1, 0, 1]).shape == (4, 3, 2)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def test_what_cannot_be_observed() -> None:
    with pytest.raises(ScenarioError, match="layers of a Subclassed cannot be observed"):
        GradCam(Subclassed())
    dense = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    with pytest.raises(ScenarioError, match="no layer whose output has a height"):
        GradCam(dense)
    inputs = keras.Input((4,))
    both = keras.Model(inputs, {"a": layers.Dense(1)(inputs), "b": layers.Dense(1)(inputs)})
    with pytest.raises(ScenarioError, match="several outputs"):
        GradCam(both)


def test_a_layer_that_is_not_there_or_has_nothing_to_show() -> None:
    model = network(3, "softmax")
    with pytest.raises(ConfigError, match=r"(?s)is not in the model.*did you mean 'second'"):
        GradCam(model, "secnd")
    with pytest.raises(ConfigError, match=r"(?s)has no height and width.*first, pool, second"):
        GradCam(model, "head")
    with pytest.raises(ConfigError, match=r"(?s)must be a convolutional layer.*first, second"):
        filters(model, "pool")
    assert filters(model, "first").shape == (3, 3, 3, 5)
