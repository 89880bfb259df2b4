"""The parts of a run, built from its scenario and put together."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.config.parts import Loop, LoopSection
from framework.data.duplicates import warn_of_shared_files
from framework.data.source import Source, Split, spread
from framework.data.stream import Stream
from framework.errors import ConfigError, DataError, Problem, ScenarioError
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
from framework.model.freezing import freeze, layers_of
from framework.model.layers import all_layers
from framework.model.post_hoc_ema import move, power_average
from framework.model.summary import describe_model, summarise
from framework.model.warm_start import Transfer, warm_start
from framework.run.device import apply_device, import_tensorflow
from framework.scenario import Objective, Scenario
from framework.training.agreement import Broken, check_start
from framework.training.lav import LavInTraining, lav_lists
from framework.training.monitor import find_monitor
from framework.training.validation import Validator, prepare_source

if TYPE_CHECKING:
    import keras

    from framework.loops.callbacks import Callbacks

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
        self._settings = scenario.config.trainer
        import_tensorflow()
        import keras

        from framework.optim.schedule import PlateauSchedule  # imports Keras

        # The order is of consequence: devices and threads before anything is computed, the seed before a
        # weight is drawn, all variables made before any is restored.
        self._strategy = apply_device(scenario.config.device)
        keras.utils.set_random_seed(self._settings.seed)
        self.source = self._open_source()
        self.stream = self._make_stream()
        self.steps_per_epoch = self._count_steps()
        objective = scenario.objective()
        with self._strategy.scope():
            self.model = scenario.build_model()
            _check_built(self.model)
            check_exportable(self.model)
            if self._strategy.num_replicas_in_sync > 1:
                # Otherwise each device would normalise by, and keep averages of, its own part of a batch.
                for layer in batch_norm_layers(self.model):
                    layer.synchronized = True
                check_lengths(self.model, self.stream.from_step(0).element_spec)
            self.warm_started: list[Transfer] = []
            if fresh and scenario.config.warmstart.model:
                self.warm_started = warm_start(self.model, scenario.config.warmstart)
            scope = self._settings.no_train_scope
            self.frozen = freeze(self.model, scope) if scope is not None else []
            name = getattr(scenario.config.model, "name", None) or scenario.name
            self.summary, self.table = describe_model(self.model, name), summarise(self.model)
            schedule = scenario.config.learning_rate.build(
                steps_per_epoch=self.steps_per_epoch, epochs=self._settings.epochs
            )
            self.plateau = schedule if isinstance(schedule, PlateauSchedule) else None
            optimizer = scenario.config.optimizer.build(schedule)
            scenario.config.optimizer.exclude_from_weight_decay(optimizer, self.model.trainable_variables)
            optimizer.build(self.model.trainable_variables)
            batch = self.stream.from_step(0).element_spec
            self._check_agreement(objective, batch)
            self.model.compile(
                optimizer=optimizer,
                **objective.compile_arguments(),
                jit_compile=scenario.config.device.jit_compile,
                run_eagerly=self._settings.run_eagerly,
            )
            # The metrics' variables, which Keras makes when it sees a batch; under a strategy they cannot be
            # made inside a graph.
            self.model._symbolic_build(data_batch=batch)
            self.averages = self._make_averages()
            self.callbacks = self._make_callbacks()
            self.loop = self.make_loop()
        self.validator = (
            self.make_validator() if self._settings.val_every_n and self._has_validation() else None
        )
        self.lav = self._make_lav(lav_folder) if self._settings.lav_every_n else None
        self.weights = EvaluationWeights(
            self.model,
            recalibrate=self._settings.recalibrate_batch_norm,
            average=self.averages.get("average"),
        )
        self.monitor, self.mode = self._find_monitor("early_stopping", objective)
        self.earlier_mode: Mode = scenario.config.early_stopping.mode or objective.mode or "min"
        if self.plateau:
            settings = self.plateau.settings
            own = settings.monitor is not None
            monitor, mode = (
                self._find_monitor("learning_rate", objective) if own else (self.monitor, self.mode)
            )
            self.plateau.follow(monitor, settings.mode or mode)

    def make_loop(self) -> Loop:
        """What does training steps; traced when it is first used."""
        with self._strategy.scope():
            after_step = self._update_averages if self.averages else None
            return self.scenario.config.loop.build(self.model, self._strategy, after_step, self.callbacks)

    def batches(self, step: int) -> Iterator[Any]:
        """The training batches from a step on, each divided among the devices."""
        batches: Iterator[Any] = iter(
            self._strategy.experimental_distribute_dataset(self.stream.from_step(step))
        )
        return batches

    def evaluation_weights(
        self, step: int, given: GivenWeights | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Within the context, the model holds the weights that it is judged by after `step` steps, or those
        that are given."""
        return self.weights.apply(self._recalibration_batches(step), given)

    def facts(self, record: Mapping[str, Any], **weights: str) -> dict[str, Any]:
        """What `model.json` says of an exported model.

        Args:
            record: of which epoch it is, and how good.
            weights: which weights it has, where they are not those that it is judged by in training.
        """
        validation = {"validation_data": self.validator.source.fingerprint()} if self.validator else {}
        described = {**self.weights.describe(), **weights, **self.scenario.describe_model()}
        return {"scenario": self.scenario.name, **record, **validation, **described}

    def _recalibration_batches(self, step: int) -> Iterable[Any]:
        """The training batches seen last, so that what is measured depends on the step alone."""
        if not self.weights.recalibrates:
            return ()
        count = self._settings.recalibrate_batches
        return self.stream.from_step(max(0, step - -(-count // self.stream.batches_per_step))).take(count)

    def _check_agreement(self, objective: Objective, batch: Any) -> None:
        """Say in a sentence what TensorFlow would say in a traceback, or not at all."""
        try:
            suspect = check_start(self.model, objective, batch, self.source)
        except Broken as broken:
            raise ScenarioError(
                f"data, model and loss of {self.scenario.name} do not go together: {broken}", hint=broken.hint
            ) from broken
        if suspect is not None:
            log.warning("%s\n    hint:    %s", suspect, suspect.hint)

    def _open_source(self) -> Source:
        source = prepare_source(self.scenario, Split.TRAIN)
        count = self._settings.overfit_batches
        return source if count is None else spread(source, count * self.scenario.config.data.batch_size)

    def _make_stream(self) -> Stream:
        data, accumulated = self.scenario.config.data, self.scenario.config.optimizer.accumulate_steps
        if data.batch_size * accumulated > len(self.source):
            several = accumulated > 1
            raise ConfigError(
                Problem(
                    "data.batch_size",
                    f"{accumulated} batches of a step are more than the training data"
                    if several
                    else "is larger than the training data",
                    given=data.batch_size,
                    allowed=f"a whole number <= {len(self.source) // accumulated}, for the "
                    f"{len(self.source)} training samples",
                )
            )
        return training_stream(self.scenario, self.source)

    def _count_steps(self) -> int:
        if self._settings.steps_per_epoch is not None:
            return self._settings.steps_per_epoch
        samples, step_size = self._settings.samples_per_epoch or len(self.source), self.stream.step_size
        if samples < step_size:
            raise ConfigError(
                Problem(
                    "trainer.samples_per_epoch",
                    "is less than a step",
                    given=samples,
                    allowed=f"a whole number >= {step_size}",
                )
            )
        return samples // step_size

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
        """What runs the model over the validation samples."""
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

    def _has_validation(self) -> bool:
        return self._settings.overfit_batches is not None or self.scenario.config.data.validates()

    def _validation_source(self) -> Source:
        if self._validation is None and self._settings.overfit_batches is not None:
            self._validation = self.source
        elif self._validation is None:
            self._validation = prepare_source(self.scenario, Split.VALIDATION)
            warn_of_shared_files(self.source, self._validation)
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


def _check_built(model: Any) -> None:
    """Raise a `ScenarioError` where a model does not have all its weights yet."""
    import keras

    if not isinstance(model, keras.Model):
        raise ScenarioError(f"build_model gives {type(model).__name__}, which is not a Keras model")
    # A subclassed model has no inputs of its own. Keras takes one for built after `model.build(shape)`,
    # though its layers may not be.
    whole = getattr(model, "inputs", None) or model._called or all(layer.built for layer in all_layers(model))
    if not model.built or not whole:
        name = type(model).__name__
        raise ScenarioError(
            f"the model {name} that build_model gives is not built: it does not know the shape of what goes "
            "in",
            hint="in build_model: inputs = keras.Input(SHAPE); return keras.Model(inputs, "
            f"{name}(...)(inputs)), or call the "
            "model once, model(keras.Input(SHAPE)); a Sequential model begins with keras.Input(SHAPE)",
        )


def check_lengths(model: keras.Model, batch: Any) -> None:
    """Raise a `DataError` where batches of several lengths and an Embedding meet, for which several devices
    cannot train a model.

    The gradient of an Embedding has a row for each token. The devices gather these rows, and TensorFlow wants
    the same number of them in each step.

    Args:
        batch: the specs of the tensors of a batch.
    """
    import keras
    import tensorflow as tf

    embeddings = [
        path
        for path, layer in layers_of(model)
        if isinstance(layer, keras.layers.Embedding) and layer.trainable
    ]
    if embeddings and not all(spec.shape[1:].is_fully_defined() for spec in tf.nest.flatten(batch)):
        raise DataError(
            f"several devices cannot train the Embedding {embeddings[0]!r} on batches of several lengths",
            hint="pad all to one length, as by PaddedSource(..., pad_to=LENGTH), or use one device",
        )


def training_stream(scenario: Scenario, source: Source) -> Stream:
    """The batches that a scenario trains on, from its training samples."""
    return Stream(
        source,
        batch_size=scenario.config.data.batch_size,
        seed=scenario.config.trainer.seed,
        augment=scenario.augment if scenario.augments() else None,
        workers=scenario.config.data.workers,
        batches_per_step=scenario.config.optimizer.accumulate_steps,
    )
