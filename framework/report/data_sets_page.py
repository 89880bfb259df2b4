"""The page of models on data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from framework.report import data_set_charts as charts
from framework.report.data_set_tables import (
    all_measures,
    by_degradation,
    by_manipulation,
    models_by_data_sets,
    taken,
    whole_sets,
)
from framework.report.intervals import Interval
from framework.report.measured import ALL, CLEAN, Evaluation, Measured
from framework.report.report import write_page
from framework.report.sections import NAMES, Section, Table
from framework.run.console import format_value, plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DEGRADED_BY = {
    "jpeg": "JPEG quality",
    "blur": "blur, standard deviation in pixels",
    "scale": "scaling, factor of both sides",
}
_ABOUT_PARTS = (
    "A manipulation is measured against all images of the other class. Its recall is the part of its own images that "
    "are taken for their class."
)
_ABOUT_ROBUSTNESS = (
    "Images are degraded after they were brought to the size of the model. In brackets stands the difference from the "
    "images as they are."
)


def write_evaluation(evaluation: Evaluation, page: Path, command: str) -> None:
    """Write an evaluation as a page.

    Args:
        evaluation: of models on data sets.
        page: the file.
        command: makes it again.

    Raises:
        RunDirectoryError: if the file cannot be written.
    """
    models, sets = len(evaluation.models), len(evaluation.data_sets)
    worst = _by_value(evaluation)[0]
    model = next(one for one in evaluation.models if one.name == worst.run)
    where = next(one for one in evaluation.data_sets if one.name == worst.data)
    write_page(
        page,
        [*sections_of(evaluation), Section("Command", [command])],
        title="Evaluation over data sets",
        status=f"{plural(models, 'model')}, {plural(sets, 'data set')}",
        headline=_headline(evaluation) + f", on {_amount(evaluation)}.",
        commands=[f"explain-prediction {model.source} {where.folder}"],
    )


def _headline(evaluation: Evaluation) -> str:
    """The best and the worst of what is told first."""
    rows = _by_value(evaluation)
    where = [f"{format_value(row.value)} ({row.run} on {row.data})" for row in (rows[-1], rows[0])]
    name = NAMES.get(rows[0].measure, rows[0].measure)
    return f"{name} {where[0]}" if len(rows) == 1 else f"{name} from {where[1]} to {where[0]}"


def _amount(evaluation: Evaluation) -> str:
    """How many data sets and images: an image in several data sets counts in each."""
    images = plural(sum(sum(one.images.values()) for one in evaluation.data_sets), "image")
    sets = len(evaluation.data_sets)
    return images if sets == 1 else f"{plural(sets, 'data set')}, {images} in all"


def _by_value(evaluation: Evaluation) -> list[Measured]:
    """The values of the first headline measure, the lowest first."""
    return sorted(whole_sets(evaluation, taken(evaluation)[0]), key=lambda row: row.value or 0.0)


def sections_of(evaluation: Evaluation) -> list[Section]:
    """What an evaluation shows: models by data sets, manipulations, robustness, all measures, and what it is of."""
    figures, tables = _charts(evaluation), models_by_data_sets(evaluation)
    sections = [Section("Models by data sets", evaluation.warnings, figures, tables)]
    if parts := by_manipulation(evaluation):
        sections.append(Section("By manipulation", [_ABOUT_PARTS], tables=parts))
    if degraded := by_degradation(evaluation):
        sections.append(Section("Robustness", [_ABOUT_ROBUSTNESS], _robustness_charts(evaluation), degraded))
    return [
        *sections,
        Section("All measures", evaluation.notes, tables=[all_measures(evaluation)]),
        Section("Data sets", _about_videos(evaluation), tables=[_data_sets(evaluation)]),
        Section("Models", tables=[_models(evaluation)]),
    ]


def _charts(evaluation: Evaluation) -> dict[str, Figure]:
    figures = {}
    for measure in taken(evaluation):
        values: dict[str, dict[str, Interval]] = {}
        for row in whole_sets(evaluation, measure):
            values.setdefault(row.run, {})[row.data] = _interval(row)
        title = f"{NAMES.get(measure, measure)} of images, with 95 % intervals"
        figures[f"data_sets_{measure}"] = charts.intervals(title, values)
    return figures


def _robustness_charts(evaluation: Evaluation) -> dict[str, Figure]:
    """A figure for each headline measure, data set and degradation; the axis is the same for all of a data set."""
    figures = {}
    for measure in taken(evaluation):
        for one in evaluation.data_sets:
            rows = [
                row
                for row in evaluation.rows
                if (row.data, row.measure, row.level, row.part) == (one.name, measure, "image", ALL)
                and row.value is not None
            ]
            for kind, xlabel in _DEGRADED_BY.items():
                values: dict[str, list[Interval]] = {}
                strengths: dict[str, None] = {}
                for row in rows:
                    if row.degradation in (CLEAN, kind):
                        values.setdefault(row.run, []).append(_interval(row))
                        strengths["clean" if row.strength is None else f"{row.strength:g}"] = None
                if len(strengths) > 1:
                    title = f"{NAMES.get(measure, measure)} on {one.name}"
                    lowest = min(_interval(row).low for row in rows)
                    figure = charts.over_strengths(title, xlabel, list(strengths), values, lowest)
                    figures[f"{measure}_{one.name}_{kind}"] = figure
    return figures


def _data_sets(evaluation: Evaluation) -> Table:
    rows = [
        [
            one.name,
            folder,
            one.classes[folder],
            f"{count:,}",
            "-" if one.videos is None else f"{one.videos:,}",
            str(one.folder),
        ]
        for one in evaluation.data_sets
        for folder, count in one.images.items()
    ]
    columns = ["data set", "folder", "class", "images", "videos of the set", "path"]
    return Table(columns, rows, numbers=(3, 4))


def _models(evaluation: Evaluation) -> Table:
    rows = [
        [
            model.name,
            "-" if model.epoch is None else str(model.epoch),
            ", ".join(model.classes),
            model.positive or "-",
            "-" if model.threshold is None else f"{model.threshold:g}",
            str(model.folder),
        ]
        for model in evaluation.models
    ]
    return Table(["model", "epoch", "classes", "positive", "threshold", "path"], rows, numbers=(1, 4))


def _about_videos(evaluation: Evaluation) -> list[str]:
    if evaluation.group_by is None:
        return []
    return [
        f"The video of an image is what {evaluation.group_by} finds in its path, within its class and sub-folder. "
        "The score of a video is the mean of those of its images, and intervals resample videos."
    ]


def _interval(row: Measured) -> Interval:
    assert row.value is not None
    assert row.low is not None
    assert row.high is not None
    return Interval(row.value, row.low, row.high)
