"""The figures of models on data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from framework.report.drawing import MUTED, SERIES, drawing
from framework.report.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def intervals(title: str, values: Mapping[str, Mapping[str, Interval]]) -> Figure:
    """Values with their intervals, a line each: models beside each other for each data set.

    Args:
        title: what the values are.
        values: by model, then by data set.
    """
    names = list(dict.fromkeys(name for of_model in values.values() for name in of_model))
    height = 1.1 + 0.22 * len(names) * (len(values) + 1)
    with drawing(6.4, min(height, 14)) as (figure, axes):
        for number, (model, of_model) in enumerate(values.items()):
            places = [names.index(name) * (len(values) + 1) + number for name in of_model]
            found = list(of_model.values())
            # The value of a small sample may lie outside of the quantiles.
            ends = [
                [max(0.0, one.value - one.low) for one in found],
                [max(0.0, one.high - one.value) for one in found],
            ]
            colour = SERIES[number % len(SERIES)]
            points = [one.value for one in found]
            axes.errorbar(
                points, places, xerr=ends, fmt="o", color=colour, label=model, markersize=5, capsize=2
            )
        middle = [i * (len(values) + 1) + (len(values) - 1) / 2 for i in range(len(names))]
        axes.set_yticks(middle, names)
        axes.set_ylim(len(names) * (len(values) + 1) - 1.3, -0.7)
        axes.grid(False, axis="y")
        axes.set(title=title, xlim=_bounds(*axes.get_xlim()))
        if len(values) > 1:
            figure.legend(loc="outside lower center", ncols=min(len(values), 3))
    return figure


def over_strengths(
    title: str,
    xlabel: str,
    strengths: Sequence[str],
    values: Mapping[str, Sequence[Interval]],
    lowest: float,
) -> Figure:
    """Values over strengths of a degradation, from none to the strongest.

    Args:
        title: of the figure.
        xlabel: what the strengths are.
        strengths: as texts, in order.
        values: one for each strength, by the name of a curve; the first is of the images as they are.
        lowest: of all figures that are compared.
    """
    with drawing(4.6, 3.2) as (figure, axes):
        for number, (name, found) in enumerate(values.items()):
            colour, places = SERIES[number % len(SERIES)], range(len(found))
            style = "-" if number < len(SERIES) else "--"
            axes.plot(
                places,
                [one.value for one in found],
                style,
                color=colour,
                marker="o",
                markersize=4,
                label=name,
            )
            axes.fill_between(
                places,
                [one.low for one in found],
                [one.high for one in found],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
            axes.axhline(found[0].value, color=MUTED, linewidth=0.7, linestyle=":")
        axes.set_xticks(range(len(strengths)), strengths)
        axes.set(title=title, xlabel=xlabel, ylim=_bounds(min(lowest, 0.95) - 0.005, 1.01))
        if len(values) > 1:
            axes.legend()
    return figure


def _bounds(low: float, high: float) -> tuple[float, float]:
    """The ends of an axis of rates: nothing is below 0, and little room is above 1."""
    return max(0.0, low), min(high, 1.0 + 0.02 * (1.0 - min(low, 0.99)) + 0.001)
