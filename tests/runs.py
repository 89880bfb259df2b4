"""Runs of the toy scenario in this process, and the parts of them that tests compare."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole

from framework.errors import Interrupted
from framework.run.checkpoint import CheckpointStore, Snapshot
from framework.run.console import Console
from framework.run.recorder import without_times
from framework.run.run_directory import RunDirectory
from framework.run.signals import Interruption
from framework.scenario import Scenario, compose
from framework.training.trainer import Result, Trainer
from tests.conftest import REPOSITORY, TOY, TOY_WORDS, environment


class InterruptedAfter(Interruption):
    """An interruption that comes when the trainer checks for one for the `count`-th time."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def check(self) -> None:
        self.count -= 1
        if self.count == 0:
            raise Interrupted(15)


def quiet() -> Console:
    return Console(RichConsole(quiet=True))


# For what does not depend on what is trained: without BatchNorm and augmentation, a graph is built in half the time.
LIGHT = ("epochs=1", "trainer.steps_per_epoch=3", "scenario.noise=0", "scenario.batch_norm=false")

QUICK = ("trainer.tensorboard=false", "trainer.export_saved_model=false")


def last_given(words: Iterable[str]) -> list[str]:
    """Return the overrides, with only the last one for each setting.

    A command refuses two overrides of one setting, and tests vary the overrides that they share.
    """
    return list({word.partition("=")[0]: word for word in words}.values())


def compose_toy(*words: str) -> Scenario:
    return compose("scenario=toy", *last_given([*QUICK, *words]), config_dir=TOY / "conf")


def trainer(path: Path, *words: str) -> Trainer:
    return Trainer(compose_toy(*words), RunDirectory.create(path), console=quiet())


def train(path: Path, *words: str) -> Result:
    return trainer(path, *words).train()


def train_on_two(path: Path, *words: str) -> None:
    """Train on two virtual CPUs.

    It runs in a process of its own, because TensorFlow divides its devices only once, before their first use.
    """
    own = last_given([*QUICK, f"output_dir={path}", "device.cpu_replicas=2", *words])
    command = [sys.executable, "-m", "framework.cli.train", *TOY_WORDS, *own]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def resume(path: Path, *words: str) -> Result:
    return Trainer.resume(path, *last_given(words), console=quiet()).train()


def final_state(path: Path) -> Snapshot:
    snapshot = CheckpointStore(path / "checkpoints", keep=1).load_newest()
    assert snapshot is not None
    return snapshot


def comparable(path: Path) -> dict[str, Any]:
    """Return what must be equal between two runs: variables as bytes, and the state without its times."""
    snapshot = final_state(path)
    state = json.loads(json.dumps(snapshot.state))
    state["history"] = [without_times(record) for record in state["history"]]
    del state["progress"]["seconds"]
    variables = {
        group: [member.array.tobytes() for member in members] for group, members in snapshot.variables.items()
    }
    return {"step": snapshot.step, "state": state, "variables": variables}


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
