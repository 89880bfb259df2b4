"""Three ways of doing the steps: the same weights, the same records, and each goes on where another one was
stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from framework.config.compose import compose_config
from framework.errors import ConfigError, DataError, Interrupted, NumericsError, ScenarioError
from framework.run.checkpoint import CheckpointStore
from framework.run.recorder import without_times
from framework.run.run_directory import RunDirectory
from framework.run.signals import Interruption
from framework.scenario import compose
from framework.training.trainer import Result, Trainer
from tests.conftest import REPOSITORY, TOY
from tests.runs import (
    InterruptedAfter,
    comparable,
    compose_toy,
    final_state,
    quiet,
    records,
    resume,
    train,
    train_on_two,
    trainer,
)
from tests.unit.data.test_image_errors import folder_of

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

KERAS_LOOPS = ("fit", "train_on_batch")
LOOPS = ("custom", *KERAS_LOOPS)

# With BatchNorm, dropout and augmentation of the toy scenario: all that a loop could do otherwise.
WORDS = (
    *(
        "epochs=2",
        "optimizer=adamw",
        "optimizer.accumulate_steps=2",
        "optimizer.clip_global_norm=0.5",
        "data.batch_size=4",
    ),
    *("learning_rate=cosine_decay", "trainer.calc_ema=0.9", "trainer.post_hoc_ema=[0.1]"),
)


@pytest.fixture(scope="module")
def custom(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("custom") / "run"
    train(path, *WORDS)
    return path


@pytest.mark.parametrize("loop", KERAS_LOOPS)
def test_keras_loops_give_the_same_bits_and_records(tmp_path: Path, custom: Path, loop: str) -> None:
    saved = ("trainer.checkpoint_every_n_steps=5", "trainer.keep_checkpoints=9")
    train(tmp_path / "run", *WORDS, f"loop={loop}", *saved)
    assert comparable(tmp_path / "run") == comparable(custom)
    assert CheckpointStore(tmp_path / "run" / "checkpoints").steps() == [5, 10, 12, 15, 20, 24]
    assert all(
        0 <= line["speed"]["input_wait"] <= 1
        for line in records(tmp_path / "run")
        if line["phase"] == "train"
    )
    assert list(map(without_times, records(tmp_path / "run"))) == list(map(without_times, records(custom)))


SMALL = {
    "mesonet": (
        "data.train_samples=96",
        "data.validation_samples=24",
        "data.image_size=32",
        "scenario.augment=true",
        "batch_size=8",
    ),
    "lenet": ("data.limit=90", "scenario.augment=true", "model.dropout=0.2"),
    "reuters": (
        f"data.train={REPOSITORY / 'tests' / 'data' / 'texts.csv'}",
        "model.tokens=20",
        "batch_size=4",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_loops_agree_in_each_shipped_scenario(tmp_path: Path, name: str) -> None:
    words = [
        f"scenario={name}",
        *SMALL[name],
        "epochs=2",
        "optimizer.accumulate_steps=2",
        "trainer.calc_ema=0.9",
    ]
    words += [
        "learning_rate=exponential_decay",
        "trainer.tensorboard=false",
        "trainer.report=false",
        "trainer.export_saved_model=false",
    ]
    for loop in LOOPS:
        Trainer(
            compose(*words, f"loop={loop}"), RunDirectory.create(tmp_path / loop), console=quiet()
        ).train()
    first, *others = (comparable(tmp_path / loop) for loop in LOOPS)
    assert others == [first, first]


# In a ring: each loop goes on for another, and another one for it.
@pytest.mark.slow
@pytest.mark.parametrize(("loop", "other"), list(zip(LOOPS, (*KERAS_LOOPS, "custom"), strict=True)))
def test_a_loop_goes_on_in_mid_epoch_where_another_was_stopped(
    tmp_path: Path, custom: Path, loop: str, other: str
) -> None:
    """The metrics of the epoch, too: their sums go on."""
    path = tmp_path / "run"
    first = trainer(path, *WORDS, f"loop={loop}")
    first.interruption = InterruptedAfter(4)
    with pytest.raises(Interrupted):
        first.train()
    assert final_state(path).step % 12 > 0
    resume(path, f"loop={other}")
    assert comparable(path) == comparable(custom)


@pytest.mark.slow
def test_bad_numbers_are_found_by_each_loop(tmp_path: Path) -> None:
    words = ("epochs=2", "scenario.samples=96", "scenario.poison=[3]")
    for loop in LOOPS:
        result = train(tmp_path / loop, *words, "trainer.on_nan=skip", f"loop={loop}")
        assert len(result.left_out) == 2
    for loop in KERAS_LOOPS:
        assert comparable(tmp_path / loop) == comparable(tmp_path / "custom")
        with pytest.raises(NumericsError, match="NaN in the batch itself"):
            train(tmp_path / f"traced {loop}", *words, "trainer.trace_nan=true", f"loop={loop}")


@pytest.mark.slow
def test_eager_steps(tmp_path: Path) -> None:
    for loop in LOOPS:
        words = ("trainer.run_eagerly=true", "trainer.steps_per_epoch=2", f"loop={loop}")
        train(tmp_path / loop, *WORDS, *words)
    first, *others = (comparable(tmp_path / loop) for loop in LOOPS)
    assert others == [first, first]


class Vanishing(Interruption):
    """No signal: the moment when a folder's files disappear, all being built."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def check(self) -> None:
        for path in self.folder.rglob("*.jpg"):
            path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("loop", KERAS_LOOPS)
def test_a_sample_that_cannot_be_loaded_is_named(tmp_path: Path, loop: str) -> None:
    folder = folder_of(tmp_path / "images", real=8, fake=8)
    words = [
        f"data.train_dir={folder}",
        "data.cache=off",
        "data.image_size=32",
        "batch_size=4",
        "epochs=2",
        "trainer.val_every_n=0",
    ]
    scenario = compose(
        "scenario=mesonet", "data=image_folder", *words, "early_stopping.monitor=loss", f"loop={loop}"
    )
    first = Trainer(scenario, RunDirectory.create(tmp_path / "run"), console=quiet())
    first.interruption = Vanishing(folder)
    with pytest.raises(DataError, match=r"\.jpg"):
        first.train()


@pytest.mark.slow
@pytest.mark.parametrize("loop", KERAS_LOOPS)
def test_two_devices(tmp_path: Path, loop: str) -> None:
    words = (
        "epochs=3",
        "scenario.noise=0",
        "scenario.dropout=0",
        "batch_size=4",
        "optimizer.accumulate_steps=2",
        "optimizer=sgd",
        # A rate that is reduced in the first replica alone would show.
        *("learning_rate=reduce_on_plateau", "learning_rate.patience=1", "learning_rate.min_delta=1"),
    )
    train(tmp_path / "one", *words)
    train_on_two(tmp_path / "two", *words, f"loop={loop}")
    one, two = (final_state(tmp_path / name) for name in ("one", "two"))
    for ours, theirs in zip(one.variables["model"], two.variables["model"], strict=True):
        np.testing.assert_allclose(ours.array, theirs.array, rtol=1e-4, atol=1e-5)


# Callbacks --------------------------------------------------------------------------------------------------


class Telling(keras.callbacks.Callback):
    """Writes down what it is told."""

    told: list[Any]

    def __init__(self, told: list[Any]) -> None:
        super().__init__()
        self.told = told

    def on_train_begin(self, logs: Any = None) -> None:
        self.told.append("train")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.told.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.told.append((epoch, sorted(logs)))

    def on_train_end(self, logs: Any = None) -> None:
        self.told.append("end")


class Looking(Telling):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.told.append((batch, float(logs["loss"]) > 0))


class Stopping(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = epoch == 1


class StoppingInside(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 3:
            self.model.stop_training = True


def train_with(callbacks: Sequence[Any], path: Path, *words: str) -> Result:
    scenario = compose_toy("epochs=2", "scenario.samples=40", *words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(scenario), "callbacks", lambda self: callbacks)
        return Trainer(scenario, RunDirectory.create(path), console=quiet()).train()


VALUES = ["accuracy", "loss", "val_accuracy", "val_loss"]


def test_callbacks_of_epochs_are_told_by_each_loop(tmp_path: Path) -> None:
    for loop in LOOPS:
        told: list[Any] = []
        train_with([Telling(told)], tmp_path / loop, f"loop={loop}")
        assert told == ["train", "epoch 0", (0, VALUES), "epoch 1", (1, VALUES), "end"]


@pytest.mark.slow
@pytest.mark.parametrize("loop", KERAS_LOOPS)
def test_callbacks_of_batches_are_told_each_step_once(tmp_path: Path, loop: str) -> None:
    told: list[Any] = []
    train_with([Looking(told)], tmp_path / "run", f"loop={loop}", "epochs=1", "trainer.on_nan=skip")
    assert told == ["train", "epoch 0", *[(k, True) for k in range(5)], (0, VALUES), "end"]
    # Steps that are done again to find the bad one are not told again, and those after it have their own
    # numbers.
    told.clear()
    words = (
        "epochs=1",
        "trainer.on_nan=skip",
        "scenario.poison=[3]",
        "trainer.val_every_n=0",
        "early_stopping.monitor=loss",
    )
    result = train_with([Looking(told)], tmp_path / "bad", f"loop={loop}", *words)
    (bad,) = result.left_out
    last = [entry for entry in told if entry[1] is True and isinstance(entry[0], int)][-1]
    assert last == (4, True) or bad == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loop", "callback"), [("custom", Stopping), ("fit", Stopping), ("fit", StoppingInside)]
)
def test_a_callback_can_end_the_run_with_the_epoch(tmp_path: Path, loop: str, callback: Any) -> None:
    result = train_with([callback()], tmp_path / "run", f"loop={loop}", "epochs=9")
    assert (result.status, result.epochs) == ("stopped_early", 2 if callback is Stopping else 1)
    assert "a Keras callback set stop_training" in (tmp_path / "run" / "train.log").read_text()
    assert records(tmp_path / "run")[-1]["step"] == result.epochs * 5


def test_a_callback_that_a_loop_would_not_tell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"loop: callbacks of toy look at each batch \(Looking\).*\n.*'custom'\n.*fit, train_on",
    ):
        train_with([Looking([])], tmp_path / "run")
    with pytest.raises(ConfigError, match=r"\(LambdaCallback\)"):
        train_with(
            [keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: None)], tmp_path / "run"
        )
    with pytest.raises(ScenarioError, match="which must be a Keras callback"):
        train_with([print], tmp_path / "run", "loop=fit")


def test_a_loop_has_only_its_own_settings() -> None:
    with pytest.raises(ConfigError, match=r"loop.max_steps_per_call"):
        compose_config(["scenario=toy", "loop=fit", "loop.max_steps_per_call=3"], config_dir=TOY / "conf")
