"""The weights of a run, side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framework.errors import ConfigError, RunDirectoryError
from framework.evaluation.compare_weights import RunWeights
from framework.evaluation.load_and_validate import load_and_validate
from framework.run.checkpoint import CheckpointStore, Snapshot
from tests.runs import LIGHT, final_state, records, resume, train

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

WORDS = ("epochs=8", "trainer.steps_per_epoch=5", "trainer.calc_ema=0.9", "lr=0.01")


@pytest.fixture(scope="module")
def run(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "run"
    train(path, *WORDS, "trainer.post_hoc_ema=[0.05,0.1]")
    return path


@pytest.fixture(scope="module")
def weights(run: Path) -> RunWeights:
    return RunWeights(run)


def test_what_a_run_holds(run: Path, weights: RunWeights) -> None:
    found = {candidate.name: candidate for candidate in weights.candidates(lengths=(0.1,))}
    assert list(found) == ["raw", "ema", "average", "power-0.1"]
    state = final_state(run).variables
    floats = [named.array for named in state["model"] if named.array.dtype == np.float32]
    for arrays, expected in (
        (found["raw"].arrays, floats),
        (found["ema"].arrays, [named.array for named in state["average"]]),
        (found["power-0.1"].arrays, [named.array for named in state["power-0.1"]]),
    ):
        for array, other in zip(arrays, expected, strict=True):
            np.testing.assert_allclose(array, other, atol=1e-6)
    store = CheckpointStore(run / "checkpoints")
    kernels = [store.load(step).variables["model"][0].array for step in store.steps()]
    assert len(kernels) == 3
    np.testing.assert_allclose(found["average"].arrays[0], np.mean(kernels, axis=0), atol=1e-7)
    last_two = next(c for c in weights.candidates(last=2, lengths=()) if c.name == "average")
    np.testing.assert_allclose(last_two.arrays[0], np.mean(kernels[-2:], axis=0), atol=1e-7)


def test_a_checkpoint_that_the_training_deletes_meanwhile_is_no_damage(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(run, tmp_path / "run")
    weights = RunWeights(tmp_path / "run")
    load, oldest = CheckpointStore.load, CheckpointStore(tmp_path / "run" / "checkpoints").steps()[0]

    def load_late(store: CheckpointStore, step: int) -> Snapshot:
        if step == oldest:
            shutil.rmtree(tmp_path / "run" / "checkpoints" / f"step-{step:08d}")
        return load(store, step)

    monkeypatch.setattr(CheckpointStore, "load", load_late)
    found = {candidate.name: candidate for candidate in weights.candidates(lengths=())}
    assert found["average"].about.startswith("mean of 2 checkpoints")
    assert caplog.text == ""


@pytest.fixture(scope="module")
def other(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training, validated with its raw weights, with averages of other lengths kept: they leave it
    alone."""
    path = tmp_path_factory.mktemp("weights") / "other"
    train(path, *WORDS, "trainer.calc_ema=null", "trainer.post_hoc_ema=[0.07,0.15]")
    return path


def test_an_average_made_afterwards_is_nearly_one_that_was_kept(weights: RunWeights, other: Path) -> None:
    kept = final_state(other).variables
    for length, most in ((0.07, 0.02), (0.15, 0.06)):
        made = weights.candidate(f"power-{length}")
        for array, named, raw in zip(
            made.arrays, kept[f"power-{length}"], weights.candidate("raw").arrays, strict=True
        ):
            way = float(np.linalg.norm(raw - named.array))
            assert np.linalg.norm(array - named.array) <= most * way, (length, named.name)


def test_raw_and_ema_are_judged_as_training_judged_them(run: Path, weights: RunWeights, other: Path) -> None:
    ema = weights.judge(weights.candidate("ema"))
    validated = [record["metrics"] for record in records(run) if record["phase"] == "validation"]
    assert ema == pytest.approx(validated[-1], abs=1e-6)
    raw = weights.judge(weights.candidate("raw"))
    assert raw == pytest.approx(records(other)[-1]["metrics"], abs=1e-6)
    assert raw["loss"] != ema["loss"]


def test_what_is_best_goes_by_the_monitor(weights: RunWeights) -> None:
    judged = [
        {"loss": 0.2, "accuracy": 0.8},
        {"loss": 0.3, "accuracy": 0.9},
        {"loss": 0.1, "accuracy": float("nan")},
    ]
    assert weights.best_of(judged) == 1
    assert weights.best_of([{"loss": 0.3}, {"loss": 0.2}]) == 1
    assert weights.best_of([{"loss": float("nan")}]) is None


def test_exported_weights_are_what_was_judged(run: Path, weights: RunWeights, tmp_path: Path) -> None:
    candidate = weights.candidate("power-0.15")
    judged = weights.judge(candidate)
    weights.export(candidate, tmp_path / "model", judged)
    facts = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (facts["weights"], facts["epoch"], facts["step"]) == ("power-0.15", 8, 40)
    assert (tmp_path / "model" / "saved_model").is_dir()
    report = load_and_validate(run, model=str(tmp_path / "model"), output=tmp_path / "lav.json")
    assert {name: report.metrics[name] for name in judged} == pytest.approx(judged, abs=1e-6)
    report = load_and_validate(run, weights="power-0.15", output=tmp_path / "lav.json")
    assert {name: report.metrics[name] for name in judged} == pytest.approx(judged, abs=1e-6)
    assert json.loads((tmp_path / "lav.json").read_text())["weights"] == "power-0.15"


def test_a_folder_that_cannot_be_written_is_answered(weights: RunWeights, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        weights.export(weights.candidate("raw"), tmp_path / "file" / "model", {})


def test_nothing_of_the_run_changes(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != "lav.json"}
    held = RunWeights(run)
    held.judge(held.candidate("raw"))
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != "lav.json"} == before


def test_a_resume_goes_back_to_the_averages_of_its_checkpoint(tmp_path: Path) -> None:
    """Those of a step that is done anew, with another learning rate say, are of a training that never was."""
    import shutil

    path = tmp_path / "run"
    train(path, *LIGHT, "epochs=3", "trainer.steps_per_epoch=2", "trainer.post_hoc_ema=[0.1]")
    for folder in ("step-00000006", "step-00000004"):
        shutil.rmtree(path / "checkpoints" / folder)
    (path / "result.json").unlink()
    resume(path, "epochs=2", "lr=0.1")
    store = CheckpointStore(path / "averages")
    assert store.steps() == [2, 4]
    last = final_state(path).variables["power-0.1"]
    for named, saved in zip(last, store.load(4).variables["power-0.1"], strict=True):
        np.testing.assert_array_equal(named.array, saved.array)


def test_what_is_not_there_is_answered(
    weights: RunWeights, tmp_path: Path, finished: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'raw'"):
        weights.candidate("rw")
    with pytest.raises(ConfigError, match=r"> 0 and <= 0.28"):
        weights.candidates(lengths=(0.3,))
    plain = RunWeights(finished(tmp_path / "plain", "epochs=1"))
    assert [candidate.name for candidate in plain.candidates()] == ["raw"], "one checkpoint has no average"
    with pytest.raises(RunDirectoryError, match=r"post_hoc_ema=\[0.05,0.1\]"):
        plain.candidates(lengths=(0.1,))
    with pytest.raises(ConfigError, match="cannot change in a run that has begun"):
        resume(tmp_path / "plain", "epochs=2", "trainer.post_hoc_ema=[0.1]")


def test_a_run_without_a_checkpoint_is_answered(tmp_path: Path, finished: Callable[..., Path]) -> None:
    import shutil

    finished(tmp_path / "run", "epochs=1")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(RunDirectoryError, match="no checkpoint yet"):
        RunWeights(tmp_path / "run")
