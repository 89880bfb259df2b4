"""Freezing: what is named stays as it is while the rest learns, and a name that is nobody's is an error."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from framework.errors import ConfigError
from framework.model.freezing import freeze

LAYERS = keras.layers


def backbone(kind: type[keras.Model] = keras.Sequential) -> keras.Model:
    layers = [
        LAYERS.Dense(4, name="dense1"),
        LAYERS.BatchNormalization(name="bn1"),
        LAYERS.Dense(4, name="dense10"),
    ]
    if kind is keras.Sequential:
        return keras.Sequential([keras.Input((3,)), *layers], name="backbone")
    inputs = x = keras.Input((3,))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x, name="backbone")


def functional(kind: type[keras.Model] = keras.Sequential) -> keras.Model:
    inputs = keras.Input((3,), name="image")
    x = LAYERS.Dropout(0.1, name="dropout")(backbone(kind)(inputs))
    x = LAYERS.BatchNormalization(name="bn")(x)
    return keras.Model(inputs, LAYERS.Dense(1, name="output")(x), name="whole")


def sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input((3,)), backbone(), LAYERS.BatchNormalization(name="bn"), LAYERS.Dense(1, name="output")],
        name="whole",
    )


class Block(keras.layers.Layer):
    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.inner = [
            LAYERS.Dense(4, name="dense1"),
            LAYERS.BatchNormalization(name="bn1"),
            LAYERS.Dense(4, name="dense10"),
        ]

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        for layer in self.inner:
            x = layer(x, training=training) if isinstance(layer, LAYERS.BatchNormalization) else layer(x)
        return x


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="whole")
        self.first = Block("backbone")
        self.norm = LAYERS.BatchNormalization(name="bn")
        self.last = LAYERS.Dense(1, name="output")

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        return self.last(self.norm(self.first(x, training=training), training=training))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, 3), "float32"))
    return model


MODELS = {
    "functional": functional,
    "functional in functional": lambda: functional(keras.Model),
    "sequential": sequential,
    "subclassed": subclassed,
}


def changed(model: keras.Model) -> set[tuple[str, str]]:
    """Train for two steps and give the weights that changed, by layer and own name."""
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if not layer._flatten_layers(include_self=False)
    ]
    named = {(layer.name, weight.name): weight for layer in layers for weight in layer.weights}
    before = {key: weight.numpy().copy() for key, weight in named.items()}
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    rng = np.random.default_rng(0)
    for _ in range(2):
        model.train_on_batch(
            rng.normal(2, 3, (16, 3)).astype("float32"), rng.normal(size=(16, 1)).astype("float32")
        )
    return {key for key, weight in named.items() if not np.array_equal(weight.numpy(), before[key])}


BACKBONE = {"dense1", "bn1", "dense10"}


@pytest.mark.parametrize("kind", MODELS)
def test_a_frozen_parent_keeps_all_that_is_inside_and_the_rest_learns(kind: str) -> None:
    model = MODELS[kind]()
    assert freeze(model, "backbone") == ["backbone"]
    moved = changed(model)
    assert not {layer for layer, _ in moved} & BACKBONE
    assert {("output", "kernel"), ("bn", "beta"), ("bn", "moving_mean")} <= moved


@pytest.mark.parametrize("kind", MODELS)
def test_a_layer_inside_is_frozen_alone(kind: str) -> None:
    model = MODELS[kind]()
    assert freeze(model, "backbone/dense1") == ["backbone/dense1"]
    layers = {layer for layer, _ in changed(model)}
    assert "dense1" not in layers
    assert {"dense10", "bn1", "bn", "output"} <= layers


def test_frozen_batch_norm_keeps_its_moving_averages() -> None:
    model = functional()
    assert freeze(model, r".*bn\d*") == ["backbone/bn1", "bn"]
    assert not {layer for layer, _ in changed(model)} & {"bn", "bn1"}


def test_paths_come_in_the_order_of_the_model() -> None:
    assert freeze(functional(), "backbone/dense.*|bn") == ["backbone/dense1", "backbone/dense10", "bn"]


def test_a_pattern_is_a_whole_path() -> None:
    with pytest.raises(ConfigError) as caught:
        freeze(functional(), "dense1")
    text = str(caught.value)
    assert "trainer.no_train_scope" in text
    assert "backbone/dense10" in text  # every layer that could be meant is listed
    assert "dropout" not in text  # which has no weights


def test_a_near_name_is_proposed() -> None:
    with pytest.raises(ConfigError, match="did you mean 'backbone/dense1'"):
        freeze(functional(), "backbone/dens1")


def test_a_layer_without_weights_is_nothing_to_freeze() -> None:
    with pytest.raises(ConfigError, match="no layer that has weights"):
        freeze(functional(), "dropout")


def test_nothing_left_to_train_is_an_error() -> None:
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        freeze(functional(), ".*")


def test_an_invalid_pattern_is_an_error() -> None:
    with pytest.raises(ConfigError, match="must be a regular expression"):
        freeze(functional(), "conv(1")


def test_a_model_that_is_not_built_is_an_error() -> None:
    with pytest.raises(ValueError, match="build it"):
        freeze(Subclassed(), "backbone")
