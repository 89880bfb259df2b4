"""report_run: the report of a run, whatever state it is in."""

from __future__ import annotations

import logging
from pathlib import Path

from framework.data.source import Split
from framework.errors import ScenarioError, reason_of
from framework.model.export import load_model
from framework.report.judged import Judged, judge
from framework.report.recorded import Recorded
from framework.report.report import write_run_report
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario, scenario_of
from framework.splits import prepare_source

log = logging.getLogger("framework")


def report_run(run: str | Path) -> Path:
    """Write `report.html` and `plots/` of a run: one that has ended, or failed, or is in training.

    Where the model or the data cannot be loaded, the report says why, and has what was recorded.

    Args:
        run: the run directory.

    Returns:
        The page.

    Raises:
        RunDirectoryError: if the folder is not a run directory, or cannot be written.
    """
    directory = RunDirectory.open(run)
    recorded = Recorded.of(directory)
    judged, note = _judge(directory, scenario_of(recorded.config))
    return write_run_report(recorded, judged, note=note)


def report_at_end(run: RunDirectory, scenario: Scenario) -> Path | None:
    """Write the report of a run that ends. What cannot be drawn, or written, is a warning: it never ends a run.

    Returns:
        The page; None if it could not be written.
    """
    try:
        judged, note = _judge(run, scenario)
        return write_run_report(Recorded.of(run), judged, note=note)
    except Exception as error:
        log.warning("the report could not be written: %s: %s", type(error).__name__, reason_of(error))
        log.debug("the report could not be written", exc_info=error)
        return None


def _judge(run: RunDirectory, scenario: Scenario) -> tuple[Judged | None, str | None]:
    """Run the best model over the validation data; else say why not."""
    try:
        if not scenario.config.data.has_validation():
            return None, "The run has no validation data, so there are no figures of single samples."
        source = prepare_source(scenario, Split.VALIDATION)
        model = load_model(run.exported("best"), scenario.build_model)
        judged = judge(model, scenario, source)
    except ScenarioError as error:
        return None, f"There are no figures of single samples: {reason_of(error)}."
    return judged, None
