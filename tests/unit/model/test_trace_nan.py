"""Numbers that are not finite: the first place where one was made is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from framework.errors import ConfigError, NumericsError
from framework.loops.loop import CustomLoop
from framework.model.trace_nan import watching, what_was_bad
from framework.optim.optimizers import OPTIMIZERS
from tests.runs import LIGHT, comparable, compose_toy, records, resume, train

pytestmark = pytest.mark.usefixtures("toy_on_the_path")


@keras.saving.register_keras_serializable(package="tests")
class Apply(keras.layers.Layer):
    """A function as a layer, which Keras' own Lambda is not safe for."""

    def __init__(self, function: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs: Any) -> Any:
        return self.function(inputs)


def bad_step(
    *layers: keras.layers.Layer, inputs: Any = ((1.0, 2.0),), lr: float = 0.1, **optimizer: Any
) -> str:
    """What a step of a network is stopped by, as the user reads it."""
    model = keras.Sequential(
        [keras.Input((2,)), *layers, keras.layers.Dense(1, kernel_initializer="ones", name="last")]
    )
    model.compile(optimizer=OPTIMIZERS["sgd"](**optimizer).build(lr), loss="mse")
    data = tf.data.Dataset.from_tensors(
        (np.array(inputs, "float32"), np.ones((len(inputs), 1), "float32"))
    ).repeat()
    model._symbolic_build(data_batch=data.element_spec)
    with watching(model):
        loop = CustomLoop().build(model, tf.distribute.get_strategy())
        with pytest.raises(tf.errors.OpError) as caught:
            loop.run(iter(data), 1)
    found = what_was_bad(caught.value)
    assert found is not None
    return found


def test_a_layer_is_named_by_its_path_and_not_those_behind_it() -> None:
    inner = keras.Sequential(
        [Apply(lambda x: tf.math.log(x - 5), name="log"), Apply(tf.abs, name="behind")], name="inner"
    )
    assert (
        bad_step(inner)
        == "NaN in the output of layer 'inner/log' (Apply), and in nothing that it is computed from"
    )


def test_infinity_is_told_from_nan() -> None:
    assert bad_step(Apply(lambda x: x / 0, name="divide")).startswith(
        "infinity in the output of layer 'divide'"
    )


def test_a_batch_that_is_bad_itself() -> None:
    assert (
        bad_step(inputs=((1.0, float("nan")),))
        == "NaN in the batch itself, and in nothing that it is computed from"
    )


def test_a_gradient_that_is_bad_where_the_values_are_not() -> None:
    """The root of 0 is 0, and its slope infinite."""
    dense = keras.layers.Dense(2, kernel_initializer="zeros", name="dense")
    found = bad_step(dense, Apply(tf.sqrt, name="root"))
    assert found.endswith(
        "in the gradient that comes back to the output of layer 'dense' (Dense), which itself is finite"
    )


def test_the_loss() -> None:
    found = bad_step(Apply(lambda x: x * 1e25, name="large"), inputs=((1.0, 1.0),))
    assert found == "infinity in the loss, and in nothing that it is computed from"


def test_a_weight_that_a_step_throws_out_of_range() -> None:
    assert "the weight" in bad_step(inputs=((1e5, 1e5),), lr=1e38)
    assert "after the step" in bad_step(inputs=((1e5, 1e5),), lr=1e38, accumulate_steps=2)


def test_other_errors_are_not_taken_for_it() -> None:
    assert what_was_bad(tf.errors.InvalidArgumentError(None, None, "shapes do not match")) is None


def test_what_was_replaced_comes_back() -> None:
    layer = keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(optimizer=OPTIMIZERS["sgd"]().build(0.1), loss="mse")
    before = [dict(vars(instance)) for instance in (layer, model, model.optimizer)]
    with watching(model):
        assert "call" in vars(layer)
    assert [dict(vars(instance)) for instance in (layer, model, model.optimizer)] == before


def test_a_run_names_step_epoch_and_samples(tmp_path: Path) -> None:
    scenario = compose_toy("scenario.poison=[3]")
    from framework.training.components import Components

    stream = Components(scenario, fresh=True, lav_folder=tmp_path).stream
    step = next(step for step in range(13) if 3 in stream.indices(step))
    with pytest.raises(
        NumericsError, match=rf"NaN in the batch itself.*: step {step + 1}, in epoch 1"
    ) as caught:
        train(tmp_path / "run", "scenario.poison=[3]", "trainer.trace_nan=true")
    assert "\n    sample 3\n" in str(caught.value)
    assert "NaN in the batch" in (tmp_path / "run" / "result.json").read_text()


def test_a_sound_run_goes_through(tmp_path: Path, finished: Callable[..., Path]) -> None:
    train(tmp_path / "watched", "epochs=2", "trainer.trace_nan=true")
    finished(tmp_path / "plain", "epochs=2")
    for watched, plain in zip(records(tmp_path / "watched"), records(tmp_path / "plain"), strict=True):
        assert watched["metrics"] == pytest.approx(plain["metrics"], abs=1e-5)


def test_eager_steps_are_plain_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    call = keras.layers.Dropout.call

    def counted(self: Any, inputs: Any, training: bool = False) -> Any:
        if training:
            calls.append(tf.executing_eagerly())
        return call(self, inputs, training)

    monkeypatch.setattr(keras.layers.Dropout, "call", counted)
    words = (*LIGHT, "trainer.steps_per_epoch=5")
    train(tmp_path / "eager", *words, "trainer.run_eagerly=true")
    assert calls == [True] * 5
    calls.clear()
    train(tmp_path / "graph", *words)
    assert set(calls) == {False}
    for eager, graph in zip(records(tmp_path / "eager"), records(tmp_path / "graph"), strict=True):
        assert eager["metrics"] == pytest.approx(graph["metrics"], abs=1e-5)


def test_eager_steps_may_be_traced_too(tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match="NaN in the batch itself"):
        words = ("scenario.noise=0", "scenario.poison=[3]", "trainer.trace_nan=true")
        train(tmp_path / "run", *words, "trainer.run_eagerly=true")


def test_a_profile_of_some_steps(tmp_path: Path) -> None:
    """After a run that failed while it was profiled: a process profiles one thing at a time."""
    profile = (*LIGHT, "trainer.steps_per_epoch=12", "trainer.profile=true")
    with pytest.raises(NumericsError):
        train(tmp_path / "failed", *profile, "scenario.poison=[3]", "trainer.trace_nan=true")
    train(tmp_path / "with", *profile, "epochs=2")
    (found,) = (tmp_path / "with" / "tensorboard" / "plugins" / "profile").rglob("*.xplane.pb")
    assert found.stat().st_size > 1000
    assert "profile of steps 2 to 12: tensorboard --logdir" in (tmp_path / "with" / "train.log").read_text()


@pytest.mark.slow
def test_a_profile_of_chosen_steps(tmp_path: Path, finished: Callable[..., Path]) -> None:
    """Wherever the calls of the loop and the epochs end; the training is not touched."""
    finished(tmp_path / "plain", "epochs=2")
    path = tmp_path / "profiled"
    train(path, "epochs=2", "trainer.profile_steps=[11,15]")
    assert "profile of steps 11 to 15" in (path / "train.log").read_text()
    assert len(list((path / "tensorboard").rglob("*.xplane.pb"))) == 1
    assert comparable(path) == comparable(tmp_path / "plain")
    resume(tmp_path / "plain", "epochs=3", "trainer.profile_steps=[2,4]")
    assert "no profile: step 4 is done already" in (tmp_path / "plain" / "train.log").read_text()


@pytest.mark.parametrize(
    "words", [["[15,11]"], ["[5]"], ["[1,2,3]"], ["[0,5]"], ["[5,9]", "trainer.profile=true"]]
)
def test_steps_that_cannot_be_profiled_are_answered(words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_toy(f"trainer.profile_steps={words[0]}", *words[1:])
    assert [problem.path.partition("[")[0] for problem in caught.value.problems] == ["trainer.profile_steps"]
