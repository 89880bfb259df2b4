"""One session of training: the walk through the epochs."""

from __future__ import annotations

import contextlib
import functools

from framework.errors import Interrupted, NumericsError
from framework.report.overview import folder_name
from framework.run.console import Console, EpochProgress
from framework.run.device import describe_hardware
from framework.run.event_files import EventFiles
from framework.run.profiler import Profiler
from framework.run.recorder import Recorder
from framework.run.run_directory import RunDirectory
from framework.run.signals import Interruption
from framework.run.speed import RunClock, Speed, Stopwatch, sum_phases
from framework.scenario import Scenario
from framework.training.announcement import MONITOR, Changes, announce, announce_epoch, warn_of_versions
from framework.training.checkpoints import Checkpoints
from framework.training.components import Components
from framework.training.continuing import check_data, warn_of_mode
from framework.training.due import Due
from framework.training.early_stopping import EarlyStopping
from framework.training.epoch_evaluation import EpochEvaluation, Judged
from framework.training.finishing import export_models
from framework.training.nan_recovery import NanRecovery
from framework.training.state import TrainingState
from framework.training.step_scalars import StepScalars
from framework.training.steps import Steps
from framework.training.tensorboard import TensorBoard
from framework.training.validation import metric_values


class Session:
    """One start or resume of a run.

    Args:
        scenario: what to train.
        run: where to write; nothing is written before `train`.
        console: where progress is shown.
        interruption: ends the session after a signal.

    Attributes:
        components: what the run trains with.
        state: how far the run is.
        early_stopping: when it stops, and the mode in force.
        clock: the time that it took.
        events: the files for TensorBoard; None where it writes none.
        tensorboard: writes to them what is more than numbers.

    Raises:
        ScenarioError: where data, model and settings do not go together.
    """

    def __init__(
        self, scenario: Scenario, run: RunDirectory, console: Console, interruption: Interruption
    ) -> None:
        self.clock = RunClock()
        settings = scenario.config.trainer
        self._run, self._console, self._interruption = run, console, interruption
        self._checkpoints = Checkpoints(run, keep=settings.keep_checkpoints, lengths=settings.post_hoc_ema)
        self.components = components = Components(
            scenario, fresh=not self._checkpoints.exist(), lav_folder=run.lav
        )
        self.early_stopping = EarlyStopping(
            scenario.config.early_stopping, components.mode, components.earlier_mode
        )
        folder = run.tensorboard / folder_name(settings.varied)
        self.events = EventFiles(folder) if settings.tensorboard else None
        self._recorder = Recorder(run.metrics_file, self.events)
        self.state = TrainingState(components, self.early_stopping, self._recorder)
        self._due = Due(settings, components.steps_per_epoch)
        self._steps = Steps(components, self.state)
        self._step_scalars = StepScalars(components, self.state, self.events, self._due)
        self.tensorboard = TensorBoard(components, run, self.events, self._due)
        self._recovery = NanRecovery(components, self.state, self._steps, interruption)
        self._evaluation = EpochEvaluation(
            components, run, self._due, self.early_stopping, interruption, self.clock
        )
        profiles = settings.profile or settings.profile_steps
        self._profiler = Profiler(run.tensorboard if profiles else None, self._due, settings.profile_steps)
        self._initialised = False

    def restore(self, changes: Changes) -> bool:
        """Take up the newest intact checkpoint, where there is one. The run is not changed where that fails.

        Args:
            changes: the settings that are not what the run had before.

        Returns:
            Whether there was one.

        Raises:
            RunDirectoryError: where no checkpoint is intact, or the newest does not fit model and data.
        """
        snapshot = self._checkpoints.load_newest()
        if snapshot is None:
            self._recorder.restore([])  # what was recorded before anything could be saved happens anew
            self._recorder.drop_later_events(0)
            self._initialised = self.components.scenario.initialise(self.components.model)
            return False
        check_data(self._run, snapshot, steps_per_epoch=self.components.steps_per_epoch, data=self.state.data)
        new_monitor = bool(MONITOR & set(changes))
        self.state.restore(snapshot, new_optimizer="optimizer.name" in changes, new_monitor=new_monitor)
        self._checkpoints.drop_averages_after(snapshot.step)
        if changes:
            self.state.set_stopped(None)
        if not self._is_over():
            self.state.undo_end()
        self.state.set_best(self._evaluation.best_model.take_up(self.state.progress.best))
        warn_of_mode(self._run, self.components, self.early_stopping.mode)
        self.clock.before = self.state.progress.seconds
        self._recorder.drop_later_events(self.state.progress.step)
        return True

    def train(self, changes: Changes, *, resumed: bool) -> None:
        """Take the run from where it is to its end.

        Args:
            changes: as for `restore`.
            resumed: what `restore` gave.
        """
        closing = contextlib.closing
        with (
            self._checkpoints,
            closing(self.events) if self.events else contextlib.nullcontext(),
            closing(self._profiler),
            closing(self.components.callbacks),
        ):
            self._begin(changes, resumed=resumed)
            self.clock.begin_epochs()
            try:
                while not self._is_over():
                    with self.clock.measure("train"):
                        speed = self._train_epoch()
                    self._end_epoch(speed)
                with self.clock.measure("export"):
                    self._finish()
            except (Interrupted, NumericsError):
                # The state is the one after the last whole step; what is saved must be sound, too.
                self._recovery.ensure_sound()
                self._save()
                step = self.state.progress.step
                self._console.print(f"saved at step {step:,}: resume-training {self._run.path}")
                raise

    def _begin(self, changes: Changes, *, resumed: bool) -> None:
        """Announce what is going to be done, and keep the state to go back to."""
        warn_of_versions(self._run)
        self._run.provenance.record_session(
            started_at_step=self.state.progress.step,
            changes={path: list(values) for path, values in changes.items()},
            hardware=describe_hardware(self.components.scenario.config.device),
        )
        announce(
            self._console,
            self.components,
            self.state.progress,
            self._run,
            mode=self.early_stopping.mode,
            resumed=resumed,
            changes=changes,
        )
        self.tensorboard.begin(self.state.progress)
        if self._initialised or (resumed and changes):
            # A kill would lose what the scenario set; and the older checkpoint of a run that had stopped says so.
            self._save()
        else:
            self._keep()

    def _is_over(self) -> bool:
        return self._due.is_last(self.state.progress.epoch, self.state.progress.stopped)

    def _train_epoch(self) -> Speed:
        """Do the steps of the epoch that are still to do.

        Returns:
            How fast they went.
        """
        components, progress = self.components, self.state.progress
        first, end = progress.step, self._due.end_of_epoch(progress.epoch)
        done = components.steps_per_epoch - (end - first)
        stopwatch = Stopwatch(components.loop)
        components.callbacks.begin_epoch(progress.epoch, done)
        self._step_scalars.begin_epoch()
        with self._show_progress(done) as bar:
            while (step := self.state.progress.step) < end:
                self._interruption.check()
                self._profiler.before_call(step)
                self._steps.do(at_most=self._due.next_edge(step) - step)
                now = self.state.progress.step
                due = self._due.checkpoint(now, minutes=self.clock.minutes_unsaved())
                if self._recovery.recover(thorough=due or now == end):
                    now = self.state.progress.step
                    due = now < end
                if profiled := self._profiler.after_call(now):
                    self._announce_profile(profiled)
                self._step_scalars.after_call(now)
                bar.advance(now - step)
                if due:
                    self._save()
        return stopwatch.stop((end - first) * components.stream.step_size)

    def _end_epoch(self, speed: Speed) -> None:
        """Judge an epoch by its evaluation weights, and commit it."""
        trained, progress = metric_values(self.components.model), self.state.progress
        records = len(self._recorder.history)
        with self.clock.measure("weights"), self.components.evaluation_weights(progress.step):
            # The weights that are validated are the ones that are kept as best. No training state changes
            # here.
            judged = self._evaluation.judge(trained, progress, records=records)
            with self.clock.measure("tensorboard"):
                self.tensorboard.show_validation(judged, progress)
        self._evaluation.validate_raw(judged, progress.step, records=records)
        self._commit(judged, speed)
        with self.clock.measure("tensorboard"):
            self.tensorboard.end_epoch(self.state.progress)

    def _commit(self, judged: Judged, speed: Speed) -> None:
        """Make an epoch a part of the run. From here to its checkpoint the state changes as one."""
        from framework.optim.schedule import last_learning_rate  # imports Keras

        components, epoch = self.components, judged.epoch
        learning_rate = last_learning_rate(components.model.optimizer)
        self._record(judged, learning_rate, speed)
        self.state.end_epoch(
            best=judged.best,
            final=judged.logs,
            before_end=judged.before_end,
            early_stopping=judged.early_stopping,
        )
        # The callbacks find the training weights in the model, and the metrics of the epoch.
        self.state.set_stopped(components.callbacks.end_epoch(judged.logs) or judged.stopped)
        reduction = components.plateau.end_epoch(epoch, judged.decisive) if components.plateau else None
        components.model.reset_metrics()
        if self._due.averages(epoch):
            self._checkpoints.save_averages(self.state.progress.step, components.averages)
        if self._due.checkpoint_of_epoch(epoch, last=self._is_over()):
            self._save()
        else:
            self._keep()
        announce_epoch(self._console, components, judged, learning_rate, speed, reduction)

    def _finish(self) -> None:
        """Export the final state, and complete the best model."""
        progress, weights = self.state.progress, self.components.weights
        if progress.stopped:
            self._console.print(f"stopped early: {progress.stopped}")
        export_models(self.components, self._run, progress, self._evaluation.best_model, self._interruption)
        if weights.recalibrates:
            share = 100 * weights.seconds / max(self.clock.session_seconds(), 1e-9)
            self._console.print(
                f"recalibrating BatchNorm took {weights.seconds:.1f} s, {share:.0f} % of the time "
                "(trainer.recalibrate_batches)"
            )

    # Pieces -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """Save a checkpoint. It is the state to go back to, too."""
        with self.clock.measure("checkpoint"):
            self.state.set_seconds(self.clock.run_seconds())
            self.clock.note_saved()
            snapshot = self.state.snapshot()
            self._steps.keep(snapshot)
            self._checkpoints.save(snapshot)

    def _keep(self) -> None:
        """Keep the state to go back to, in memory only."""
        with self.clock.measure("checkpoint"):
            self._steps.keep(self.state.snapshot())

    def phase_seconds(self) -> dict[str, float]:
        """Return the seconds of each phase, all sessions together; asked once, at the end of the session."""
        recorded = [record.get("seconds", {}) for record in self._recorder.history]
        return sum_phases([*recorded, self.clock.take_phases()])

    def _record(self, judged: Judged, learning_rate: float, speed: Speed) -> None:
        self.clock.move(speed.waited or 0.0, source="train", to="input_wait")
        seconds = self.clock.take_phases()
        for phase, metrics in judged.phases.items():
            in_training = phase == "train"
            self._recorder.record(
                phase,
                epoch=judged.epoch,
                step=self.state.progress.step,
                metrics=metrics,
                learning_rate=learning_rate if in_training else None,
                speed=speed.values() if in_training else None,
                seconds=seconds if in_training else None,
            )

    def _show_progress(self, done: int) -> contextlib.AbstractContextManager[EpochProgress]:
        components, epoch = self.components, self.state.progress.epoch
        epochs, steps_per_epoch = components.scenario.config.trainer.epochs, components.steps_per_epoch
        return self._console.show_progress(
            f"epoch {epoch + 1}/{epochs}",
            done=done,
            total=steps_per_epoch,
            after=(epochs - epoch - 1) * steps_per_epoch,
            step_size=components.stream.step_size,
            metrics=functools.partial(metric_values, components.model),
        )

    def _announce_profile(self, steps: tuple[int, int]) -> None:
        self._console.print(
            f"profile of steps {steps[0]} to {steps[1]}: tensorboard --logdir {self._run.tensorboard}"
        )
