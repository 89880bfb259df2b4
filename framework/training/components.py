"""The parts of a run, built from its scenario and put together."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from framework.config.parts import Loop, LoopSection
from framework.data.source import Source
from framework.errors import ConfigError, Problem, ScenarioError
from framework.evaluators import Mode
from framework.loops.loop import LOOPS
from framework.model.evaluation_weights import (
    AveragedWeights,
    EvaluationWeights,
    GivenWeights,
    batch_norm_layers,
    ema_rate,
    exponential,
)
from framework.model.export import check_exportable
from framework.model.freezing import freeze
from framework.model.post_hoc_ema import move, power_average
from framework.model.step_gradients import StepGradients
from framework.model.summary import describe_model, summarise
from framework.model.warm_start import Transfer, warm_start
from framework.run.device import apply_device, import_tensorflow
from framework.scenario import Objective, Scenario
from framework.splits import prepare_source
from framework.training.agreement import Broken, check_built, check_lengths, check_start
from framework.training.lav import LavInTraining, lav_lists
from framework.training.monitor import find_monitor
from framework.training.training_data import (
    count_steps,
    has_validation,
    open_training,
    open_validation,
    training_stream,
)
from framework.training.validation import Validator

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from framework.data.structure import Tensors
    from framework.loops.callbacks import Callbacks
    from framework.optim.schedule import PlateauSchedule

log = logging.getLogger(__name__)


class Components:
    """Everything that a run trains with: data, model, loop, and what the model is judged by. Nothing is
    written.

    Args:
        scenario: what to build.
        fresh: whether the run starts here; only then a warm start gives the first weights.
        lav_folder: where LAV exports the model to, for as long as it takes.

    Attributes:
        source: the training samples.
        stream: the training batches.
        steps_per_epoch: steps that make an epoch.
        model: compiled, all its variables made.
        loop: does training steps.
        plateau: the learning rate schedule, where it goes by what is monitored; None with any other.
        callbacks: the scenario's Keras callbacks.
        validator: runs the model over the validation samples; None without validation.
        lav: validates the exported model; None without LAV.
        weights: makes the evaluation weights.
        averages: the averaged weights, by name: `average` (EMA), and one for each length of
            `trainer.post_hoc_ema`.
        monitor, mode: the value that decides what is best, and whether the lowest or the highest of it is.
        earlier_mode: the mode of a run of an earlier version, which took the scenario's whatever was
            monitored.
        warm_started, frozen: what the warm start did to each variable; the layers that do not learn.
        summary, table: the model in one line; its layers, as Keras prints them.

    Raises:
        ScenarioError: where data, model and settings do not go together.
    """

    def __init__(self, scenario: Scenario, *, fresh: bool, lav_folder: Path) -> None:
        self.scenario = scenario
        self._validation: Source | None = None
        settings = self._settings = scenario.config.trainer
        import_tensorflow()
        import keras

        # 1. Devices and threads, before anything is computed.
        self._strategy = apply_device(scenario.config.device)
        # 2. The seed, before a weight is drawn.
        keras.utils.set_random_seed(settings.seed)
        # 3. The data, which say how many steps make an epoch.
        self.source = open_training(scenario)
        self.stream = training_stream(scenario, self.source)
        self.steps_per_epoch = count_steps(scenario, self.source, self.stream)
        objective = scenario.objective()
        with self._strategy.scope():
            # 4. The model. A warm start gives it weights before anything copies them.
            self.model = self._build_model()
            self.warm_started: list[Transfer] = []
            if fresh and scenario.config.warmstart.model:
                self.warm_started = warm_start(self.model, scenario.config.warmstart)
            scope = settings.no_train_scope
            self.frozen = freeze(self.model, scope) if scope is not None else []
            name = getattr(scenario.config.model, "name", None) or scenario.name
            self.summary, self.table = describe_model(self.model, name), summarise(self.model)
            # 5. The schedule, and the optimizer of the weights that learn, with all its variables.
            self._schedule = scenario.config.learning_rate.build(
                steps_per_epoch=self.steps_per_epoch, epochs=settings.epochs
            )
            optimizer = scenario.config.optimizer.build(self._schedule)
            scenario.config.optimizer.exclude_from_weight_decay(optimizer, self.model.trainable_variables)
            optimizer.build(self.model.trainable_variables)
            # 6. Loss and metrics. Keras makes the variables of metrics when it sees a batch. Under a strategy
            # they cannot be made inside a graph.
            batch = self.stream.from_step(0).element_spec
            self._check_agreement(objective, batch)
            self.model.compile(
                optimizer=optimizer,
                **objective.compile_arguments(),
                jit_compile=scenario.config.device.jit_compile,
                run_eagerly=settings.run_eagerly,
            )
            self.model._symbolic_build(data_batch=batch)
            # 7. What follows the steps, and what does them.
            self.averages = self._make_averages()
            self.callbacks = self._make_callbacks()
            self.loop = self.make_loop()
        # 8. What judges the model.
        validates = settings.val_every_n and has_validation(scenario)
        self.validator = self.make_validator() if validates else None
        self.lav = self._make_lav(lav_folder) if settings.lav_every_n else None
        self.weights = EvaluationWeights(
            self.model, recalibrate=settings.recalibrate_batch_norm, average=self.averages.get("average")
        )
        # 9. What decides. The values that can be monitored are known when all metrics are.
        self.monitor, self.mode = self._find_monitor("early_stopping", objective)
        self.earlier_mode: Mode = scenario.config.early_stopping.mode or objective.mode or "min"
        self.plateau = self._make_plateau(objective)

    def make_loop(self) -> Loop:
        """Make what does training steps. It is traced when it is first used."""
        with self._strategy.scope():
            after_step = self._update_averages if self.averages else None
            return self.scenario.config.loop.build(self.model, self._strategy, after_step, self.callbacks)

    def batches(self, step: int) -> tf.data.Iterator:
        """Iterate over the training batches from a step on, each divided among the devices."""
        return iter(self._strategy.experimental_distribute_dataset(self.stream.from_step(step)))

    @functools.cached_property
    def gradients(self) -> StepGradients:
        """Computes the gradients of a step that is not done. It is traced when it is first used."""
        return StepGradients(self.model, self._strategy)

    def evaluation_weights(
        self, step: int, given: GivenWeights | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Put the weights that the model is judged by after `step` steps, or those that are given, into it
        for the time of the context."""
        return self.weights.apply(self._recalibration_batches(step), given)

    def facts(self, record: Mapping[str, object], **weights: str) -> dict[str, object]:
        """Say what an exported model is, for its `model.json`.

        Args:
            record: of which epoch it is, and how good.
            weights: which weights it has, where they are not those that it is judged by in training.
        """
        validation = {"validation_data": self.validator.source.fingerprint()} if self.validator else {}
        described = {**self.weights.describe(), **weights, **self.scenario.describe_model()}
        return {"scenario": self.scenario.name, **record, **validation, **described}

    def _recalibration_batches(self, step: int) -> Iterable[Tensors]:
        """Take the training batches seen last, so that what is measured depends on the step alone."""
        if not self.weights.recalibrates:
            return ()
        count = self._settings.recalibrate_batches
        return self.stream.from_step(max(0, step - -(-count // self.stream.batches_per_step))).take(count)

    def _build_model(self) -> keras.Model:
        model = self.scenario.build_model()
        check_built(model)
        check_exportable(model)
        if self._strategy.num_replicas_in_sync > 1:
            # Otherwise each device would normalise by, and keep averages of, its own part of a batch.
            for layer in batch_norm_layers(model):
                layer.synchronized = True
            check_lengths(model, self.stream.from_step(0).element_spec)
        return model

    def _make_plateau(self, objective: Objective) -> PlateauSchedule | None:
        from framework.optim.schedule import PlateauSchedule  # imports Keras

        plateau = self._schedule
        if not isinstance(plateau, PlateauSchedule):
            return None
        monitor, mode = self.monitor, self.mode
        if plateau.settings.monitor is not None:
            monitor, mode = self._find_monitor("learning_rate", objective)
        plateau.follow(monitor, plateau.settings.mode or mode)
        return plateau

    def _check_agreement(self, objective: Objective, batch: Tensors) -> None:
        """Say in a sentence what TensorFlow would say in a traceback, or would not notice."""
        try:
            suspect = check_start(self.model, objective, batch, self.source)
        except Broken as broken:
            raise ScenarioError(
                f"data, model and loss of {self.scenario.name} do not go together: {broken}", hint=broken.hint
            ) from broken
        if suspect is not None:
            log.warning("%s\n    hint:    %s", suspect, suspect.hint)

    def _make_averages(self) -> dict[str, AveragedWeights]:
        averages = {}
        if (rate := self._settings.calc_ema) is not None:
            rate = ema_rate(rate, self.stream.step_size, self.steps_per_epoch * self.stream.step_size)
            averages["average"] = AveragedWeights(self.model, exponential(rate))
        for length in self._settings.post_hoc_ema:
            averages[power_average(length)] = AveragedWeights(
                self.model, functools.partial(move, length=length)
            )
        return averages

    def _update_averages(self) -> None:
        for average in self.averages.values():
            average.update()

    def _make_callbacks(self) -> Callbacks:
        from framework.loops.callbacks import Callbacks  # imports Keras

        made = self.scenario.callbacks()
        callbacks = Callbacks(
            made, self.model, epochs=self._settings.epochs, steps_per_epoch=self.steps_per_epoch
        )
        loop = self.scenario.config.loop
        if (several := callbacks.of_batches()) and not _sees_batches(loop):
            raise ConfigError(
                Problem(
                    "loop",
                    f"callbacks of {self.scenario.name} look at each batch ({', '.join(several)}), which "
                    "this loop does not show",
                    given=loop.name,
                    allowed=", ".join(name for name, config in LOOPS.items() if _sees_batches(config)),
                )
            )
        return callbacks

    def make_validator(self) -> Validator:
        """Make what runs the model over the validation samples."""
        data = self.scenario.config.data
        source = self._validation_source()
        return Validator(
            self.model, source, batch_size=data.batch_size, strategy=self._strategy, workers=data.workers
        )

    def _make_lav(self, folder: Path) -> LavInTraining:
        lists = lav_lists(self.scenario)
        sources = [
            prepare_source(of.scenario, of.split) if of.name else self._validation_source() for of in lists
        ]
        return LavInTraining(lists, sources, strategy=self._strategy, folder=folder)

    def _validation_source(self) -> Source:
        if self._validation is None:
            self._validation = open_validation(self.scenario, self.source)
        return self._validation

    def _find_monitor(self, section: str, objective: Objective) -> tuple[str, Mode]:
        return find_monitor(
            self.scenario,
            objective,
            self.model,
            validates=self.validator is not None,
            lists=lav_lists(self.scenario) if self.lav else (),
            section=section,
        )


def _sees_batches(loop: LoopSection | type) -> bool:
    # A loop of the user's own may leave it out.
    return getattr(loop, "sees_batches", False)
