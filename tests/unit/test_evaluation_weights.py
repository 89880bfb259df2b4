"""Evaluation weights: fresh BatchNorm statistics inside, the training state untouched outside."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from framework.evaluation_weights import EvaluationWeights, batch_norm_layers


def nested_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5), keras.layers.BatchNormalization(name="inner")])
    model = keras.Sequential(
        [
            keras.Input((4,)),
            inner,
            keras.layers.Dropout(0.5),
            keras.layers.BatchNormalization(name="outer"),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    return model


def batches(count: int, size: int = 16) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        (rng.normal(2, 3, size=(size, 4)).astype("float32"), rng.normal(size=(size, 1)).astype("float32")) for _ in range(count)
    ]


def values(model: keras.Model) -> list[bytes]:
    return [
        keras.ops.convert_to_numpy(v).tobytes() for v in [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    ]


def test_the_statistics_are_those_of_the_data_with_dropout_off() -> None:
    model = nested_model()
    data = batches(6)
    inner, outer = batch_norm_layers(model)
    dense = model.layers[0].layers[0]
    with EvaluationWeights(model, recalibrate=True)(data):
        activations = np.concatenate([dense(x).numpy() for x, _ in data])
        np.testing.assert_allclose(inner.moving_mean, activations.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(inner.moving_variance, activations.var(0), rtol=1e-4)
        # The outer layer sees each batch normalised by that batch's own statistics.
        parts = [dense(x).numpy() for x, _ in data]
        normalised = np.concatenate([(p - p.mean(0)) / np.sqrt(p.var(0) + inner.epsilon) for p in parts])
        np.testing.assert_allclose(outer.moving_mean, normalised.mean(0), atol=1e-5)
        np.testing.assert_allclose(outer.moving_variance, normalised.var(0), rtol=1e-3)


@pytest.mark.parametrize("recalibrate", [True, False])
def test_the_training_state_comes_back_bit_for_bit(recalibrate: bool) -> None:
    model = nested_model()
    data = batches(3)
    model.train_on_batch(*data[0])
    before = values(model)
    weights = EvaluationWeights(model, recalibrate=recalibrate)
    with weights(data):
        model.test_on_batch(*data[1])
        model.reset_metrics()
    assert values(model) == before
    with pytest.raises(RuntimeError, match="in the middle"), weights(data):
        raise RuntimeError("in the middle")
    assert values(model) == before


def test_training_goes_on_the_same_with_and_without() -> None:
    def train(recalibrate: bool | None) -> list[bytes]:
        model = nested_model()
        step = tf.function(model.train_step)
        weights = EvaluationWeights(model, recalibrate=bool(recalibrate))
        for batch in batches(6):
            step(tuple(map(tf.constant, batch)))
            if recalibrate is not None:
                with weights(batches(2)):
                    pass
        return values(model)

    assert train(None) == train(False) == train(True)


def test_layers_work_as_before_afterwards() -> None:
    model = nested_model()
    layers = batch_norm_layers(model)
    with EvaluationWeights(model, recalibrate=True)(batches(2)):
        pass
    for layer in layers:
        assert layer.momentum == 0.99
        assert "call" not in vars(layer)


def test_frozen_layers_keep_their_statistics() -> None:
    model = nested_model()
    model.layers[2].trainable = False
    assert [layer.name for layer in batch_norm_layers(model)] == ["inner"]


def test_without_batch_norm_no_batch_is_read() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    def forbidden() -> Any:
        raise AssertionError("a batch was read")
        yield

    weights = EvaluationWeights(model, recalibrate=True)
    assert not weights.recalibrates
    with weights(forbidden()):
        pass


def test_no_batches_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one batch"), EvaluationWeights(nested_model(), recalibrate=True)([]):
        pass
