"""How a command starts: versions, completion, and what stands in its way, each told in a line."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import framework
from framework.cli import train
from framework.cli.command import run
from framework.cli.completion import shown_to_hydra
from framework.config.compose import compose_config
from framework.config.run_config import parse
from framework.config.targets import SCENARIOS
from framework.errors import ConfigError, ScenarioError
from framework.run.device import import_tensorflow
from tests.cli.test_commands import NAMES, assert_clean
from tests.conftest import REPOSITORY, TOY, environment
from tests.torture import command as script

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_each_command_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    assert sorted(scripts) == sorted(NAMES)
    assert run(lambda words: 3, ["RUN", "--version"]) == 0
    assert capsys.readouterr().out.startswith(f"tf-scenarios {framework.__version__} (tensorflow 2.")


def test_each_command_starts_where_another_package_cannot_hide_it(tmp_path: Path) -> None:
    (tmp_path / "framework").mkdir()
    (tmp_path / "framework" / "__init__.py").touch()
    path = environment() | {"PYTHONPATH": str(tmp_path)}
    for name in NAMES:
        done = subprocess.run(
            script(name, "--version"), env=path, capture_output=True, text=True, check=False
        )
        assert_clean(done, 1)
        assert f"Python finds the package 'framework' in {tmp_path}" in done.stderr
        assert "take its folder off PYTHONPATH" in done.stderr


def test_types_are_shipped() -> None:
    data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in ("framework", "scenarios"):
        assert (REPOSITORY / package / "py.typed").is_file()
        assert "py.typed" in data[package]


@pytest.fixture
def run_of_lenet(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(
        "# head\nformat: 1\nscenario:\n  name: lenet\n  target: x\n"
    )
    return tmp_path / "run"


def test_what_is_completed(run_of_lenet: Path) -> None:
    assert shown_to_hydra("train-scenario scenario=me") == ("train-scenario scenario=me", None)
    assert shown_to_hydra("x --seconds 3 lr=1 ") == ("x lr=1 ", None)
    assert shown_to_hydra("x --config-dir conf 'lr=1' ep") == ("x lr=1 ep", "conf")
    assert shown_to_hydra(f"x {run_of_lenet} --model best opt") == ("x scenario=lenet opt", None)
    assert shown_to_hydra("x scenario=lenet 'data.di") == ("x scenario=lenet 'data.di", None)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train-scenario scenario=mesonet optimizer=adamw optimizer.weight_decay", "optimizer.weight_decay"),
        ("check-scenario scenario=me", "scenario=mesonet"),
        ("resume-training {run} scenario.aug", "scenario.augment="),
    ],
)
def test_a_shell_is_told_what_may_be_typed(
    command: Command, run_of_lenet: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: str
) -> None:
    monkeypatch.setenv("COMP_LINE", line.format(run=run_of_lenet))
    done = command(line.split()[0], "-sc", "query=bash")
    assert_clean(done, 0)
    assert expected in done.stdout
    assert done.stderr == ""


def test_bash_takes_the_completion_of_a_command(tmp_path: Path) -> None:
    path = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    text = 'eval "$(load-and-validate -sc install=bash)"; complete -p load-and-validate'
    done = subprocess.run(
        ["bash", "-c", text], env=path, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert_clean(done, 0)
    assert "hydra_bash_completion load-and-validate" in done.stdout


def test_completion_that_is_asked_for_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda words: 0, ["-sc", "install=tcsh"]) == 2
    assert "install=bash, zsh or fish" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["environment", "file"])
def test_another_backend_of_keras_is_refused(place: str, tmp_path: Path) -> None:
    """Before TensorFlow or Keras is imported, which could not be changed any more."""
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    found = {"KERAS_BACKEND": "torch"} if place == "environment" else {"KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        script("train-scenario", "scenario=lenet"),
        env={key: value for key, value in environment().items() if key != "KERAS_BACKEND"} | found,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert_clean(done, 1)
    assert ("'torch'" if place == "environment" else "'jax'") in done.stderr
    assert "KERAS_BACKEND=tensorflow" in done.stderr


def test_keras_with_another_backend_in_this_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import_tensorflow()
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ScenarioError, match="Keras is imported with 'jax'"):
        import_tensorflow()


def compose_module(target: str) -> str:
    return compose_config(["scenario=module", f"scenario.target={target}"]).scenario.target


def test_a_module_with_one_scenario_is_enough_of_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOY))
    assert compose_module("toy") == "toy:Toy"
    config = compose_config(["scenario=module", "scenario.target=toy"])
    assert parse(config.to_plain()) == config
    with pytest.raises(ConfigError, match="must name a module that holds a scenario"):
        compose_module("json")


def test_a_module_with_several_scenarios_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "two_of_them.py").write_text(
        "from framework import Scenario, register_scenario\n"
        "@register_scenario('two_1')\nclass One(Scenario): ...\n"
        "@register_scenario('two_2')\nclass Two(Scenario): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(SCENARIOS)
    with pytest.raises(ConfigError, match="two_of_them:One, two_of_them:Two"):
        compose_module("two_of_them")
    for name in set(SCENARIOS) - set(before):
        SCENARIOS.remove(name)


def test_a_package_that_hides_another_of_its_name_is_named() -> None:
    import scenarios

    with pytest.raises(ConfigError) as caught:
        compose_module("scenarios.mine:Mine")
    hint = str(caught.value.problems[0].hint)
    assert f"Python finds the package 'scenarios' in {scenarios.__path__[0]}" in hint
    assert "give yours another name" in hint


def test_a_model_that_is_not_built_is_refused_in_a_line(command_here: Command, tmp_path: Path) -> None:
    words = ("scenario=module", "scenario.target=broken:Unbuilt", "output_dir=run")
    result = command_here(train.main, *words)
    assert_clean(result, 1)
    assert "the model Net that build_model gives is not built" in result.stderr
    assert "keras.Model(inputs, Net(...)(inputs))" in result.stderr
    assert list(tmp_path.iterdir()) == []
