"""LAV, load and validate: the exported model, loaded as its users load it, on the validation data and on
other lists of samples."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from framework.config.run_config import lav_config
from framework.config.sections import RunConfig
from framework.data.source import Source, Split
from framework.evaluators import Evaluator
from framework.model.export import MODEL_FILE, export_model, load_model
from framework.run.signals import Interruption
from framework.scenario import Scenario, scenario_of
from framework.training.threshold import at_threshold
from framework.training.validation import Validator

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True)
class LavList:
    """Samples that the exported model is validated on.

    Args:
        name: its name in `trainer.lav_lists`; empty for the validation data of the run.
        scenario: the scenario with the data of the list.
        split: the split of these data.
    """

    name: str
    scenario: Scenario
    split: Split

    @property
    def phase(self) -> str:
        """The phase of its records: `lav`, or `lav/NAME`."""
        return f"lav/{self.name}" if self.name else "lav"

    @property
    def prefix(self) -> str:
        """The beginning of the names of its values: `lav_accuracy`, or `lav_NAME_accuracy`."""
        return f"lav_{self.name}_" if self.name else "lav_"


def lav_list(config: RunConfig, name: str) -> LavList:
    """Make one list of `trainer.lav_lists`.

    Raises:
        ConfigError: where there is none of that name.
    """
    changed, split = lav_config(config, name)
    return LavList(name, scenario_of(changed), Split(split))


def lav_lists(scenario: Scenario) -> list[LavList]:
    """Make all lists of a run: those of `trainer.lav_lists`; without any, its validation data."""
    names = scenario.config.trainer.lav_lists
    return [lav_list(scenario.config, name) for name in names] or [LavList("", scenario, Split.VALIDATION)]


class LavInTraining:
    """LAV in training: the model is exported, loaded, and validated on each list.

    Args:
        lists: what to validate on.
        sources: the samples of each.
        strategy: the strategy to load under.
        folder: where the model is exported to, for as long as it takes.

    Attributes:
        lists: as they were given.
        drawing: the evaluators of the newest evaluation that have figures. They have seen all samples of their list.
    """

    def __init__(
        self,
        lists: Sequence[LavList],
        sources: Sequence[Source],
        *,
        strategy: tf.distribute.Strategy,
        folder: Path,
    ) -> None:
        self.lists = lists
        self._sources = sources
        self._strategy = strategy
        self._folder = folder
        self._model: keras.Model | None = None
        self._validators: list[tuple[LavList, Validator]] = []
        self.drawing: dict[LavList, Sequence[Evaluator]] = {}

    def evaluate(self, model: keras.Model, interruption: Interruption) -> dict[LavList, dict[str, float]]:
        """Find loss, metrics and the values of the evaluators, for each list.

        Args:
            model: holds the weights that it is judged by.
            interruption: ends the evaluation after a signal.

        Raises:
            Interrupted: after a signal.
            OSError: where the model cannot be written.
        """
        try:
            export_model(model, self._folder, {}, saved_model=False)
            self._load(model)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        evaluators = {of: of.scenario.evaluators() for of, _ in self._validators}
        self.drawing = {of: [one for one in several if one.draws()] for of, several in evaluators.items()}
        return {of: validator.evaluate(evaluators[of], interruption) for of, validator in self._validators}

    def _load(self, trained: keras.Model) -> None:
        # The first time it is loaded whole; later its weights are, since making and tracing a model anew each
        # time takes seconds.
        if self._model is not None:
            self._model.load_weights(self._folder / MODEL_FILE)
            return
        scenario = self.lists[0].scenario
        self._model = load_compiled(
            lambda: load_model(self._folder, lambda: trained), scenario, self._strategy
        )
        self._validators = [
            (of, validator_of(self._model, source, of.scenario, self._strategy))
            for of, source in zip(self.lists, self._sources, strict=True)
        ]


def load_compiled(
    load: Callable[[], keras.Model],
    scenario: Scenario,
    strategy: tf.distribute.Strategy,
    threshold: float | None = None,
) -> keras.Model:
    """Load a model, ready to be evaluated as the scenario says.

    Args:
        load: gives the model, not compiled.
        scenario: says loss and metrics.
        strategy: the strategy to load under.
        threshold: where metrics decide; None: at 0.5.
    """
    with strategy.scope():
        model = load()
        objective = scenario.objective()
        if threshold is not None:
            objective = at_threshold(objective, threshold)
        # Without an optimizer: there is none in the file, and Keras would look for its variables there.
        model.compile(
            optimizer=None, **objective.compile_arguments(), jit_compile=scenario.config.device.jit_compile
        )
    return model


def validator_of(
    model: keras.Model, source: Source, scenario: Scenario, strategy: tf.distribute.Strategy
) -> Validator:
    """Make what runs a model over samples, in batches of the scenario's size."""
    return Validator(
        model,
        source,
        batch_size=scenario.config.data.batch_size,
        strategy=strategy,
        workers=scenario.config.data.workers,
    )
