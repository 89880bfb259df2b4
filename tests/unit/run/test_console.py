"""What a person sees of a run, and what is recorded of its speed."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pytest
from rich.console import Console as RichConsole
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from framework.loops.custom import Stepper
from framework.model.summary import describe_model
from framework.run.console import Console
from framework.run.run_directory import RunDirectory
from framework.run.speed import Stopwatch
from framework.training.trainer import Trainer
from tests.runs import compose_toy, records, resume

pytestmark = pytest.mark.usefixtures("toy_on_the_path")


@pytest.fixture(scope="module")
def shown(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run, and what it printed."""
    path, text = tmp_path_factory.mktemp("shown") / "run", io.StringIO()
    console = Console(RichConsole(file=text, width=200), progress_interval=0)
    words = (
        "epochs=2",
        "learning_rate=exponential_decay",
        "learning_rate.decay=0.5",
        "learning_rate.decay_epochs=1",
        "loop.max_steps_per_call=2",
    )
    Trainer(
        compose_toy(*words, "trainer.tensorboard=true"), RunDirectory.create(path), console=console
    ).train()
    return path, text.getvalue()


def test_rate_and_speed_of_an_epoch_are_recorded(shown: tuple[Path, str]) -> None:
    lines = records(shown[0])
    training = [line for line in lines if line["phase"] == "train"]
    assert [line["learning_rate"] for line in training] == [0.001, 0.0005], (
        "as the steps had it, and not the next ones"
    )
    for line in training:
        assert line["speed"]["samples_per_second"] > 0
        assert 0 <= line["speed"]["input_wait"] <= 1
    assert not any({"learning_rate", "speed"} & set(line) for line in lines if line not in training)
    events = EventAccumulator(str(shown[0] / "tensorboard" / "train")).Reload()
    assert {"learning_rate", "speed/samples_per_second", "speed/input_wait", "loss"} <= set(
        events.Tags()["tensors"]
    )


def test_a_run_is_told_in_lines(shown: tuple[Path, str]) -> None:
    path, text = shown
    assert "toy: 225 parameters, 193 trainable, input 8 -> 1\n" in text
    assert "hidden (Dense)" in (path / "model.txt").read_text()
    assert "hidden (Dense)" not in text
    assert re.search(
        r"^epoch 2/2  loss .* lr 0\.000\d+  [\d.]+ s  [\d,]+ samples/s  \d+ % waiting for data$",
        text,
        re.MULTILINE,
    )
    running = re.findall(
        r"^epoch 1/2: step (\d+)/12, loss [\d.]+, accuracy [\d.]+, [\d,]+ samples/s, .* left in the epoch$",
        text,
        re.M,
    )
    assert running == sorted(running, key=int)
    assert running
    assert "12" not in running, "the end of the epoch has a line of its own"


def test_a_run_without_the_table_goes_on_and_gets_it_back(shown: tuple[Path, str]) -> None:
    (shown[0] / "model.txt").unlink()
    assert resume(shown[0], "epochs=3").epochs == 3
    assert (shown[0] / "model.txt").is_file()


def test_a_bar_shows_how_the_epoch_is_going() -> None:
    text = io.StringIO()
    console = Console(RichConsole(file=text, width=80, force_terminal=True))
    with console.show_progress(
        "epoch 1/2", done=4, total=8, after=8, step_size=8, metrics=lambda: {"loss": 0.25, "a": 1, "b": 1}
    ) as bar:
        bar.advance(0)
        bar.advance(-2)  # the run was taken back
        bar.advance(6)
    assert re.search(
        r" 8/8 +loss 0\.2500, a 1\.0000, [\d,]+ samples/s, \d+ s left",
        re.sub("\x1b.*?m", "", text.getvalue()),
    )


def test_counts_are_whole_numbers_in_a_table_of_details() -> None:
    text = io.StringIO()
    values = {
        "fake/recall": 1.0,
        "fake/samples": 150.0,
        "real/recall": 0.5,
        "real/samples": 1.0,
        "both/samples": 1151.0,
    }
    Console(RichConsole(file=text, width=100)).print_details(values)
    rows = [re.split(r"\s*│\s*", line)[1:-1] for line in text.getvalue().splitlines() if "│" in line]
    assert rows == [["fake", "1.0000", "150"], ["real", "0.5000", "1"], ["both", "", "1,151"]]


def test_a_model_in_a_line() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((None, 3), name="b")
    both = keras.layers.Dense(2)(keras.layers.Concatenate()([a, keras.layers.GlobalMaxPooling1D()(b)]))
    model = keras.Model({"a": a, "b": b}, [both, keras.layers.Dense(1)(both)])
    model.layers[-1].trainable = False
    assert describe_model(model, "m") == "m: 19 parameters, 16 trainable, input a 4, b ?x3 -> 2, 1"

    class Own(keras.Model):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(3,))

        def call(self, x: Any) -> Any:
            return x * self.kernel

    own = Own()
    own.build((None, 3))
    assert describe_model(own, "own") == "own: 3 parameters, 3 trainable"


def test_waiting_for_data_is_noticed() -> None:
    import tensorflow as tf

    def wait(index: Any) -> Any:
        time.sleep(0.02)
        return index

    batches = tf.data.Dataset.range(100).map(lambda i: tf.numpy_function(wait, [i], tf.int64))
    loop = Stepper(
        lambda batch: batch,
        tf.distribute.get_strategy(),
        jit_compile=False,
        run_eagerly=False,
        max_steps_per_call=1,
    )
    stopwatch, iterator = Stopwatch(loop), iter(batches)
    for _ in range(10):
        loop.run(iterator, 1)
    assert loop.waited > 0.1
    speed = stopwatch.stop(10)
    assert speed.waited == loop.waited


def test_a_loop_that_does_not_say_how_long_it_waited() -> None:
    loop: Any = SimpleNamespace()
    assert set(Stopwatch(loop).stop(10).values()) == {"samples_per_second"}
