"""The training of a scenario in a run directory, from its start or resume to its result."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.config.changes import check_changes, describe_changes
from framework.errors import Interrupted, RunDirectoryError
from framework.model.export import fault_of
from framework.report.report_run import report_at_end
from framework.run.checkpoint import CheckpointStore
from framework.run.console import Console
from framework.run.files import strict_json, write_atomically
from framework.run.logs import run_log
from framework.run.run_directory import RunDirectory
from framework.run.run_records import RunStateFile
from framework.run.signals import Interruption
from framework.scenario import Scenario, scenario_of
from framework.training.announcement import Changes
from framework.training.session import Session
from framework.training.state import BestEpoch, Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """The end of a run; `result.json` holds the same.

    Args:
        status: `finished`, `stopped_early`, `interrupted` or `failed`.
        epochs: epochs done.
        steps: training steps done.
        best: the best epoch and all its metrics, `{"epoch": 3, "step": 84, "metrics": {...}}`; None where no
            epoch was best.
        final: metrics of the last epoch.
        seconds: time spent, all sessions together.
        message: why it stopped early, was interrupted, or failed.
        left_out: the steps, counted from 0, that changed nothing, because their numbers were not finite
            (`trainer.on_nan`).
        monitor, mode: the value that decides which epoch is best, and whether the lowest ("min") or the
            highest ("max") of it is.
        phases: the seconds of each phase, which add up to `seconds`: `start` (building data and model), `train`
            (steps), `input_wait` (waiting for batches, as the loop estimates it), `weights` (making those that are validated: averages,
            BatchNorm statistics), `validation`, `validation/raw`, `lav`, `checkpoint`, `export`, `other`. None where
            the run ended before it was built.
    """

    status: str
    epochs: int
    steps: int
    best: BestEpoch | None
    final: Mapping[str, float]
    seconds: float
    message: str | None = None
    left_out: Sequence[int] = ()
    monitor: str | None = None
    mode: str | None = None
    phases: Mapping[str, float] | None = None


class Trainer:
    """Trains a scenario in a run directory.

        result = Trainer(scenario, RunDirectory.create("outputs/run1")).train()
        result = Trainer.resume("outputs/run1", "epochs=60").train()

    Args:
        scenario: what to train.
        run: where. A folder from `RunDirectory.create` becomes a run when data and model are known to be
            sound.
        console: where progress is shown; None is stdout.
        interruption: takes the signals that end the run in good order.
        changes: the settings that are not what the run had before, as `resume` finds them.

    Attributes:
        interruption: as it was given.
        session: the session in progress; None before the first.

    Raises:
        ScenarioError: where the data cannot be used.
    """

    def __init__(
        self,
        scenario: Scenario,
        run: RunDirectory,
        *,
        console: Console | None = None,
        interruption: Interruption | None = None,
        changes: Changes | None = None,
    ) -> None:
        self.scenario = scenario
        self.run = run
        with self._leaving_nothing():
            _ = scenario.config  # what the data have to say is asked before anything is built
        self._console = console or Console()
        self.interruption = interruption or Interruption()
        self._changes = changes or {}
        self.session: Session | None = None

    @classmethod
    def resume(
        cls,
        path: str | Path,
        *overrides: str,
        console: Console | None = None,
        interruption: Interruption | None = None,
    ) -> Trainer:
        """Take up an existing run where its newest intact checkpoint left it.

        Args:
            path: the run directory, wherever it is now.
            overrides: changes of its config, such as `epochs=60`. They are checked for what they would break,
                and kept.
            console, interruption: as for a new run.

        Raises:
            ScenarioError: where the folder is not a run, is in use, or cannot be continued with these
                changes.
        """
        run = RunDirectory.open(path)
        run.check_not_in_use()  # answered before TensorFlow is loaded
        before = run.load_config()
        scenario = scenario_of(run.load_config(overrides) if overrides else before)
        changes = describe_changes(before, scenario.config) if overrides else {}
        check_changes(changes)
        return cls(scenario, run, console=console, interruption=interruption, changes=changes)

    def ended(self) -> Result | None:
        """Return the result of a run that has nothing left to do, or None. A run that lost its exported model
        has that left to do."""
        found = self.run.load_result() if self.run.claimed else None
        if found is None or found["status"] not in ("finished", "stopped_early") or fault_of(self.run.export):
            return None
        more = (
            self._changes
            if found["status"] == "stopped_early"
            else self.scenario.config.trainer.epochs > found["epochs"]
        )
        return None if more else _result_of(found)

    def train(self) -> Result:
        """Train to the last epoch, to early stopping, or to an interruption.

        Returns:
            How it ended. A run that had ended before is left as it is.

        Raises:
            Interrupted: after a signal, when everything is saved.
            ScenarioError: where it cannot go on.
        """
        earlier = self.ended()
        if earlier is not None:
            return earlier
        with run_log() as log_to, contextlib.ExitStack() as held:
            # From here on, since what is built may wait for data that do not come.
            held.enter_context(self.interruption.listening(self.give_up))
            if self.run.claimed:
                held.enter_context(self.run.lock())
            try:
                session = self._prepare()
                self.interruption.check()
            except Interrupted as error:
                self._note_interruption(str(error))
                raise
            if not self.run.claimed:
                self.run.claim(self.scenario.config)
                held.enter_context(self.run.lock())
            self.session = session
            held.enter_context(self._answering_for_the_disk())
            log_to(self.run.log_file)
            resumed = session.restore(self._changes)
            if self._changes or self.run.config_lost:
                self.run.save_config(self.scenario.config)
                self.run.result_file.unlink(missing_ok=True)  # of the run as it was; this one has not ended
            return self._run(session, resumed=resumed)

    def _prepare(self) -> Session:
        """Build everything before the folder becomes a run, so that nothing is left behind where that
        fails."""
        with self._leaving_nothing():
            return Session(self.scenario, self.run, self._console, self.interruption)

    @contextlib.contextmanager
    def _leaving_nothing(self) -> Iterator[None]:
        """Remove the empty folder of a new run where something is raised."""
        try:
            yield
        except BaseException:
            if not self.run.claimed:
                with contextlib.suppress(OSError):
                    self.run.path.rmdir()
            raise

    def _run(self, session: Session, *, resumed: bool) -> Result:
        try:
            session.train(self._changes, resumed=resumed)
            reason = session.state.progress.stopped
            result = self._write_result(session, "stopped_early" if reason else "finished", reason)
            session.tensorboard.end(session.state.progress, result.status)
            components = session.components
            report_at_end(
                self.run,
                self.scenario,
                training=components.source,
                validation=components.validator.source if components.validator else None,
                events=session.events,
                check=self.interruption.check,
            )
            return result
        except Interrupted as error:
            self._write_result(session, "interrupted", str(error))
            session.tensorboard.end(session.state.progress, "interrupted")
            raise
        except BaseException as error:
            log.error("the run failed", extra={"file_only": True}, exc_info=error)
            with contextlib.suppress(OSError):  # it may be the very disk that is full
                self._write_result(session, "failed", f"{type(error).__name__}: {error}")
            session.tensorboard.end(session.state.progress, "failed")
            raise

    @contextlib.contextmanager
    def _answering_for_the_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunDirectoryError(
                f"the run cannot be written: {error}",
                hint="correct that, then continue from the newest checkpoint: resume-training "
                f"{self.run.path}",
            ) from error

    def give_up(self, number: int) -> None:
        """Note that the run hangs and is about to be ended. It can be resumed from its newest checkpoint."""
        message = f"ended by signal {number} while it hung"
        if self.session is None:
            self._note_interruption(message)
            return
        log.error("%s", message, extra={"file_only": True})
        self._write_result(self.session, "interrupted", message)

    def _note_interruption(self, message: str) -> None:
        """Note in result.json how far a run is that was interrupted before its parts were built. One that had
        ended is left as it is."""
        earlier = self.run.load_result() or {}
        if not self.run.claimed or earlier.get("status") in ("finished", "stopped_early"):
            return
        store = CheckpointStore(self.run.checkpoints, holds=RunStateFile)
        progress = Progress.of((store.newest_state() or {}).get("progress", {}))
        with contextlib.suppress(OSError):
            result = _result(progress, "interrupted", message, progress.seconds)
            self._write(dataclasses.replace(result, monitor=earlier.get("monitor"), mode=earlier.get("mode")))

    def _write_result(self, session: Session, status: str, message: str | None) -> Result:
        result = _result(session.state.progress, status, message, session.clock.run_seconds())
        monitor, mode = session.components.monitor, session.early_stopping.mode
        phases = session.phase_seconds()
        result = dataclasses.replace(result, monitor=monitor, mode=mode, phases=phases)
        self._write(result)
        return result

    def _write(self, result: Result) -> None:
        write_atomically(self.run.result_file, strict_json(dataclasses.asdict(result), indent=2))


def _result(progress: Progress, status: str, message: str | None, seconds: float) -> Result:
    return Result(
        status=status,
        epochs=progress.epoch,
        steps=progress.step,
        best=progress.best,
        final=progress.final,
        seconds=round(seconds, 3),
        message=message,
        left_out=progress.left_out,
    )


def _result_of(found: Mapping[str, Any]) -> Result:
    values: dict[str, Any] = {field.name: found.get(field.name) for field in dataclasses.fields(Result)}
    return Result(**values)
