"""A learning rate that is reduced when a value no longer improves: as Keras does it, and resumed bit for
bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from framework.errors import ConfigError, Interrupted, ScenarioError
from framework.optim.plateau import Plateau, PlateauSettings
from framework.run.signals import Interruption
from framework.training.trainer import Trainer
from tests.runs import LIGHT, comparable, compose_toy, final_state, records, resume, train, trainer
from tests.unit.loops.test_loop import train_with

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

# Each epoch is worse than needed, so each second one ends with a lower rate.
PLATEAU = (
    "learning_rate=reduce_on_plateau",
    "learning_rate.patience=2",
    "learning_rate.min_delta=1",
    "learning_rate.factor=0.3",
)
WORDS = (
    *PLATEAU,
    "epochs=5",
    "trainer.calc_ema=0.9",
    "optimizer.accumulate_steps=2",
    "data.batch_size=4",
    "optimizer=adamw",
)


def plateau(lr: float = 0.1, mode: Any = "min", **settings: Any) -> Plateau:
    return Plateau(PlateauSettings(**settings), lr=lr, monitor="val_loss", mode=mode)


def rates_of_keras(values: list[float], lr: float, mode: str, settings: dict[str, Any]) -> list[float]:
    callback = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", mode=mode, **settings)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(lr), "mse")
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_loss": value})
        rates.append(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
    return rates


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 1, "min_delta": 0.0},
        {"factor": 0.7, "patience": 3, "cooldown": 2},
        {"factor": 0.5, "patience": 2, "min_delta": 0.05, "min_lr": 0.01},
        {"factor": 0.9, "patience": 2, "cooldown": 1, "min_lr": 0.0333},
    ],
)
def test_the_rates_are_those_of_keras(settings: dict[str, Any], mode: Any) -> None:
    rng = np.random.default_rng(3)
    values = [float(value) for value in 1 / np.arange(1, 41) + 0.05 * rng.normal(size=40)]
    values[5] = values[20] = math.nan
    values[0], values[11] = (-math.inf, math.nan) if mode == "max" else (math.inf, math.inf)
    ours = plateau(mode=mode, **settings)
    rates = []
    for value in values:
        ours.update(value)
        rates.append(ours.rate)
    assert rates == rates_of_keras(values, 0.1, mode, settings)
    assert len(set(rates)) > 2


def test_a_part_of_the_best_value_is_enough_or_not() -> None:
    for mode, values in (("min", (100.0, 99.5)), ("max", (-100.0, -99.5))):
        for threshold, reduced in (("abs", False), ("rel", True)):
            found = plateau(mode=mode, patience=1, min_delta=0.01, threshold_mode=threshold)
            found.update(values[0])
            assert found.update(values[1]) is reduced


def test_the_state_goes_on_where_it_was_and_starts_anew_with_another_lr() -> None:
    values = [1.0, 1.0, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9]
    whole, first = (plateau(patience=2, cooldown=1) for _ in range(2))
    for value in values:
        whole.update(value)
    for value in values[:5]:
        first.update(value)
    second = plateau(patience=2, cooldown=1)
    assert second.restore(first.state()) is None
    for value in values[5:]:
        second.update(value)
    assert second.state() == whole.state()
    other_lr = plateau(lr=0.4, patience=2)
    assert other_lr.restore(whole.state()) == "another lr: the learning rate starts anew from 0.4"
    assert other_lr.rate == pytest.approx(0.4)
    assert other_lr.best is None
    other_value = Plateau(PlateauSettings(), lr=0.1, monitor="val_accuracy", mode="max")
    assert "goes by val_accuracy from here on" in (other_value.restore(whole.state()) or "")
    assert (other_value.rate, other_value.best) == (whole.rate, None)


@pytest.fixture(scope="module")
def undisturbed(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    train(path, *WORDS)
    return path


def test_the_console_says_when_the_rate_is_reduced(undisturbed: Path) -> None:
    log = (undisturbed / "train.log").read_text()
    assert "learning rate reduced from 0.001 to 0.0003: val_accuracy no longer improves (best: " in log
    assert log.count("learning rate reduced") == 2
    state = final_state(undisturbed).state["learning_rate"]
    assert (state["rate"], state["monitor"], state["mode"], state["wait"]) == (
        pytest.approx(9e-5),
        "val_accuracy",
        "max",
        0,
    )


class InterruptedAt(Interruption):
    """A signal that is seen after a step."""

    def __init__(self, trainer: Trainer, step: int) -> None:
        super().__init__()
        self.trainer, self.step = trainer, step

    def check(self) -> None:
        training = self.trainer.session
        if training is not None and training.state.progress.step >= self.step:
            raise Interrupted(15)


# The rate is reduced after step 36 and after step 60. At 36 the signal comes while the epoch is validated.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("loop", "other", "step"),
    [("custom", "custom", 42), ("fit", "train_on_batch", 36), ("train_on_batch", "fit", 49)],
)
def test_a_killed_run_goes_on_with_the_same_bits(
    tmp_path: Path, undisturbed: Path, loop: str, other: str, step: int
) -> None:
    path = tmp_path / "run"
    first = trainer(path, *WORDS, f"loop={loop}", "trainer.checkpoint_every_n_steps=7")
    first.interruption = InterruptedAt(first, step)
    with pytest.raises(Interrupted):
        first.train()
    assert final_state(path).step == step
    assert final_state(path).state["learning_rate"]["rate"] == pytest.approx(1e-3 if step == 36 else 3e-4)
    resume(path, f"loop={other}")
    assert comparable(path) == comparable(undisturbed)


def test_the_rate_in_force_is_the_reduced_one(tmp_path: Path, undisturbed: Path) -> None:
    """What is trained is what the rates of the log say: a schedule by epochs with these rates gives the same
    weights."""
    steps = ("learning_rate=piecewise", "learning_rate.boundaries=[3,5]", "learning_rate.values=[1,0.3,0.09]")
    train(tmp_path / "run", *WORDS[len(PLATEAU) :], *steps)
    ours, theirs = (final_state(path).variables["model"] for path in (undisturbed, tmp_path / "run"))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.array, other.array, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_bad_numbers_take_the_rate_back_too(tmp_path: Path) -> None:
    words = (*PLATEAU, "epochs=5", "scenario.samples=96", "learning_rate.patience=1", "scenario.poison=[3]")
    result = train(tmp_path / "run", *words, "trainer.on_nan=rollback")
    assert len(result.left_out) > 0
    assert final_state(tmp_path / "run").state["learning_rate"]["rate"] == pytest.approx(1e-3 * 0.3**4)


def test_epochs_without_the_value_and_those_before_the_offset_change_nothing(tmp_path: Path) -> None:
    words = (
        *PLATEAU,
        *LIGHT,
        "epochs=6",
        "learning_rate.patience=1",
        "learning_rate.monitor=val_loss",
        "learning_rate.mode=min",
    )
    train(tmp_path / "run", *words, "trainer.val_every_n=2", "learning_rate.offset_epochs=2")
    assert [line["epoch"] for line in records(tmp_path / "run") if line["phase"] == "validation"] == [2, 4, 6]
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("learning rate reduced") == 1  # epoch 4 is the first that it looks at


@pytest.mark.slow
def test_what_is_validated_at_the_end_of_a_run_alone_does_not_change_the_rate(tmp_path: Path) -> None:
    words = (*PLATEAU, "learning_rate.patience=1", "trainer.val_every_n=2")
    train(tmp_path / "longer", *words, "epochs=5")
    assert final_state(tmp_path / "longer").state["learning_rate"]["rate"] == pytest.approx(3e-4)
    resume(tmp_path / "longer", "epochs=6")
    train(tmp_path / "whole", *words, "epochs=6")
    assert comparable(tmp_path / "longer") == comparable(tmp_path / "whole")


def test_the_mode_of_a_value_of_its_own_is_what_its_name_says(tmp_path: Path) -> None:
    train(tmp_path / "run", *PLATEAU, *LIGHT, "learning_rate.monitor=val_loss")
    state = final_state(tmp_path / "run").state["learning_rate"]
    assert (state["monitor"], state["mode"]) == ("val_loss", "min")


def test_the_value_and_the_mode_are_those_that_are_given(tmp_path: Path) -> None:
    train(tmp_path / "run", *PLATEAU, *LIGHT, "learning_rate.monitor=val_loss", "learning_rate.mode=max")
    state = final_state(tmp_path / "run").state["learning_rate"]
    assert (state["monitor"], state["mode"]) == ("val_loss", "max")


def test_a_run_with_another_schedule_can_change_to_it(tmp_path: Path, finished: Callable[..., Path]) -> None:
    """Its checkpoints have no state of a plateau."""
    finished(tmp_path / "run", "epochs=1")
    assert "learning_rate" not in final_state(tmp_path / "run").state
    resume(tmp_path / "run", *PLATEAU, "epochs=4", "learning_rate.patience=1")
    assert final_state(tmp_path / "run").state["learning_rate"]["rate"] == pytest.approx(0.3**2 * 1e-3)


def test_what_cannot_be_watched_is_answered(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"learning_rate.monitor: must be the name of a value of the run\n.*'val_los'\n.*\n.*did you mean 'val_loss'",
    ):
        train(tmp_path / "run", *PLATEAU, "learning_rate.monitor=val_los")
    with pytest.raises(ConfigError, match=r"learning_rate.mode: must be given for lav_mean_output"):
        train(tmp_path / "run", *PLATEAU, "learning_rate.monitor=lav_mean_output", "trainer.lav_every_n=1")
    with pytest.raises(ConfigError, match=r"learning_rate.min_lr: is not below lr"):
        compose_toy(*PLATEAU, "lr=1e-3", "learning_rate.min_lr=0.01")
    with pytest.raises(ConfigError, match=r"learning_rate.per"):
        compose_toy(*PLATEAU, "learning_rate.per=step")


class Halving(keras.callbacks.LearningRateScheduler):
    def __init__(self) -> None:
        super().__init__(lambda epoch, rate: rate / 2)


@pytest.mark.parametrize(
    ("callback", "answer"),
    [
        (
            lambda: keras.callbacks.ReduceLROnPlateau(),
            r"gives a ReduceLROnPlateau.*\n.*learning_rate=reduce_on_plateau does the same",
        ),
        (Halving, r"gives a Halving, a LearningRateScheduler.*\n.*learning_rate=piecewise"),
    ],
)
def test_callbacks_that_set_the_rate_are_refused_at_the_start(
    tmp_path: Path, callback: Any, answer: str
) -> None:
    with pytest.raises(ScenarioError, match=answer):
        train_with([callback()], tmp_path / "run")
    assert not (tmp_path / "run").exists()


class ByHand(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 1e-4


class ByAssignment(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate.assign(1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("callback", [ByHand, ByAssignment])
def test_a_callback_that_sets_the_rate_by_hand_is_answered_in_a_sentence(
    tmp_path: Path, callback: Any
) -> None:
    with pytest.raises(ScenarioError, match="a callback of the scenario sets the learning rate"):
        train_with([callback()], tmp_path / "run")
