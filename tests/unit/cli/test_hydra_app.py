"""What a start costs and what it keeps of Hydra: one composition, and all that its own node sets."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from framework.cli import train
from framework.cli.command import run
from framework.config import overrides
from framework.config.compose import compose_config, conf_directory
from framework.config.resume import apply_overrides
from framework.config.sections import RunConfig
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario
from framework.training.trainer import Result, Trainer


@pytest.fixture
def compositions(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The overrides of each composition, as Hydra does them."""
    with initialize_config_dir(str(conf_directory()), version_base="1.3"):
        loader = type(GlobalHydra.instance().config_loader())
    compose, found = loader.load_configuration, []

    def counted(self: Any, config_name: str, overrides: list[str], **others: Any) -> DictConfig:
        found.append(overrides)
        return compose(self, config_name, overrides, **others)

    monkeypatch.setattr(loader, "load_configuration", counted)
    return found


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configs that are trained on; nothing else is done with them."""
    found: list[RunConfig] = []
    monkeypatch.setattr(train, "train", found.append)
    return found


def start(*words: str) -> int:
    """train-scenario, in this process."""
    return run(train.main.__wrapped__, list(words))  # type: ignore[attr-defined]


WORDS = ("scenario=mesonet", "lr=0.5", "optimizer=sgd", "optimizer.momentum=0.25")


def test_a_run_is_composed_once(compositions: list[list[str]], trained: list[RunConfig]) -> None:
    assert start(*WORDS) == 0
    assert len(compositions) == 1
    assert trained == [compose_config(WORDS)]


def test_a_config_is_shown_from_one_composition(
    compositions: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start("--cfg", "job", *WORDS) == 0
    assert len(compositions) == 1
    assert "momentum: 0.25" in capsys.readouterr().out


@pytest.mark.parametrize("option", [("--cfg", "job"), ("--cfg", "all"), ("--info", "config"), ("--help",)])
def test_every_way_to_show_a_config_has_the_defaults_of_the_classes(
    option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Which are in no file."""
    with contextlib.suppress(SystemExit):  # Hydra ends its help so
        assert start(*option, *WORDS) == 0
    shown = capsys.readouterr().out
    for line in ("noise: 8.0", "momentum: 0.25", "clip_norm: null", "keep_checkpoints: 3", "image_size: 128"):
        assert f"  {line}\n" in shown
    assert "lr: ${lr}" in shown
    assert "\nlr: 0.5\n" in f"\n{shown}"


def test_a_section_can_be_shown_resolved(capsys: pytest.CaptureFixture[str]) -> None:
    assert start("--cfg", "job", "--package", "learning_rate", "--resolve", *WORDS) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["# @package learning_rate", "lr: 0.5"]
    assert start("--cfg", "job", "--package", "nosuch", *WORDS) == 2
    assert "--package: must be a section of the config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--experimental-rerun", "x"], "--experimental-rerun: must be left out"),
        (["--config-path", "x"], "--config-path: must be left out"),
        (["--resolve"], "--resolve: must stand with --cfg"),
        (["--info", "--cfg", "job"], "--cfg: must stand without --info"),
        (["--config-dir", "nosuch"], "--config-dir: must be a folder"),
    ],
)
def test_options_that_cannot_be_used(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(*WORDS, *options) == 2
    assert said in capsys.readouterr().err


def test_a_wrong_override_costs_one_composition(
    compositions: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start("scenario=mesonet", "lr=abc", "optimizer=adamm", "epochz=3") == 2
    assert len(compositions) == 1
    assert "3 problems" in capsys.readouterr().err


def test_other_options_of_a_run_are_composed_once(compositions: list[list[str]]) -> None:
    plain = compose_config(["scenario=lenet"]).to_plain()
    compositions.clear()
    apply_overrides(plain, ["optimizer=adam", "learning_rate=cosine_decay", "epochs=3"])
    assert len(compositions) == 1
    apply_overrides(plain, ["epochs=3"])
    assert len(compositions) == 1, "values need none"


def test_a_job_of_a_sweep_is_composed_once(
    compositions: list[list[str]],
    trained: list[RunConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[Sequence[str]] = []

    class Job:
        def __init__(self, command: Sequence[str], **_: object) -> None:
            jobs.append(command)

        def wait(self, timeout: float) -> int:
            return 0

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", Job)
        start("--multirun", "scenario=mesonet", "optimizer=sgd,adamw", "lr=1,2", "output_dir=sweep")
    assert len(jobs) == 4
    compositions.clear()
    for job in jobs:
        assert job[:4] == [sys.executable, "-P", "-m", "framework.cli.train"]
        assert start(*job[4:]) == 0
    assert len(compositions) == 4
    chosen = [(config.optimizer.name, config.learning_rate.lr) for config in trained]
    assert chosen == [("sgd", 1), ("sgd", 2), ("adamw", 1), ("adamw", 2)]


def test_a_scenario_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[RunConfig] = []
    build, ended = Scenario.__init__, Result("finished", 1, 1, None, {}, 0.0)

    def counted(self: Scenario, config: RunConfig) -> None:
        built.append(config)
        build(self, config)

    monkeypatch.setattr(Scenario, "__init__", counted)
    monkeypatch.setattr(Trainer, "train", lambda self: ended)
    assert start(*WORDS, f"output_dir={tmp_path / 'run'}") == 0
    assert len(built) == 1
    run = RunDirectory.create(tmp_path / "run")
    run.claim(built.pop())
    Trainer.resume(run.path)
    Trainer.resume(run.path, "epochs=60")
    assert [config.trainer.epochs for config in built] == [10, 60]


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("option", [(), ("--cfg", "job")])
def test_each_override_is_read_once(option: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    read = Counter[str]()
    original = overrides.read_override

    def counted(text: str, options: overrides.GroupOptions) -> overrides.TypedOverride:
        read[text] += 1
        return original(text, options)

    monkeypatch.setattr(overrides, "read_override", counted)
    assert start(*option, *WORDS) == 0
    assert read == Counter(WORDS)


class Noting(Callback):
    """Notes what it is told."""

    told: list[str] = []

    def on_run_start(self, config: DictConfig, **_: object) -> None:
        self.told.append(f"run starts with {config.optimizer.momentum}")

    def on_job_start(self, config: DictConfig, **_: object) -> None:
        self.told.append(f"job starts in {HydraConfig.get().job.name}")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: object) -> None:
        self.told.append(f"job {job_return.status.name.lower()}")

    def on_run_end(self, config: DictConfig, **_: object) -> None:
        self.told.append("run ends")


class Raising(Callback):
    """Fails."""

    def on_job_start(self, config: DictConfig, **_: object) -> None:
        raise ValueError("of no use")


@pytest.fixture
def told() -> Iterator[list[str]]:
    Noting.told.clear()
    yield Noting.told


CALLBACK = f"+hydra.callbacks.noting._target_={__name__}.Noting"


@pytest.mark.usefixtures("trained")
def test_callbacks_of_hydra_are_told(told: list[str]) -> None:
    assert start(*WORDS, CALLBACK) == 0
    assert told == ["run starts with 0.25", "job starts in train-scenario", "job completed", "run ends"]


def test_callbacks_are_told_that_a_run_failed(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(config: RunConfig) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(train, "train", fail)
    with pytest.raises(RuntimeError, match="no more"):
        start(*WORDS, CALLBACK)
    assert told[2:] == ["job failed", "run ends"]


@pytest.mark.usefixtures("trained")
def test_a_callback_that_raises_is_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"Callback Raising.on_job_start raised ValueError: of no use"):
        assert start(*WORDS, f"+hydra.callbacks.raising._target_={__name__}.Raising") == 0


@pytest.mark.usefixtures("trained")
def test_a_callback_that_is_not_there_is_an_error_of_the_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(*WORDS, "+hydra.callbacks.mine._target_=nosuch.Callback") == 2
    assert "  hydra.callbacks.mine: Error locating target 'nosuch.Callback'\n" in capsys.readouterr().err


def test_the_log_of_a_job_is_that_of_its_config(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def log(config: RunConfig) -> None:
        for level in (logging.INFO, logging.DEBUG):
            logging.getLogger("of_a_scenario").log(level, "it is %s", logging.getLevelName(level))

    monkeypatch.setattr(train, "train", log)
    # Python closes all handlers then, and that of TensorFlow the stream that pytest captures with.
    monkeypatch.setattr("logging.config._clearExistingHandlers", lambda: None)
    assert start(*WORDS, "hydra/job_logging=stdout") == 0
    assert capsys.readouterr().out == "it is INFO\n"
    assert start(*WORDS, "hydra/job_logging=stdout", "hydra.verbose=of_a_scenario") == 0
    assert "it is INFO\nit is DEBUG\n" in capsys.readouterr().out


def test_the_environment_of_a_job_is_that_of_its_config(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str | None] = []
    monkeypatch.setattr(train, "train", lambda config: found.append(os.environ.get("OF_THE_JOB")))
    assert start(*WORDS, "+hydra.job.env_set.OF_THE_JOB=here") == 0
    assert found == ["here"]
    assert "OF_THE_JOB" not in os.environ


def test_nothing_is_left_of_hydra(trained: list[RunConfig]) -> None:
    argv, environment = list(sys.argv), dict(os.environ)
    assert start(*WORDS) == 0
    with pytest.raises(SystemExit) as ended:
        start("--help")
    assert ended.value.code == 0
    assert (sys.argv, dict(os.environ)) == (argv, environment)
    assert not GlobalHydra.instance().is_initialized()
