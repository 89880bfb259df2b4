"""The trainer: what a run leaves behind, and that an interrupted one ends with the same bits as an
undisturbed one."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.errors import ConfigError, Interrupted, RunDirectoryError
from framework.evaluation.load_and_validate import load_and_validate
from framework.run.checkpoint import CheckpointStore
from framework.run.run_directory import RunDirectory
from framework.training.trainer import Trainer
from tests.runs import (
    LIGHT,
    InterruptedAfter,
    comparable,
    final_state,
    quiet,
    records,
    resume,
    train,
    trainer,
)

Finished = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

# What makes an exact resume hard, all at once.
WORDS = (
    *("learning_rate=cosine_decay", "optimizer=adamw", "optimizer.weight_decay=0.01", "trainer.calc_ema=0.9"),
    *("batch_size=4", "optimizer.accumulate_steps=2", "trainer.post_hoc_ema=[0.1]", "trainer.lav_every_n=2"),
)


@pytest.fixture(scope="module")
def undisturbed(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    train(path, *WORDS)
    return path


def test_a_run_leaves_behind_what_it_says(undisturbed: Path) -> None:
    result = json.loads((undisturbed / "result.json").read_text())
    assert (result["status"], result["epochs"], result["steps"]) == ("finished", 4, 48)
    lav = {"lav_loss", "lav_accuracy", "lav_mean_output"}
    assert set(result["final"]) == {"loss", "accuracy", "val_loss", "val_accuracy"} | lav
    lines = records(undisturbed)
    assert [(line["phase"], line["epoch"], line["step"]) for line in lines] == [
        (phase, epoch, 12 * epoch)
        for epoch in (1, 2, 3, 4)
        for phase, epochs in (
            ("train", (1, 2, 3, 4)),
            ("validation", (1, 2, 3, 4)),
            ("lav", (1, 2, 4)),
            ("validation/raw", (4,)),
        )
        if epoch in epochs
    ]
    spent = [set(line["seconds"]) for line in lines if line["phase"] == "train"]
    assert spent[0] >= {"start", "train", "input_wait", "validation", "lav"} and "start" not in spent[1]
    assert set(result["phases"]) >= spent[0] | {"validation/raw", "checkpoint", "export"}
    validations = (line for line in lines if line["phase"] == "validation")
    best = max(validations, key=lambda line: (line["metrics"]["accuracy"], -line["metrics"]["loss"]))
    assert result["best"]["epoch"] == best["epoch"]
    assert result["best"]["metrics"]["val_accuracy"] == best["metrics"]["accuracy"]
    for folder in ("best", "export"):
        assert (undisturbed / folder / "model.keras").is_file()
        assert not (undisturbed / folder / "saved_model").exists()
    assert json.loads((undisturbed / "best" / "model.json").read_text())["epoch"] == best["epoch"]
    assert len(CheckpointStore(undisturbed / "checkpoints", keep=3).steps()) == 3
    assert "epoch 4/4" in (undisturbed / "train.log").read_text()
    (session,) = json.loads((undisturbed / "provenance.json").read_text())["sessions"]
    assert session["hardware"]["threads"] >= 1
    assert "tensorflow" in session["versions"]


def interrupt(first: Trainer, path: Path, count: int) -> None:
    """The trainer asks for a signal when all is built, before each call of the loop, and after each call of
    validation and LAV."""
    first.interruption = InterruptedAfter(count)
    with pytest.raises(Interrupted):
        first.train()
    assert json.loads((path / "result.json").read_text())["status"] == "interrupted"
    assert final_state(path).step < 48


def assert_the_same_end(path: Path, undisturbed: Path) -> None:
    assert comparable(path) == comparable(undisturbed)
    best, expected = (json.loads((run / "result.json").read_text())["best"] for run in (path, undisturbed))
    assert best == expected


def test_an_interrupted_run_ends_with_the_same_bits(undisturbed: Path, tmp_path: Path) -> None:
    """Before any step, between steps, in validation, in LAV, and in the next epoch, one after the other."""
    path, steps = tmp_path / "run", []
    first = trainer(path, *WORDS, "loop.max_steps_per_call=2")
    for count in (2, 4, 9, 9, 20):
        interrupt(first, path, count)
        steps.append(final_state(path).step)
        first = Trainer.resume(path, console=quiet())
    assert steps[0] == 0 < steps[1] < steps[2] == steps[3] == 12 < steps[4]
    first.train()
    assert_the_same_end(path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("count", [4, 10, 16])
def test_so_does_one_that_was_interrupted_once(undisturbed: Path, tmp_path: Path, count: int) -> None:
    path = tmp_path / "run"
    interrupt(trainer(path, *WORDS, "loop.max_steps_per_call=2"), path, count)
    resume(path)
    assert_the_same_end(path, undisturbed)


def test_a_resume_that_is_interrupted_while_it_is_built_says_so(undisturbed: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(undisturbed, path)
    ended = json.loads((path / "result.json").read_text())
    (path / "result.json").unlink()
    again = Trainer.resume(path, console=quiet())
    again.interruption = InterruptedAfter(1)
    with pytest.raises(Interrupted):
        again.train()
    found = json.loads((path / "result.json").read_text())
    assert found["message"] == "interrupted by signal 15"
    assert found["seconds"] > 0
    unknown = {
        "status": "",
        "message": None,
        "seconds": 0,
        "monitor": None,
        "mode": None,
        "phases": None,
    }  # the model says the last three
    assert found | unknown == ended | unknown
    assert found["status"] == "interrupted"
    again.give_up(2)
    assert json.loads((path / "result.json").read_text())["message"] == "ended by signal 2 while it hung"
    (path / "result.json").write_text(json.dumps(ended))  # a run that had ended is as it was
    again.give_up(2)
    assert json.loads((path / "result.json").read_text()) == ended


def test_a_run_that_lost_its_last_checkpoints_ends_with_the_same_bits(
    undisturbed: Path, tmp_path: Path
) -> None:
    """As after a kill: what was recorded after the newest intact checkpoint is done once more."""
    path = tmp_path / "elsewhere" / "moved"
    shutil.copytree(undisturbed, path)
    (path / "result.json").unlink()
    steps = CheckpointStore(path / "checkpoints", keep=3).steps()
    shutil.rmtree(path / "checkpoints" / f"step-{steps[-1]:08d}")
    (path / "checkpoints" / f"step-{steps[-2]:08d}" / "variables.npz").write_bytes(b"damaged")
    resume(path)
    assert comparable(path) == comparable(undisturbed)
    assert [(r["phase"], r["epoch"]) for r in records(path)] == [
        (r["phase"], r["epoch"]) for r in records(undisturbed)
    ]


def test_resume_of_a_finished_run_touches_nothing(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    assert resume(undisturbed).status == "finished"
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


def test_more_epochs_continue_a_finished_run(tmp_path: Path, finished: Finished) -> None:
    result = resume(finished(tmp_path / "a", "epochs=2"), "epochs=3")
    finished(tmp_path / "b", "epochs=3")
    assert result.epochs == 3
    assert comparable(tmp_path / "a") == comparable(tmp_path / "b")
    sessions = json.loads((tmp_path / "a" / "provenance.json").read_text())["sessions"]
    assert sessions[1]["changes"] == {"trainer.epochs": [2, 3]}
    assert RunDirectory.open(tmp_path / "a").load_config().trainer.epochs == 3


def test_resume_with_lr_0_changes_no_validation_metric(tmp_path: Path) -> None:
    first = train(
        tmp_path / "run", "epochs=2", "trainer.recalibrate_batch_norm=false", "scenario.batch_norm=false"
    )
    second = resume(tmp_path / "run", "epochs=3", "lr=0")
    assert second.final["val_loss"] == first.final["val_loss"]


@pytest.mark.slow
def test_another_monitor_starts_early_stopping_anew(tmp_path: Path) -> None:
    """What counts as best is compared by the new value, where the best so far has one."""
    path = tmp_path / "run"
    train(path, "epochs=3", "early_stopping.n_to_go=3", "lr=0.05")
    result = resume(
        path,
        "epochs=5",
        "early_stopping.monitor=val_loss",
        "early_stopping.mode=min",
        "early_stopping.n_to_go=2",
    )
    assert "another monitor: early stopping starts anew" in (path / "train.log").read_text()
    assert (result.status, result.epochs) == ("finished", 5), (
        "the epochs without a better accuracy do not count"
    )
    assert result.best is not None
    losses = {r["epoch"]: r["metrics"]["loss"] for r in records(path) if r["phase"] == "validation"}
    later = {epoch: loss for epoch, loss in losses.items() if epoch > 3}
    assert result.best["metrics"]["val_loss"] <= min(later.values())
    other = resume(
        path,
        "epochs=6",
        "trainer.lav_every_n=1",
        "early_stopping.monitor=lav_mean_output",
        "early_stopping.mode=min",
    )
    assert other.best is not None
    assert other.best["epoch"] == 6, "the best so far had no such value"


def test_another_optimizer_starts_its_state_anew(tmp_path: Path, finished: Finished) -> None:
    assert resume(finished(tmp_path / "run", "epochs=1"), "epochs=2", "optimizer=sgd").epochs == 2
    names = [member.name for member in final_state(tmp_path / "run").variables["optimizer"]]
    assert names
    assert not any("velocity" in name for name in names), "Adam's moments are gone"


@pytest.mark.parametrize(
    "word",
    [
        *("seed=3", "batch_size=16", "optimizer.accumulate_steps=3", "samples_per_epoch=50"),
        *("device.precision=mixed_bfloat16", "scenario.name=other"),
        *("warmstart.model=elsewhere", "warmstart={model: elsewhere, rename: [a->b]}"),
    ],
)
def test_changes_that_would_break_a_run_are_refused(undisturbed: Path, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Trainer.resume(undisturbed, word, console=quiet())
    assert caught.value.exit_code == 2


def test_a_run_whose_data_changed_says_so(tmp_path: Path, finished: Finished) -> None:
    finished(tmp_path / "run", "epochs=1")
    with pytest.raises(RunDirectoryError, match="they were 101 samples, and are 50 samples now"):
        resume(tmp_path / "run", "epochs=2", "scenario.samples=50")
    settings: Any = RunDirectory.open(tmp_path / "run").load_config().scenario.settings
    assert settings.samples == 101, "nothing was changed"
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "finished"
    assert resume(tmp_path / "run", "epochs=2").epochs == 2


def test_recalibration_leaves_the_training_alone(tmp_path: Path) -> None:
    for name, value in (("with", "true"), ("without", "false")):
        train(
            tmp_path / name,
            "epochs=2",
            f"trainer.recalibrate_batch_norm={value}",
            "trainer.recalibrate_batches=3",
        )
    assert comparable(tmp_path / "with")["variables"] == comparable(tmp_path / "without")["variables"]
    with_, without = (
        [r["metrics"] for r in records(tmp_path / name) if r["phase"] == "validation"]
        for name in ("with", "without")
    )
    assert with_ != without
    assert "% of the time (trainer.recalibrate_batches)" in (tmp_path / "with" / "train.log").read_text()


def test_averaging_leaves_the_training_alone_and_decides_what_is_best(
    tmp_path: Path, finished: Finished
) -> None:
    train(tmp_path / "with", "epochs=2", "trainer.calc_ema=-1", "trainer.val_raw_every_n=1")
    finished(tmp_path / "without", "epochs=2")
    with_, without = (comparable(tmp_path / name)["variables"] for name in ("with", "without"))
    average = with_.pop("average")
    assert with_ == without
    assert average != with_["model"]
    training = [
        [r["metrics"] for r in records(tmp_path / name) if r["phase"] == "train"]
        for name in ("with", "without")
    ]
    assert training[0] == training[1]
    averaged, raw, without_average = (
        [r["metrics"] for r in records(tmp_path / name) if r["phase"] == phase]
        for name, phase in (("with", "validation"), ("with", "validation/raw"), ("without", "validation"))
    )
    assert averaged != raw
    assert raw == without_average
    for name, weights in (("with", "ema"), ("without", "raw")):
        assert json.loads((tmp_path / name / "best" / "model.json").read_text())["weights"] == weights
    report = load_and_validate(tmp_path / "with")
    recorded = json.loads((tmp_path / "with" / "result.json").read_text())["best"]["metrics"]
    assert report.metrics["loss"] == pytest.approx(recorded["val_loss"], abs=1e-6)


def test_averaging_may_begin_in_a_resume(tmp_path: Path, finished: Finished) -> None:
    resume(finished(tmp_path / "run", "epochs=1"), "epochs=2", "trainer.calc_ema=0.9")
    assert "average" in final_state(tmp_path / "run").variables
    # The raw weights are validated once, at the end.
    assert [r["epoch"] for r in records(tmp_path / "run") if r["phase"] == "validation/raw"] == [2]


def test_without_validation_best_follows_the_training_metric(tmp_path: Path) -> None:
    result = train(tmp_path / "run", "epochs=2", "trainer.val_every_n=0")
    assert result.best is not None
    assert set(result.best["metrics"]) == {"loss", "accuracy"}


def test_nan_is_never_best(tmp_path: Path) -> None:
    result = train(
        tmp_path / "run",
        "epochs=2",
        "early_stopping.monitor=val_loss",
        "early_stopping.mode=min",
        "scenario.blind=true",
    )
    assert math.isnan(result.final["val_loss"])
    assert result.best is None
    assert json.loads((tmp_path / "run" / "result.json").read_text())["final"]["val_loss"] is None, (
        "strict JSON has no NaN"
    )
    assert not (tmp_path / "run" / "best").exists()


def test_early_stopping_ends_a_run(tmp_path: Path) -> None:
    result = train(
        tmp_path / "run",
        "epochs=20",
        "lr=0",
        "early_stopping.n_to_go=4",
        "scenario.noise=0",
        "scenario.batch_norm=false",
        "trainer.lav_every_n=100",
    )
    assert (result.status, result.epochs) == ("stopped_early", 5)
    assert [r["epoch"] for r in records(tmp_path / "run") if r["phase"] == "lav"] == [1, 5], "its last epoch"
    assert "lav_loss" in result.final
    assert resume(tmp_path / "run").epochs == 5
    assert resume(tmp_path / "run", "early_stopping.n_to_go=6").epochs == 7


def test_the_thresholds_of_early_stopping(tmp_path: Path) -> None:
    """An upper one that is reached ends the run in that epoch; a lower one that never is lets it run to its
    end."""
    reached = train(tmp_path / "reached", "epochs=3", "early_stopping.upper_threshold=0.01")
    assert (reached.status, reached.epochs) == ("stopped_early", 1)
    still = ("lr=0", "scenario.noise=0", "scenario.batch_norm=false")
    unreachable = train(
        tmp_path / "never", "epochs=3", *still, "early_stopping.n_to_go=1", "early_stopping.lower_threshold=2"
    )
    assert (unreachable.status, unreachable.epochs) == ("finished", 3)


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["batch_size=102"], "data.batch_size"),
        (["samples_per_epoch=7"], "trainer.samples_per_epoch"),
        (["early_stopping.monitor=val_acuracy"], "early_stopping.monitor"),
        (["device.gpus=[7]"], "device.gpus"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(tmp_path: Path, words: list[str], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        train(tmp_path / "run", *words)
    assert [problem.path for problem in caught.value.problems] == [path]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "steps"), [(["samples_per_epoch=20"], 2), (["trainer.steps_per_epoch=3"], 3)]
)
def test_the_length_of_an_epoch(tmp_path: Path, words: list[str], steps: int) -> None:
    assert train(tmp_path / "run", "epochs=2", *words).steps == 2 * steps


def test_lav_is_what_training_recorded_whatever_the_batch_size(undisturbed: Path, tmp_path: Path) -> None:
    recorded = json.loads((undisturbed / "result.json").read_text())["best"]["metrics"]
    for batch_size in (1, 5, 8):
        report = load_and_validate(undisturbed, f"batch_size={batch_size}", output=tmp_path / "lav.json")
        assert report.metrics["accuracy"] == pytest.approx(recorded["val_accuracy"], abs=1e-6)
        assert report.metrics["loss"] == pytest.approx(recorded["val_loss"], abs=1e-5)
    assert json.loads((tmp_path / "lav.json").read_text())["metrics"] == dict(report.metrics)


def test_lav_without_a_model_is_answered(tmp_path: Path) -> None:
    words = ("early_stopping.monitor=val_loss", "early_stopping.mode=min", "scenario.blind=true")
    train(tmp_path / "run", *LIGHT, *words)
    with pytest.raises(RunDirectoryError, match="model"):
        load_and_validate(tmp_path / "run")


def test_a_sweep_of_seeds_gives_different_weights(tmp_path: Path) -> None:
    for seed in (0, 1):
        train(tmp_path / str(seed), *LIGHT, f"seed={seed}")
    a, b = (final_state(tmp_path / str(seed)).variables["model"][0].array for seed in (0, 1))
    assert not np.array_equal(a, b)


def test_a_best_model_that_cannot_be_written_is_a_warning_and_the_run_goes_on(tmp_path: Path) -> None:
    """A file in the place of the folder's draft stands in for a full disk, and works for root too."""
    first = trainer(tmp_path / "run", *LIGHT)
    (tmp_path / "run" / ".best.draft").write_text("in the way")
    result = first.train()
    assert (result.status, result.best) == ("finished", None)
    assert "cannot be written" in (tmp_path / "run" / "train.log").read_text()


def test_an_unwritable_result_ends_the_run_with_a_clear_error(tmp_path: Path) -> None:
    first = trainer(tmp_path / "run", *LIGHT)
    in_the_way = tmp_path / "run" / f".result.json.{os.getpid()}"
    in_the_way.mkdir()
    with pytest.raises(RunDirectoryError, match="resume-training"):
        first.train()
    in_the_way.rmdir()
    assert resume(tmp_path / "run").status == "finished"


def test_frozen_layers_do_not_learn(tmp_path: Path) -> None:
    for name, scope in (("all", "null"), ("frozen", "hidden")):
        train(tmp_path / name, *LIGHT, f"trainer.no_train_scope={scope}")
    assert "frozen by trainer.no_train_scope: hidden" in (tmp_path / "frozen" / "train.log").read_text()
    first = {m.name.split("/", 1)[-1]: m.array for m in final_state(tmp_path / "frozen").variables["model"]}
    other = {m.name.split("/", 1)[-1]: m.array for m in final_state(tmp_path / "all").variables["model"]}
    assert not np.array_equal(first["hidden/kernel"], other["hidden/kernel"])
    assert not np.any(first["hidden/bias"]), "as it was initialised"
    assert np.any(first["output/bias"])
    with pytest.raises(ConfigError, match="did you mean 'hidden'"):
        train(tmp_path / "wrong", "trainer.no_train_scope=hiden")
    assert not (tmp_path / "wrong").exists()


@pytest.mark.slow
def test_a_warm_start_begins_where_the_other_run_was_best(tmp_path: Path) -> None:
    plain = ("epochs=1", "scenario.batch_norm=false")
    first = train(tmp_path / "first", *plain)
    second = train(tmp_path / "second", *plain, "seed=7", "lr=0", f"warmstart.model={tmp_path / 'first'}")
    assert second.final["val_loss"] == pytest.approx(first.final["val_loss"], abs=1e-6)
    assert "hidden/kernel" in (tmp_path / "second" / "train.log").read_text()
    assert resume(tmp_path / "second", "epochs=2").epochs == 2, "its own warm start is no change"
    with pytest.raises(ConfigError):
        train(tmp_path / "third", "warmstart.model=nowhere")


def test_limit_takes_that_many_samples_of_each_split(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "epochs=1", "data.limit=24").steps == 3
    assert load_and_validate(tmp_path / "run", output=tmp_path / "lav.json").samples == 24
    assert load_and_validate(tmp_path / "run", "data.limit=null", output=tmp_path / "lav.json").samples == 37


def test_some_batches_are_learned_by_heart(tmp_path: Path) -> None:
    words = ["overfit_batches=1", "epochs=3", "trainer.steps_per_epoch=50", "lr=0.05", "scenario.noise=0"]
    result = train(tmp_path / "run", *words)
    assert result.steps == 150
    assert result.final["val_accuracy"] == 1.0
    assert result.final["val_loss"] < 0.1


@pytest.mark.slow
def test_what_a_scenario_initialises_is_saved_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = trainer(tmp_path / "run", *LIGHT)
    seen = []

    def initialise(model: Any) -> bool:
        seen.append(int(model.optimizer.iterations))
        model.optimizer.iterations.assign(70)
        return True

    monkeypatch.setattr(begun.scenario, "initialise", initialise)
    begun.interruption = InterruptedAfter(2)  # before the first step
    with pytest.raises(Interrupted):
        begun.train()
    assert seen == [0]
    assert (tmp_path / "run" / "checkpoints" / "step-00000000").is_dir()
    assert resume(tmp_path / "run").steps == 3
    (iterations, *_) = (member.array for member in final_state(tmp_path / "run").variables["optimizer"])
    assert iterations == 73, "the resume goes on from what was saved, and initialises nothing"


def test_settings_without_an_effect_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = trainer(tmp_path / "run", *LIGHT)
    monkeypatch.setattr(type(made.scenario), "unused_settings", lambda self: ["jpeg has no effect"])
    made.train()
    assert caplog.text.count("jpeg has no effect") == 1
