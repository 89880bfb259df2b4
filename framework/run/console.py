"""Output for a person: progress, epochs and tables, as plain lines if the output is not a terminal."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column, Table

from framework.run.output import tolerant
from framework.run.speed import Speed

log = logging.getLogger("framework")

# Seconds between two reads of the metrics for a progress bar, and how many of them are shown in an epoch.
_BAR_SECONDS = 0.5
_RUNNING_VALUES = 2


class Console:
    """A printer to stdout that also logs what it prints to the log file.

    Args:
        output: the console to print to; None: stdout. Text that cannot be written is lost, without an error.
        progress_interval: seconds between two lines on the progress of an epoch, if the output is not a
            terminal.
    """

    def __init__(self, output: RichConsole | None = None, *, progress_interval: float = 30.0) -> None:
        self._rich = output or RichConsole(
            highlight=False, soft_wrap=not (sys.stdout and sys.stdout.isatty())
        )
        # A failing output must not end the run that it shows.
        self._rich.file = tolerant(self._rich.file)
        self._progress_interval = progress_interval

    def print(self, text: str = "", style: str | None = None) -> None:
        """Print a line."""
        self._rich.print(text, style=style, markup=False, highlight=False)
        self._note(text)

    def print_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table."""
        table = Table(title=title or None, title_justify="left")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self._rich.print(table, markup=False)
        for row in rows:
            self._note("  ".join(f"{column} {cell}" for column, cell in zip(columns, row, strict=True)))

    def print_epoch(
        self,
        epoch: int,
        epochs: int,
        metrics: Mapping[str, float],
        *,
        best: bool,
        learning_rate: float,
        speed: Speed,
    ) -> None:
        """Print the line of an epoch."""
        mark = "  (best)" if best else ""
        wait = "" if speed.input_wait is None else f"  {100 * speed.input_wait:.0f} % waiting for data"
        self.print(
            f"epoch {epoch:{len(str(epochs))}}/{epochs}  {_join(metrics)}{mark}  lr {learning_rate:.4g}  "
            f"{speed.seconds:.1f} s  {speed.samples_per_second:,.0f} samples/s{wait}",
            style="bold" if best else None,
        )

    def print_values(self, title: str, values: Mapping[str, float]) -> None:
        """Print a line of values, without the details, which have a slash in their names."""
        self.print(f"{title}  {_join(without_details(values))}")

    def print_details(self, values: Mapping[str, float]) -> None:
        """Print a table of the values with a slash in their names, if there are any.

        For example `fake/recall` is in the row `fake` and the column `recall`.
        """
        cells = {tuple(name.rsplit("/", 1)): value for name, value in values.items() if "/" in name}
        rows, columns = dict.fromkeys(row for row, _ in cells), dict.fromkeys(column for _, column in cells)
        if cells:
            shown = [_format_column([cells.get((row, column)) for row in rows]) for column in columns]
            self.print_table("", ("", *columns), list(zip(rows, *shown, strict=True)))

    @contextlib.contextmanager
    def show_progress(
        self,
        description: str,
        *,
        done: int,
        total: int,
        after: int,
        step_size: int,
        metrics: Callable[[], Mapping[str, float]],
    ) -> Iterator[EpochProgress]:
        """Show a bar for the steps of an epoch, or, without a terminal, a line now and then in a long one.

        Args:
            description: the name of the epoch.
            done, total: steps of the epoch that are done, and all of them.
            after: steps of the run that come after this epoch.
            step_size: samples in a step.
            metrics: returns loss and metrics of the epoch so far. It is called at most twice a second.
        """
        if not self._rich.is_terminal:

            def line(done: int, words: str) -> None:
                self.print(f"{description}: step {done:,}/{total:,}, {words} left in the epoch")

            yield EpochProgress(
                done, total, 0, step_size, metrics, line, every=self._progress_interval, at_end=False
            )
            return
        # Only the bar is shortened on a narrow terminal.
        count = MofNCompleteColumn(table_column=Column(no_wrap=True))
        columns = (TextColumn("{task.description}"), BarColumn(), count, TextColumn("{task.fields[words]}"))
        with Progress(*columns, console=self._rich, transient=True) as bar:
            task = bar.add_task(description, completed=done, total=total, words="")

            def update(done: int, words: str) -> None:
                bar.update(task, completed=done, words=f"{words} left")

            yield EpochProgress(
                done, total, after, step_size, metrics, update, every=_BAR_SECONDS, at_end=True
            )

    def _note(self, text: str) -> None:
        log.info("%s", text, extra={"file_only": True})


class EpochProgress:
    """The progress of an epoch, shown now and then.

    Args:
        done, total: steps of the epoch that are done, and all of them.
        after: steps after the epoch that count for the time that is left.
        step_size: samples in a step.
        metrics: returns loss and metrics of the epoch so far.
        show: shows the number of steps done, and a text with the metrics, the speed and the time that is
            left.
        every: seconds between two calls of `show`.
        at_end: whether the end of the epoch is shown, too.
    """

    def __init__(
        self,
        done: int,
        total: int,
        after: int,
        step_size: int,
        metrics: Callable[[], Mapping[str, float]],
        show: Callable[[int, str], None],
        *,
        every: float,
        at_end: bool,
    ) -> None:
        self._first = self._done = done
        self._total, self._after, self._step_size = total, after, step_size
        self._metrics, self._show = metrics, show
        self._every, self._at_end = every, at_end
        self._start = self._shown = time.perf_counter()

    def advance(self, steps: int) -> None:
        """Count steps as done, and show the progress if it is time.

        Args:
            steps: the number of steps, negative if the run goes back.
        """
        self._done += steps
        now = time.perf_counter()
        ends = self._done >= self._total
        if (
            self._done <= self._first
            or (ends and not self._at_end)
            or (not ends and now - self._shown < self._every)
        ):
            return
        self._shown = now
        rate = (self._done - self._first) / max(now - self._start, 1e-9)
        parts = [
            f"{name} {format_value(value)}" for name, value in list(self._metrics().items())[:_RUNNING_VALUES]
        ]
        left = format_seconds((self._total - self._done + self._after) / rate)
        self._show(self._done, ", ".join([*parts, f"{rate * self._step_size:,.0f} samples/s", left]))


def without_details(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values without those of a detailed report, which have a slash in their names."""
    return {name: value for name, value in values.items() if "/" not in name}


def _join(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {format_value(value)}" for name, value in values.items())


def format_value(value: float | None) -> str:
    """Format a metric with four decimals, or with four significant digits if it is small or large.

    None is nan, since files have null for it: JSON has no NaN.
    """
    if value is None:
        return "nan"
    return f"{value:.4g}" if abs(value) < 0.001 or abs(value) >= 10_000 else f"{value:.4f}"


def _format_column(values: Sequence[float | None]) -> list[str]:
    """Format a column of a table: as whole numbers if all of its values are counts. None is an empty cell."""
    known = [value for value in values if value is not None]
    counts = all(float(value).is_integer() for value in known) and any(value > 1 for value in known)
    return ["" if value is None else f"{value:,.0f}" if counts else format_value(value) for value in values]


def format_seconds(seconds: float) -> str:
    """Format a duration: `42 s`, `3:07`, `1:02:05`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def plural(count: int, noun: str) -> str:
    """Format a count with its noun: `1 epoch`, `2 epochs`, `1,000 steps`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
