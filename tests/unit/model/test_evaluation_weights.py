"""Evaluation weights: fresh BatchNorm statistics inside, the training state untouched outside."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from framework.model.evaluation_weights import (
    AveragedWeights,
    EvaluationWeights,
    batch_norm_layers,
    ema_rate,
    exponential,
)


def nested_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(5), keras.layers.BatchNormalization(name="inner")]
    )
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
        (rng.normal(2, 3, size=(size, 4)).astype("float32"), rng.normal(size=(size, 1)).astype("float32"))
        for _ in range(count)
    ]


def values(model: keras.Model) -> list[bytes]:
    return [
        keras.ops.convert_to_numpy(v).tobytes()
        for v in [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    ]


def test_the_statistics_are_those_of_the_data_with_dropout_off() -> None:
    model = nested_model()
    data = batches(6)
    inner, outer = batch_norm_layers(model)
    dense = model.layers[0].layers[0]
    with EvaluationWeights(model, recalibrate=True).apply(data):
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
    with weights.apply(data):
        model.test_on_batch(*data[1])
        model.reset_metrics()
    assert values(model) == before
    with pytest.raises(RuntimeError, match="in the middle"), weights.apply(data):
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
                with weights.apply(batches(2)):
                    pass
        return values(model)

    assert train(None) == train(False) == train(True)


def test_layers_work_as_before_afterwards() -> None:
    model = nested_model()
    layers = batch_norm_layers(model)
    with EvaluationWeights(model, recalibrate=True).apply(batches(2)):
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
    with weights.apply(forbidden()):
        pass


def test_no_batches_is_an_error() -> None:
    with (
        pytest.raises(ValueError, match="at least one batch"),
        EvaluationWeights(nested_model(), recalibrate=True).apply([]),
    ):
        pass


def test_the_average_moves_as_its_formula_says_and_the_training_does_not() -> None:
    def train(rate: float | None) -> tuple[list[bytes], list[np.ndarray], list[np.ndarray]]:
        model = nested_model()
        model.optimizer.build(model.trainable_variables)
        average = AveragedWeights(model, exponential(rate)) if rate is not None else None

        @tf.function
        def step(batch: Any) -> None:
            model.train_step(batch)
            if average is not None:
                average.update()

        seen = [[keras.ops.convert_to_numpy(w).copy() for w in model.weights]]
        for batch in batches(5):
            step(tuple(map(tf.constant, batch)))
            seen.append([keras.ops.convert_to_numpy(w).copy() for w in model.weights])
        expected = seen[0]
        for n, weights in enumerate(seen[1:], start=1):
            r = min(rate or 0, (1 + n) / (10 + n))
            expected = [a + (1 - r) * (w - a) for a, w in zip(expected, weights, strict=True)]
        found = [keras.ops.convert_to_numpy(v) for v in average.variables] if average is not None else []
        return values(model), expected, found

    without, _, _ = train(None)
    for rate in (0.2, 0.999):
        with_, expected, found = train(rate)
        assert with_ == without
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_average_is_what_is_evaluated() -> None:
    model = nested_model()
    model.optimizer.build(model.trainable_variables)
    average = AveragedWeights(model, exponential(0.9))
    model.train_on_batch(*batches(1)[0])
    trained = values(model)
    with EvaluationWeights(model, recalibrate=False, average=average).apply():
        inside = [keras.ops.convert_to_numpy(w).tobytes() for w in model.weights]
    assert inside == [keras.ops.convert_to_numpy(v).tobytes() for v in average.variables]
    assert values(model) == trained


@pytest.mark.parametrize(
    ("rate", "batch_size", "samples", "expected"),
    [
        (0.9, 32, 1000, 0.9),
        (-1, 32, 1000, 0.75 ** (32 / 1000)),
        (-1, 500, 1000, 0.99),
        (-1, 1, 100_000, 0.99975),
    ],
)
def test_the_automatic_rate(rate: float, batch_size: int, samples: int, expected: float) -> None:
    assert ema_rate(rate, batch_size, samples) == pytest.approx(expected)
