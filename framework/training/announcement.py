"""What a session says of itself before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framework.model.summary import write_summary
from framework.model.warm_start import describe
from framework.run.console import Console, format_seconds, plural
from framework.run.run_directory import RunDirectory
from framework.training.components import Components
from framework.training.monitor import describe_monitor
from framework.training.state import Progress

MONITOR = {"early_stopping.monitor", "early_stopping.mode"}
"""The settings whose change has early stopping start anew."""


def announce(
    console: Console,
    components: Components,
    progress: Progress,
    run: RunDirectory,
    *,
    resumed: bool,
    changes: Mapping[str, tuple[Any, Any]],
) -> None:
    """Show what was changed, the model, and where the run is, and write the table of the model's layers to
    `model.txt`.

    Args:
        changes: the settings that are not what the run had before: path to (before, now).
    """
    if changes:
        console.table(
            "changed settings",
            ("setting", "before", "now"),
            [(path, old, new) for path, (old, new) in changes.items()],
        )
    if "optimizer.name" in changes and resumed:
        console.print("another optimizer: its state starts anew")
    if resumed and MONITOR & set(changes):
        console.print("another monitor: early stopping starts anew")
    write_summary(components.table, run.model_file)
    console.print(components.summary)
    if components.warm_started:
        columns = ("variable", "shape", "source", "outcome")
        console.table(
            f"warm start from {components.scenario.config.warmstart.model}",
            columns,
            describe(components.warm_started),
        )
    if components.frozen:
        console.print(f"frozen by trainer.no_train_scope: {', '.join(components.frozen)}")
    console.print(f"best: {describe_monitor(components.monitor, components.mode)}")
    validation = (
        f", {len(components.validator.source):,} validation samples"
        if components.validator
        else ", no validation"
    )
    console.print(
        f"{components.scenario.name}: {len(components.source):,} training samples{validation}, "
        f"{plural(components.steps_per_epoch, 'step')} of {_describe_step(components)} an epoch"
    )
    console.print(f"run directory: {run.path}")
    chosen = components.scenario.config.trainer.profile_steps if "trainer.profile_steps" in changes else ()
    if chosen and progress.step >= chosen[1]:
        console.print(f"no profile: step {chosen[1]:,} is done already")
    if resumed:
        console.print(
            f"continuing at epoch {progress.epoch + 1}, step {progress.step} "
            f"({format_seconds(progress.seconds)} so far)"
        )


def _describe_step(components: Components) -> str:
    stream = components.stream
    return (
        f"{stream.batches_per_step} x {stream.batch_size}"
        if stream.batches_per_step > 1
        else str(stream.batch_size)
    )
