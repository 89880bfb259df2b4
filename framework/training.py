"""One session of training: the parts, built, and the walk through the epochs."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from framework.checkpoint import CheckpointStore, CheckpointWriter
from framework.console import Console, format_seconds, plural
from framework.data.source import Source, Split, raise_unreadable, spread
from framework.data.stream import Stream
from framework.device import import_tensorflow
from framework.early_stopping import EarlyStopping, is_better
from framework.errors import ConfigError, Interrupted, Problem, RunDirectoryError, nearest
from framework.evaluation import Evaluator, metric_values, prepare_source
from framework.evaluation_weights import AveragedWeights, EvaluationWeights, ema_rate
from framework.export import add_saved_model, export_model
from framework.freezing import freeze
from framework.recorder import Recorder
from framework.run_directory import RunDirectory
from framework.scenario import Scenario
from framework.state import TrainingState
from framework.warmstart import describe, warm_start

log = logging.getLogger(__name__)


class Training:
    """One start or resume of a run.

    Args:
        scenario: what to train.
        run: where to write; nothing is written before `train`.
        console: where progress is shown.
        check_interruption: raises `Interrupted` after a signal.

    Raises:
        ScenarioError: where data, model and settings do not go together.
    """

    def __init__(self, scenario: Scenario, run: RunDirectory, console: Console, check_interruption: Callable[[], None]) -> None:
        self.scenario, self.run, self.console = scenario, run, console
        self._check_interruption = check_interruption
        self._settings = scenario.config.trainer
        self._store = CheckpointStore(run.checkpoints, keep=self._settings.keep_checkpoints)
        import_tensorflow()
        import keras

        # The order is of consequence: devices and threads before anything is computed, the seed before a weight is drawn, all
        # variables made before any is restored.
        self._strategy = scenario.device.apply()
        keras.utils.set_random_seed(self._settings.seed)
        self._source = self._open_source()
        self._stream = self._make_stream()
        self.steps_per_epoch = self._count_steps()
        objective = scenario.objective()
        with self._strategy.scope():
            self.model = scenario.build_model()
            # A warm start gives the first weights; a run that has a checkpoint takes them from there.
            fresh = not self._store.steps()
            self._warm_started = warm_start(self.model, scenario.warmstart) if fresh and scenario.warmstart.model else []
            scope = self._settings.no_train_scope
            self._frozen = freeze(self.model, scope) if scope is not None else []
            self._summary = summarise(self.model)
            schedule = scenario.learning_rate.build(steps_per_epoch=self.steps_per_epoch, epochs=self._settings.epochs)
            optimizer = scenario.optimizer.build(schedule)
            scenario.optimizer.exclude_from_weight_decay(optimizer, self.model.trainable_variables)
            optimizer.build(self.model.trainable_variables)
            self.model.compile(
                optimizer=optimizer,
                loss=objective.loss,
                metrics=list(objective.metrics),
                jit_compile=scenario.device.jit_compile,
            )
            average = self._make_average()
            self._loop = scenario.loop.build(self.model, self._strategy, average.update if average else lambda: None)
            self._loop.prepare(self._batches(0))
        self._evaluator = self._make_evaluator() if self._settings.val_every_n else None
        self._weights = EvaluationWeights(self.model, recalibrate=self._settings.recalibrate_batch_norm, average=average)
        self._monitor = self._find_monitor(scenario.early_stopping.monitor or objective.monitor)
        self._mode = scenario.early_stopping.mode or objective.mode
        early_stopping = EarlyStopping(scenario.early_stopping, self._mode)
        self._early_stopping = early_stopping
        self._recorder = Recorder(run.metrics_file, run.tensorboard if self._settings.tensorboard else None)
        self.state = TrainingState(self.model, early_stopping, self._recorder, average, steps_per_epoch=self.steps_per_epoch)
        self._clock = self._saved_at = self._session_started = time.perf_counter()
        self._recalibration_seconds = 0.0

    # Building ----------------------------------------------------------------------------------------------------------------

    def _open_source(self) -> Source:
        source = prepare_source(self.scenario, Split.TRAIN)
        count = self._settings.overfit_batches
        return source if count is None else spread(source, count * self.scenario.data.batch_size)

    def _make_stream(self) -> Stream:
        data = self.scenario.data
        if data.batch_size > len(self._source):
            raise ConfigError(
                Problem(
                    "data.batch_size",
                    "is larger than the training data",
                    given=data.batch_size,
                    allowed=f"a whole number <= {len(self._source)}, the number of training samples",
                )
            )
        return Stream(
            self._source,
            batch_size=data.batch_size,
            seed=self._settings.seed,
            augment=self.scenario.augment if self.scenario.augments() else None,
            workers=data.workers,
        )

    def _count_steps(self) -> int:
        if self._settings.steps_per_epoch is not None:
            return self._settings.steps_per_epoch
        samples, batch_size = self._settings.samples_per_epoch or len(self._source), self.scenario.data.batch_size
        if samples < batch_size:
            raise ConfigError(
                Problem(
                    "trainer.samples_per_epoch", "is less than a batch", given=samples, allowed=f"a whole number >= {batch_size}"
                )
            )
        return samples // batch_size

    def _make_average(self) -> AveragedWeights | None:
        rate, batch_size = self._settings.calc_ema, self._stream.batch_size
        if rate is None:
            return None
        return AveragedWeights(self.model, ema_rate(rate, batch_size, self.steps_per_epoch * batch_size))

    def _make_evaluator(self) -> Evaluator:
        overfits = self._settings.overfit_batches is not None
        return Evaluator(
            self.model,
            self._source if overfits else prepare_source(self.scenario, Split.VALIDATION),
            batch_size=self.scenario.data.batch_size,
            strategy=self._strategy,
            workers=self.scenario.data.workers,
        )

    def _find_monitor(self, monitor: str) -> str:
        """The name of the monitored value, known to be there before the first step is done."""
        trained = list(metric_values(self.model))
        if self._evaluator is None and monitor.startswith("val_"):
            monitor = monitor.removeprefix("val_")
            log.info("without validation (trainer.val_every_n=0), the best epoch is the one with the best training %s", monitor)
        known = trained + ([f"val_{name}" for name in trained] if self._evaluator else [])
        if monitor not in known:
            near = nearest(monitor, known)
            raise ConfigError(
                Problem(
                    "early_stopping.monitor",
                    "there is no such value",
                    given=monitor,
                    allowed=", ".join(known),
                    hint=f"did you mean {near!r}?" if near else None,
                )
            )
        return monitor

    def _batches(self, step: int) -> Iterator[Any]:
        batches: Iterator[Any] = iter(self._strategy.experimental_distribute_dataset(self._stream.from_step(step)))
        return batches

    # The walk ----------------------------------------------------------------------------------------------------------------

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
            return False
        then = snapshot.state["steps_per_epoch"]
        if then != self.steps_per_epoch:
            raise RunDirectoryError(
                f"an epoch of {self.run.path} was {plural(then, 'step')}, and would be {self.steps_per_epoch:,} now: "
                f"the training data are not what they were",
                hint=f"bring them back, or start a new run with warmstart.model={self.run.path}",
            )
        self.state.restore(snapshot, new_optimizer="optimizer.name" in changes)
        if changes:
            self.state.progress.stopped = None
        return True

    def train(self, changes: Mapping[str, tuple[Any, Any]], *, resumed: bool) -> None:
        """From where the run is to its end.

        Args:
            changes: as for `restore`.
            resumed: what `restore` gave.
        """
        self._clock = self._saved_at = self._session_started = time.perf_counter()
        with CheckpointWriter(self._store) as self._writer, contextlib.closing(self._recorder):
            self._announce(resumed, changes)
            progress = self.state.progress
            batches = self._batches(progress.step)
            try:
                while progress.epoch < self._settings.epochs and not progress.stopped:
                    seconds, steps = self._train_epoch(batches)
                    self._end_epoch(seconds, steps)
                self._finish()
            except Interrupted:
                self._checkpoint()
                raise

    def seconds(self) -> float:
        """Time spent on the run, all sessions together."""
        return self.state.progress.seconds + time.perf_counter() - self._clock

    def _train_epoch(self, batches: Iterator[Any]) -> tuple[float, int]:
        """The steps of the epoch that are still to do. Gives the seconds they took, and their number."""
        progress, settings = self.state.progress, self._settings
        first, end = progress.step, (progress.epoch + 1) * self.steps_per_epoch
        started = time.perf_counter()
        title = f"epoch {progress.epoch + 1}/{settings.epochs}"
        done = first - progress.epoch * self.steps_per_epoch
        with self.console.progress(title, done=done, total=self.steps_per_epoch, batch_size=self._stream.batch_size) as bar:
            while progress.step < end:
                self._check_interruption()
                steps = self._do_steps(batches, at_most=min(end, self._next_checkpoint()) - progress.step)
                progress.step += steps
                bar.advance(steps, left_in_run=settings.epochs * self.steps_per_epoch - progress.step)
                if progress.step < end and self._checkpoint_is_due():
                    self._checkpoint()
        return time.perf_counter() - started, progress.step - first

    def _do_steps(self, batches: Iterator[Any], at_most: int) -> int:
        import tensorflow as tf

        try:
            return self._loop.run(batches, at_most)
        except tf.errors.OpError as error:
            # The batch that failed is known by its step, so a sample that cannot be loaded can be named.
            step = self.state.progress.step
            batch_indices = (self._stream.indices(k) for k in range(step, step + at_most + 2))
            raise_unreadable(self._source, itertools.chain.from_iterable(batch_indices), error)
            raise

    def _end_epoch(self, seconds: float, steps: int) -> None:
        """What happens at an epoch's end, in its order."""
        progress, epoch = self.state.progress, self.state.progress.epoch + 1
        logs = metric_values(self.model)
        phases = {"train": dict(logs)}
        best = progress.best
        with self._evaluation_weights():
            # The weights that are validated are the ones that are kept as best. Inside, no training state changes.
            if self._evaluator is not None and self._validates(epoch):
                phases["validation"] = self._evaluator(self._check_interruption)
                logs |= {f"val_{name}": value for name, value in phases["validation"].items()}
            value = logs.get(self._monitor)
            if value is not None and is_better(value, best["metrics"][self._monitor] if best else None, self._mode):
                best = self._keep_as_best({"epoch": epoch, "step": progress.step, "metrics": dict(logs)}) or best
        improved = best is not progress.best
        # The epoch is done; from here to its checkpoint its state changes as one.
        for phase, metrics in phases.items():
            self._recorder.record(phase, epoch=epoch, step=progress.step, metrics=metrics)
        progress.epoch, progress.best, progress.final = epoch, best, logs
        if value is not None:
            progress.stopped = self._early_stopping.update(value)
        self.model.reset_metrics()
        every = self._settings.checkpoint_every_n_epochs
        if (every and epoch % every == 0) or epoch == self._settings.epochs or progress.stopped:
            self._checkpoint()
        rate = steps * self._stream.batch_size / max(seconds, 1e-9)
        self.console.epoch(epoch, self._settings.epochs, logs, best=improved, seconds=seconds, samples_per_second=rate)

    def _finish(self) -> None:
        """Export the final state and complete the best model."""
        progress = self.state.progress
        if progress.stopped:
            self.console.print(f"stopped early: {progress.stopped}")
        with self._evaluation_weights():
            facts = self._facts({"epoch": progress.epoch, "step": progress.step, "metrics": progress.final})
            export_model(self.model, self.run.export, facts, saved_model=self._settings.export_saved_model)
        if self._settings.export_saved_model:
            add_saved_model(self.run.best)
        if self._weights.recalibrates:
            share = 100 * self._recalibration_seconds / max(time.perf_counter() - self._session_started, 1e-9)
            self.console.print(f"recalibrating BatchNorm took {self._recalibration_seconds:.1f} s, {share:.0f} % of the time")

    def _keep_as_best(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Export the model as the best one so far. None where it cannot be written: then the one before stays the best."""
        try:
            export_model(self.model, self.run.best, self._facts(record), saved_model=False)
        except OSError as error:
            log.warning(
                "the model of epoch %d is the best, but cannot be written to %s: %s", record["epoch"], self.run.best, error
            )
            return None
        return record

    # Pieces ------------------------------------------------------------------------------------------------------------------

    def _validates(self, epoch: int) -> bool:
        return epoch % self._settings.val_every_n == 0 or epoch == self._settings.epochs

    @contextlib.contextmanager
    def _evaluation_weights(self) -> Iterator[None]:
        started = time.perf_counter()
        with self._weights(self._recalibration_batches()):
            self._recalibration_seconds += time.perf_counter() - started
            yield

    def _recalibration_batches(self) -> Iterable[Any]:
        """The training batches seen last, so that what is measured depends on the step alone."""
        if not self._weights.recalibrates:
            return ()
        count = self._settings.recalibrate_batches
        return self._stream.from_step(max(0, self.state.progress.step - count)).take(count)

    def _next_checkpoint(self) -> int:
        every = self._settings.checkpoint_every_n_steps
        return (self.state.progress.step // every + 1) * every if every else 2**62

    def _checkpoint_is_due(self) -> bool:
        steps, minutes = self._settings.checkpoint_every_n_steps, self._settings.checkpoint_every_n_minutes
        if steps and self.state.progress.step % steps == 0:
            return True
        return minutes is not None and time.perf_counter() - self._saved_at >= 60 * minutes

    def _checkpoint(self) -> None:
        self.state.progress.seconds = self.seconds()
        self._clock = self._saved_at = time.perf_counter()
        self._writer.submit(self.state.snapshot())

    def _facts(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What `model.json` says of an exported model."""
        return {"scenario": self.scenario.name, **record, **self._weights.describe(), **self.scenario.describe_model()}

    def _announce(self, resumed: bool, changes: Mapping[str, tuple[Any, Any]]) -> None:
        from framework.device import describe_hardware

        progress, console = self.state.progress, self.console
        if changes:
            console.table(
                "changed settings", ("setting", "before", "now"), [(path, old, new) for path, (old, new) in changes.items()]
            )
        if "optimizer.name" in changes and resumed:
            console.print("another optimizer: its state starts anew")
        self.run.record_session(
            started_at_step=progress.step,
            changes={path: list(values) for path, values in changes.items()},
            hardware=describe_hardware(self.scenario.device),
        )
        console.print(self._summary)
        if self._warm_started:
            columns = ("variable", "shape", "source", "outcome")
            console.table(f"warm start from {self.scenario.warmstart.model}", columns, describe(self._warm_started))
        if self._frozen:
            console.print(f"frozen by trainer.no_train_scope: {', '.join(self._frozen)}")
        validation = f", {len(self._evaluator)} validation samples" if self._evaluator else ", no validation"
        console.print(
            f"{self.scenario.name}: {len(self._source):,} training samples{validation}, "
            f"{plural(self.steps_per_epoch, 'step')} of {self._stream.batch_size} an epoch"
        )
        console.print(f"run directory: {self.run.path}")
        if resumed:
            console.print(
                f"continuing at epoch {progress.epoch + 1}, step {progress.step} ({format_seconds(progress.seconds)} so far)"
            )


def summarise(model: Any) -> str:
    """The layers of a model, the shapes of their outputs, and their parameters, as Keras tells them."""
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80)
    return "\n".join(lines).rstrip()
