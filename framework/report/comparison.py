"""Several runs side by side: what they were configured with, how good they became, and their curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from framework.report import charts
from framework.report.recorded import Recorded
from framework.report.sections import Section, Table, plain
from framework.run.console import format_seconds, format_value


def compare_recorded(runs: Sequence[Recorded]) -> list[Section]:
    """Say in what runs differ, and what became of them.

    Args:
        runs: at least two.
    """
    names = short_names(runs)
    return [_results(runs, names), _curves(runs, names), _settings(runs, names)]


def short_names(runs: Sequence[Recorded]) -> list[str]:
    """The paths of runs, without what they have in common."""
    return short_paths([recorded.run.path for recorded in runs])


def short_paths(paths: Sequence[Path]) -> list[str]:
    """Paths without what they have in common."""
    absolute = [os.path.abspath(path) for path in paths]
    common = os.path.commonpath([os.path.dirname(path) for path in absolute])
    return [os.path.relpath(path, common) for path in absolute]


def headline(runs: Sequence[Recorded]) -> str:
    """Say which run is best, where they are judged by one value; else name them."""
    names = short_names(runs)
    monitors = {(recorded.monitor, (recorded.result or {}).get("mode")) for recorded in runs}
    monitor, mode = next(iter(monitors))
    values = {
        name: value
        for name, recorded in zip(names, runs, strict=True)
        if isinstance(value := ((recorded.best or {}).get("metrics") or {}).get(monitor), int | float)
    }
    if (
        len(monitors) > 1
        or mode not in ("min", "max")
        or len({r.config.scenario.name for r in runs}) > 1
        or not values
    ):
        return ", ".join(names)
    best = (min if mode == "min" else max)(values, key=lambda name: values[name])
    return f"{best} is best by {monitor}: {format_value(values[best])}."


def _what_differs(runs: Sequence[Recorded]) -> list[str]:
    """Say what keeps values of the runs from being compared."""
    scenarios = dict.fromkeys(recorded.config.scenario.name for recorded in runs)
    if len(scenarios) > 1:
        return [
            f"The runs are of different scenarios ({', '.join(scenarios)}), so their values do not compare."
        ]
    data = {recorded.validation_data for recorded in runs} - {None}
    return (
        ["The runs were validated on different data, so their values do not compare."]
        if len(data) > 1
        else []
    )


def _results(runs: Sequence[Recorded], names: Sequence[str]) -> Section:
    values = list(
        dict.fromkeys(
            name
            for recorded in runs
            for name in (recorded.best or {}).get("metrics", {})
            if name.startswith(("val_", "lav_"))
        )
    )
    rows = []
    for name, recorded in zip(names, runs, strict=True):
        best, result = recorded.best or {}, recorded.result or {}
        metrics = best.get("metrics", {})
        rows.append(
            [
                name,
                recorded.status,
                str(best.get("epoch", "-")),
                *(format_value(metrics[value]) if value in metrics else "-" for value in values),
                format_seconds(seconds) if (seconds := result.get("seconds")) else "-",
            ]
        )
    columns = ["run", "status", "best epoch", *values, "time"]
    return Section(
        "Best epochs",
        texts=_what_differs(runs),
        tables=[Table(columns, rows, numbers=range(2, len(columns)))],
    )


def _curves(runs: Sequence[Recorded], names: Sequence[str]) -> Section:
    figures, styles = {}, charts.run_styles(names)
    for value in dict.fromkeys(value for recorded in runs for value in recorded.values()):
        for phase, title in (("validation", "validation"), ("train", "training")):
            series = {
                name: recorded.series(value)[phase]
                for name, recorded in zip(names, runs, strict=True)
                if phase in recorded.series(value)
            }
            if series:
                title = f"{value}, {title}"
                figures[f"{value}_{phase}"] = charts.curve_over_epochs(title, series, styles=styles)
    return Section("Curves", figures=figures)


def _settings(runs: Sequence[Recorded], names: Sequence[str]) -> Section:
    """The settings in which they differ; what all have alike is left out."""
    values = [recorded.settings() for recorded in runs]
    paths = list(dict.fromkeys(path for settings in values for path in settings))
    rows = []
    for path in paths:
        cells = [plain(settings[path]) if path in settings else "-" for settings in values]
        if len(set(cells)) > 1:
            rows.append([path, *cells])
    texts = [] if rows else ["They have the same settings."]
    tables = [Table(["setting", *names], rows)] if rows else []
    return Section("Settings that differ between the runs", texts=texts, tables=tables)
