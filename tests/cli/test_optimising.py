"""A sweep whose sweeper looks for the best values: it is given the value that a run is judged by, and told
which direction is better."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from framework.cli import optimising
from framework.config.overrides import GroupOptions, read_override
from framework.config.sweep import compose_sweep
from framework.errors import ConfigError
from tests.cli.test_commands import assert_clean
from tests.conftest import TOY, TOY_WORDS, environment
from tests.torture import command as script

# A sweeper as small as it can be: of an interval it tries both ends, and writes down what it is told.
SWEEPER = """
import json
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


@dataclass
class TwoEndsConfig:
    _target_: str = "hydra_plugins.two_ends.TwoEnds"
    direction: str = "minimize"


ConfigStore.instance().store(group="hydra/sweeper", name="two_ends", node=TwoEndsConfig)


class TwoEnds(Sweeper):
    def __init__(self, direction):
        self.direction = direction

    def setup(self, *, hydra_context, task_function, config):
        self.folder = Path(config.hydra.sweep.dir)
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments):
        words = OverridesParser.create().parse_overrides(arguments)
        fixed = [word.input_line for word in words if not word.is_sweep_override()]
        (interval,) = [word for word in words if word.is_sweep_override()]
        told = {"direction": self.direction, "key": interval.get_key_element(), "values": []}
        for number, value in enumerate((interval.value().start, interval.value().end)):
            (job,) = self.launcher.launch([[*fixed, f"{interval.get_key_element()}={value}"]], initial_job_idx=number)
            try:
                told["values"].append(job.return_value)
            except Exception as error:
                told["values"].append(f"failed: {error}")
        (self.folder / "told.json").write_text(json.dumps(told))
"""


@pytest.mark.slow
def test_a_sweeper_that_optimises_is_given_what_it_needs(tmp_path: Path) -> None:
    """Each job gives its best monitored value, a failed one an error; `max` of the scenario has the sweeper
    maximise."""
    (tmp_path / "path" / "hydra_plugins").mkdir(parents=True)
    (tmp_path / "path" / "hydra_plugins" / "two_ends.py").write_text(textwrap.dedent(SWEEPER))
    quick = (
        "epochs=1",
        "trainer.export_saved_model=false",
        "trainer.tensorboard=false",
        "trainer.report=false",
    )
    words = [
        *TOY_WORDS,
        "hydra/sweeper=two_ends",
        "lr=interval(0.01,-1)",
        "-m",
        *quick,
        'output_dir="the sweep"',
    ]
    done = subprocess.run(
        script("train-scenario", *words),
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": f"{TOY}:{tmp_path / 'path'}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert_clean(done, 1)
    assert "looking for the highest val_accuracy" in done.stdout
    folder = tmp_path / "the sweep"
    result = json.loads((folder / "0" / "result.json").read_text())
    assert (result["monitor"], result["mode"]) == ("val_accuracy", "max")
    told = json.loads((folder / "told.json").read_text())
    best = result["best"]["metrics"]["val_accuracy"]
    assert told == {"direction": "maximize", "key": "lr", "values": [best, "failed: job 1 failed"]}


@pytest.fixture
def highest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of which the highest accuracy is best."""
    monkeypatch.setattr(optimising, "_monitored", lambda *arguments: ("val_accuracy", "max"))


def told(sweeper: dict[str, Any], *overrides: str) -> list[str]:
    read = [read_override(override, GroupOptions([])) for override in overrides]
    sweep = dataclasses.replace(compose_sweep(["scenario=lenet"]), sweeper=sweeper, read=read)
    return optimising.direction_overrides(sweep)[0]


@pytest.mark.usefixtures("highest")
def test_the_direction_of_each_known_sweeper() -> None:
    assert told({"direction": "minimize"}) == ["hydra.sweeper.direction=maximize"]
    assert told({"direction": "maximize"}, "hydra.sweeper.direction=maximize") == []
    assert told({"optim": {"maximize": False}}) == ["hydra.sweeper.optim.maximize=true"]
    assert told({"ax_config": {"experiment": {"minimize": True}}}) == [
        "hydra.sweeper.ax_config.experiment.minimize=false"
    ]
    assert told({"params": None, "max_batch_size": None}) == []


@pytest.mark.usefixtures("highest")
@pytest.mark.parametrize("direction", ["minimize", ["minimize", "maximize"]])
def test_a_direction_that_contradicts_the_run_is_refused(direction: Any) -> None:
    with pytest.raises(ConfigError, match="of val_accuracy the highest value is best"):
        told({"direction": direction}, "hydra.sweeper.direction=minimize")
