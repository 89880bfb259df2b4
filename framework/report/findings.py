"""What the numbers of a run say in words: how good it is, whether it overfits, what to try next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from framework.report.recorded import Recorded
from framework.run.console import format_value, plural

# A loss that rises by this part of its lowest value has risen, and one that has come down by this part of it
# over the last fifth of the epochs still falls.
_RISEN, _FALLING = 0.05, 0.02
_WAITING = 0.2  # of the time: from there on, data are worth a look


@dataclass(frozen=True)
class Finding:
    """A sentence on a run, and what follows from it.

    Args:
        about: what it answers, such as "Does it overfit?".
        text: the answer.
        hint: what to do; None where nothing follows.
    """

    about: str
    text: str
    hint: str | None = None


def findings(recorded: Recorded) -> list[Finding]:
    """Say what the recorded values show."""
    return [*_fit(recorded), *_steps_left_out(recorded), *_waiting(recorded)]


def _fit(recorded: Recorded) -> Iterator[Finding]:
    series = recorded.series("loss")
    training, validation = series.get("train"), series.get("validation")
    about = "Does it overfit?"
    if training is None:
        return
    if validation is None or len(validation[1]) < 2:
        if validation is None:
            yield Finding(about, "Nothing was validated, so that cannot be told.", "give it validation data")
        return
    epochs, losses = validation
    usable = [(loss, epoch) for epoch, loss in zip(epochs, losses, strict=True) if math.isfinite(loss)]
    if not usable:
        yield Finding(about, "No validation loss is finite.", "lower lr, or see trainer.trace_nan=true")
        return
    (lowest, where), last = min(usable), losses[-1]
    fell = training[1][-1] < training[1][0]
    if last > lowest * (1 + _RISEN) and fell and where < epochs[-1]:
        yield Finding(
            about,
            f"Yes: the validation loss was lowest at epoch {where:g} ({format_value(lowest)}) and is "
            f"{last / lowest - 1:.0%} higher at the end, while the training loss has fallen.",
            "stop earlier (early_stopping.patience), augment, or add weight decay; best/ holds the best epoch",
        )
        return
    yield Finding(about, f"No: the validation loss is at or near its lowest, {format_value(lowest)}.")
    recent = losses[-max(2, len(losses) // 5) :]
    if _falls(recent):
        yield Finding(
            "Would more epochs help?",
            f"The validation loss still falls: by {1 - recent[-1] / recent[0]:.0%} over the last "
            f"{plural(len(recent), 'validation')}.",
            f"resume-training {recorded.run.path} epochs={recorded.config.trainer.epochs * 2}",
        )


def _falls(losses: Sequence[float]) -> bool:
    return all(map(math.isfinite, losses)) and losses[0] > 0 and 1 - losses[-1] / losses[0] > _FALLING


def _steps_left_out(recorded: Recorded) -> Iterator[Finding]:
    left_out = (recorded.result or {}).get("left_out") or ()
    if left_out:
        yield Finding(
            "Were steps left out?",
            f"{plural(len(left_out), 'step')} had a loss or weights that were not finite; train.log names "
            "their samples.",
            "a lower lr, or optimizer.clip_global_norm=1.0",
        )


def _waiting(recorded: Recorded) -> Iterator[Finding]:
    _, shares = recorded.of_training("speed", "input_wait")
    if shares and (share := sum(shares) / len(shares)) > _WAITING:
        yield Finding(
            "Does it wait for data?",
            f"{share:.0%} of the time of the steps went by waiting for samples.",
            "benchmark-input-pipeline shows what costs; data.cache=memory keeps samples",
        )
