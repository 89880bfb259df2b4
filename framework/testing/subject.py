"""The scenario that the contract is checked for, and its small runs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from framework.config.compose import compose_config
from framework.config.sections import SHORT_FORMS, RunConfig
from framework.run.patching import patching
from framework.scenario import Scenario, scenario_of
from framework.training.agreement import Broken
from framework.training.components import Components

SAMPLES, BATCH = 64, 8
# These keep runs small, so that all checks together take about a minute.
SMALL = (
    "trainer.epochs=2",
    "trainer.steps_per_epoch=4",
    "trainer.checkpoint_every_n_steps=1",
    "trainer.tensorboard=false",
)


class Subject:
    """The scenario under test, and what several checks use of it.

    Args:
        words: overrides, as for `train-scenario`.
        config_dir: as `--config-dir`.
        folder: the folder for runs.
        config: what the overrides compose, if that is known; None composes them.
    """

    def __init__(
        self,
        words: Sequence[str],
        config_dir: str | Path | None,
        folder: Path,
        config: RunConfig | None = None,
    ) -> None:
        self.words, self.config_dir, self.folder = list(words), config_dir, folder
        self._known = config

    @cached_property
    def config(self) -> RunConfig:
        """The config that the overrides compose."""
        return self._known or compose_config(self.words, config_dir=self.config_dir)

    def small_words(self, *more: str) -> list[str]:
        """Return the overrides, with data, epochs and batches made small.

        Those given here take precedence over both.
        """
        data = self.config.data
        limit, batch = (
            min(data.limit or SAMPLES, SAMPLES),
            min(data.batch_size, BATCH * self.config.device.replicas),
        )
        # Each setting may be given only once, so a later override replaces an earlier one.
        ours = {
            word.partition("=")[0]: word
            for word in (*SMALL, f"data.limit={limit}", f"data.batch_size={batch}", *more)
        }
        return [*without(self.words, *ours), *ours.values()]

    def scenario(self, *more: str) -> Scenario:
        """Build a new, small scenario."""
        return scenario_of(compose_config(self.small_words(*more), config_dir=self.config_dir))

    def components(self, *more: str, augment: bool = True) -> Components:
        """Build data, model and loop of a new, small scenario."""
        scenario = self.scenario(*more)
        with contextlib.ExitStack() as stack:
            if not augment:
                stack.enter_context(patching(scenario, augments=lambda: False))
            return Components(scenario, fresh=True, lav_folder=self.folder / ".lav")

    def start(self, name: str, run: Path, *words: str) -> subprocess.Popen[str]:
        """Start a command of the framework in a new process."""
        command = [sys.executable, "-P", "-m", f"framework.cli.{name}", *words]
        if name == "train":
            config_dir = ["--config-dir", str(self.config_dir)] if self.config_dir else []
            command += [*config_dir, *self.small_words(f"trainer.output_dir='{run}'")]
        # The new process must find the same packages as this one.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    @cached_property
    def undisturbed(self) -> Path:
        """The directory of a small run that was not interrupted."""
        run = self.folder / "undisturbed"
        finish(self.start("train", run))
        return run

    @cached_property
    def freshly_loaded(self) -> Mapping[str, float]:
        """The metrics of load-and-validate in batches of 1, in a process that has not built the model."""
        report = self.folder / "fresh.json"
        finish(
            self.start(
                "lav", self.undisturbed, str(self.undisturbed), "batch_size=1", "--output", str(report)
            ),
            "load-and-validate",
        )
        metrics: Mapping[str, float] = json.loads(report.read_text())["metrics"]
        return metrics


def finish(process: subprocess.Popen[str], what: str = "training") -> None:
    """Wait for a command, and raise a `Broken` if it fails."""
    _, errors = process.communicate()
    if process.returncode:
        raise Broken(
            f"{what} failed: {errors.strip() or f'exit code {process.returncode}'}", "see the message"
        )


def without(words: Sequence[str], *paths: str) -> list[str]:
    """Return the overrides except those that set `paths`, also by a short form."""
    return [
        word for word in words if SHORT_FORMS.get(key := word.partition("=")[0].lstrip("+"), key) not in paths
    ]
