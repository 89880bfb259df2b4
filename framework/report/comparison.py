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
    return Section("Best epochs", tables=[Table(columns, rows, numbers=range(2, len(columns)))])


def _curves(runs: Sequence[Recorded], names: Sequence[str]) -> Section:
    figures = {}
    for value in dict.fromkeys(value for recorded in runs for value in recorded.values()):
        for phase, title in (("validation", "validation"), ("train", "training")):
            series = {
                name: recorded.series(value)[phase]
                for name, recorded in zip(names, runs, strict=True)
                if phase in recorded.series(value)
            }
            if series:
                figures[f"{value}_{phase}"] = charts.curve_over_epochs(f"{value}, {title}", series)
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
