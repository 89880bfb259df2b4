"""What a person sees: progress, one line an epoch, tables; plain lines where the output is no terminal."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from framework.output import tolerant

log = logging.getLogger("framework")


class Console:
    """Prints to stdout, and notes what it prints in the log file.

    Args:
        output: where to print; None is stdout.
    """

    def __init__(self, output: RichConsole | None = None) -> None:
        self._rich = output or RichConsole(highlight=False, soft_wrap=not (sys.stdout and sys.stdout.isatty()))
        # What cannot be shown is no reason to end what is shown.
        self._rich.file = tolerant(self._rich.file)

    def print(self, text: str = "", style: str | None = None) -> None:
        """A line."""
        self._rich.print(text, style=style, markup=False, highlight=False)
        self._note(text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table."""
        table = Table(title=title or None, title_justify="left")
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self._rich.print(table, markup=False)
        for row in rows:
            self._note("  ".join(f"{column} {cell}" for column, cell in zip(columns, row, strict=True)))

    def epoch(
        self, epoch: int, epochs: int, metrics: Mapping[str, float], *, best: bool, seconds: float, samples_per_second: float
    ) -> None:
        """The one line of an epoch."""
        values = _join(metrics)
        mark = "  (best)" if best else ""
        self.print(
            f"epoch {epoch:{len(str(epochs))}}/{epochs}  {values}{mark}  {seconds:.1f} s  {samples_per_second:,.0f} samples/s",
            style="bold" if best else None,
        )

    def values(self, title: str, values: Mapping[str, float]) -> None:
        """A line of values; those with a slash in their names are details, and not in it."""
        self.print(f"{title}  {_join(without_details(values))}")

    def details(self, values: Mapping[str, float]) -> None:
        """A table of the values with a slash in their names: `fake/recall` is in the row `fake` and the column `recall`. Nothing
        where there is none."""
        cells = {tuple(name.rsplit("/", 1)): value for name, value in values.items() if "/" in name}
        rows, columns = dict.fromkeys(row for row, _ in cells), dict.fromkeys(column for _, column in cells)
        if cells:
            self.table(
                "",
                ("", *columns),
                [
                    (row, *(format_value(cells[row, column]) if (row, column) in cells else "" for column in columns))
                    for row in rows
                ],
            )

    @contextlib.contextmanager
    def progress(self, description: str, *, done: int, total: int, step_size: int) -> Iterator[EpochProgress]:
        """A bar for the steps of an epoch; nothing where the output is no terminal."""
        if not self._rich.is_terminal:
            yield EpochProgress(None, step_size)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}"))
        with Progress(*columns, console=self._rich, transient=True) as bar:
            bar.add_task(description, completed=done, total=total, words="")
            yield EpochProgress(bar, step_size)

    def _note(self, text: str) -> None:
        log.info("%s", text, extra={"file_only": True})


class EpochProgress:
    """The bar of an epoch.

    Args:
        bar: the bar with one task; None shows nothing.
        step_size: samples of a step.
    """

    def __init__(self, bar: Progress | None, step_size: int) -> None:
        self._bar = bar
        self._step_size = step_size
        self._start = time.perf_counter()
        self._advanced = 0

    def advance(self, steps: int, *, left_in_run: int) -> None:
        """Steps were done.

        Args:
            steps: how many.
            left_in_run: how many the run still has.
        """
        if self._bar is None:
            return
        self._advanced += steps
        rate = self._advanced / max(time.perf_counter() - self._start, 1e-9)
        words = f"{rate * self._step_size:,.0f} samples/s, {format_seconds(left_in_run / rate)} left"
        self._bar.update(self._bar.task_ids[0], advance=steps, words=words)


def without_details(values: Mapping[str, float]) -> dict[str, float]:
    """The values but for those of a detailed report, whose names have a slash in them."""
    return {name: value for name, value in values.items() if "/" not in name}


def _join(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {format_value(value)}" for name, value in values.items())


def format_value(value: float | None) -> str:
    """A metric as one reads it: four significant digits; nan where a file has null, since JSON has no NaN."""
    if value is None:
        return "nan"
    return f"{value:.4g}" if abs(value) < 0.001 or abs(value) >= 10_000 else f"{value:.4f}"


def _format_detail(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value > 1 and value.is_integer() else format_value(value)


def format_seconds(seconds: float) -> str:
    """A duration as one reads it: `42 s`, `3:07`, `1:02:05`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def plural(count: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`, `1,000 steps`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
