"""The course of a run: values over its epochs, and where its time went."""

from __future__ import annotations

from typing import Any

from framework.report import charts
from framework.report.recorded import Recorded
from framework.report.sections import Section, Table
from framework.run.console import format_seconds
from framework.run.recorder import RAW

_PHASES = {"train": "training"}
_OF_AVERAGES = {"validation": "validation, averaged weights", RAW: "validation, raw weights"}
_TIMES = {
    "start": "building data and model",
    "train": "training steps",
    "input_wait": "waiting for training data",
    "weights": "making the weights to validate (averages, BatchNorm)",
    "validation": "validation",
    RAW: "validation of the raw weights",
    "lav": "LAV",
    "checkpoint": "checkpoints",
    "tensorboard": "pictures for TensorBoard",
    "export": "writing models",
    "other": "other",
}


def curves(recorded: Recorded) -> Section:
    """Loss, metrics and learning rate over the epochs."""
    best = recorded.best
    marks: dict[str, Any] = {
        "best": best["epoch"] if best else None,
        "resumed": recorded.resumed_at(),
    }
    names = _PHASES | (_OF_AVERAGES if recorded.averages else {})
    figures = {}
    for value in recorded.values():
        series = {names.get(phase, phase): points for phase, points in recorded.series(value).items()}
        name = "loss_curve" if value == "loss" else f"{value}_curve"
        figures[name] = charts.curve_over_epochs(value, series, **marks)
    epochs, rates = recorded.of_training("learning_rate")
    if epochs:
        figures["learning_rate"] = charts.curve_over_epochs(
            "learning rate",
            {"last step of the epoch": (epochs, rates)},
            resumed=marks["resumed"],
            logarithmic=charts.is_logarithmic(rates),
        )
    texts = [] if figures else ["Nothing is recorded yet."]
    if figures and recorded.averages:
        texts.append(_on_averages(recorded))
    return Section("Curves", texts=texts, figures=figures)


def _on_averages(recorded: Recorded) -> str:
    text = "Training values are of the raw weights; validation, best model and export are of their average (EMA)."
    raw = {record["epoch"] for record in recorded.history if record["phase"] == RAW}
    averaged = {record["epoch"] for record in recorded.history if record["phase"] == "validation"}
    if not raw:
        return f"{text} The raw weights have not been validated."
    if len(raw) < len(averaged):
        which = ", ".join(f"{epoch:,}" for epoch in sorted(raw)[-5:])
        text += (
            f" The raw weights were validated after epoch {which} alone; trainer.val_raw_every_n=1 validates them "
            "after each."
        )
    return text


def time(recorded: Recorded) -> Section | None:
    """Where the time went, how fast the steps were, and how much of it they waited for samples; None where nothing
    says so."""
    seconds = {phase: spent for phase, spent in recorded.phase_seconds().items() if spent > 0}
    figures, tables = {}, []
    if seconds:
        known = {name: seconds[phase] for phase, name in _TIMES.items() if phase in seconds}
        named = known | {phase: spent for phase, spent in seconds.items() if phase not in _TIMES}
        figures["time_of_phases"] = charts.time_of_phases(named)
        tables.append(_table_of_times(named))
    for key, title, factor in (
        ("samples_per_second", "samples a second", 1.0),
        ("input_wait", "waiting for data, % of the time of the steps", 100.0),
    ):
        epochs, values = recorded.of_training("speed", key)
        if epochs:
            points = {"training": (epochs, [factor * value for value in values])}
            figures[key] = charts.curve_over_epochs(title, points)
    if not figures:
        return None
    total = (recorded.result or {}).get("seconds") or sum(seconds.values())
    texts = [f"{format_seconds(total)} in all sessions together."] if total else []
    return Section("Time", texts=texts, figures=figures, tables=tables)


def _table_of_times(seconds: dict[str, float]) -> Table:
    total = sum(seconds.values())
    rows = [
        [name, format_duration(spent), f"{spent / total:.1%}"]
        for name, spent in sorted(seconds.items(), key=lambda item: -item[1])
    ]
    return Table(["what", "time", "share"], rows, numbers=(1, 2))


def format_duration(seconds: float) -> str:
    """Format a duration as a person compares it: short ones with a digit behind the point."""
    return f"{seconds:.1f} s" if seconds < 60 else format_seconds(seconds)
