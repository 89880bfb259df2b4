"""TensorBoard: what a run shows there, and that it computes the same bits."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from framework.errors import Interrupted
from framework.run.event_files import read_events
from tests.runs import LIGHT, InterruptedAfter, comparable, resume, train, train_on_two, trainer

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

EVERYTHING = (
    "trainer.tensorboard=true",
    "trainer.scalars_every_n_steps=4",
    "trainer.histograms_every_n=1",
    "trainer.figures_every_n=2",
    "trainer.samples_every_n=2",
)
WORDS = (
    *LIGHT,
    "epochs=2",
    "trainer.steps_per_epoch=6",
    "trainer.report=false",
    "trainer.varied=['lr=0.001']",
    "scenario.dropout=0.3",
)


def events_of(run: Path) -> dict[str, dict[str, list[Any]]]:
    """All values by phase and tag: their steps and themselves."""
    found: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted((run / "tensorboard").rglob("events.out.tfevents.*")):
        for event in read_events(file):
            for value in event.summary.value:
                found[file.parent.name][value.tag].append((event.step, value))
            if event.HasField("graph_def"):
                found[file.parent.name]["graph"].append((event.step, event.graph_def))
    return found


def steps(found: dict[str, list[Any]], tag: str) -> list[int]:
    return [step for step, _ in found.get(tag, [])]


def number(value: Any) -> float:
    return float(value.tensor.float_val[0])


@pytest.fixture(scope="module")
def run(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tensorboard") / "run"
    from toy import Toy

    def images(self: Toy, model: Any, batch: Any) -> Any:
        random.random(), np.random.random()
        model.layers[0].kernel.assign(model.layers[0].kernel * 0)
        return {"hidden": model.layers[0](batch[0]).numpy()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Toy, "tensorboard_images", images)
        train(path, *WORDS, *EVERYTHING)
    return path


def test_it_computes_the_same_bits(run: Path, tmp_path: Path) -> None:
    """Though the images of the scenario draw random numbers and change a weight."""
    train(tmp_path / "without", *WORDS)
    assert comparable(run) == comparable(tmp_path / "without")


def test_what_a_run_shows(run: Path) -> None:
    assert [path.name for path in (run / "tensorboard").iterdir()] == ["lr=0.001"]
    found = events_of(run)
    assert set(found["about"]) == {
        *("config", "model", "settings", "_hparams_/session_start_info", "_hparams_/session_end_info"),
        *("result/best_val_accuracy", "result/final_val_accuracy"),
    }
    assert set(found["best"]) == {"target predicted", "target residuals"}
    train = found["train"]
    assert {"graph", "keras", "inputs"} < set(train)
    for tag in ("loss", "accuracy", "learning_rate", "speed/samples_per_second", "speed/input_wait"):
        assert steps(train, tag) == [6, 12]
        assert steps(train, f"steps/{tag.removeprefix('speed/')}") == [4, 8, 12]
    for tag in ("weights/hidden/kernel", "gradients/output/bias", "gradient_norm"):
        assert steps(train, tag) == [6, 12]
    assert steps(found["validation"], "loss") == [6, 12]
    for tag in ("predictions", "hidden", "target residuals"):
        assert steps(found["validation"], tag) == [12]


def test_points_of_steps_are_means_since_the_last_one(run: Path) -> None:
    """Steps 1 to 4, 5 and 6 in the first epoch of six steps; the second begins anew."""
    train = events_of(run)["train"]
    by_step = [number(value) for _, value in train["steps/loss"]]
    by_epoch = [number(value) for _, value in train["loss"]]
    second, third = by_step[1:]
    assert (2 * second + 4 * third) / 6 == pytest.approx(by_epoch[1], rel=1e-5), "steps 7, 8, and 9 to 12"


def test_the_text_of_the_config_is_the_config(run: Path) -> None:
    ((_, value),) = events_of(run)["about"]["config"]
    text = value.tensor.string_val[0].decode().strip("`\n")
    recorded = yaml.safe_load((run / "config.yaml").read_text())
    assert yaml.safe_load(text)["trainer"] == recorded["trainer"]


def test_hyperparameters_are_what_was_varied_and_what_is_not_default(run: Path) -> None:
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

    ((_, value),) = events_of(run)["about"]["_hparams_/session_start_info"]
    start = parse_session_start_info_plugin_data(value.metadata.plugin_data.content)
    named = {name: start.hparams[name].number_value for name in start.hparams}
    assert named["lr"] == 0.001, "though it is the default"
    assert (named["trainer.epochs"], named["scenario.dropout"]) == (2, 0.3)
    assert not [
        name for name in named if name.startswith(("device.", "trainer.tensorboard", "learning_rate.lr"))
    ]
    assert start.group_name == f"{run.parent.name}/{run.name}"


@pytest.mark.slow
def test_what_cannot_be_drawn_is_a_warning_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy import Toy

    def images(self: Toy, model: Any, batch: Any) -> Any:
        raise ZeroDivisionError("no images today")

    monkeypatch.setattr(Toy, "tensorboard_images", images)
    result = train(tmp_path / "run", *LIGHT, "epochs=2", "trainer.tensorboard=true")
    assert result.status == "finished"
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("TensorBoard gets no images of the scenario: ZeroDivisionError: no images today") == 1
    found = events_of(tmp_path / "run")
    assert steps(found["validation"], "predictions") == [3, 6]
    assert steps(found["train"], "steps/loss") == [1, 2, 3, 4, 5, 6], "an epoch has fewer than ten steps"
    assert not [tag for tag in found["train"] if tag.startswith(("weights", "gradients"))], "off by default"


@pytest.mark.slow
def test_a_resume_continues_the_curves(tmp_path: Path) -> None:
    words = ("epochs=4", "trainer.val_every_n=3", "trainer.checkpoint_every_n_steps=5", *EVERYTHING)
    first = trainer(tmp_path / "run", *words)
    first.interruption = InterruptedAfter(25)
    with pytest.raises(Interrupted):
        first.train()
    resume(tmp_path / "run")
    found = events_of(tmp_path / "run")
    assert steps(found["validation"], "loss") == [36, 48], "the last one only because the run ended"
    resume(tmp_path / "run", "epochs=6")
    found = events_of(tmp_path / "run")
    assert steps(found["validation"], "loss") == [36, 72]
    assert steps(found["validation"], "predictions") == [72]
    assert steps(found["train"], "steps/loss") == list(range(4, 73, 4))
    assert (
        steps(found["train"], "loss")
        == steps(found["train"], "gradients/hidden/bias")
        == list(range(12, 73, 12))
    )
    assert steps(found["train"], "graph") == steps(found["train"], "inputs") == [0]
    assert steps(found["about"], "config") == [0]
    assert steps(found["best"], "target residuals") == [first.run.load_result()["best"]["step"]]  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("trainer.calc_ema=0.9", "trainer.lav_every_n=1"),
        ("loop=fit",),
        ("loop=train_on_batch", "optimizer.accumulate_steps=2"),
        ("trainer.run_eagerly=true", "trainer.steps_per_epoch=3"),
        ("trainer.val_every_n=0", "device.precision=mixed_bfloat16"),
    ],
    ids=lambda words: words[0],
)
def test_each_loop_computes_the_same_bits(tmp_path: Path, words: tuple[str, ...]) -> None:
    train(tmp_path / "with", "epochs=2", *words, *EVERYTHING)
    train(tmp_path / "without", "epochs=2", *words)
    assert comparable(tmp_path / "with") == comparable(tmp_path / "without")
    assert "TensorBoard gets no" not in (tmp_path / "with" / "train.log").read_text()
    assert steps(events_of(tmp_path / "with")["train"], "gradient_norm")


@pytest.mark.slow
def test_two_devices_compute_the_same_bits(tmp_path: Path) -> None:
    train_on_two(tmp_path / "with", "epochs=2", *EVERYTHING)
    train_on_two(tmp_path / "without", "epochs=2")
    assert comparable(tmp_path / "with") == comparable(tmp_path / "without")
    assert "TensorBoard gets no" not in (tmp_path / "with" / "train.log").read_text()
    assert steps(events_of(tmp_path / "with")["train"], "gradient_norm") == [12, 24]


@pytest.mark.slow
def test_gradients_are_those_of_the_next_step(tmp_path: Path) -> None:
    """With plain SGD, the next step moves each weight by minus the learning rate times its gradient."""
    words = ("optimizer=sgd", "lr=0.5", "trainer.steps_per_epoch=1", "epochs=2", "trainer.keep_checkpoints=9")
    train(tmp_path / "run", *words, *EVERYTHING, "trainer.scalars_every_n_steps=1")
    from framework.run.checkpoint import CheckpointStore

    one, two = (
        CheckpointStore(tmp_path / "run" / "checkpoints", keep=9).load(step).group("model") for step in (1, 2)
    )
    moved = sum(
        float(np.sum(np.square((a.array - b.array) / 0.5)))
        for a, b in zip(one, two, strict=True)
        if a.name.endswith(("kernel", "bias", "gamma", "beta"))
    )
    (_, norm), _ = events_of(tmp_path / "run")["train"]["gradient_norm"]
    assert number(norm) == pytest.approx(moved**0.5, rel=1e-4)
