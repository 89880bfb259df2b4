"""report.html and plots/: a run as one page, whole in itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.report.comparison import compare_recorded, short_names
from framework.report.drawing import COLOURS, draw
from framework.report.findings import findings
from framework.report.judged import Judged
from framework.report.recorded import Recorded
from framework.report.sections import Section, configuration, curves, judgement, provenance, speed
from framework.run.console import format_seconds, format_value, plural
from framework.run.files import write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEMPLATE = Path(__file__).parent / "page.html.jinja"


def write_run_report(recorded: Recorded, judged: Judged | None = None, *, note: str | None = None) -> Path:
    """Write `report.html` and `plots/` into the folder of a run.

    The page needs no network and no JavaScript. It is made of what the run recorded; figures of single samples
    need the outputs of its model.

    Args:
        recorded: what the run recorded.
        judged: what its model gives for the validation data; None leaves those figures out.
        note: why they are left out.

    Returns:
        The page.

    Raises:
        RunDirectoryError: if the folder cannot be written.
    """
    tiles, of_samples = judgement(judged) if judged is not None else ([], [])
    found: list[Section | None] = [
        curves(recorded),
        *of_samples,
        Section("Single samples", texts=[note]) if note else None,
        speed(recorded),
        configuration(recorded),
        provenance(recorded),
    ]
    sections = [section for section in found if section is not None]
    page = recorded.run.report_file
    content = _render(
        sections,
        plots=recorded.run.plots,
        title=f"{recorded.config.scenario.name}: {recorded.run.path.name or recorded.run.path}",
        status=_status(recorded),
        headline=_headline(recorded, judged),
        when=_when(recorded),
        tiles=tiles,
        findings=findings(recorded),
        commands=_commands(recorded),
    )
    write_report(page, content)
    return page


def write_comparison(runs: Sequence[Recorded], page: Path) -> None:
    """Write a page that shows several runs side by side.

    Args:
        runs: what they recorded.
        page: the file.

    Raises:
        RunDirectoryError: if the file cannot be written.
    """
    names = short_names(runs)
    content = _render(
        compare_recorded(runs),
        title=plural(len(runs), "run"),
        status="compared",
        headline=", ".join(names),
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
    return template.render(
        colours=COLOURS,
        sections=[
            {
                "id": section.title.lower().replace(" ", "-"),
                "title": section.title,
                "texts": section.texts,
                "figures": [_element(name, figure, plots) for name, figure in section.figures.items()],
                "tables": section.tables,
                "samples": section.samples,
            }
            for section in sections
        ],
        **values,
    )


def _element(name: str, figure: Figure, plots: Path | None) -> str:
    drawn = draw(figure)
    if plots is not None:
        drawn.write(plots, name)
    return drawn.element(name)


def _status(recorded: Recorded) -> str:
    return str((recorded.result or {}).get("status", "in training")).replace("_", " ")


def _headline(recorded: Recorded, judged: Judged | None) -> str:
    result, best = recorded.result or {}, recorded.best
    epochs = recorded.config.trainer.epochs
    done = max((record["epoch"] for record in recorded.history), default=0)
    progress = f"{done:,} of {plural(epochs, 'epoch')}"
    if best is None:
        message = f": {result['message']}" if result.get("message") else ""
        return f"No epoch is best yet; {progress} done{message}."
    monitor = result.get("monitor")
    value = best["metrics"].get(monitor) if monitor else None
    what = f"{monitor} {format_value(value)}" if value is not None else "best"
    on = f", on {plural(len(judged.outputs), 'validation sample')}" if judged is not None else ""
    why = f" ({result['message']})" if result.get("message") else ""
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
    run, epochs = recorded.run.path, recorded.config.trainer.epochs
    commands = [f"resume-training {run} epochs={epochs + 10}"]
    if recorded.best:
        commands.insert(0, f"load-and-validate {run}")
    return commands
