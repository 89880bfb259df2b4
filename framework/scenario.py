"""A scenario: what is learned, from which data, by what measure."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from framework.config.compose import compose_config
from framework.config.registry import Registry
from framework.config.run_config import SCENARIOS, locate
from framework.config.sections import RunConfig
from framework.data.source import DataConfig, Source, Split
from framework.errors import ConfigError, Problem, ScenarioError
from framework.evaluators import Evaluator, Mode

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_MOST_COLUMNS = 256

register_scenario = SCENARIOS.register
"""Class decorator: `@register_scenario("mesonet")` makes a scenario known by that name."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What training minimises and what it is judged by.

    Args:
        loss: whatever `keras.Model.compile` takes as its loss; for a model of several outputs a dict by their
            names.
        metrics: whatever it takes as its metrics.
        monitor: the value that decides which epoch is best, `val_` before the name of a metric of the
            validation data.
        mode: whether the lowest ("min") or the highest ("max") value of it is best; None: as the metric or
            its name says.
        loss_weights: what the losses of several outputs are multiplied by, before they are summed; None: 1.
        weighted_metrics: metrics that go by the samples' weights, which `metrics` do not.
    """

    loss: Any
    metrics: Sequence[Any] | Mapping[str, Any] = ()
    monitor: str = "val_loss"
    mode: Mode | None = None
    loss_weights: Mapping[str, float] | Sequence[float] | None = None
    weighted_metrics: Sequence[Any] | Mapping[str, Any] = ()

    def compile_arguments(self) -> dict[str, Any]:
        """Loss and metrics, as the arguments of `keras.Model.compile`."""

        def own(metrics: Sequence[Any] | Mapping[str, Any]) -> Any:
            return (dict(metrics) if isinstance(metrics, Mapping) else list(metrics)) or None

        return {
            "loss": self.loss,
            "loss_weights": self.loss_weights,
            "metrics": own(self.metrics),
            "weighted_metrics": own(self.weighted_metrics),
        }


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """The settings of a scenario that has none of its own."""


class Scenario:
    """What to learn and from what. Derive from it, and register the class:

        @register_scenario("digits")
        class Digits(Scenario):
            def build_model(self): return keras.Sequential([...])
            def source(self, split): return ArraySource(...)
            def objective(self):
                return Objective(loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    TensorFlow and Keras are imported inside the methods, so that a config is checked without waiting for
    them.

    Args:
        config: the typed config of the run, as it was composed or as a run recorded it.

    Attributes:
        composed: that config. `config` is the same after the data were looked at.
        settings: the scenario's own settings, an instance of `Config`.
        model: the section `model`, an instance of one of `models`.

    `settings`, `model` and `data` are classes of the scenario's own. An annotation such as `settings: Settings`
    in its class tells a type checker which.
    """

    name: ClassVar[str]
    Config: ClassVar[type] = NoSettings
    """The scenario's own settings, a frozen dataclass of `setting`s: the section `scenario` of the config."""
    models: ClassVar[Registry | type] = NoSettings
    """The config class of the section `model`, or a `Registry` of them for the group's options to choose from."""
    datas: ClassVar[Registry | type] = DataConfig
    """The config class of the section `data`, derived from `DataConfig`, or a `Registry` of them."""

    settings: Any
    model: Any

    def __init__(self, config: RunConfig) -> None:
        self.composed = config
        self.settings = config.scenario.settings
        self.model = config.model

    @functools.cached_property
    def config(self) -> RunConfig:
        """The config of the run with everything filled in that was left to the machine and the data: the
        number of threads, absolute paths, the names of the classes, the positive one. The data are looked at
        when this, or `data`, is first asked for.

        Raises:
            ScenarioError: where the data do not say what is to be filled in.
        """
        given = self.composed
        return dataclasses.replace(given, device=given.device.resolve(), data=given.data.resolve())

    # What every scenario says -------------------------------------------------------------------------------

    def build_model(self) -> keras.Model:
        """The model, built (its weights exist) and not compiled."""
        raise NotImplementedError(f"{type(self).__name__}.build_model")

    def objective(self) -> Objective:
        """Loss, metrics, and which value decides what is best."""
        raise NotImplementedError(f"{type(self).__name__}.objective")

    def source(self, split: Split) -> Source | Any:
        """The samples of a split: a `Source`, or what one can be made of, such as arrays, an object with
        `__len__` and `__getitem__`, or a `tf.data.Dataset` (docs/data.md). The default asks the section
        `data`."""
        return self.data.source(split, seed=self.config.trainer.seed)

    def unchecked_source(self, split: Split) -> Source:
        """The samples of a split with those that cannot be loaded among them, for `validate-data` to find."""
        if type(self).source is not Scenario.source:
            return self.source(split)
        unchecked: Source = self.data.unchecked_source(split, seed=self.config.trainer.seed)
        return unchecked

    # What a scenario may add --------------------------------------------------------------------------------

    def augment(self, batch: Any, seeds: tf.Tensor) -> Any:
        """Augment a training batch, in a graph.

        Args:
            batch: samples of `source` with a batch dimension.
            seeds: int64 [batch, 2], one for each sample and pass; random numbers come from these alone.
        """
        return batch

    def augments(self) -> bool:
        """Whether training batches go through `augment`: by default, where a scenario defines it."""
        return type(self).augment is not Scenario.augment

    def evaluators(self) -> Sequence[Evaluator]:
        """Measures in plain Python over the samples of a LAV, made anew for each."""
        return ()

    def callbacks(self) -> Sequence[keras.callbacks.Callback]:
        """Keras callbacks, made anew for each session. They see epochs with each loop, and batches with
        `loop=fit` and `loop=train_on_batch`. What they remember is no part of a checkpoint: a resumed run
        begins with new ones."""
        return ()

    def prediction_source(self, arguments: Sequence[str | Path]) -> Source | Any:
        """Samples to predict, without targets, from what was typed behind `predict-scenario RUN`; given as
        those of `source` are."""
        raise ConfigError(
            Problem(
                "scenario",
                f"{self.name} does not say how to read what is to be predicted",
                hint="define prediction_source",
            )
        )

    def predicts(self) -> bool:
        """Whether `predict-scenario` can be asked: where a scenario defines `prediction_source`."""
        return type(self).prediction_source is not Scenario.prediction_source

    def describe_prediction(self, output: Any) -> Mapping[str, Any]:
        """The columns of one sample's prediction. By default each number has a column, called after the
        model's output.

        Args:
            output: what the model gives for the sample, NumPy, without the batch dimension.

        Raises:
            ScenarioError: where there are too many for a table, as in a mask or an image.
        """
        import numpy as np

        parts = named_outputs(output)
        if (count := sum(np.size(part) for part in parts.values())) > _MOST_COLUMNS:
            raise ScenarioError(
                f"the model gives {count:,} numbers for a sample, which are too many for the columns of a "
                "table",
                hint="--output predictions.npz keeps them as arrays; a describe_prediction of the scenario "
                "says what is to be told of them",
            )
        columns: dict[str, float] = {}
        for name, part in parts.items():
            values = np.ravel(part)
            columns |= {
                name if len(values) == 1 else f"{name}_{i}": float(value) for i, value in enumerate(values)
            }
        return columns

    def describe_model(self) -> Mapping[str, Any]:
        """Plain facts that an exported model is recorded with, such as the names of its classes."""
        return {}

    @classmethod
    def check_config(cls, config: RunConfig) -> Iterable[Problem]:
        """Problems that only show when the sections are seen together; paths are absolute."""
        return ()

    # The sections that are its own --------------------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The section `data`, an instance of one of `datas`, with the classes named where it has classes; see
        `config`."""
        return self.config.data


def named_outputs(output: Any) -> Mapping[str, Any]:
    """The parts of what a model gives: by their names, else `output`, or `output_0` and so on where there are
    several."""
    if isinstance(output, Mapping):
        return output
    return (
        {f"output_{i}": part for i, part in enumerate(output)}
        if isinstance(output, list | tuple)
        else {"output": output}
    )


def compose(*overrides: str, config_dir: str | Path | None = None) -> Scenario:
    """The scenario that the words of a command line stand for, as a `Trainer` would have it.

    Args:
        overrides: words as one types them behind `train-scenario`.
        config_dir: a further folder of group options, as `--config-dir`.

    Raises:
        ConfigError: naming every problem at once.

    >>> scenario = compose("scenario=mesonet", "optimizer=adam", "lr=1e-3")
    >>> scenario.composed.learning_rate.lr
    0.001
    """
    return scenario_of(compose_config(overrides, config_dir=config_dir))


def scenario_of(config: RunConfig) -> Scenario:
    """The scenario that a typed config names."""
    scenario = locate(config.scenario.target, "scenario.target")(config)
    assert isinstance(scenario, Scenario)
    return scenario
