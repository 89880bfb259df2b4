"""Scenarios of other structures than one input and one label: dicts in, dicts out, and numbers in place of
classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framework import ArraySource, Objective, Scenario, Split, register_scenario

if TYPE_CHECKING:
    import keras


@register_scenario("two_by_two")
class TwoByTwo(Scenario):
    """Which of two patterns is in an image, and how bright is it, seen under a known lamp? Two inputs, two
    outputs."""

    def build_model(self) -> keras.Model:
        import keras

        layers = keras.layers
        image, lamp = keras.Input((6, 6, 1), name="image"), keras.Input((1,), name="lamp")
        hidden = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(image))
        hidden = layers.Dense(16, activation="relu")(layers.Concatenate()([hidden, lamp]))
        outputs = {
            "pattern": layers.Dense(2, activation="softmax", name="pattern")(hidden),
            "brightness": layers.Dense(1, name="brightness")(hidden),
        }
        return keras.Model({"image": image, "lamp": lamp}, outputs)

    def source(self, split: Split) -> ArraySource:
        import numpy as np

        rng = np.random.default_rng(list(Split).index(split))
        pattern, lamp, brightness = (
            rng.integers(0, 2, 90),
            rng.uniform(0.5, 1.5, (90, 1)),
            rng.uniform(0.5, 1.5, (90, 1)),
        )
        stripes = np.where(pattern[:, None, None], np.arange(6)[:, None] % 2, np.arange(6) % 2)
        image = (stripes + 0.1 * rng.normal(size=(90, 6, 6))) * (lamp * brightness)[:, :, None]
        inputs = {"image": image[..., None].astype("float32"), "lamp": lamp.astype("float32")}
        return ArraySource(
            (inputs, {"pattern": pattern.astype("int32"), "brightness": brightness.astype("float32")})
        )

    def objective(self) -> Objective:
        losses = {"pattern": "sparse_categorical_crossentropy", "brightness": "mse"}
        metrics: Any = {"pattern": ["accuracy"], "brightness": ["mae"]}
        return Objective(loss=losses, metrics=metrics, monitor="val_pattern_accuracy", mode="max")

    def prediction_source(self, arguments: Any) -> ArraySource:
        inputs, _ = self.source(Split.TEST).numpy()
        return ArraySource((inputs,))


@register_scenario("line")
class Line(Scenario):
    """A plane through noisy points: regression with a weight for each sample."""

    def build_model(self) -> keras.Model:
        import keras

        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])

    def source(self, split: Split) -> ArraySource:
        import numpy as np

        rng = np.random.default_rng(list(Split).index(split))
        points = rng.normal(size=(80, 3)).astype("float32")
        noise = rng.uniform(0.05, 0.5, 80).astype("float32")
        values = points @ np.array([1, -2, 3], np.float32) + 0.5 + noise * rng.normal(size=80)
        return ArraySource((points, values.astype("float32")[:, None], 1 / noise))

    def objective(self) -> Objective:
        return Objective(loss="mse", metrics=["mae"])
