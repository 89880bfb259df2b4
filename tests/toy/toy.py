"""A small scenario with everything that makes resume hard: BatchNorm, dropout, augmentation, a schedule, an odd number of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.data.source import ArraySource, Source, Split
from framework.scenario import Objective, Scenario, register_scenario
from framework.schema import setting

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Settings:
    samples: int = setting(101, "Training samples.", ge=1)
    noise: float = setting(0.1, "Standard deviation of the augmentation.", ge=0)
    batch_norm: bool = setting(True, "Whether the network has BatchNorm.")
    dropout: float = setting(0.2, "Part of the hidden units that is dropped in training.", ge=0, lt=1)
    poison: int | None = setting(None, "Index of a training sample whose label is NaN.", ge=0)


@register_scenario("toy")
class Toy(Scenario):
    """Which side of a plane is a point on?"""

    Config = Settings

    def build_model(self) -> keras.Model:
        import keras

        layers: list[Any] = [keras.Input((8,)), keras.layers.Dense(16, activation="relu", name="hidden")]
        if self.settings.batch_norm:
            layers.append(keras.layers.BatchNormalization(name="norm"))
        layers += [keras.layers.Dropout(self.settings.dropout), keras.layers.Dense(1, activation="sigmoid", name="output")]
        return keras.Sequential(layers)

    def source(self, split: Split) -> Source:
        import numpy as np

        rng = np.random.default_rng(1 if split is Split.TRAIN else 2)
        count = self.settings.samples if split is Split.TRAIN else 37
        points = rng.normal(size=(count, 8)).astype("float32")
        labels = (points.sum(axis=1, keepdims=True) > 0).astype("float32")
        if split is Split.TRAIN and self.settings.poison is not None:
            labels[self.settings.poison] = np.nan
        return ArraySource((points, labels))

    def objective(self) -> Objective:
        return Objective(loss="binary_crossentropy", metrics=["accuracy"], monitor="val_accuracy", mode="max")

    def augments(self) -> bool:
        return self.settings.noise > 0

    def augment(self, batch: Any, seeds: tf.Tensor) -> Any:
        import tensorflow as tf

        points, labels = batch
        noise = tf.map_fn(lambda seed: tf.random.stateless_normal([8], seed), seeds, fn_output_signature=tf.float32)
        return points + self.settings.noise * noise, labels
