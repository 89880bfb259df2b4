"""The sections of a report: figures, tables and samples, from what was recorded and what the model gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from framework.report import charts
from framework.report.intervals import Interval
from framework.report.judged import Judged, WrongSample, class_counts
from framework.report.measures import (
    FPR_LIMITS,
    Curves,
    best_constant,
    calibration,
    class_intervals,
    regression_intervals,
)
from framework.report.recorded import Recorded
from framework.run.console import format_value

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

_WRONG, _ROWS = 24, 20  # samples that are shown, as pictures or texts, and in a table
_LONGEST = 120  # characters of a setting
NAMES = {
    "auc": "AUC",
    "eer": "equal error rate",
    "average_precision": "average precision",
    "tpr_at_fpr_0.01": "TPR at 1 % FPR",
    "tpr_at_fpr_0.001": "TPR at 0.1 % FPR",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1, mean of classes",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "r2": "R²",
}


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        columns: their names.
        rows: texts, a cell a column.
        numbers: the indices of the columns that hold numbers.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()


@dataclass(frozen=True)
class Tile:
    """A number that is seen first.

    Args:
        name: what it is.
        value: as a reader sees it.
        note: its interval, or what it says; None where there is none.
    """

    name: str
    value: str
    note: str | None = None


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


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Args:
        title: of the part.
        texts: paragraphs before everything else.
        figures: by the names that their files get.
        tables: after the figures.
        samples: that the model gets most wrong.
    """

    title: str
    texts: Sequence[str] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    samples: Sequence[WrongSample] = ()


def judgement(judged: Judged) -> tuple[list[Tile], list[Section]]:
    """What the outputs for all samples show: numbers to be seen first, and sections."""
    tiles: list[Tile] = []
    sections: list[Section] = []
    if judged.task is not None:
        tiles, sections = _regression(judged) if judged.task == "regression" else _classes(judged)
    if judged.figures or judged.faults:
        sections.append(Section("Figures of the scenario", texts=judged.faults, figures=judged.figures))
    return tiles, sections


def _classes(judged: Judged) -> tuple[list[Tile], list[Section]]:
    classes, table = judged.classes, judged.confusion()
    counts = class_counts(iter(judged.labels), classes)
    figures: dict[str, Figure] = {"confusion": charts.confusion(table, classes)}
    tables = [_report_of_classes(table, classes)]
    confidence = judged.probabilities.max(axis=1)
    right, what = judged.predicted == judged.labels, "confidence of the predicted class"
    curves = None
    if judged.task == "binary":
        name = classes[1]
        right, confidence, what = judged.labels == 1, judged.probabilities[:, 1], f"probability of {name}"
        threshold = judged.threshold
        figures["scores"] = charts.scores(judged.labels, confidence, (classes[0], name), threshold)
        if len(set(judged.labels.tolist())) == 2:
            curves = Curves(judged.labels, confidence)
            intervals = curves.intervals(threshold)
            figures["roc"] = charts.roc(curves, name)
            figures["precision_recall"] = charts.precision_recall(
                curves, intervals["average_precision"].value, name
            )
            tables.append(_thresholds(curves, threshold))
    if confidence.min() >= 0 and confidence.max() <= 1:
        figures["calibration"] = charts.reliability(*calibration(right, confidence), what)
    if curves is None:
        intervals = class_intervals(table)
    accuracy = intervals.pop("accuracy")
    tiles = [_tile("accuracy", accuracy), _chance(accuracy, counts)]
    tiles += [_tile(name, interval) for name, interval in intervals.items()]
    sections = [
        Section("How well the classes are told apart", texts=_few(judged), figures=figures, tables=tables),
        _most_wrong(judged),
    ]
    return tiles, [section for section in sections if section.figures or section.samples or section.texts]


def _few(judged: Judged) -> list[str]:
    """Say where a false positive rate cannot be told from so few negative samples."""
    negatives = int((judged.labels == 0).sum())
    few = [limit for limit in FPR_LIMITS if limit * negatives < 1]
    if judged.task != "binary" or not few:
        return []
    name = judged.classes[0]
    return [
        f"A false positive rate of {few[0]:.1%} or less allows none of the {negatives:,} {name} samples, so the values "
        f"at that rate hang on a single one: validate on at least {1 / few[-1]:,.0f} {name} samples to be certain."
    ]


def _chance(accuracy: Interval, counts: Mapping[str, int]) -> Tile:
    """What the accuracy is to be compared with."""
    constant, chance = best_constant(counts)
    note = _compared(accuracy, chance, better="above", worse="below")
    return Tile(f"accuracy of always saying {constant}", f"{chance:.4f}", note=note)


def _compared(interval: Interval, constant: float, *, better: str, worse: str) -> str:
    """Whether a value is better than one that is reached without looking, for certain or not."""
    low, high = (interval.low, interval.high) if better == "above" else (-interval.high, -interval.low)
    constant = constant if better == "above" else -constant
    if low > constant:
        return f"the model is {better} it"
    return f"the model is {worse} it" if high < constant else f"the model is not {better} it for certain"


def _median(error: Interval, targets: np.ndarray, prefix: str) -> Tile:
    """What the error of a regression is to be compared with."""
    import numpy as np

    median = float(np.median(targets))
    constant = float(abs(targets - median).mean())
    note = _compared(error, constant, better="below", worse="above")
    name = f"{prefix}mean absolute error of always saying {format_value(median)}"
    return Tile(name, format_value(constant), note=note)


def _regression(judged: Judged) -> tuple[list[Tile], list[Section]]:
    residuals = judged.residuals()
    targets, outputs = (part.reshape(len(residuals), -1) for part in (judged.targets, judged.outputs))
    figures: dict[str, Figure] = {}
    tiles: list[Tile] = []
    for column in range(residuals.shape[1]):
        name = "target" if residuals.shape[1] == 1 else f"target {column}"
        key = name.replace(" ", "_")
        figures[f"{key}_predicted"] = charts.predicted_and_true(targets[:, column], outputs[:, column], name)
        figures[f"{key}_residuals"] = charts.residuals(residuals[:, column], name)
        found = regression_intervals(residuals[:, column], targets[:, column])
        prefix = "" if residuals.shape[1] == 1 else f"{name}: "
        error = found.pop("mae")
        tiles += [_tile("mae", error, prefix), _median(error, targets[:, column], prefix)]
        tiles += [_tile(name, interval, prefix) for name, interval in found.items()]
    return tiles, [Section("How far predictions are off", figures=figures), _most_wrong(judged)]


def _most_wrong(judged: Judged) -> Section:
    samples = judged.most_wrong(_WRONG)
    if judged.task == "regression":
        if any(sample.picture or sample.text for sample in samples):
            return Section("Farthest off", samples=samples)
        rows = [[sample.true, sample.said, sample.name] for sample in samples[:_ROWS]]
        return Section("Farthest off", tables=[Table(["true", "predicted", "sample"], rows, numbers=(0, 1))])
    wrong = int((judged.predicted != judged.labels).sum())
    total = len(judged.labels)
    text = f"{wrong:,} of {total:,} samples are taken for another class ({wrong / total:.1%})."
    if wrong > len(samples):
        by = "the most confidence" if judged.task == "binary" else "the lowest probability of their own class"
        text += f" These {len(samples)} with {by}:"
    if judged.camera is not None and any(sample.picture for sample in samples):
        text += " The map beside each image (Grad-CAM) is brighter where more speaks for the predicted class."
    return Section("Most wrong", texts=[text], samples=samples)


def _report_of_classes(table: Any, classes: Sequence[str]) -> Table:
    rows = []
    for i, name in enumerate(classes):
        right, there, said = int(table[i, i]), int(table[i].sum()), int(table[:, i].sum())
        precision = f"{right / said:.4f}" if said else "-"
        recall = f"{right / there:.4f}" if there else "-"
        f1 = f"{2 * right / (there + said):.4f}" if there + said else "-"
        rows.append([name, precision, recall, f1, f"{there:,}"])
    return Table(["class", "precision", "recall", "F1", "samples"], rows, numbers=(1, 2, 3, 4))


def _thresholds(curves: Curves, threshold: float) -> Table:
    rows = [
        [
            point.name,
            format_value(point.threshold),
            *(f"{rate:.4f}" for rate in (point.tpr, point.fpr, point.precision, point.f1, point.accuracy)),
        ]
        for point in curves.operating_points(threshold)
    ]
    columns = ["which threshold?", "threshold", "TPR (recall)", "FPR", "precision", "F1", "accuracy"]
    return Table(columns, rows, numbers=range(1, 7))


def _tile(name: str, interval: Interval, prefix: str = "") -> Tile:
    return Tile(
        f"{prefix}{NAMES.get(name, name)}",
        format_value(interval.value),
        interval.note or f"95 %: {format_value(interval.low)} to {format_value(interval.high)}",
    )


def configuration(recorded: Recorded) -> Section:
    """The settings that are not as they are by default."""
    rows = [
        [change.path, plain(change.value), "-" if change.default is None else plain(change.default)]
        for change in recorded.changes()
    ]
    return Section(
        "Settings that differ from the defaults", tables=[Table(["setting", "value", "default"], rows)]
    )


def provenance(recorded: Recorded) -> Section:
    """Commands, versions and machines, a line a session."""
    rows = list(_sessions(recorded.sessions))
    tables = [Table(["started", "step", "command", "host", "versions"], rows, numbers=(1,))] if rows else []
    texts = [] if rows else ["provenance.json is missing or damaged."]
    return Section("Provenance", texts=texts, tables=tables)


def _sessions(sessions: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    for session in sessions:
        command = session.get("command") or []
        words = [str(command[0]).rpartition("/")[2], *map(str, command[1:])] if command else []
        versions = session.get("versions") or {}
        yield [
            str(session.get("time", "")),
            f"{session.get('started_at_step', 0):,}",
            " ".join(words),
            str(session.get("host", "")),
            ", ".join(f"{name} {version}" for name, version in versions.items()),
        ]


def plain(value: Any) -> str:
    """A plain value as YAML has it, in a cell of a table; the beginning of a long one."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,} characters)"
