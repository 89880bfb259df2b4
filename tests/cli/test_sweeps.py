"""Sweeps: a job that fails stops no other, and the same sweep again does only what is missing."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.cli.command import run
from framework.cli.train import main
from framework.evaluation.compare_runs import differences
from tests.cli.test_commands import LONG, assert_clean, run_directories
from tests.conftest import TOY_WORDS, environment
from tests.torture import command as script

Command = Callable[..., subprocess.CompletedProcess[str]]


def modified(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_failing_job_stops_no_other_and_the_same_sweep_again_does_what_is_missing(
    command: Command, tmp_path: Path
) -> None:
    words = ["-m", *TOY_WORDS, "epochs=1", "trainer.export_saved_model=false", "output_dir=sweep"]
    result = command("train-scenario", *words, "batch_size=8,1000,4")
    assert_clean(result, 1)
    assert [path.name for path in run_directories(tmp_path / "sweep")] == ["0", "2"]
    assert "1 of 3 jobs are not finished: 1 (batch_size=1000)" in " ".join(result.stdout.split())
    assert "train-scenario -m --config-dir" in result.stdout
    summary = result.stdout.split("sweep in sweep")[1]
    assert summary.count("(best)") == summary.count("best by ") == 1
    assert "scenario=toy" not in summary.split("side by side")[0], "only what varies"
    runs = "report-run sweep/0 sweep/2"
    assert f"side by side: {runs} --output sweep/comparison.html" in " ".join(result.stdout.split())
    refused = command("report-run", "sweep")
    assert_clean(refused, 1)
    assert f"it holds 2 runs; side by side: {runs}" in " ".join(refused.stderr.split())
    assert "data.batch_size" in result.stderr

    before = modified(tmp_path / "sweep" / "0") | modified(tmp_path / "sweep" / "2")
    (tmp_path / "sweep").rename(tmp_path / "moved")
    with open(tmp_path / "moved" / "jobs.jsonl", "a") as file:
        file.write('{"job": 7, "wor')  # as a kill leaves it
    again = command("train-scenario", *words[:-1], "output_dir=moved", "batch_size=16,4,8")
    assert_clean(again, 0)
    assert again.stdout.count("(done before)") == 2
    after = {
        path: path.stat().st_mtime_ns
        for old in before
        for path in [tmp_path / "moved" / old.relative_to(tmp_path / "sweep")]
    }
    assert list(after.values()) == list(before.values()), "what was done is not touched"
    assert [path.name for path in run_directories(tmp_path / "moved")] == ["0", "2", "3"]
    record = json.loads((tmp_path / "moved" / "jobs.jsonl").read_text().splitlines()[3 * 2 + 1])
    assert (record["directory"], record["words"][-1]) == ("3", "batch_size=16")


@pytest.mark.slow
def test_a_job_that_a_kill_of_the_sweep_cut_short_is_continued(
    tmp_path: Path, finished: Callable[..., Path]
) -> None:
    """The sweep is killed; its job notices, saves and ends. The same sweep again continues it, to the same
    bits."""
    words = [*TOY_WORDS, *LONG, "trainer.checkpoint_every_n_steps=100"]
    start = script("train-scenario", "-m", *words, "lr=0.001,0.002", "output_dir=sweep")
    sweep = subprocess.Popen(
        start, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    run = tmp_path / "sweep" / "0"
    while not list(run.glob("checkpoints/step-*")):
        assert sweep.poll() is None
        time.sleep(0.01)
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    deadline = time.monotonic() + 60
    while not (run / "result.json").exists():
        assert time.monotonic() < deadline, "the job went on without its sweep"
        time.sleep(0.05)
    assert json.loads((run / "result.json").read_text())["status"] == "interrupted"
    again = subprocess.run(
        start, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert_clean(again, 0)
    assert again.stdout.count("(continued)") == 1
    # 0.001 is the rate that a run has where none is typed, too.
    assert differences(run, finished(tmp_path / "undisturbed", *LONG)) == []
    assert json.loads((tmp_path / "sweep" / "1" / "result.json").read_text())["status"] == "finished"


def test_a_signal_ends_a_sweep_and_its_job_and_says_how_to_go_on(tmp_path: Path) -> None:
    start = script(
        "train-scenario", "-m", *TOY_WORDS, *LONG, "trainer.checkpoint_every_n_steps=100", "lr=0.001,0.002"
    )
    sweep = subprocess.Popen(
        start, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("outputs/*/0/checkpoints/step-*")):
        assert sweep.poll() is None
        time.sleep(0.01)
    sweep.send_signal(signal.SIGINT)
    shown, errors = sweep.communicate(timeout=120)
    assert sweep.returncode == 130, errors
    (folder,) = tmp_path.glob("outputs/*")
    assert not (folder / "1" / "config.yaml").exists()
    assert f"output_dir={folder.relative_to(tmp_path)}" in "".join(shown.split("\n"))
    assert "1 of 1 jobs are not finished: 0 (" in " ".join(shown.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lr=range(3,1)"], "lr: must have values"),
        (["lr=1,2", "output_dir=${oc.env:NO_SUCH_NAME}"], "'NO_SUCH_NAME' is not set"),
        (["optimizer=glob(x*)"], "optimizer: must have values"),
        (["lr=glob(*)"], "lr: must have values"),
        (["optimizer=adam,sgdd"], "did you mean 'sgd'?"),
        (["lr=1,2", "lr=3"], "must be given once, and is given as 'lr=1,2' and as 'lr=3'"),
        (["lr=1,2", "hydra.sweep.dir=x"], "output_dir=FOLDER"),
        (["lr=1,2", "hydra/sweeper=optuna"], "pip install hydra-optuna-sweeper"),
        (["lr=1,2", "hydra/launcher=nosuch"], "it is a plugin of Hydra"),
        (["lr=interval(1,2)"], "add hydra/sweeper=optuna"),
        (["lr=1,2", "--cfg", "job"], "--cfg: must stand without --multirun"),
    ],
)
def test_a_sweep_that_cannot_start_leaves_nothing_behind(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With `-m` among the words, where Hydra itself refuses it."""
    monkeypatch.chdir(tmp_path)
    assert run(main.__wrapped__, ["scenario=mesonet", "-m", *words]) == 2  # type: ignore[attr-defined]
    assert said in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.name != "outputs"] == []


def test_each_job_that_fails_is_named_and_the_next_one_starts(command_here: Command) -> None:
    words = ("scenario=mesonet", "data=image_folder", "data.train_dir=nowhere,elsewhere")
    result = command_here(main, "-m", *words, "output_dir=sweep")
    assert_clean(result, 1)
    assert "2 of 2 jobs are not finished: 0 (data.train_dir=nowhere), 1" in " ".join(result.stdout.split())


def test_a_sweep_without_a_scenario_is_refused_before_its_first_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(main.__wrapped__, ["-m", "lr=1,2"]) == 2  # type: ignore[attr-defined]
    assert "scenario: must be chosen" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
