"""The tables of models on data sets, for a terminal and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from framework.report import data_set_charts as charts
from framework.report.measured import ALL, CLEAN, Evaluation, Measured
from framework.report.measures import Interval
from framework.report.report import write_page
from framework.report.sections import NAMES, Section, Table
from framework.run.console import format_value, plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADLINES = ("auc", "accuracy")
_DEGRADED_BY = {
    "jpeg": "JPEG quality",
    "blur": "blur, standard deviation in pixels",
    "scale": "scaling, factor of both sides",
}
_SHORT = {"jpeg": "JPEG quality", "blur": "blur", "scale": "scaling by"}


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
    images = sum(sum(one.images.values()) for one in evaluation.data_sets)
    write_page(
        page,
        sections_of(evaluation),
        title="Evaluation over data sets",
        status=f"{plural(models, 'model')}, {plural(sets, 'data set')}",
        headline=_headline(evaluation) + f", on {plural(images, 'image')}.",
        commands=[command],
    )


def _headline(evaluation: Evaluation) -> str:
    """The best and the worst of what is told first."""
    measure = taken(evaluation)[0]
    rows = sorted(_rows(evaluation, measure), key=lambda row: row.value or 0.0)
    where = [f"{format_value(row.value)} ({row.run} on {row.data})" for row in (rows[-1], rows[0])]
    name = NAMES.get(measure, measure)
    return f"{name} {where[0]}" if len(rows) == 1 else f"{name} from {where[1]} to {where[0]}"


def _rows(evaluation: Evaluation, measure: str) -> list[Measured]:
    """The values of a measure of the images of whole data sets as they are."""
    return [
        row
        for row in evaluation.rows
        if (row.measure, row.level, row.part, row.degradation) == (measure, "image", ALL, CLEAN)
        and row.value is not None
    ]


def sections_of(evaluation: Evaluation) -> list[Section]:
    """What an evaluation shows: models by data sets, manipulations, robustness, all measures, and what it is of."""
    found = [
        Section(
            "Models by data sets",
            [],
            _charts(evaluation),
            models_by_data_sets(evaluation),
        ),
        *_section("By manipulation", _ABOUT_PARTS, by_manipulation(evaluation)),
        *_robustness(evaluation),
        Section("All measures", evaluation.notes, tables=[_all_measures(evaluation)]),
        Section("Data sets", _about_videos(evaluation), tables=[_data_sets(evaluation)]),
        Section("Models", tables=[_models(evaluation)]),
    ]
    return found


_ABOUT_PARTS = (
    "A manipulation is measured against all images of the other class. Its recall is the part of its own images that "
    "are taken for their class."
)
_ABOUT_ROBUSTNESS = (
    "Images are degraded after they were brought to the size of the model. In brackets stands the difference from the "
    "images as they are."
)


def _section(title: str, text: str, tables: Sequence[Table]) -> Iterator[Section]:
    if tables:
        yield Section(title, [text], tables=tables)


def models_by_data_sets(evaluation: Evaluation) -> list[Table]:
    """A table for each headline measure: models by data sets, with intervals; of images, and of videos."""
    names = [one.name for one in evaluation.data_sets]
    tables = []
    for measure in taken(evaluation):
        rows = [
            [
                *_named(evaluation, level, model.name),
                *(_cell(evaluation.get(model.name, name, measure, level=level)) for name in names),
            ]
            for model in evaluation.models
            for level in evaluation.levels
        ]
        tables.append(_table(evaluation, measure, [], names, rows))
    return tables


def by_manipulation(evaluation: Evaluation) -> list[Table]:
    """A table for each measure: manipulations of the data sets by models."""
    models = [model.name for model in evaluation.models]
    parts = (row for row in evaluation.rows if row.part != ALL)
    places = list(dict.fromkeys((row.data, row.part, row.level) for row in parts))
    tables = []
    for measure in ("auc", "recall"):
        rows = [
            [
                *_named(evaluation, level, data, part),
                *(_cell(evaluation.get(run, data, measure, level=level, part=part)) for run in models),
            ]
            for data, part, level in places
        ]
        if any(cell for row in rows for cell in row[1:]):
            tables.append(_table(evaluation, measure, ["manipulation"], models, rows))
    return tables


def by_degradation(evaluation: Evaluation, measures: Sequence[str] | None = None) -> list[Table]:
    """A table for each measure and data set: degradations by models, with the difference from clean images.

    Args:
        evaluation: of models on data sets.
        measures: by their names; None: the headline measures.
    """
    degraded = (row for row in evaluation.rows if row.degradation != CLEAN)
    strengths = list(dict.fromkeys((row.degradation, row.strength) for row in degraded))
    columns = [(model.name, level) for model in evaluation.models for level in evaluation.levels]
    tables = []
    for measure in (measures or taken(evaluation)) if strengths else ():
        for data in [one.name for one in evaluation.data_sets]:
            clean = [evaluation.get(run, data, measure, level=level) for run, level in columns]
            if not any(one is not None and one.value is not None for one in clean):
                continue
            rows = [["as they are", *map(_cell, clean)]]
            for kind, strength in strengths:
                found = [
                    evaluation.get(run, data, measure, level=level, degradation=kind, strength=strength)
                    for run, level in columns
                ]
                cells = [_difference(one, as_is) for one, as_is in zip(found, clean, strict=True)]
                rows.append([f"{_SHORT[kind]} {strength:g}", *cells])
            names = [", ".join(_named(evaluation, level, run)) for run, level in columns]
            head = f"{NAMES.get(measure, measure)} on {data}"
            tables.append(Table([head, *names], rows, numbers=range(1, len(names) + 1)))
    return tables


def taken(evaluation: Evaluation) -> list[str]:
    """The headline measures that have a value somewhere: more than two classes have no AUC."""
    return [name for name in _HEADLINES if _rows(evaluation, name)]


def _named(evaluation: Evaluation, level: str, *names: str) -> list[str]:
    """The first cells of a row: names, and the level where there are several."""
    return [*names, f"{level}s"] if len(evaluation.levels) > 1 else [*names]


def _table(
    evaluation: Evaluation,
    measure: str,
    heads: Sequence[str],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> Table:
    """A table of a measure, which stands over the first column.

    Args:
        heads: of further columns with names, before that of the level.
        columns: those with values.
        rows: as `_named` begins them.
    """
    first = [NAMES.get(measure, measure), *heads, *(["of"] if len(evaluation.levels) > 1 else [])]
    return Table([*first, *columns], rows, numbers=range(len(first), len(first) + len(columns)))


def _robustness(evaluation: Evaluation) -> Iterator[Section]:
    if tables := by_degradation(evaluation):
        yield Section("Robustness", [_ABOUT_ROBUSTNESS], _robustness_charts(evaluation), tables)


def _charts(evaluation: Evaluation) -> dict[str, Figure]:
    figures = {}
    for measure in taken(evaluation):
        values: dict[str, dict[str, Interval]] = {}
        for row in _rows(evaluation, measure):
            values.setdefault(row.run, {})[row.data] = _interval(row)
        title = f"{NAMES.get(measure, measure)} of images, with 95 % intervals"
        figures[f"data_sets_{measure}"] = charts.intervals(title, values)
    return figures


def _robustness_charts(evaluation: Evaluation) -> dict[str, Figure]:
    """Of the first headline measure, a figure for each data set and degradation."""
    measure = taken(evaluation)[0]
    figures = {}
    for one in evaluation.data_sets:
        for kind, xlabel in _DEGRADED_BY.items():
            values: dict[str, list[Interval]] = {}
            strengths: list[str] = []
            for row in evaluation.rows:
                at = (row.data, row.measure, row.level, row.part)
                if at != (one.name, measure, "image", ALL) or row.degradation not in (CLEAN, kind):
                    continue
                if row.value is not None:
                    values.setdefault(row.run, []).append(_interval(row))
                    strengths.append("clean" if row.strength is None else f"{row.strength:g}")
            found = list(dict.fromkeys(strengths))
            if len(found) > 1:
                title = f"{NAMES.get(measure, measure)} on {one.name}"
                figures[f"robustness_{one.name}_{kind}"] = charts.over_strengths(title, xlabel, found, values)
    return figures


def _all_measures(evaluation: Evaluation) -> Table:
    clean = [row for row in evaluation.rows if row.degradation == CLEAN]
    measures = list(dict.fromkeys(row.measure for row in clean))
    places = list(dict.fromkeys((row.data, row.part, row.level, row.run) for row in clean))
    rows = [
        [
            *(data, part, level, run),
            *(_cell(evaluation.get(run, data, measure, level=level, part=part)) for measure in measures),
        ]
        for data, part, level, run in places
    ]
    columns = ["data set", "part", "level", "model", *(NAMES.get(name, name) for name in measures)]
    return Table(columns, rows, numbers=range(4, len(columns)))


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


def _difference(degraded: Measured | None, clean: Measured | None) -> str:
    """A value, and its difference from that of the images as they are."""
    if degraded is None or clean is None or degraded.value is None or clean.value is None:
        return "-"
    return f"{format_value(degraded.value)} ({degraded.value - clean.value:+.3f})"


def _interval(row: Measured) -> Interval:
    assert row.value is not None
    assert row.low is not None
    assert row.high is not None
    return Interval(row.value, row.low, row.high)


def _cell(row: Measured | None) -> str:
    """A value with its interval; `-` where it means nothing; empty where it was not measured."""
    if row is None:
        return ""
    if row.value is None:
        return "-"
    return f"{format_value(row.value)} ({row.low:.3f}-{row.high:.3f})"
