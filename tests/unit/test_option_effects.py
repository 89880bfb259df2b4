"""Settings that no other test looks at: each does what its help says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from framework.cli.train import train as train_command
from framework.data.source import ArraySource, Split
from framework.run.checkpoint import CheckpointStore
from framework.run.device import apply_device
from framework.run.signals import Interruption
from framework.scenario import Scenario, compose
from framework.splits import prepare_source
from framework.training.components import Components
from tests.runs import LIGHT, compose_toy, records, train, trainer

pytestmark = pytest.mark.usefixtures("toy_on_the_path")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (["trainer.checkpoint_every_n_epochs=2", "trainer.checkpoint_every_n_steps=4"], [6, 8, 12, 15]),
        (["trainer.checkpoint_every_n_minutes=1e-9", "loop.max_steps_per_call=1"], [12, 13, 14, 15]),
    ],
)
def test_when_checkpoints_are_saved_and_how_many_are_kept(
    tmp_path: Path, words: list[str], steps: list[int]
) -> None:
    """`tests/unit/training/test_due.py` knows all the rest."""
    train(tmp_path / "run", "epochs=5", "trainer.steps_per_epoch=3", "trainer.keep_checkpoints=4", *words)
    assert CheckpointStore(tmp_path / "run" / "checkpoints").steps() == steps


@pytest.mark.parametrize("word", ["loop.max_steps_per_call=1", "trainer.trace_nan=true"])
def test_how_many_steps_a_call_does_at_most(tmp_path: Path, word: str) -> None:
    """A run that is traced does one step a call, so that the bad one is known."""

    class Counting(Interruption):
        asked = 0

        def check(self) -> None:
            self.asked += 1
            super().check()

    first = trainer(tmp_path / "run", *LIGHT, "trainer.steps_per_epoch=12", "trainer.val_every_n=0", word)
    first.interruption = counting = Counting()
    first.train()
    assert counting.asked == 1 + 12 + 3, (
        "when all is built, before each step, and around each model that is exported"
    )


def test_the_number_of_batches_for_batch_norm_matters(tmp_path: Path) -> None:
    losses = []
    for count in (1, 6):
        words = (*LIGHT, "scenario.batch_norm=true", f"trainer.recalibrate_batches={count}")
        train(tmp_path / str(count), *words)
        losses.append(records(tmp_path / str(count))[-1]["metrics"]["loss"])
    assert losses[0] != losses[1]


@pytest.mark.parametrize("value", [True, False])
def test_what_a_run_writes_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: bool) -> None:
    monkeypatch.chdir(tmp_path)
    words = (f"trainer.tensorboard={value}", f"trainer.export_saved_model={value}", "device.threads=7")
    train_command(compose_toy(*LIGHT, *words, "output_dir=here").config)
    run = tmp_path / "here"
    assert (run / "config.yaml").exists()
    assert (run / "tensorboard").exists() == value
    assert (run / "export" / "saved_model").exists() == value
    assert (run / "best" / "saved_model").exists() == value
    (session,) = json.loads((run / "provenance.json").read_text())["sessions"]
    assert session["hardware"]["threads"] == 7


def test_a_trial_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train_command(compose_toy(*LIGHT, "epochs=3", "trial_run=true").config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [True, False])
def test_determinism_is_asked_for(value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked, because TensorFlow cannot take it back in a process that has it."""
    import tensorflow as tf

    asked: list[bool] = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    apply_device(compose_toy(f"device.deterministic={value}").config.device)
    assert bool(asked) == value


def assemble(scenario: Scenario, path: Path) -> Components:
    return Components(scenario, fresh=True, lav_folder=path)


def test_precision(tmp_path: Path) -> None:
    import keras

    try:
        model = assemble(compose_toy("device.precision=mixed_bfloat16"), tmp_path).model
        assert model.get_layer("hidden").compute_dtype == "bfloat16"
        assert model.get_layer("hidden").variable_dtype == "float32"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


def test_xla(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked, because Keras refuses in a process that is deterministic already."""
    import keras

    asked: list[bool] = []
    compile_model = keras.Sequential.compile

    def noted(self: Any, *arguments: Any, **settings: Any) -> None:
        asked.append(settings.pop("jit_compile"))
        compile_model(self, *arguments, **settings)

    monkeypatch.setattr(keras.Sequential, "compile", noted)
    for value in (True, False):
        assemble(compose_toy(f"device.jit_compile={value}", f"device.deterministic={not value}"), tmp_path)
    assert asked == [True, False]


def test_what_is_kept_in_memory() -> None:
    def kept(*words: str) -> bool:
        # A source of samples one by one, of which none stalls.
        return isinstance(
            prepare_source(compose_toy("scenario.stall=5000", *words), Split.TRAIN), ArraySource
        )

    assert kept("data.cache=auto")
    assert not kept("data.cache=off")
    assert not kept("data.cache=auto", "data.cache_limit=1e-6")
    assert kept("data.cache=memory", "data.cache_limit=1e-6")


def test_how_many_samples_are_loaded_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    seen: list[Any] = []
    mapped = tf.data.Dataset.map

    def noted(self: Any, function: Any, **settings: Any) -> Any:
        seen.append(settings.get("num_parallel_calls"))
        return mapped(self, function, **settings)

    monkeypatch.setattr(tf.data.Dataset, "map", noted)
    assemble(compose_toy("scenario.stall=5000", "data.cache=off", "data.workers=3"), tmp_path).batches(0)
    assert 3 in seen


def test_augmentation_of_mesonet_is_a_choice() -> None:
    for value in (True, False):
        assert compose("scenario=mesonet", f"scenario.augment={value}").augments() == value


def test_batch_size(tmp_path: Path) -> None:
    batch: Any = next(assemble(compose_toy("batch_size=5"), tmp_path).batches(0))
    inputs, targets = batch
    assert (inputs.shape, targets.shape) == ((5, 8), (5, 1))


def test_the_number_of_forged_patches() -> None:
    scenario = compose("scenario=mesonet", "data.train_samples=6", "data.validation_samples=4")
    assert [len(scenario.source(split)) for split in (Split.TRAIN, Split.VALIDATION)] == [6, 4]
