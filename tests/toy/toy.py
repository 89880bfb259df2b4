"""A small scenario with everything that makes resume hard: BatchNorm, dropout, augmentation, a schedule, an
odd number of samples."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.config.schema import setting
from framework.data.source import ArraySource, DataConfig, Source, Split
from framework.evaluators import Evaluator, Sample
from framework.scenario import Objective, Scenario, register_scenario

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Settings:
    samples: int = setting(101, "Training samples.", ge=1, le=100_000)
    noise: float = setting(0.1, "Standard deviation of the augmentation.", ge=0)
    batch_norm: bool = setting(True, "Whether the network has BatchNorm.")
    dropout: float = setting(0.2, "Part of the hidden units that is dropped in training.", ge=0, lt=1)
    poison: tuple[int, ...] = setting(
        (), "Indices of training samples whose labels are NaN.", ge=0, le=100_000
    )
    stall: int | None = setting(None, "Loading that training sample does not end.", ge=0, le=100_000)
    blind: bool = setting(False, "Whether the labels of the validation samples are NaN.")


@dataclass(frozen=True, kw_only=True)
class Data(DataConfig):
    shift: float = setting(0.0, "Added to the validation points.")


class Stalling(Source):
    """Waits for a sample that never comes, as of a network drive that is gone."""

    def __init__(self, source: Source, index: int | None) -> None:
        self._source, self._index = source, index

    def __len__(self) -> int:
        return len(self._source)

    def load(self, index: tf.Tensor) -> Any:
        import numpy as np
        import tensorflow as tf

        def wait(index: Any) -> Any:
            if index == self._index:
                time.sleep(3600)
            return np.float32(0)

        points, labels = self._source.load(index)
        return points + tf.ensure_shape(tf.numpy_function(wait, [index], tf.float32), []), labels


class MeanOutput(Evaluator):
    """What the network answers on the average."""

    names = ("mean_output", "positive/mean_output")

    def __init__(self) -> None:
        self.outputs: list[float] = []
        self.positive: list[float] = []

    def update(self, sample: Sample) -> None:
        assert sample.inputs.shape == (8,)
        self.outputs.append(float(sample.output[0]))
        if sample.target[0] == 1:
            self.positive.append(float(sample.output[0]))

    def result(self) -> Mapping[str, float]:
        return {
            "mean_output": statistics.fmean(self.outputs),
            "positive/mean_output": statistics.fmean(self.positive),
        }


@register_scenario("toy")
class Toy(Scenario):
    """Which side of a plane is a point on?"""

    Config = Settings
    datas = Data

    def build_model(self) -> keras.Model:
        import keras

        layers: list[Any] = [keras.Input((8,)), keras.layers.Dense(16, activation="relu", name="hidden")]
        if self.settings.batch_norm:
            layers.append(keras.layers.BatchNormalization(name="norm"))
        layers += [
            keras.layers.Dropout(self.settings.dropout),
            keras.layers.Dense(1, activation="sigmoid", name="output"),
        ]
        return keras.Sequential(layers)

    def source(self, split: Split) -> Source:
        import numpy as np

        rng = np.random.default_rng(1 if split is Split.TRAIN else 2)
        count = self.settings.samples if split is Split.TRAIN else 37
        points = rng.normal(size=(count, 8)).astype("float32")
        labels = (points.sum(axis=1, keepdims=True) > 0).astype("float32")
        if split is not Split.TRAIN:
            points += self.data.shift
        if split is Split.TRAIN:
            labels[list(self.settings.poison)] = np.nan
        elif self.settings.blind:
            labels[:] = np.nan
        source = ArraySource((points, labels))
        stalls = self.settings.stall is not None and split is Split.TRAIN
        return Stalling(source, self.settings.stall) if stalls else source

    def objective(self) -> Objective:
        return Objective(loss="binary_crossentropy", metrics=["accuracy"], monitor="val_accuracy", mode="max")

    def evaluators(self) -> Sequence[Evaluator]:
        return [MeanOutput()]

    def augments(self) -> bool:
        return self.settings.noise > 0

    def augment(self, batch: Any, seeds: tf.Tensor) -> Any:
        """Add noise that is uniform with the variance of 1, made without a loop, which would take long to build."""
        import tensorflow as tf

        points, labels = batch
        mixed = (seeds[:, :1] * 104_729 + seeds[:, 1:] * 7919) * tf.range(1, 9, dtype=tf.int64)
        uniform = tf.cast(tf.math.floormod(mixed, 65_521), tf.float32) / 65_521
        return points + self.settings.noise * math.sqrt(12) * (uniform - 0.5), labels
