"""What a run does at its end alone leaves no trace in a run that gets more epochs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.errors import Interrupted
from framework.evaluation.compare_runs import differences
from framework.run.checkpoint import CheckpointStore
from framework.run.run_directory import RunDirectory
from framework.training.best_model import BestModel
from framework.training.trainer import Result, Trainer
from tests import runs
from tests.runs import InterruptedAfter, quiet, records

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

STATE = ("trainer.calc_ema=0.9", "trainer.post_hoc_ema=[0.1]", "trainer.post_hoc_every_n_epochs=2")
SELDOM = (
    *STATE,
    "trainer.val_every_n=3",
    "trainer.lav_every_n=3",
    "early_stopping.monitor=val_loss",
    "early_stopping.n_to_go=2",
)
STILL = (
    *STATE,
    "trainer.val_every_n=2",
    "trainer.lav_every_n=4",
    "lr=0",
    "scenario.noise=0",
    "scenario.batch_norm=false",
)


def train(path: Path, *words: str) -> Result:
    """As in a process of its own: Keras numbers the layers of a process, and an exported model has their
    names."""
    import keras

    keras.utils.clear_session()
    return runs.train(path, *words)


def resume(path: Path, *words: str) -> Result:
    import keras

    keras.utils.clear_session()
    return runs.resume(path, *words)


@pytest.fixture(scope="module")
def ended(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is validated after its third epoch, and after its fourth since that is the last."""
    path = tmp_path_factory.mktemp("ended") / "run"
    train(path, "epochs=4", *SELDOM)
    return path


@pytest.fixture
def run(ended: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(ended, tmp_path / "run")
    return tmp_path / "run"


def phases(path: Path, phase: str) -> list[int]:
    return [record["epoch"] for record in records(path) if record["phase"] == phase]


def best_epochs(path: Path) -> list[int]:
    """As the result says, and the exported model."""
    result = json.loads((path / "result.json").read_text())
    return [result["best"]["epoch"], json.loads((path / "best" / "model.json").read_text())["epoch"]]


def test_the_last_epoch_is_validated_and_can_be_best(ended: Path) -> None:
    assert phases(ended, "validation") == [3, 4]
    assert phases(ended, "lav") == [1, 3, 4]
    assert best_epochs(ended) == [4, 4]
    result = json.loads((ended / "result.json").read_text())
    assert {"val_loss", "lav_loss"} <= set(result["final"])
    assert {"val_loss", "lav_loss"} <= set(result["best"]["metrics"])
    assert CheckpointStore(ended / "averages").steps() == [24, 48]


@pytest.mark.slow
def test_more_epochs_give_the_bits_of_a_run_that_was_to_have_them(run: Path, tmp_path: Path) -> None:
    resume(run, "epochs=7")
    train(tmp_path / "other", "epochs=7", *SELDOM)
    assert differences(run, tmp_path / "other") == []
    assert phases(run, "validation") == [3, 6, 7]


@pytest.mark.slow
def test_so_they_do_however_often_and_from_whatever_end(tmp_path: Path) -> None:
    words = (
        *STATE,
        "trainer.val_every_n=2",
        "trainer.lav_every_n=2",
        "optimizer.accumulate_steps=2",
        "batch_size=4",
    )
    train(tmp_path / "run", "epochs=1", *words)
    resume(tmp_path / "run", "epochs=3")
    resume(tmp_path / "run", "epochs=4")
    train(tmp_path / "other", "epochs=4", *words)
    assert differences(tmp_path / "run", tmp_path / "other") == []


@pytest.mark.slow
def test_more_patience_gives_the_bits_of_a_run_that_had_it(tmp_path: Path) -> None:
    result = train(
        tmp_path / "run", "epochs=9", *STILL, "early_stopping.monitor=loss", "early_stopping.n_to_go=2"
    )
    assert result.status == "stopped_early"
    assert phases(tmp_path / "run", "validation")[-1] == result.epochs, (
        "the last epoch, whatever ends the run"
    )
    more = resume(tmp_path / "run", "early_stopping.n_to_go=5")
    assert more.epochs > result.epochs
    train(tmp_path / "other", "epochs=9", *STILL, "early_stopping.monitor=loss", "early_stopping.n_to_go=5")
    assert differences(tmp_path / "run", tmp_path / "other") == []


def test_the_best_model_of_before_is_back_at_once(run: Path) -> None:
    trainer = Trainer.resume(run, "epochs=7", console=quiet())
    trainer.interruption = InterruptedAfter(2)
    with pytest.raises(Interrupted):
        trainer.train()
    assert best_epochs(run) == [3, 3]
    assert phases(run, "validation") == [3]
    assert phases(run, "lav") == [1, 3]
    assert trainer.train().epochs == 7


def test_a_model_that_was_put_by_is_taken_up_whatever_was_cut_short(run: Path) -> None:
    directory, parts = RunDirectory.open(run), None
    model: Any = BestModel(directory, parts)  # type: ignore[arg-type]  # which is for writing alone
    end = json.loads((run / "result.json").read_text())["best"]
    earlier = json.loads((run / ".earlier-best" / "model.json").read_text())
    record = {name: earlier[name] for name in end}
    for wanted in (record, record, end, record):
        assert model.take_up(wanted) == wanted
        assert json.loads((run / "best" / "model.json").read_text())["epoch"] == wanted["epoch"]
    (run / "best").rename(run / ".best.old")  # as after a kill in the midst of it
    with directory.lock():
        assert model.take_up(end) == end


def test_an_end_that_stays_the_end_is_left_alone(run: Path) -> None:
    """As after a kill while the final model is exported."""
    import shutil

    before = records(run)
    shutil.rmtree(run / "export")
    assert resume(run).epochs == 4
    assert records(run) == before
    assert best_epochs(run) == [4, 4]


def failing_the_second_time() -> Callable[[], None]:
    asked = iter((True, False))

    def check() -> None:
        if not next(asked):
            raise RuntimeError

    return check


def test_a_kill_right_after_more_patience_was_given_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    train(path, "epochs=9", *STILL, "early_stopping.n_to_go=1")
    trainer = Trainer.resume(path, "early_stopping.n_to_go=2", console=quiet())
    monkeypatch.setattr(trainer.interruption, "check", failing_the_second_time())
    with pytest.raises(RuntimeError):  # nothing is saved then
        trainer.train()
    assert resume(path).epochs == 6
