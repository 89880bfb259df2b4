"""The figures of a report, each from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from framework.report.drawing import GRID, INK, MUTED, PAPER, SERIES, drawing
from framework.report.measures import Bin, Curves

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Points of a curve that are drawn: more cannot be seen, and make a page large.
_POINTS = 400
# Classes whose names and numbers stand in a confusion matrix.
_NAMED, _NUMBERED = 60, 15

# A phase has one colour in all figures of a page.
_OF_PHASES = {
    "training": SERIES[0],
    "validation": SERIES[1],
    "validation, averaged weights": SERIES[1],
    "validation, raw weights": SERIES[2],
    "lav": SERIES[3],
}

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Curves by their names: x and y of each."""


def curve_over_epochs(
    title: str,
    series: Series,
    *,
    best: int | None = None,
    resumed: Sequence[float] = (),
    logarithmic: bool = False,
    styles: Mapping[str, Mapping[str, Any]] | None = None,
) -> Figure:
    """Values over epochs.

    Args:
        title: what they are.
        series: epochs, and the values after them.
        best: the epoch of the best model.
        resumed: the epochs, with the part that was done of the next one, at which the run was resumed.
        logarithmic: whether the values are drawn on a logarithmic scale.
        styles: of each series, as `run_styles` gives them; then each is named, a single one too. None: by phase.
    """
    from matplotlib.ticker import MaxNLocator

    with drawing() as (figure, axes):
        taken = {_OF_PHASES[name] for name in series if name in _OF_PHASES}
        others = iter([colour for colour in SERIES if colour not in taken] * len(series))
        for name, (epochs, values) in series.items():
            marker = "o" if len(epochs) == 1 else None
            style = dict(styles[name] if styles else {"color": _OF_PHASES.get(name) or next(others)})
            axes.plot(epochs, values, label=name, marker=marker, markersize=4, **style)
        for number, epoch in enumerate(resumed):
            axes.axvline(epoch, color=MUTED, linewidth=1, linestyle=":", label=None if number else "resumed")
        if best is not None:
            axes.axvline(best, color=INK, linewidth=1, linestyle="--", label=f"best, epoch {best}")
        if logarithmic:
            axes.set_yscale("log")
        elif (only := {value for _, values in series.values() for value in values}) and len(only) == 1:
            value = only.pop()
            if (
                math.isfinite(value) and value > 0
            ):  # a flat line, and not the digits behind the point of its axis
                axes.set_ylim(0, 1.5 * value)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(series) > 1 or best is not None or resumed or styles:
            axes.legend()
    return figure


def run_styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The style of each run in all figures that compare them: first colours, then kinds of lines."""
    kinds = ("-", "--", ":", "-.")
    return {
        name: {"color": SERIES[i % len(SERIES)], "linestyle": kinds[i // len(SERIES) % len(kinds)]}
        for i, name in enumerate(names)
    }


def time_of_phases(seconds: Mapping[str, float]) -> Figure:
    """Where the time went.

    Args:
        seconds: of each phase, by its name.
    """
    import textwrap

    phases = sorted(seconds, key=lambda name: -seconds[name])
    total = sum(seconds.values())
    with drawing(5.2, 0.9 + 0.34 * len(phases)) as (figure, axes):
        bars = axes.barh(
            [textwrap.fill(name, 30) for name in phases], [seconds[name] for name in phases], 0.7
        )
        axes.bar_label(bars, [f" {seconds[name] / total:.0%}" for name in phases], fontsize=8.5)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)
        axes.set(title="Where the time went", xlabel="seconds")
    return figure


def roc(curves: Curves, name: str) -> Figure:
    """The ROC curve.

    Args:
        curves: of the positive class.
        name: what the positive class is called.
    """
    fpr, tpr = curves.roc
    with drawing(4.2, 4.0) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        axes.plot(*_thinned(fpr, tpr), color=SERIES[0])
        axes.set(
            title=f"ROC, AUC {curves.auc:.4f}",
            xlabel="false positive rate",
            ylabel=f"true positive rate ({name})",
        )
        _unit_square(axes)
    return figure


def precision_recall(curves: Curves, average_precision: float, name: str) -> Figure:
    """Precision over recall."""
    precision, recall = curves.precision_recall
    share = float(curves.positives / (curves.positives + curves.negatives))
    with drawing(4.2, 4.0) as (figure, axes):
        axes.axhline(share, color=MUTED, linewidth=1, linestyle="--")
        axes.plot(*_thinned(recall, precision), color=SERIES[0])
        axes.set(
            title=f"Precision and recall, AP {average_precision:.4f}",
            xlabel=f"recall ({name})",
            ylabel="precision",
        )
        _unit_square(axes)
    return figure


def scores(targets: np.ndarray, given: np.ndarray, names: tuple[str, str], threshold: float) -> Figure:
    """How the scores of both classes are spread.

    Args:
        targets: [samples], 1 for the positive class.
        given: float [samples], the probability of the positive class.
        names: of the negative and of the positive class.
        threshold: above which a sample is taken for positive.
    """
    import numpy as np

    edges = np.linspace(0, 1, 41).tolist()
    positive = np.ravel(targets).astype(bool)
    with drawing() as (figure, axes):
        for name, part, colour in zip(names, (given[~positive], given[positive]), SERIES, strict=False):
            axes.hist(part, edges, label=name, color=colour, alpha=0.55)
        axes.axvline(threshold, color=INK, linewidth=1, linestyle="--", label=f"threshold {threshold:g}")
        axes.set(title="Scores", xlabel=f"probability of {names[1]}", ylabel="samples", yscale="symlog")
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def reliability(bins: Sequence[Bin], error: float, confidence: str) -> Figure:
    """The part that is right over the confidence that it was said with.

    Args:
        bins: samples of like confidence.
        error: the expected calibration error.
        confidence: what the confidence is of.
    """
    with drawing(4.2, 4.0) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        most = max(part.samples for part in bins)
        sizes = [20 + 130 * part.samples / most for part in bins]
        x, y = [part.confidence for part in bins], [part.right for part in bins]
        axes.plot(x, y, color=SERIES[0], linewidth=1)
        axes.scatter(x, y, sizes, color=SERIES[0], zorder=3)
        axes.set(title=f"Calibration, error {error:.4f}", xlabel=confidence, ylabel="part that is so")
        _unit_square(axes)
    return figure


def confusion(table: np.ndarray, names: Sequence[str]) -> Figure:
    """The confusion matrix, shaded by the part of each class.

    Args:
        table: samples by class and predicted class, int [classes, classes].
        names: of the classes.
    """
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    count = len(names)
    side = min(2.4 + 0.5 * count, 8.0)
    rows = table.sum(1, keepdims=True)
    part = np.divide(table, rows, out=np.zeros(table.shape), where=rows > 0)
    with drawing(side, side * 0.9) as (figure, axes):
        axes.grid(False)
        if count <= _NUMBERED:  # rectangles and text: sharp, and of the colours of the page
            for row in range(count):
                for column in range(count):
                    colour = SERIES[0] if row == column else SERIES[1]
                    cell = Rectangle((column - 0.5, row - 0.5), 1, 1)
                    cell.set(facecolor=colour, alpha=float(part[row, column]) * 0.75, edgecolor=GRID)
                    axes.add_patch(cell)
                    axes.text(column, row, f"{table[row, column]:,}", ha="center", va="center")
        else:
            axes.imshow(
                part, cmap=LinearSegmentedColormap.from_list("part", [PAPER, SERIES[0]]), vmin=0, vmax=1
            )
        axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), xlabel="predicted", ylabel="true")
        axes.set_title("Confusion")
        if count <= _NAMED:
            size = min(9.5, 280 / count)
            axes.set_xticks(range(count), names, rotation=90 if count > 4 else 0, fontsize=size)
            axes.set_yticks(range(count), names, fontsize=size)
        axes.set_aspect("equal")
    return figure


def balance(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """How many samples each class has.

    Args:
        counts: by split, then by class.
    """
    classes = list(dict.fromkeys(name for of_split in counts.values() for name in of_split))
    few = len(classes) <= _NUMBERED
    if not few:  # what is frequent and what is rare can be seen
        first = next(iter(counts.values()))
        classes.sort(key=lambda name: -first.get(name, 0))
    tall = 0.28 * len(counts) * len(classes) if few else min(0.16 * len(classes), 0.16 * _NAMED)
    with drawing(5.2, 1.0 + max(0.8, tall)) as (figure, axes):
        height = 0.8 / len(counts)
        for number, (split, of_split) in enumerate(counts.items()):
            places = [place + number * height for place in range(len(classes))]
            values = [of_split.get(name, 0) for name in classes]
            bars = axes.barh(places, values, height, label=split, color=SERIES[number % len(SERIES)])
            if few:
                axes.bar_label(bars, [f" {value:,}" for value in values], fontsize=8.5)
        middle = [place + 0.4 - height / 2 for place in range(len(classes))]
        axes.set_yticks(middle, classes, fontsize=9.5 if few else 7)
        if len(classes) > _NAMED:
            axes.set_yticks([])
        axes.set_ylim(len(classes) - 0.3, -0.7)
        axes.margins(x=0.12)
        axes.set(title="Samples of each class", xlabel="samples")
        if len(counts) > 1:
            figure.legend(loc="outside lower center", ncols=len(counts))
    return figure


def predicted_and_true(targets: np.ndarray, outputs: np.ndarray, name: str) -> Figure:
    """What is predicted over what is true, of a regression."""
    import numpy as np

    with drawing(4.4, 4.2) as (figure, axes):
        ends = [float(np.min([targets.min(), outputs.min()])), float(np.max([targets.max(), outputs.max()]))]
        axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
        chosen = np.linspace(0, len(targets) - 1, min(len(targets), 2000)).astype(int)
        axes.scatter(targets[chosen], outputs[chosen], 9, color=SERIES[0], alpha=0.5, linewidths=0)
        axes.set(title=f"{name}: predicted and true", xlabel="true", ylabel="predicted")
    return figure


def residuals(given: np.ndarray, name: str) -> Figure:
    """How far predictions of a regression are off."""
    with drawing() as (figure, axes):
        axes.hist(given, 40, color=SERIES[0], alpha=0.8)
        axes.axvline(0, color=INK, linewidth=1, linestyle="--")
        axes.set(title=f"{name}: residuals", xlabel="predicted less true", ylabel="samples")
    return figure


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of a rising curve of which the one in between cannot be told from the line.

    They are chosen evenly along the curve, and not along its points: most of them may lie in a corner.
    """
    import numpy as np

    if len(x) <= _POINTS:
        return x, y
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    wanted = np.linspace(0, along[-1], _POINTS)
    chosen = np.unique(np.concatenate([np.searchsorted(along, wanted), [len(x) - 1]]))
    return x[chosen], y[chosen]


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values are better seen on a logarithmic scale: all are above 0, and they span two decades."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) > 100
