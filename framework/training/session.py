"""One session of training: the walk through the epochs."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from framework.data.source import raise_unreadable
from framework.errors import Interrupted, NumericsError, RunDirectoryError
from framework.model.export import add_saved_model, export_model
from framework.model.post_hoc_ema import power_average
from framework.model.trace_nan import watching, what_was_bad
from framework.run.checkpoint import CheckpointStore, CheckpointWriter, Snapshot, copy_variables
from framework.run.console import Console, plural
from framework.run.device import describe_hardware
from framework.run.profiler import Profiler
from framework.run.recorder import Recorder
from framework.run.run_directory import RunDirectory
from framework.run.run_records import RunStateFile
from framework.run.speed import Speed, Stopwatch
from framework.scenario import Scenario
from framework.training.announcement import MONITOR, announce
from framework.training.components import Components
from framework.training.due import Due
from framework.training.early_stopping import EarlyStopping
from framework.training.epoch_evaluation import EpochEvaluation
from framework.training.monitor import describe_monitor
from framework.training.nan_recovery import NanRecovery, describe_bad_step
from framework.training.state import TrainingState
from framework.training.validation import metric_values

log = logging.getLogger(__name__)


class Session:
    """One start or resume of a run.

    Args:
        scenario: what to train.
        run: where to write; nothing is written before `train`.
        console: where progress is shown.
        check_interruption: raises `Interrupted` after a signal.

    Raises:
        ScenarioError: where data, model and settings do not go together.
    """

    def __init__(
        self, scenario: Scenario, run: RunDirectory, console: Console, check_interruption: Callable[[], None]
    ) -> None:
        self.run, self.console = run, console
        self._check_interruption = check_interruption
        self._settings = scenario.config.trainer
        self._store = CheckpointStore(
            run.checkpoints, keep=self._settings.keep_checkpoints, holds=RunStateFile
        )
        self._averages_store = CheckpointStore(run.averages)
        self.components = components = Components(scenario, fresh=not self._store.steps(), lav_folder=run.lav)
        with self._watching():
            components.loop.prepare(components.batches(0))
        self._early_stopping = EarlyStopping(
            scenario.config.early_stopping, components.mode, components.earlier_mode
        )
        self._due = Due(self._settings, components.steps_per_epoch)
        self._evaluation = EpochEvaluation(components, run, self._due, check_interruption)
        self._recorder = Recorder(run.metrics_file, run.tensorboard if self._settings.tensorboard else None)
        chosen = self._settings.profile_steps
        self._profiler = Profiler(
            run.tensorboard if self._settings.profile or chosen else None, self._due, chosen
        )
        self._fingerprint = components.source.fingerprint()
        self.state = TrainingState(
            components.model,
            self._early_stopping,
            self._recorder,
            components.averages,
            steps_per_epoch=components.steps_per_epoch,
            data=self._fingerprint,
            plateau=components.plateau,
        )
        self._nan_recovery = NanRecovery(components, self.state, self._settings.on_nan, check_interruption)
        self._clock = self._saved_at = self._session_started = time.perf_counter()
        self._recalibration_seconds = 0.0

    def restore(self, changes: Mapping[str, tuple[Any, Any]]) -> bool:
        """Take up the newest intact checkpoint, where there is one. The run is not changed where that fails.

        Args:
            changes: the settings that are not what the run had before.

        Returns:
            Whether there was one.

        Raises:
            RunDirectoryError: where no checkpoint is intact, or the newest does not fit model and data.
        """
        snapshot = self._store.load_newest()
        if snapshot is None:
            self._recorder.restore([])  # what was recorded before anything could be saved happens anew
            return False
        self._check_data(snapshot.state)
        new_monitor = bool(MONITOR & set(changes))
        self.state.restore(snapshot, new_optimizer="optimizer.name" in changes, new_monitor=new_monitor)
        self._averages_store.drop_after(snapshot.step)
        progress = self.state.progress
        if changes:
            progress.stopped = None
        if not self._due.is_last(progress.epoch, progress.stopped):
            self.state.go_on()
        progress.best = self._evaluation.best_model.take_up(progress.best)
        self._keep_mode()
        return True

    def _keep_mode(self) -> None:
        """A run goes on with the mode that it was begun with. Earlier versions took the scenario's mode,
        whatever was monitored."""
        monitor, begun, now = self.components.monitor, self._early_stopping.mode, self.components.mode
        if begun != now:
            log.warning(
                "the run was begun with the %s as best, and goes on so; for the %s: resume-training %s "
                "early_stopping.mode=%s",
                describe_monitor(monitor, begun),
                describe_monitor(monitor, now),
                self.run.path,
                now,
            )
        self.components.mode = begun

    def _check_data(self, state: Mapping[str, Any]) -> None:
        """A step stands for certain samples, so other data, or another number of steps, would make another
        run of it."""
        steps, now = state["steps_per_epoch"], self.components.steps_per_epoch
        samples, found = state.get("data"), self._fingerprint
        what = None
        if samples not in (None, found):
            what = f"were {samples}, and are {found} now"
        elif steps != now:
            what = f"made {plural(steps, 'step')} an epoch, and would make {now:,} now"
        if what:
            raise RunDirectoryError(
                f"the training data of {self.run.path} are not what they were: they {what}",
                hint=f"bring them back, or start a new run with warmstart.model={self.run.path}",
            )

    def train(self, changes: Mapping[str, tuple[Any, Any]], *, resumed: bool) -> None:
        """From where the run is to its end.

        Args:
            changes: as for `restore`.
            resumed: what `restore` gave.
        """
        self._clock = self._saved_at = self._session_started = time.perf_counter()
        closing = contextlib.closing
        with (
            CheckpointWriter() as self._writer,
            closing(self._recorder),
            closing(self._profiler),
            closing(self.components.callbacks),
        ):
            progress = self.state.progress
            if newer := self.run.changed_versions():
                listed = ", ".join(f"{name} {now} (before: {then})" for name, (then, now) in newer.items())
                log.warning(
                    "continued with %s: the same bits are promised for the same versions only", listed
                )
            self.run.record_session(
                started_at_step=progress.step,
                changes={path: list(values) for path, values in changes.items()},
                hardware=describe_hardware(self.components.scenario.config.device),
            )
            announce(self.console, self.components, progress, self.run, resumed=resumed, changes=changes)
            if resumed and changes:
                self._checkpoint()  # of a run that had stopped, the older one says so, and a kill would leave it at that
            else:
                self._nan_recovery.keep(self.state.snapshot())
            self._batches = self.components.batches(progress.step)
            try:
                while not self._due.is_last(progress.epoch, progress.stopped):
                    self._end_epoch(self._train_epoch())
                self._finish()
            except (Interrupted, NumericsError):
                # The state is the one after the last whole step; what is saved must be sound, too.
                if self._nan_recovery.found(thorough=True):
                    self._nan_recovery.go_back()
                self._checkpoint()
                self.console.print(f"saved at step {progress.step:,}: resume-training {self.run.path}")
                raise

    def seconds(self) -> float:
        """Time spent on the run, all sessions together."""
        return self.state.progress.seconds + time.perf_counter() - self._clock

    def _train_epoch(self) -> Speed:
        """The steps of the epoch that are still to do. Gives how fast they went."""
        progress, settings = self.state.progress, self._settings
        first, end = progress.step, self._due.end_of_epoch(progress.epoch)
        stopwatch = Stopwatch(self.components.loop)
        done = first - progress.epoch * self.components.steps_per_epoch
        self.components.callbacks.begin_epoch(progress.epoch, done)
        with self.console.progress(
            f"epoch {progress.epoch + 1}/{settings.epochs}",
            done=done,
            total=self.components.steps_per_epoch,
            after=settings.epochs * self.components.steps_per_epoch - end,
            step_size=self.components.stream.step_size,
            metrics=functools.partial(metric_values, self.components.model),
        ) as bar:
            while progress.step < end:
                self._check_interruption()
                self._profiler.before_call(progress.step)
                before = progress.step
                progress.step += self._do_steps(at_most=self._due.next_edge(before) - before)
                due = self._due.checkpoint(progress.step, minutes=(time.perf_counter() - self._saved_at) / 60)
                if self._nan_recovery.found(thorough=due or progress.step == end):
                    with self.components.callbacks.muted():
                        self._nan_recovery.recover()
                    self.components.callbacks.step = progress.step % self.components.steps_per_epoch
                    self._batches, due = self.components.batches(progress.step), progress.step < end
                if profiled := self._profiler.after_call(progress.step):
                    self.console.print(
                        f"profile of steps {profiled[0]} to {profiled[1]}: tensorboard --logdir "
                        f"{self.run.tensorboard}"
                    )
                bar.advance(progress.step - before)
                if due:
                    self._checkpoint()
        return stopwatch.stop((progress.step - first) * self.components.stream.step_size)

    def _do_steps(self, at_most: int) -> int:
        import tensorflow as tf

        try:
            with self._watching():
                return self.components.loop.run(self._batches, at_most)
        except tf.errors.OpError as error:
            if (bad := what_was_bad(error)) is not None:
                what = describe_bad_step(self.components, self.state.progress.step, bad)
                self._nan_recovery.go_back()
                raise NumericsError(what) from error
            # The batch that failed is known by its step, so a sample that cannot be loaded can be named.
            step = self.state.progress.step
            batch_indices = (self.components.stream.indices(k) for k in range(step, step + at_most + 2))
            raise_unreadable(self.components.source, itertools.chain.from_iterable(batch_indices), error)
            raise

    def _watching(self) -> contextlib.AbstractContextManager[None]:
        return watching(self.components.model) if self._settings.trace_nan else contextlib.nullcontext()

    def _end_epoch(self, speed: Speed) -> None:
        """What happens at an epoch's end, in its order."""
        from framework.optim.schedule import last_learning_rate  # imports Keras

        learning_rate = last_learning_rate(self.components.model.optimizer)
        progress, epoch = self.state.progress, self.state.progress.epoch + 1
        logs, early_stopping = metric_values(self.components.model), copy.copy(self._early_stopping)
        with self._evaluation_weights():
            # The weights that are validated are the ones that are kept as best. Inside, no training state
            # changes.
            judged = self._evaluation.judge(
                logs,
                early_stopping,
                epoch=epoch,
                step=progress.step,
                best=progress.best,
                records=len(self._recorder.history),
            )
        phases, logs, improved = judged.phases, judged.logs, judged.best is not progress.best
        # The epoch is done; from here to its checkpoint its state changes as one.
        for phase, metrics in phases.items():
            more: dict[str, Any] = (
                {"learning_rate": learning_rate, "speed": speed.values()} if phase == "train" else {}
            )
            self._recorder.record(phase, epoch=epoch, step=progress.step, metrics=metrics, **more)
        progress.epoch, progress.best, progress.final, progress.before_end = (
            epoch,
            judged.best,
            logs,
            judged.before_end,
        )
        self._early_stopping.restore(early_stopping.state())
        progress.stopped = self.components.callbacks.end_epoch(logs) or judged.stopped
        # What was validated at the end of the run alone decides nothing of how it goes on.
        decisive = judged.before_end["final"] if judged.before_end else logs
        reduction = self.components.plateau.end_epoch(epoch, decisive) if self.components.plateau else None
        self.components.model.reset_metrics()
        if self._due.averages(epoch):
            self._save_averages()
        last = self._due.is_last(epoch, progress.stopped)
        if self._due.checkpoint_of_epoch(epoch, last=last):
            self._checkpoint()
        else:
            self._nan_recovery.keep(self.state.snapshot())
        shown = {name: value for name, value in logs.items() if not name.startswith("lav_")}
        self.console.epoch(
            epoch, self._settings.epochs, shown, best=improved, learning_rate=learning_rate, speed=speed
        )
        for phase, metrics in phases.items():
            if phase.startswith("lav"):
                self.console.values(f"  {phase}", metrics)
        if reduction:
            self.console.print(f"  {reduction}")

    def _finish(self) -> None:
        """Export the final state and complete the best model."""
        progress = self.state.progress
        if progress.stopped:
            self.console.print(f"stopped early: {progress.stopped}")
        self._check_interruption()
        with self._evaluation_weights():
            facts = self.components.facts(
                {"epoch": progress.epoch, "step": progress.step, "metrics": progress.final}
            )
            export_model(
                self.components.model, self.run.export, facts, saved_model=self._settings.export_saved_model
            )
        self._check_interruption()
        if self._settings.export_saved_model and progress.best:
            add_saved_model(self.run.best, lambda: self.components.model)
        self._check_interruption()
        before = progress.before_end
        if before is None or before["best"] == progress.best:
            self._evaluation.best_model.drop_earlier()
        if self.components.weights.recalibrates:
            share = 100 * self._recalibration_seconds / max(time.perf_counter() - self._session_started, 1e-9)
            self.console.print(
                f"recalibrating BatchNorm took {self._recalibration_seconds:.1f} s, {share:.0f} % of the time"
            )

    # Pieces -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _evaluation_weights(self) -> Iterator[None]:
        started = time.perf_counter()
        with self.components.evaluation_weights(self.state.progress.step):
            self._recalibration_seconds += time.perf_counter() - started
            yield

    def _checkpoint(self) -> None:
        self.state.progress.seconds = self.seconds()
        self._clock = self._saved_at = time.perf_counter()
        snapshot = self.state.snapshot()
        self._nan_recovery.keep(snapshot)
        self._writer.submit(self._store, snapshot)

    def _save_averages(self) -> None:
        """Put by what averages of other lengths are made of after the training."""
        lengths = {power_average(length): length for length in self._settings.post_hoc_ema}
        variables = {name: copy_variables(self.components.averages[name].variables) for name in lengths}
        snapshot = Snapshot(step=self.state.progress.step, state={"lengths": lengths}, variables=variables)
        self._writer.submit(self._averages_store, snapshot)
