"""The base class of scenarios: a model, the data that it learns from, and how it is judged."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from framework.config.compose import compose_config
from framework.config.registry import Registry
from framework.config.schema import Section
from framework.config.sections import RunConfig
from framework.config.targets import SCENARIOS, locate
from framework.data.source import DataConfig, Source, Split
from framework.errors import ConfigError, Problem, ScenarioError
from framework.evaluators import Evaluator, Mode

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from matplotlib.figure import Figure


_MOST_COLUMNS = 256

register_scenario = SCENARIOS.register
"""Class decorator: `@register_scenario("mesonet")` registers a scenario by that name."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The loss that training minimises, and the metrics that judge it.

    Args:
        loss: a loss as `keras.Model.compile` takes it; for a model of several outputs a dict by their names.
        metrics: metrics as `keras.Model.compile` takes them.
        monitor: the value that decides which epoch is best: `val_` and the name of a metric of the validation
            data.
        mode: whether the lowest ("min") or the highest ("max") value of it is best; None: as the metric or
            its name says.
        loss_weights: the factors of the losses of several outputs in their sum; None: 1.
        weighted_metrics: metrics that use the samples' weights; `metrics` do not.
    """

    loss: object
    metrics: Sequence[object] | Mapping[str, object] = ()
    monitor: str = "val_loss"
    mode: Mode | None = None
    loss_weights: Mapping[str, float] | Sequence[float] | None = None
    weighted_metrics: Sequence[object] | Mapping[str, object] = ()

    def compile_arguments(self) -> dict[str, object]:
        """Return loss and metrics as arguments of `keras.Model.compile`."""

        def own(metrics: Sequence[object] | Mapping[str, object]) -> object:
            return (dict(metrics) if isinstance(metrics, Mapping) else list(metrics)) or None

        return {
            "loss": self.loss,
            "loss_weights": self.loss_weights,
            "metrics": own(self.metrics),
            "weighted_metrics": own(self.weighted_metrics),
        }


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """Settings of a scenario that has none of its own."""


class Scenario:
    """Base class of scenarios: what to learn and from what. Derive from it, and register the class:

        @register_scenario("digits")
        class Digits(Scenario):
            def build_model(self): return keras.Sequential([...])
            def source(self, split): return ArraySource(...)
            def objective(self):
                return Objective(loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    Import TensorFlow and Keras inside the methods, so that a config is checked without waiting for them.

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
    Config: ClassVar[type[Section]] = NoSettings
    """Frozen dataclass of the scenario's own settings (`setting`): the section `scenario` of the config."""
    models: ClassVar[Registry | type[Section]] = NoSettings
    """Config class of the section `model`, or a `Registry` of config classes for the options of the group."""
    datas: ClassVar[Registry | type[DataConfig]] = DataConfig
    """Config class of the section `data`, derived from `DataConfig`, or a `Registry` of such classes."""

    settings: Any
    model: Any

    def __init__(self, config: RunConfig) -> None:
        self.composed = config
        self.settings = config.scenario.settings
        self.model = config.model

    @functools.cached_property
    def config(self) -> RunConfig:
        """The config of the run, with everything filled in that was left to the machine and the data.

        This is the number of threads, absolute paths, the names of the classes and the positive class. The
        data are read when this property, or `data`, is used first.

        Raises:
            ScenarioError: if the data do not provide what is to be filled in.
        """
        given = self.composed
        return dataclasses.replace(given, device=given.device.resolve(), data=given.data.resolve())

    # What every scenario defines ----------------------------------------------------------------------------

    def build_model(self) -> keras.Model:
        """Build the model: its weights exist, and it is not compiled."""
        raise NotImplementedError(f"{type(self).__name__}.build_model")

    def objective(self) -> Objective:
        """Return the loss, the metrics, and which value decides which epoch is best."""
        raise NotImplementedError(f"{type(self).__name__}.objective")

    def source(self, split: Split) -> Source | Any:
        """Return the samples of a split. By default the section `data` provides them.

        They are a `Source`, or anything that a source can be made of, such as arrays, an object with
        `__len__` and `__getitem__`, or a `tf.data.Dataset` (docs/data.md).
        """
        return self.data.source(split, seed=self.config.trainer.seed)

    def unchecked_source(self, split: Split) -> Source:
        """Return the samples of a split, with those that cannot be loaded, for `validate-data` to find."""
        if type(self).source is not Scenario.source:
            return self.source(split)
        unchecked: Source = self.data.unchecked_source(split, seed=self.config.trainer.seed)
        return unchecked

    # What a scenario may add --------------------------------------------------------------------------------

    def augment(self, batch: Any, seeds: tf.Tensor) -> Any:
        """Augment a training batch, in a graph.

        Args:
            batch: samples of `source` with a batch dimension.
            seeds: int64 [batch, 2], one for each sample and pass; random numbers must come from these alone.
        """
        return batch

    def initialise(self, model: keras.Model) -> bool:
        """Set what a new run starts from, beyond what config and seed say.

        It is called once, before the first step of a new run, and not when a run is resumed.

        Args:
            model: what `build_model` gave, compiled. All variables exist, those of the optimizer too.

        Returns:
            Whether the state must be saved before the first step, since it cannot be made again.
        """
        return False

    def augments(self) -> bool:
        """Return whether training batches go through `augment`: by default, if the scenario defines it."""
        return type(self).augment is not Scenario.augment

    def evaluators(self) -> Sequence[Evaluator]:
        """Return the evaluators of a LAV (load and validate), new ones at each call."""
        return ()

    def tensorboard_images(self, model: keras.Model, batch: Any) -> Mapping[str, np.ndarray | Figure]:
        """Return images for TensorBoard, by their names; none by default.

            def tensorboard_images(self, model, batch):
                return {"reconstruction": model(batch[0], training=False).numpy()}

        It is called after a validation (`trainer.samples_every_n`). An error of it is a warning, and the run goes on.

        Args:
            model: holds the weights that it is judged by. What is changed in it is restored.
            batch: some validation samples, as `source` gives them, with a batch dimension; the same at each call.

        Returns:
            Arrays, uint8 or float in [0, 1], [height, width], [height, width, channels] or [images, height, width,
            channels] with 1 or 3 channels, of which 16 images are shown; or figures of matplotlib.
        """
        return {}

    def callbacks(self) -> Sequence[keras.callbacks.Callback]:
        """Return Keras callbacks, new ones at each call.

        Each session has its own. Callbacks get the epochs of every loop, and the batches of `loop=fit` and
        `loop=train_on_batch`. Their state is not part of a checkpoint: a resumed run begins with new ones.
        """
        return ()

    def prediction_source(self, arguments: Sequence[str | Path]) -> Source | Any:
        """Return the samples to predict, without targets, in any form that `source` may return.

        Args:
            arguments: what was typed after `predict-scenario RUN`.
        """
        raise ConfigError(
            Problem(
                "scenario",
                f"{self.name} does not say how to read what is to be predicted",
                hint="define prediction_source",
            )
        )

    def predicts(self) -> bool:
        """Return whether `predict-scenario` works. It does if the scenario defines `prediction_source`."""
        return type(self).prediction_source is not Scenario.prediction_source

    def describe_prediction(self, output: Any) -> Mapping[str, object]:
        """Return the columns of one sample's prediction.

        By default each number has a column, named after the model's output.

        Args:
            output: the model's output for the sample, NumPy, without the batch dimension.

        Raises:
            ScenarioError: if there are too many numbers for a table, as in a mask or an image.
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

    def describe_model(self) -> Mapping[str, object]:
        """Return plain values to record with an exported model, such as the names of its classes."""
        return {}

    @classmethod
    def check_config(cls, config: RunConfig) -> Iterable[Problem]:
        """Return the problems between sections. Their paths are absolute, such as `model.image_size`."""
        return ()

    def unused_settings(self) -> Iterable[str]:
        """Return what is set and has no effect, a sentence each: warnings at the start of a session."""
        return ()

    # The sections that are its own --------------------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The section `data` of `config`, in which the names of the classes are filled in."""
        return self.config.data


def named_outputs(output: Any) -> Mapping[str, np.ndarray]:
    """Return the parts of a model's output by their names.

    Without names they are `output`, or `output_0`, `output_1` and so on if there are several.
    """
    if isinstance(output, Mapping):
        return output
    return (
        {f"output_{i}": part for i, part in enumerate(output)}
        if isinstance(output, list | tuple)
        else {"output": output}
    )


def compose(*overrides: str, config_dir: str | Path | None = None) -> Scenario:
    """Compose the scenario that overrides describe, as a `Trainer` takes it.

    Args:
        overrides: what is typed after `train-scenario`.
        config_dir: a further folder of group options, as for `--config-dir`.

    Raises:
        ConfigError: with every problem at once.

    >>> scenario = compose("scenario=mesonet", "optimizer=adam", "lr=1e-3")
    >>> scenario.composed.learning_rate.lr
    0.001
    """
    return scenario_of(compose_config(overrides, config_dir=config_dir))


def scenario_of(config: RunConfig) -> Scenario:
    """Make the scenario that a typed config names."""
    scenario = locate(config.scenario.target, "scenario.target")(config)
    assert isinstance(scenario, Scenario)
    return scenario
