"""What the numbers of a run say in words: how good it is, whether it overfits, what to try next."""

from __future__ import annotations

import math
from collections.abc import Iterator

from framework.report.fit_findings import fit
from framework.report.judged import Judged
from framework.report.measures import Curves
from framework.report.recorded import Recorded
from framework.report.sections import Finding
from framework.run.console import format_value, plural
from framework.run.recorder import RAW

_WORTH = 5.0  # seconds, in all
_MISTAKES, _NAMED = 3, 5  # that are told, and classes that are named
_CLEARLY, _MORE_RIGHT = 0.02, 5  # accuracy, and samples, by which another threshold is worth it
_WAITING = 0.2  # of the time: from there on, data are worth a look


def findings(recorded: Recorded, judged: Judged | None = None) -> list[Finding]:
    """Say what the recorded values show, and what the model gives for single samples."""
    of_samples = [] if judged is None else [*_wrong(judged), *_threshold(recorded, judged)]
    return [
        *_end(recorded),
        *fit(recorded),
        *of_samples,
        *_averages(recorded),
        *_steps_left_out(recorded),
        *_waiting(recorded),
    ]


def _end(recorded: Recorded) -> Iterator[Finding]:
    """What a run that did not end by itself waits for."""
    if recorded.status == "not ended":
        text = "The run has no result, and no process holds it: it was killed, or is a copy of a run in training."
        yield Finding(
            "Why did it end?", text, f"resume-training {recorded.run.path} goes on from the last checkpoint"
        )
    elif recorded.status in ("failed", "interrupted"):
        message = (recorded.result or {}).get("message") or "It does not say why."
        yield Finding(
            "Why did it end?", str(message), "train.log has more" if recorded.status == "failed" else None
        )


def _wrong(judged: Judged) -> Iterator[Finding]:
    """What goes wrong."""
    about, count = "What goes wrong?", len(judged.outputs)
    if judged.task is None:
        return
    if judged.task == "regression":
        yield Finding(about, _how_far_off(judged))
        return
    table = judged.confusion()
    rights = int(table.trace())
    if rights == count:
        yield Finding(
            about, f"Nothing: all {plural(count, 'validation sample')} are taken for what they are."
        )
        return
    classes = judged.classes
    mistakes = [
        (int(table[row, column]), row, column)
        for row in range(len(classes))
        for column in range(len(classes))
        if row != column and table[row, column]
    ]
    said = [
        f"'{classes[row]}' taken for '{classes[column]}' ({number:,} of {int(table[row].sum()):,} '{classes[row]}')"
        for number, row, column in sorted(mistakes, key=lambda item: -item[0])[:_MISTAKES]
    ]
    yield Finding(
        about,
        f"{count - rights:,} of {plural(count, 'validation sample')} ({1 - rights / count:.1%}) are taken for another "
        f"class. Most often {', '.join(said)}.{_never_predicted(judged)}",
        "the most wrong are below",
    )


def _never_predicted(judged: Judged) -> str:
    """Which of the classes that have samples are never predicted, in a sentence; empty where there are none."""
    table = judged.confusion()
    there, said = table.sum(axis=1) > 0, table.sum(axis=0) > 0
    if said.sum() == 1:
        return f" Every sample is taken for '{judged.classes[int(said.argmax())]}'."
    never = [name for name, here, told in zip(judged.classes, there, said, strict=True) if here and not told]
    if not never:
        return ""
    names = ", ".join(f"'{name}'" for name in never[:_NAMED])
    names += f" and {len(never) - _NAMED:,} more" if len(never) > _NAMED else ""
    are = "is" if len(never) == 1 else "are"
    return f" {len(never):,} of {int(there.sum()):,} classes {are} never predicted: {names}."


def _how_far_off(judged: Judged) -> str:
    import numpy as np

    residuals = judged.residuals()
    off = abs(residuals).max(axis=1)
    half, most, mean = (
        format_value(float(v)) for v in (*np.quantile(off, [0.5, 0.95]), abs(residuals.mean()))
    )
    side = "high" if residuals.mean() > 0 else "low"
    return (
        f"Half of the predictions are off by more than {half}, one in twenty by more than {most}. On the average "
        f"they are {mean} too {side}."
    )


def _threshold(recorded: Recorded, judged: Judged) -> Iterator[Finding]:
    """Which threshold to use, where there is one: another than the one in use only where it is clearly better, as
    the best one for some samples is a little better for these by chance."""
    if judged.task != "binary" or len(set(judged.labels.tolist())) < 2:
        return
    about, scores = "Which threshold?", judged.probabilities[:, 1]
    curves = Curves(judged.labels, scores)
    in_use, equal, *_ = curves.operating_points(judged.threshold)
    best = curves.best_accuracy(judged.threshold)
    samples, gain = len(scores), best.accuracy - in_use.accuracy
    spread = 1.96 * math.sqrt(in_use.accuracy * (1 - in_use.accuracy) / samples)
    text = (
        f"{format_value(in_use.threshold)} is in use: accuracy {in_use.accuracy:.4f}, {in_use.fpr:.1%} of "
        f"{judged.classes[0]} taken for {judged.classes[1]}, {1 - in_use.tpr:.1%} of {judged.classes[1]} missed. "
        f"Both rates are alike at {format_value(equal.threshold)}. "
    )
    if gain > min(spread, _CLEARLY) and round(gain * samples) >= _MORE_RIGHT:
        text += (
            f"{best.threshold:g} would give accuracy {best.accuracy:.4f}, the best on these samples, on which it is "
            "chosen; on others it may be less."
        )
        yield Finding(about, text, f"load-and-validate {recorded.run.path} --threshold {best.threshold:g}")
        return
    text += "For accuracy, no other is clearly better"
    text += f": the best, {best.threshold:g}, has {best.accuracy:.4f} on these samples." if gain > 0 else "."
    yield Finding(about, text, "the table of thresholds has those for a wanted false positive rate")


def _averages(recorded: Recorded) -> Iterator[Finding]:
    """Whether the averaged weights are better than the raw ones, where both were validated."""
    value = (recorded.monitor or "").removeprefix("val_")
    raw, averaged = (recorded.series(value).get(phase) for phase in (RAW, "validation"))
    if raw is None or averaged is None:
        return
    epoch, of_raw = raw[0][-1], raw[1][-1]
    of_average = dict(zip(*averaged, strict=True)).get(epoch)
    if of_average is not None:
        yield Finding(
            "Do averaged weights help?",
            f"After epoch {epoch:g} the validation {value} is {format_value(of_average)} with them, and "
            f"{format_value(of_raw)} with the raw ones.",
        )


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
    if recorded.phase_seconds().get("input_wait", _WORTH) < _WORTH:
        return
    if shares and (share := sum(shares) / len(shares)) > _WAITING:
        yield Finding(
            "Does it wait for data?",
            f"{share:.0%} of the time of the steps went by waiting for samples.",
            "benchmark-input-pipeline shows what costs; data.cache=memory keeps samples",
        )
