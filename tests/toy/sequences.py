"""Samples of unequal length: tokens, padded to one of a few lengths and masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framework import Objective, PaddedSource, Scenario, Split, register_scenario

if TYPE_CHECKING:
    import keras


@register_scenario("sequences")
class Sequences(Scenario):
    """Are there more tokens above 10 than below?"""

    def build_model(self) -> keras.Model:
        import keras

        layers = keras.layers
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        hidden = layers.GlobalAveragePooling1D()(layers.Embedding(21, 8, mask_zero=True)(tokens))
        return keras.Model({"tokens": tokens}, layers.Dense(1, "sigmoid")(layers.Dropout(0.1)(hidden)))

    def source(self, split: Split) -> PaddedSource:
        import numpy as np

        rng = np.random.default_rng(list(Split).index(split))
        tokens = [
            rng.integers(1, 21, length).astype("int32")
            for length in rng.integers(1, 31, 83 if split == "train" else 34)
        ]
        more = np.array([[np.mean(of > 10) > 0.5] for of in tokens], "float32")
        return PaddedSource(({"tokens": tokens}, more), buckets=(8, 16, 32))

    def objective(self) -> Objective:
        return Objective(loss="binary_crossentropy", metrics=["accuracy"])
