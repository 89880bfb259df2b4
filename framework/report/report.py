"""report.html and plots/: a run as one page, whole in itself."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from framework.errors import reason_of
from framework.report import course
from framework.report.comparison import compare_recorded, headline
from framework.report.drawing import COLOURS, Drawn, draw
from framework.report.findings import findings
from framework.report.fit_findings import more_epochs
from framework.report.judged import Judged
from framework.report.recorded import Recorded
from framework.report.sections import Finding, Section, Tile, configuration, judgement, provenance
from framework.run.console import format_seconds, format_value, plural
from framework.run.files import write_report

log = logging.getLogger("framework")
T = TypeVar("T")

_TEMPLATE = Path(__file__).parent / "page.html.jinja"


def write_run_report(
    recorded: Recorded,
    judged: Judged | None = None,
    *,
    note: str | None = None,
    balance: Section | None = None,
) -> Path:
    """Write `report.html` and `plots/` into the folder of a run.

    The page needs no network and no JavaScript. It is made of what the run recorded; figures of single samples
    need the outputs of its model. A part or a figure that cannot be made is left out, with a sentence in its place.

    Args:
        recorded: what the run recorded.
        judged: what its model gives for the validation data; None leaves those figures out.
        note: why they are left out.
        balance: how many samples each class has; None leaves that out.

    Returns:
        The page.

    Raises:
        RunDirectoryError: if the page cannot be written.
    """
    tiles: list[Tile] = []

    def of_samples() -> list[Section]:
        if judged is None:
            return [Section("Single samples", texts=[note])] if note else []
        found, sections = judgement(judged)
        tiles.extend(found)
        return sections

    sections = [
        *_part("Curves", lambda: [course.curves(recorded)]),
        *_part("Single samples", of_samples),
        *([balance] if balance is not None else []),
        *_part("Time", lambda: [course.time(recorded)]),
        *_part("Settings that differ from the defaults", lambda: [configuration(recorded)]),
        *_part("Provenance", lambda: [provenance(recorded)]),
    ]
    page = recorded.run.report_file
    content = _render(
        sections,
        plots=recorded.run.plots,
        title=f"{recorded.config.scenario.name}: {recorded.run.path.name or recorded.run.path}",
        status=recorded.status,
        headline=_or("the headline", lambda: _headline(recorded, judged), ""),
        when=_or("the times", lambda: _when(recorded), ""),
        tiles=tiles,
        findings=_or("the answers", lambda: findings(recorded, judged), list[Finding]()),
        commands=_commands(recorded),
    )
    write_report(page, content)
    return page


def _part(title: str, make: Callable[[], Sequence[Section | None]]) -> list[Section]:
    """Make a part of the page. Where that fails, a sentence takes its place."""
    try:
        return [section for section in make() if section is not None]
    except Exception as error:  # whatever it is: the rest of the page is worth having
        return [Section(title, texts=[_cannot(f"{title!r} of the report", error)])]


def _or(what: str, make: Callable[[], T], other: T) -> T:
    """Make something of the first screen; something else where that fails."""
    try:
        return make()
    except Exception as error:  # as for a part
        _cannot(what, error)
        return other


def _cannot(what: str, error: Exception) -> str:
    reason = f"{type(error).__name__}: {reason_of(error)}"
    log.warning("%s cannot be made: %s", what, reason)
    log.debug("%s cannot be made", what, exc_info=error)
    return f"{what[:1].upper()}{what[1:]} cannot be made: {reason}"


def write_comparison(runs: Sequence[Recorded], page: Path) -> None:
    """Write a page that shows several runs side by side.

    Args:
        runs: what they recorded.
        page: the file.

    Raises:
        RunDirectoryError: if the file cannot be written.
    """
    content = _render(
        compare_recorded(runs),
        title=plural(len(runs), "run"),
        status="compared",
        headline=headline(runs),
        when="",
        tiles=[],
        findings=[],
        commands=[f"report-run {recorded.run.path}" for recorded in runs],
    )
    write_report(page, content)


def _render(sections: Sequence[Section], *, plots: Path | None = None, **values: Any) -> str:
    """The page of these sections. Their figures are written to `plots`, too."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    figures = _Figures(plots)
    return template.render(
        colours=COLOURS,
        sections=[
            {
                "id": re.sub(r"\W+", "-", section.title.lower()),
                "title": section.title,
                "figures": figures.elements(section),
                "texts": [*section.texts, *figures.take_faults()],
                "tables": section.tables,
                "samples": section.samples,
            }
            for section in sections
        ],
        **values,
    )


class _Figures:
    """The figures of a page: as elements of it, and as files. What cannot be drawn, or written, is left out.

    Args:
        folder: for the files; None: there are none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._names: set[str] = set()
        self._faults: list[str] = []

    def elements(self, section: Section) -> list[str]:
        """Draw the figures of a section, in their order."""
        found = []
        for given, figure in section.figures.items():
            name = re.sub(r"[^\w.-]+", "-", given).strip(".")
            while name in self._names:  # those of evaluators may have any
                name += "_"
            self._names.add(name)
            try:
                drawn = draw(figure)
                found.append(drawn.element(name))
            except Exception as error:  # matplotlib can raise anything
                self._faults.append(_cannot(f"the figure {name}", error))
                continue
            self._write(drawn, name)
        return found

    def take_faults(self) -> list[str]:
        """Return why figures are missing, since the call before."""
        faults, self._faults = self._faults, []
        return faults

    def _write(self, drawn: Drawn, name: str) -> None:
        if self._folder is None:
            return
        try:
            drawn.write(self._folder, name)
        except OSError as error:
            log.warning("no figures are written to %s: %s", self._folder, error.strerror or error)
            self._folder = None


def _headline(recorded: Recorded, judged: Judged | None) -> str:
    result, best = recorded.result or {}, recorded.best
    epochs = recorded.config.trainer.epochs
    done = max((record["epoch"] for record in recorded.history), default=0)
    progress = f"{done:,} of {plural(epochs, 'epoch')}"
    if best is None:
        return f"No epoch is best yet; {progress} done."
    monitor = recorded.monitor
    value = best["metrics"].get(monitor) if monitor else None
    what = f"{monitor} {format_value(value)}" if value is not None else "best"
    on = f", on {plural(len(judged.outputs), 'validation sample')}" if judged is not None else ""
    why = f" ({result['message']})" if recorded.status == "stopped early" else ""
    return f"{what} at epoch {best['epoch']:,}, the best of {progress}{on}{why}."


def _when(recorded: Recorded) -> str:
    times = recorded.times()
    if not times:
        return ""
    text = f"From {times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M}"
    seconds = (recorded.result or {}).get("seconds")
    sessions = f" in {plural(len(recorded.sessions), 'session')}" if len(recorded.sessions) > 1 else ""
    return f"{text}, {format_seconds(seconds)} of work{sessions}." if seconds else f"{text}."


def _commands(recorded: Recorded) -> list[str]:
    run = recorded.run.path
    judging = [f"load-and-validate {run}{'' if recorded.config.data.has_validation() else ' --split train'}"]
    if recorded.status == "in training":
        after = [f"report-run {run}"]
    elif recorded.status in ("finished", "stopped early"):
        epochs = more_epochs(recorded)
        after = [] if epochs is None else [f"resume-training {run} epochs={epochs}"]
    else:
        after = [f"resume-training {run}"]
    return [*(judging if recorded.best else []), *after]


def write_page(
    page: Path,
    sections: Sequence[Section],
    *,
    title: str,
    status: str,
    headline: str,
    commands: Sequence[str],
) -> None:
    """Write a page of sections in the style of the report.

    Args:
        page: the file.
        sections: what is in it.
        title, status, headline: of the page.
        commands: what may be typed next.

    Raises:
        RunDirectoryError: if the file cannot be written.
    """
    content = _render(
        sections,
        title=title,
        status=status,
        headline=headline,
        when="",
        tiles=[],
        findings=[],
        commands=commands,
    )
    write_report(page, content)
