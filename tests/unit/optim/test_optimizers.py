"""Optimizers: every setting reaches Keras and acts; AdaBelief is what its paper says."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from framework.config.run_config import read_variant
from framework.errors import ConfigError, Problem
from framework.optim.learning_rates import LEARNING_RATES
from framework.optim.optimizers import OPTIMIZERS, Optimizer

TYPED = [name for name in OPTIMIZERS if name != "keras"]
YAML_FILES = sorted((Path(__file__).parents[3] / "conf" / "optimizer").glob("*.yaml"))
SHARED = {field.name for field in dataclasses.fields(Optimizer)}

# Gradients that grow, shrink and change sign, so that every setting of every optimizer has something to act
# on.
GRADIENTS = np.array([[1.0, -2.0], [-0.5, 0.3], [0.2, -0.1], [-0.05, 0.4], [0.3, 0.02]])


def train(
    optimizer: keras.optimizers.Optimizer,
    gradients: npt.ArrayLike = GRADIENTS,
    start: npt.ArrayLike = (0.5, -1.5),
) -> np.ndarray:
    """The weights after a step with each of the gradients."""
    weight = keras.Variable(np.array(start, "float32"))
    optimizer.build([weight])
    for gradient in np.asarray(gradients):
        optimizer.apply([tf.constant(gradient, tf.float32)])
    return weight.numpy()


def own_settings() -> list[tuple[str, str]]:
    return [
        (name, field.name)
        for name in TYPED
        for field in dataclasses.fields(OPTIMIZERS[name])
        if field.name not in SHARED
    ]


@pytest.mark.parametrize(("name", "setting"), own_settings())
def test_each_setting_acts(name: str, setting: str) -> None:
    other = {
        "beta_1": 0.5,
        "beta_2": 0.6,
        "rho": 0.5,
        "epsilon": 0.1,
        "momentum": 0.5,
        "nesterov": True,
        "amsgrad": True,
        "centered": True,
    }[setting]
    base = {"momentum": 0.9} if setting == "nesterov" else {"beta_2": 0.5} if setting == "amsgrad" else {}
    changed = OPTIMIZERS[name](**base, **{setting: other}).build(0.1)
    assert getattr(changed, setting) == other
    assert not np.array_equal(train(changed), train(OPTIMIZERS[name](**base).build(0.1)))


@pytest.mark.parametrize("name", [name for name in TYPED if name not in ("adabelief", "momentum")])
def test_the_defaults_are_those_of_keras(name: str) -> None:
    optimizer = OPTIMIZERS[name]().build(0.1)
    theirs = {key: p.default for key, p in inspect.signature(type(optimizer)).parameters.items()}
    for field in dataclasses.fields(OPTIMIZERS[name]):
        if field.name in theirs:
            assert getattr(optimizer, field.name) == theirs[field.name], field.name


def test_each_optimizer_is_its_own_class() -> None:
    assert {name: type(OPTIMIZERS[name]().build(0.1)).__name__.lower() for name in TYPED} == {
        name: "sgd" if name == "momentum" else name for name in TYPED
    }


def test_momentum_is_sgd_with_another_default() -> None:
    assert np.array_equal(
        train(OPTIMIZERS["momentum"]().build(0.1)), train(OPTIMIZERS["sgd"](momentum=0.9).build(0.1))
    )


@pytest.mark.parametrize("learning_rate", [1, 1.0])
def test_a_whole_number_is_a_learning_rate(learning_rate: float) -> None:
    assert train(OPTIMIZERS["sgd"]().build(learning_rate), [[1.0, 2.0]], (5.0, 5.0)) == pytest.approx(
        [4.0, 3.0]
    )


# Not momentum: its velocity already holds the learning rates of the steps before, so it moves on at a rate of
# 0.
@pytest.mark.parametrize("name", [name for name in TYPED if name != "momentum"])
def test_a_schedule_is_followed(name: str) -> None:
    schedule = LEARNING_RATES["piecewise"](lr=0.1, boundaries=(2.0,), values=(1.0, 0.0)).build(
        steps_per_epoch=1, epochs=5
    )
    scheduled = train(OPTIMIZERS[name]().build(schedule))
    assert scheduled == pytest.approx(train(OPTIMIZERS[name]().build(0.1), GRADIENTS[:2]))


@pytest.mark.parametrize(
    ("settings", "moves"),
    [
        # The gradients are (3, -4), of norm 5, and (12), so 13 together.
        ({"clip_value": 3.5}, ([3.0, -3.5], [3.5])),
        ({"clip_norm": 10.0}, ([3.0, -4.0], [10.0])),
        ({"clip_norm": 1.0}, ([0.6, -0.8], [1.0])),
        ({"clip_global_norm": 1.3}, ([0.3, -0.4], [1.2])),
        ({}, ([3.0, -4.0], [12.0])),
    ],
)
def test_clipping(settings: dict[str, Any], moves: tuple[list[float], list[float]]) -> None:
    optimizer = OPTIMIZERS["sgd"](**settings).build(1.0)
    weights = [keras.Variable([0.0, 0.0]), keras.Variable([0.0])]
    optimizer.build(weights)
    optimizer.apply([tf.constant([3.0, -4.0]), tf.constant([12.0])])
    for weight, move in zip(weights, moves, strict=True):
        assert weight.numpy() == pytest.approx(-np.array(move))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("setting", ["clip_value", "clip_norm", "clip_global_norm", "weight_decay"])
def test_each_optimizer_takes_the_shared_settings(name: str, setting: str) -> None:
    optimizer = OPTIMIZERS[name](**{setting: 0.125}).build(0.1)
    theirs = {"clip_value": "clipvalue", "clip_norm": "clipnorm", "clip_global_norm": "global_clipnorm"}.get(
        setting, setting
    )
    assert getattr(optimizer, theirs) == 0.125


def small_model() -> keras.Model:
    """Two dense layers, all weights 1."""
    model = keras.Sequential(
        [keras.Input([2]), keras.layers.Dense(2, name="first"), keras.layers.Dense(1, name="second")]
    )
    for variable in model.variables:
        variable.assign(tf.ones_like(variable))
    return model


@pytest.mark.parametrize("name", TYPED)
def test_weight_decay_is_decoupled_and_spares_what_is_excluded(name: str) -> None:
    model = small_model()
    config = OPTIMIZERS[name](weight_decay=0.5, weight_decay_exclude=("bias$", "^.*second/"))
    optimizer = config.build(0.1)
    config.exclude_from_weight_decay(optimizer, model.trainable_variables)
    optimizer.build(model.trainable_variables)
    optimizer.apply([tf.zeros_like(variable) for variable in model.trainable_variables])
    values = {variable.path: variable.numpy() for variable in model.trainable_variables}
    decayed = [path for path in values if path.endswith("first/kernel")]
    assert len(decayed) == 1
    for path, value in values.items():
        expected = 1 - 0.1 * 0.5 if path in decayed else 1.0
        assert value == pytest.approx(expected, rel=1e-6), path


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_weight_decay_of_tfaip_is_converted_as_the_training_page_says(name: str) -> None:
    """tfaip takes weight_decay * (rate of the step / lr) of a weight off, without gradients to move it
    otherwise."""
    lr, theirs = 0.05, 0.01
    schedule = LEARNING_RATES["exponential_decay"](lr=lr, decay=0.5, decay_epochs=1).build(
        steps_per_epoch=1, epochs=5
    )
    expected = np.prod([1 - theirs * float(schedule(step)) / lr for step in range(5)])
    optimizer = OPTIMIZERS[name](weight_decay=theirs / lr).build(schedule)
    assert train(optimizer, np.zeros((5, 2)), start=(1.0, 1.0)) == pytest.approx(expected, rel=1e-6)


def test_an_exclusion_that_matches_nothing_is_a_problem() -> None:
    model = small_model()
    config = OPTIMIZERS["adamw"](weight_decay_exclude=("bias", "gamma"))
    with pytest.raises(ConfigError) as error:
        config.exclude_from_weight_decay(config.build(0.1), model.trainable_variables)
    (problem,) = error.value.problems
    assert problem.path == "optimizer.weight_decay_exclude[1]"
    assert "first/kernel" in (problem.allowed or "")


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({"name": "adam", "clip_norm": 1.0, "clip_value": 1.0}, ["optimizer.clip_norm"]),
        ({"name": "adam", "clip_norm": 1.0, "clip_global_norm": 1.0}, ["optimizer.clip_global_norm"]),
        ({"name": "adam", "clip_norm": 0}, ["optimizer.clip_norm"]),
        ({"name": "adam", "weight_decay_exclude": ["bias"]}, ["optimizer.weight_decay_exclude"]),
        (
            {"name": "adamw", "weight_decay_exclude": ["bias", "(", "["]},
            [f"optimizer.weight_decay_exclude[{i}]" for i in (1, 2)],
        ),
        ({"name": "adamw", "weight_decay": None}, ["optimizer.weight_decay"]),
        ({"name": "adam", "beta_1": 1.0}, ["optimizer.beta_1"]),
        ({"name": "adam", "momentum": 0.9}, ["optimizer.momentum"]),
        ({"name": "sgd", "nesterov": True}, ["optimizer.nesterov"]),
        ({"name": "keras", "arguments": {"clipnorm": 1.0}}, ["optimizer.arguments.clipnorm"]),
        ({"name": "keras", "arguments": {"learning_rate": 1.0}}, ["optimizer.arguments.learning_rate"]),
        ({"name": "keras", "class_name": "Ftrl", "weight_decay": 0.1}, ["optimizer.weight_decay"]),
        ({"name": "adamm"}, ["optimizer"]),
    ],
)
def test_settings_that_make_no_sense_are_problems(settings: dict[str, Any], paths: list[str]) -> None:
    problems: list[Problem] = []
    assert read_variant(OPTIMIZERS, settings, "optimizer", problems) is None
    assert [problem.path for problem in problems] == paths


@pytest.mark.parametrize(
    "class_name", ["Adadelta", "Adafactor", "Adagrad", "Ftrl", "Muon", "ScheduleFreeAdamW"]
)
def test_every_other_optimizer_of_keras_can_be_had(class_name: str) -> None:
    optimizer = OPTIMIZERS["keras"](class_name=class_name).build(0.1)
    assert type(optimizer) is getattr(keras.optimizers, class_name)
    assert not np.array_equal(train(optimizer), [0.5, -1.5])


def test_arguments_reach_any_optimizer() -> None:
    optimizer = OPTIMIZERS["keras"](class_name="Adadelta", arguments={"rho": 0.5}, clip_norm=1.0).build(0.1)
    assert (optimizer.rho, optimizer.clipnorm) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("settings", "path", "words"),
    [
        ({"class_name": "Adadelt"}, "optimizer.class_name", "did you mean 'Adadelta'?"),
        ({"class_name": "LossScaleOptimizer"}, "optimizer.class_name", "Adagrad, Adam,"),
        (
            {"class_name": "Adadelta", "arguments": {"rhoo": 0.5}},
            "optimizer.arguments.rhoo",
            "did you mean 'rho'?",
        ),
        ({"class_name": "SGD", "arguments": {"momentum": 2.0}}, "optimizer.arguments", "momentum"),
        ({"class_name": "Adam", "arguments": {"kwargs": 2.0}}, "optimizer.arguments.kwargs", "beta_1"),
    ],
)
def test_what_keras_does_not_know_is_a_problem(settings: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        OPTIMIZERS["keras"](**settings).build(0.1)
    assert [problem.path for problem in error.value.problems] == [path]
    assert words in str(error.value)


def published_adabelief(
    gradients: npt.ArrayLike,
    weight: np.ndarray,
    *,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> np.ndarray:
    """Zhuang et al. 2020 in float64."""
    weight = np.array(weight, np.float64)
    m = np.zeros_like(weight)
    s = np.zeros_like(weight)
    for t, g in enumerate(np.asarray(gradients, np.float64), start=1):
        m = beta_1 * m + (1 - beta_1) * g
        s = beta_2 * s + (1 - beta_2) * (g - m) ** 2 + epsilon
        m_hat = m / (1 - beta_1**t)
        s_hat = s / (1 - beta_2**t)
        weight = weight - learning_rate * m_hat / (np.sqrt(s_hat) + epsilon)
    return weight


@pytest.mark.parametrize(
    "settings",
    [
        {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-14},
        {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-3},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-8},
    ],
)
@pytest.mark.parametrize("gradients", [GRADIENTS, np.tile(GRADIENTS, (4, 1)), np.full((10, 2), 0.3)])
def test_adabelief_is_the_published_update(settings: dict[str, Any], gradients: np.ndarray) -> None:
    start = np.array([0.5, -1.5])
    expected = published_adabelief(gradients, start, learning_rate=0.01, **settings)
    result = train(OPTIMIZERS["adabelief"](**settings).build(0.01), gradients, start)
    # float32 holds the weights to 1e-7 and 1 - 0.999 to 5e-5.
    assert result - start == pytest.approx(expected - start, rel=1e-4)


def test_adabelief_takes_the_gradient_of_an_embedding() -> None:
    def rows_after_three_steps(gradient: tf.Tensor) -> np.ndarray:
        table = keras.Variable(np.ones((4, 2), "float32"))
        optimizer = OPTIMIZERS["adabelief"]().build(0.1)
        optimizer.build([table])
        for _ in range(3):
            optimizer.apply([gradient])
        return table.numpy()

    sparse = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([1, 1]), tf.constant([4, 2]))
    rows = rows_after_three_steps(sparse)
    assert np.array_equal(rows, rows_after_three_steps(tf.convert_to_tensor(sparse)))
    assert np.array_equal(rows[[0, 2, 3]], np.ones((3, 2)))
    assert (rows[1] < 1).all()


def test_adabelief_trains_saves_and_loads(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    y = x @ np.array([[2.0], [-1.0]], "float32")
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    model.compile(OPTIMIZERS["adabelief"](epsilon=1e-12, weight_decay=1e-6).build(0.05), "mse")
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.01 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert loaded.get_config() == model.optimizer.get_config()
    for ours, theirs in zip(model.optimizer.variables, loaded.variables, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())


def test_every_optimizer_has_its_yaml_file() -> None:
    assert [path.stem for path in YAML_FILES] == list(OPTIMIZERS)
