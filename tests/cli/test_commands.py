"""The installed commands, as a user types them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framework.cli import benchmark, lav, predict, resume, train, weights
from framework.cli.command import run
from tests.conftest import TOY_WORDS, environment
from tests.runs import LIGHT

Command = Callable[..., subprocess.CompletedProcess[str]]


def write_images(folder: Path, count: int = 20, size: int = 40) -> Path:
    """Two classes that a network can tell apart: bright noise and dark noise."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = np.clip(rng.normal(level, 30, size=(size, size, 3)), 0, 255).astype("uint8")
            (folder / name / f"{i:02d}.png").write_bytes(tf.io.encode_png(image).numpy())
    return folder


def assert_clean(result: subprocess.CompletedProcess[str], code: int) -> None:
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("name", ["MemoryError", "ResourceExhaustedError"])
def test_too_little_memory_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    import builtins

    import tensorflow as tf

    def main(words: list[str]) -> int:
        raise (
            getattr(builtins, name)("4 TB")
            if name == "MemoryError"
            else tf.errors.ResourceExhaustedError(None, None, "OOM of 4 TB")
        )

    assert run(main, []) == 1
    assert "this machine has not enough memory for that: " in capsys.readouterr().err


def test_resolve_goes_together_with_cfg(command: Command) -> None:
    result = command("train-scenario", *TOY_WORDS, "--resolve")
    assert_clean(result, 2)
    assert "--resolve: must stand with --cfg" in result.stderr


NAMES = [
    "train-scenario",
    "resume-training",
    "load-and-validate",
    "predict-scenario",
    "benchmark-input-pipeline",
    "ema-weights",
    "report-run",
    "explain-prediction",
    "validate-data",
    "check-scenario",
    "new-scenario",
]


@pytest.mark.parametrize("name", NAMES)
def test_each_command_says_that_its_folder_is_gone(name: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = Path(sys.executable).parent / name
    result = subprocess.run(
        ["sh", "-c", f"mkdir {gone}; cd {gone}; rmdir {gone}; {script} {tmp_path}/run scenario=lenet"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert_clean(result, 1)
    assert "the current folder cannot be used: No such file or directory" in result.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_help(command: Command, name: str) -> None:
    result = command(name, "--help")
    assert_clean(result, 0)
    assert (
        "RUN" in result.stdout
        or "optimizer" in result.stdout
        or "key=value" in result.stdout
        or "NAME" in result.stdout
    )


@pytest.mark.parametrize(
    "module",
    [
        "train",
        "resume",
        "lav",
        "predict",
        "benchmark",
        "weights",
        "validate_data",
        "check_scenario",
        "new_scenario",
    ],
)
def test_each_command_is_a_module_that_a_debugger_can_start(module: str) -> None:
    words = [sys.executable, "-m", f"framework.cli.{module}", "--help"]
    result = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert_clean(result, 0)
    assert "--help" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--cfg", "job", "scenario=mesonet"], "positive_class: forged"),
        (["--cfg", "job", "scenario=lenet", "data.limit=200"], "limit: 200"),
        (["--info", "defaults", "scenario=mesonet"], "scenario/mesonet"),
        (["--hydra-help"], "--multirun"),
    ],
)
def test_hydra_works_as_in_any_program(command: Command, words: list[str], expected: str) -> None:
    result = command("train-scenario", *words)
    assert_clean(result, 0)
    assert expected in result.stdout


def test_shell_completion_is_installed(command: Command) -> None:
    result = command("train-scenario", "--shell-completion", "install=bash")
    assert_clean(result, 0)
    assert "complete" in result.stdout


def test_config_errors_are_answered_without_tensorflow(command: Command, tmp_path: Path) -> None:
    result = command(
        "train-scenario",
        "scenario=mesonet",
        "optimizer=adamm",
        "lr=abc",
        "epochz=3",
        "+new=1",
        "trainer.epochs=0",
    )
    assert_clean(result, 2)
    for path in ("optimizer:", "learning_rate.lr", "epochz:", "new:", "trainer.epochs:"):
        assert path in result.stderr
    assert "did you mean 'adam'" in result.stderr
    assert list(tmp_path.iterdir()) == []
    code = (
        "import sys; from framework.cli.command import run; from framework.cli import train\n"
        "code = run(train.main.__wrapped__, ['scenario=mesonet', 'lr=abc'])\n"
        "assert code == 2 and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def test_a_pickled_rerun_is_refused(command: Command) -> None:
    result = command("train-scenario", "--experimental-rerun", "job.pickle")
    assert_clean(result, 2)
    assert "unpickles" in result.stderr


def test_an_invalid_log_level_is_answered(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "train-scenario"
    result = subprocess.run(
        [str(script), "scenario=mesonet"],
        env=environment() | {"SCENARIO_LOG_LEVEL": "LOUD"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert_clean(result, 2)
    assert "SCENARIO_LOG_LEVEL" in result.stderr


@pytest.mark.slow
def test_the_walk_of_a_run_on_image_folders(command: Command, command_here: Command, tmp_path: Path) -> None:
    """Train, resume, validate, predict, as the README has it."""
    faces, other = write_images(tmp_path / "faces"), write_images(tmp_path / "other", count=5)
    words = [
        "scenario=mesonet",
        "model=meso1",
        "data=image_folder",
        f"data.train_dir={faces}",
        "data.image_size=32",
        "batch_size=8",
    ]
    result = command("train-scenario", *words, "epochs=2", "output_dir=run", "data.validation_split=0.25")
    assert_clean(result, 0)
    assert "load-and-validate run" in result.stdout
    assert "epoch 2/2" in result.stdout
    assert "epoch 2/2" in (tmp_path / "run" / "train.log").read_text()
    assert list((tmp_path / "run" / "tensorboard" / "validation").iterdir())
    for folder in ("best", "export"):
        assert (tmp_path / "run" / folder / "model.keras").is_file()
        assert (tmp_path / "run" / folder / "saved_model" / "saved_model.pb").is_file()

    again = command_here(train.main, *words, "epochs=2", "output_dir=run")
    assert_clean(again, 1)
    assert "resume-training run" in again.stderr

    nothing = command_here(resume.main, "run")
    assert_clean(nothing, 0)
    assert "nothing to resume" in nothing.stdout

    (tmp_path / "run").rename(tmp_path / "moved")
    resumed = command_here(resume.main, "moved", "epochs=3")
    assert_clean(resumed, 0)
    assert "trainer.epochs" in resumed.stdout
    best = json.loads((tmp_path / "moved" / "result.json").read_text())["best"]

    validated = command_here(lav.main, "moved")
    assert_clean(validated, 0)
    report = json.loads((tmp_path / "moved" / "lav.json").read_text())
    assert report["metrics"]["accuracy"] == pytest.approx(best["metrics"]["val_accuracy"], abs=1e-6)
    assert report["samples"] == 10

    elsewhere = command_here(lav.main, "moved", f"data.val_dir={other}", "--output", "other.json")
    assert_clean(elsewhere, 0)
    assert json.loads((tmp_path / "other.json").read_text())["samples"] == 10

    (other / "broken.png").write_bytes(b"")
    predicted = command_here(
        predict.main, "moved", "other", str(faces / "dark" / "00.png"), "--output", "predictions.csv"
    )
    assert_clean(predicted, 1)
    assert "broken.png" in predicted.stderr
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11
    assert list(rows[0]) == ["file", "true_label", "label", "dark", "light"]
    for row in rows:
        assert float(row["dark"]) + float(row["light"]) == pytest.approx(1)
        assert row["label"] == max(("dark", "light"), key=lambda name: float(row[name]))


def test_the_input_pipeline_is_measured(command_here: Command) -> None:
    result = command_here(benchmark.main, *TOY_WORDS, "--seconds", "0.2")
    assert_clean(result, 0)
    assert "samples/s" in result.stdout
    assert "batches/s" in result.stdout


def run_directories(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("**/result.json"))


@pytest.mark.slow
def test_twice_in_the_same_second_makes_two_runs(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "train-scenario"
    words = [str(script), *TOY_WORDS, *LIGHT, "trainer.export_saved_model=false"]
    runs = [
        subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) for _ in range(2)
    ]
    assert [run.wait(timeout=300) for run in runs] == [0, 0]
    assert len(run_directories(tmp_path / "outputs")) == 2


LONG = ("samples_per_epoch=24000", "epochs=2", "trainer.export_saved_model=false")


def start_long_run(tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    """A run that is in the middle of its first epoch, and has checkpoints."""
    script = Path(sys.executable).parent / "train-scenario"
    settings = dict(
        word.split("=", 1)
        for word in (*LONG, "trainer.checkpoint_every_n_steps=100", "output_dir=run", *more)
    )
    words = [*TOY_WORDS, *(f"{key}={value}" for key, value in settings.items())]
    process = subprocess.Popen(
        [str(script), *words],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run" / "checkpoints").glob("step-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return process


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, finished: Callable[..., Path]) -> Path:
    """The run that an interrupted one is compared with."""
    return finished(tmp_path_factory.mktemp("undisturbed") / "run", *LONG)


@pytest.mark.slow
def test_weights_of_a_run_in_training_and_of_a_finished_one(command_here: Command, tmp_path: Path) -> None:
    words = [
        "trainer.calc_ema=0.99",
        "trainer.post_hoc_ema=[0.05,0.1]",
        "epochs=100000",
        "samples_per_epoch=400",
        "trainer.keep_checkpoints=30",  # so that none that is being read is too old to be kept
    ]
    process = start_long_run(tmp_path, *words)
    try:
        running = command_here(weights.main, "run")
        assert process.poll() is None, "it was still in training"
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 143
    assert_clean(running, 0)
    for name in ("raw", "ema", "average", "power-0.05", "power-0.2"):
        assert name in running.stdout
    exported = command_here(weights.main, "run", "--last", "2", "--export", "power-0.07")
    assert_clean(exported, 0)
    assert "mean of 2 checkpoints" in " ".join(exported.stdout.split())
    validated = command_here(lav.main, "run", "--model", "ema-weights/power-0.07")
    assert_clean(validated, 0)
    report = json.loads((tmp_path / "run" / "lav.json").read_text())
    facts = json.loads((tmp_path / "run" / "ema-weights" / "power-0.07" / "model.json").read_text())
    assert report["metrics"]["loss"] == pytest.approx(facts["metrics"]["val_loss"], abs=1e-5)
    assert_clean(command_here(lav.main, "run", "--weights", "power-0.07", "--output", "other.json"), 0)
    assert json.loads((tmp_path / "other.json").read_text())["metrics"] == pytest.approx(
        report["metrics"], abs=1e-5
    )
    unwritable = command_here(lav.main, "run", "--output", "run/config.yaml/lav.json", "batch_size=5")
    assert_clean(unwritable, 1)
    assert "cannot write run/config.yaml/lav.json" in unwritable.stderr
    refused = command_here(weights.main, "run", "--export", "rw")
    assert_clean(refused, 2)
    assert "did you mean 'raw'" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_run_that_a_signal_ended_is_continued_with_the_same_bits(
    command_here: Command, tmp_path: Path, undisturbed: Path, number: signal.Signals, code: int
) -> None:
    process = start_long_run(tmp_path)
    second = command_here(resume.main, "run")
    assert_clean(second, 1)
    assert f"process {process.pid} on" in second.stderr
    os.kill(process.pid, number)
    assert process.wait(timeout=60) == code
    result_file = tmp_path / "run" / "result.json"
    if number != signal.SIGKILL:
        assert json.loads(result_file.read_text())["status"] == "interrupted"
    else:
        assert not result_file.exists()
    assert_clean(command_here(resume.main, "run"), 0)
    ours, theirs = (sorted((run / "checkpoints").iterdir())[-1] for run in (tmp_path / "run", undisturbed))
    with np.load(ours / "variables.npz") as a, np.load(theirs / "variables.npz") as b:
        assert set(a) == set(b)
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


IMPATIENT = """
import framework.run.signals
framework.run.signals._PATIENCE = 1.0
from framework.cli.train import main
main()
"""


@pytest.mark.slow
def test_a_run_whose_data_do_not_come_is_ended_by_a_signal_and_continued(
    command_here: Command, tmp_path: Path
) -> None:
    words = [
        *TOY_WORDS,
        *LONG,
        "trainer.checkpoint_every_n_steps=1",
        "scenario.stall=7",
        "data.cache=off",
        "output_dir=run",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, *words],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "provenance.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        done = None
        while done != (done := sorted((tmp_path / "run").glob("checkpoints/*"))):
            time.sleep(2)  # until no step is done any more: it waits for its data
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143, errors
    assert "the run hangs" in errors
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["message"]) == ("interrupted", "ended by signal 15 while it hung")
    assert_clean(
        command_here(
            resume.main,
            "run",
            "scenario.stall=null",
            "epochs=1",
            "trainer.checkpoint_every_n_steps=null",
        ),
        0,
    )


def test_a_read_only_parent_is_answered(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = command("train-scenario", *TOY_WORDS, "output_dir=file/run")
    assert_clean(result, 1)
    assert "file/run" in result.stderr


@pytest.mark.parametrize("words", [["nowhere"], ["."], ["nowhere", "rubbish"], ["nowhere", "epochs=0"]])
@pytest.mark.parametrize("main", [resume.main, lav.main, weights.main], ids=lambda main: main.__module__)
def test_a_folder_that_is_no_run_is_answered(
    command_here: Command, main: Callable[[], None], words: list[str]
) -> None:
    result = command_here(main, *words)
    assert_clean(result, 2 if "rubbish" in words else 1)
    answers = ("is not a run directory", "rubbish", "a run directory, or a file of weights")
    assert any(answer in result.stderr for answer in answers)


@pytest.mark.slow
def test_a_trial_run_goes_through_everything_and_leaves_nothing(
    command_here: Command, tmp_path: Path
) -> None:
    everything = (
        *("optimizer.accumulate_steps=2", "trainer.calc_ema=-1", "trainer.post_hoc_ema=[0.1]"),
        *("trainer.lav_every_n=1", "trainer.lav_lists={a: {}, b: {shift: 1}}"),
    )
    result = command_here(
        train.main, *TOY_WORDS, "trial_run=true", "epochs=50", "output_dir=run", *everything
    )
    assert_clean(result, 0)
    assert "16 training samples, 16 validation samples, 1 step of 2 x 8" in result.stdout
    assert "lav/b  loss" in result.stdout
    assert "nothing was kept" in result.stdout
    assert list(tmp_path.iterdir()) == []
