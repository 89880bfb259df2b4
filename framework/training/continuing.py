"""Checks that a run that goes on is the run that was begun."""

from __future__ import annotations

import logging
from typing import cast

from framework.errors import RunDirectoryError
from framework.evaluators import Mode
from framework.run.checkpoint import Snapshot
from framework.run.console import plural
from framework.run.run_directory import RunDirectory
from framework.training.components import Components
from framework.training.monitor import describe_monitor
from framework.training.state import RunState

log = logging.getLogger(__name__)


def check_data(run: RunDirectory, snapshot: Snapshot, *, steps_per_epoch: int, data: str) -> None:
    """Refuse to go on with other data. A step stands for certain samples, so other data, or another number of
    steps, would make another run of it.

    Args:
        snapshot: what the run goes on from.
        steps_per_epoch, data: as they are now; see `RunState`.

    Raises:
        RunDirectoryError: saying what was, and what is.
    """
    state = cast(RunState, snapshot.state)
    steps, samples = state["steps_per_epoch"], state.get("data")
    if samples not in (None, data):
        what = f"were {samples}, and are {data} now"
    elif steps != steps_per_epoch:
        what = f"made {plural(steps, 'step')} an epoch, and would make {steps_per_epoch:,} now"
    else:
        return
    raise RunDirectoryError(
        f"the training data of {run.path} are not what they were: they {what}",
        hint=f"bring them back, or start a new run with warmstart.model={run.path}",
    )


def warn_of_mode(run: RunDirectory, components: Components, begun: Mode) -> None:
    """Warn where a run goes on with another mode than its config says.

    Earlier versions took the scenario's mode, whatever was monitored.

    Args:
        begun: the mode that the run was begun with.
    """
    if begun != components.mode:
        log.warning(
            "the run was begun with the %s as best, and goes on so; for the %s: resume-training %s "
            "early_stopping.mode=%s",
            describe_monitor(components.monitor, begun),
            describe_monitor(components.monitor, components.mode),
            run.path,
            components.mode,
        )
