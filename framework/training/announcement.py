"""The messages of a session: before its first step, and after each epoch."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from framework.evaluators import Mode
from framework.model.summary import write_summary
from framework.model.warm_start import describe
from framework.run.console import Console, format_seconds, plural
from framework.run.run_directory import RunDirectory
from framework.run.speed import Speed
from framework.training.components import Components
from framework.training.epoch_evaluation import Judged
from framework.training.monitor import describe_monitor
from framework.training.state import Progress

log = logging.getLogger(__name__)

MONITOR = {"early_stopping.monitor", "early_stopping.mode"}
"""A change of these settings starts early stopping anew."""

Changes = Mapping[str, tuple[object, object]]
"""The settings that are not what a run had before: path to (before, now)."""


def warn_of_versions(run: RunDirectory) -> None:
    """Warn where a run goes on with other versions of what computes."""
    if newer := run.provenance.changed_versions():
        listed = ", ".join(f"{name} {now} (before: {then})" for name, (then, now) in newer.items())
        log.warning("continued with %s: the same bits are promised for the same versions only", listed)


def announce(
    console: Console,
    components: Components,
    progress: Progress,
    run: RunDirectory,
    *,
    mode: Mode,
    resumed: bool,
    changes: Changes,
) -> None:
    """Show what was changed, the model, and where the run is, and write the table of the model's layers to
    `model.txt`.

    Args:
        progress: where the run is.
        mode: whether the lowest or the highest monitored value is best.
        resumed: whether it goes on from a checkpoint.
        changes: as `Trainer.resume` found them.
    """
    if changes:
        console.print_table(
            "changed settings",
            ("setting", "before", "now"),
            [(path, old, new) for path, (old, new) in changes.items()],
        )
    if "optimizer.name" in changes and resumed:
        console.print("another optimizer: its state starts anew")
    if resumed and MONITOR & set(changes):
        console.print("another monitor: early stopping starts anew")
    for sentence in components.scenario.unused_settings():
        log.warning("%s", sentence)
    write_summary(components.table, run.model_file)
    console.print(components.summary)
    if components.warm_started:
        columns = ("variable", "shape", "source", "outcome")
        console.print_table(
            f"warm start from {components.scenario.config.warmstart.model}",
            columns,
            describe(components.warm_started),
        )
    if components.frozen:
        console.print(f"frozen by trainer.no_train_scope: {', '.join(components.frozen)}")
    console.print(f"best: {describe_monitor(components.monitor, mode)}")
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


def announce_epoch(
    console: Console,
    components: Components,
    judged: Judged,
    learning_rate: float,
    speed: Speed,
    reduction: str | None,
) -> None:
    """Show what came of an epoch.

    Args:
        learning_rate: of its last step.
        speed: of its steps in this session.
        reduction: what was done to the learning rate because of it; None where it stays.
    """
    shown = {name: value for name, value in judged.logs.items() if not name.startswith("lav_")}
    epochs = components.scenario.config.trainer.epochs
    console.print_epoch(
        judged.epoch, epochs, shown, best=judged.improved, learning_rate=learning_rate, speed=speed
    )
    for phase, metrics in judged.phases.items():
        if phase.startswith("lav"):
            console.print_values(f"  {phase}", metrics)
    if reduction:
        console.print(f"  {reduction}")


def _describe_step(components: Components) -> str:
    stream = components.stream
    return (
        f"{stream.batches_per_step} x {stream.batch_size}"
        if stream.batches_per_step > 1
        else str(stream.batch_size)
    )
