"""report_run: the report of a run, whatever state it is in."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from framework.data.source import Source, Split
from framework.errors import Interrupted, ScenarioError, reason_of
from framework.model.export import load_model
from framework.report.class_balance import class_balance
from framework.report.judged import Judged, judge
from framework.report.recorded import Recorded
from framework.report.report import write_run_report
from framework.report.tensorboard import figures_of
from framework.run.event_files import EventFiles
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario, scenario_of
from framework.splits import limited, overfitted, prepare_source

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
    scenario = scenario_of(recorded.config)
    return _write(recorded, scenario, _judge(recorded, scenario), _open_training(scenario))


def report_at_end(
    run: RunDirectory,
    scenario: Scenario,
    *,
    training: Source | None = None,
    validation: Source | None = None,
    events: EventFiles | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write the report of a run that ends, and the figures of its best model for TensorBoard.

    What cannot be drawn, or written, is a warning: it never ends a run.

    Args:
        run: the run directory.
        scenario: what was trained; `trainer.report` says whether there is a report.
        training, validation: its samples, where they are open already; None: they are opened.
        events: where TensorBoard gets the figures from; None: there are none.
        check: called between batches; raises `Interrupted` after a signal, which leaves the report out.
    """
    if not scenario.config.trainer.report and events is None:
        return
    try:
        recorded = Recorded.of(run)
        judgement = _judge(recorded, scenario, validation, check)
        if scenario.config.trainer.report:
            with _warning_instead("the report could not be written"):
                _write(recorded, scenario, judgement, training or _open_training(scenario))
        if events is not None and judgement.judged is not None:
            with _warning_instead("TensorBoard gets no figures of the best model"):
                best = recorded.best
                events.write("best", best["step"] if best else 0, figures_of(judgement.judged))
                events.close()
    except Interrupted as error:
        log.warning("%s: the report was left out; report-run %s writes it", error, run.path)


@contextlib.contextmanager
def _warning_instead(what: str) -> Iterator[None]:
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        log.warning("%s: %s: %s", what, type(error).__name__, reason_of(error))
        log.debug("%s", what, exc_info=error)


@dataclasses.dataclass(frozen=True)
class _Judgement:
    """What the best model gives for the validation samples, where there are both; else a note says why not."""

    validation: Source | None
    judged: Judged | None
    note: str | None


def _judge(
    recorded: Recorded,
    scenario: Scenario,
    validation: Source | None = None,
    check: Callable[[], None] = lambda: None,
) -> _Judgement:
    judged, note = None, None
    try:
        validation = validation or _open_validation(scenario)
        if validation is None:
            note = "The run has no validation data, so there are no figures of single samples."
        else:
            model = load_model(recorded.run.exported("best"), scenario.build_model)
            judged = judge(model, scenario, validation, check=check)
    except Interrupted:
        raise
    except ScenarioError as error:
        note = f"There are no figures of single samples: {' '.join(str(error).split())}"
    except Exception as error:  # the scenario's own code, and the libraries, can raise anything
        note = f"There are no figures of single samples: {type(error).__name__}: {reason_of(error)}."
        log.warning("the best model could not be judged: %s: %s", type(error).__name__, reason_of(error))
        log.debug("the best model could not be judged", exc_info=error)
    return _Judgement(validation, judged, note)


def _write(recorded: Recorded, scenario: Scenario, judgement: _Judgement, training: Source | None) -> Path:
    validation, judged = judgement.validation, judgement.judged
    splits = {"training": training} | ({"validation": validation} if validation is not None else {})
    balance = class_balance(scenario, splits, judged)
    return write_run_report(_with_monitor(recorded, scenario), judged, note=judgement.note, balance=balance)


def _open_validation(scenario: Scenario) -> Source | None:
    """Open what the run was validated on; None where it has no validation data."""
    if scenario.config.trainer.overfit_batches is not None:
        return overfitted(scenario, prepare_source(scenario, Split.TRAIN))
    return prepare_source(scenario, Split.VALIDATION) if scenario.config.data.has_validation() else None


def _open_training(scenario: Scenario) -> Source | None:
    """Open the training samples, to see how many there are of each class. None where they cannot be opened, or
    opening them would read them all."""
    try:
        given = scenario.source(Split.TRAIN)
    except Exception as error:  # data may have gone since; and it is the scenario's own code
        log.debug("the training data cannot be opened", exc_info=error)
        return None
    return overfitted(scenario, limited(scenario, given)) if isinstance(given, Source) else None


def _with_monitor(recorded: Recorded, scenario: Scenario) -> Recorded:
    """Fill in what is monitored, where the run has not ended yet, and its config leaves that to the scenario."""
    if recorded.monitor is not None:
        return recorded
    with contextlib.suppress(Exception):  # it is the scenario's own code
        return dataclasses.replace(recorded, monitor=scenario.objective().monitor)
    return recorded
