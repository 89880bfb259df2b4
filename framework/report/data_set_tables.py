"""The tables of models on data sets, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence

from framework.report.measured import ALL, CLEAN, Evaluation, Measured
from framework.report.sections import NAMES, Table
from framework.run.console import format_value

_HEADLINES = ("auc", "accuracy")
_SHORT = {"jpeg": "JPEG quality", "blur": "blur", "scale": "scaling by"}


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
    places = list(dict.fromkeys((row.data, row.part) for row in parts))
    tables = []
    for measure in ("auc", "recall"):
        rows = [
            [
                *_named(evaluation, level, data, part),
                *(_cell(evaluation.get(run, data, measure, level=level, part=part)) for run in models),
            ]
            for data, part in places
            for level in evaluation.levels
        ]
        if any(cell for row in rows for cell in row[1:]):
            tables.append(_table(evaluation, measure, ["manipulation"], models, rows))
    return tables


def by_degradation(evaluation: Evaluation) -> list[Table]:
    """A table for each headline measure and data set: degradations by models, with the difference from clean images."""
    return [
        _degradations(evaluation, data, [measure])
        for measure in taken(evaluation)
        for data, measures in _degraded(evaluation).items()
        if measure in measures
    ]


def by_degradation_in_short(evaluation: Evaluation) -> list[Table]:
    """A table for each data set: degradations by models and headline measures, with the difference from clean
    images."""
    return [_degradations(evaluation, *found) for found in _degraded(evaluation).items()]


def _degraded(evaluation: Evaluation) -> dict[str, list[str]]:
    """The headline measures that have a value, by the data sets. Empty if nothing was degraded."""
    if not _strengths(evaluation):
        return {}
    found: dict[str, list[str]] = {one.name: [] for one in evaluation.data_sets}
    for measure in taken(evaluation):
        for data in dict.fromkeys(row.data for row in whole_sets(evaluation, measure)):
            found[data].append(measure)
    return {data: measures for data, measures in found.items() if measures}


def _strengths(evaluation: Evaluation) -> list[tuple[str, float | None]]:
    """The degradations with their strengths."""
    degraded = (row for row in evaluation.rows if row.degradation != CLEAN)
    return list(dict.fromkeys((row.degradation, row.strength) for row in degraded))


def _degradations(evaluation: Evaluation, data: str, measures: Sequence[str]) -> Table:
    """A table of a data set: degradations by models and measures. A single measure stands over the first column."""
    columns = [
        (measure, model.name, level)
        for model in evaluation.models
        for level in evaluation.levels
        for measure in measures
    ]
    clean = [evaluation.get(run, data, measure, level=level) for measure, run, level in columns]
    rows = [["as they are", *map(_cell, clean)]]
    for kind, strength in _strengths(evaluation):
        found = [
            evaluation.get(run, data, measure, level=level, degradation=kind, strength=strength)
            for measure, run, level in columns
        ]
        cells = [_difference(one, as_is) for one, as_is in zip(found, clean, strict=True)]
        rows.append([f"{_SHORT[kind]} {strength:g}", *cells])
    single = NAMES.get(measures[0], measures[0]) if len(measures) == 1 else None
    names = [
        ", ".join([*_named(evaluation, level, run), *([] if single else [NAMES.get(measure, measure)])])
        for measure, run, level in columns
    ]
    return Table(
        [f"{single} on {data}" if single else f"on {data}", *names], rows, numbers=range(1, len(names) + 1)
    )


def all_measures(evaluation: Evaluation) -> Table:
    """All measures of the images as they are: a row for each model and part of a data set."""
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


def taken(evaluation: Evaluation) -> list[str]:
    """The headline measures that have a value somewhere: more than two classes have no AUC."""
    return [name for name in _HEADLINES if whole_sets(evaluation, name)]


def whole_sets(evaluation: Evaluation, measure: str) -> list[Measured]:
    """The values of a measure of the images of whole data sets as they are."""
    return [
        row
        for row in evaluation.rows
        if (row.measure, row.level, row.part, row.degradation) == (measure, "image", ALL, CLEAN)
        and row.value is not None
    ]


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


def _named(evaluation: Evaluation, level: str, *names: str) -> list[str]:
    """The first cells of a row: names, and the level where there are several."""
    return [*names, f"{level}s"] if len(evaluation.levels) > 1 else [*names]


def _difference(degraded: Measured | None, clean: Measured | None) -> str:
    """A value, and its difference from that of the images as they are."""
    if degraded is None or clean is None or degraded.value is None or clean.value is None:
        return "-"
    return f"{format_value(degraded.value)} ({degraded.value - clean.value:+.4f})"


def _cell(row: Measured | None) -> str:
    """A value with its interval, if that has a width; `-` where it means nothing; empty where it was not measured."""
    if row is None:
        return ""
    if row.value is None:
        return "-"
    if row.low == row.high:
        return f"{format_value(row.value)} (no interval)"
    return f"{format_value(row.value)} ({row.low:.3f}-{row.high:.3f})"
