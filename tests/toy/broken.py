"""Scenarios that break the contract, each in one way, or in a few that one run shows."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from framework import ArraySource, Objective, Scenario, Split, register_scenario


@register_scenario("sound")
class Sound(Scenario):
    """Breaks nothing; the others derive from it."""

    inputs, outputs, labels = 4, 3, 3

    def build_model(self) -> keras.Model:
        return keras.Sequential([keras.Input((self.inputs,)), keras.layers.Dense(self.outputs, "softmax")])

    def source(self, split: Split) -> ArraySource:
        points = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
        return ArraySource((points, points[:, : self.labels].argmax(axis=1).astype("int32")))

    def objective(self) -> Objective:
        return Objective(loss="sparse_categorical_crossentropy")


@register_scenario("other_inputs")
class OtherInputs(Sound):
    inputs = 5


@register_scenario("too_many_labels")
class TooManyLabels(Sound):
    outputs, labels = 2, 3


@register_scenario("other_outputs")
class OtherOutputs(Sound):
    def objective(self) -> Objective:
        return Objective(loss="mse")

    def source(self, split: Split) -> ArraySource:
        points, _ = super().source(split).numpy()
        return ArraySource((points, points[:, :2]))


@register_scenario("other_validation")
class OtherValidation(Sound):
    def source(self, split: Split) -> ArraySource:
        points, labels = super().source(split).numpy()
        return ArraySource((points, labels if split is Split.TRAIN else labels.astype("int64")))


@register_scenario("without_targets")
class WithoutTargets(Sound):
    def source(self, split: Split) -> ArraySource:
        return ArraySource((super().source(split).numpy()[0],))


@register_scenario("infinite")
class Infinite(Sound):
    def source(self, split: Split) -> ArraySource:
        points, labels = super().source(split).numpy()
        return ArraySource((points * np.float32(np.nan), labels))


_SHARED = keras.layers.Dense(3, "softmax")


@register_scenario("same_model")
class SameModel(Sound):
    def build_model(self) -> keras.Model:
        return keras.Sequential([keras.Input((4,)), _SHARED])


@register_scenario("not_built")
class NotBuilt(Sound):
    def build_model(self) -> keras.Model:
        return keras.Sequential([keras.layers.Dense(3, "softmax")])


@register_scenario("raising")
class Raising(Sound):
    def build_model(self) -> keras.Model:
        raise KeyError("units")


@register_scenario("random_augmentation")
class RandomAugmentation(Sound):
    def augment(self, batch: Any, seeds: tf.Tensor) -> Any:
        points, labels = batch
        return points + tf.random.uniform(tf.shape(points)), labels


@register_scenario("random_source")
class RandomSource(Sound):
    def source(self, split: Split) -> ArraySource:
        points, labels = super().source(split).numpy()
        order = np.random.default_rng().permutation(len(labels))
        return ArraySource((points[order], labels[order]))


@keras.saving.register_keras_serializable("broken")
class Unsteady(keras.layers.Layer):
    """Noise that no variable holds the state of, the mean of whatever shares the batch, and a call into
    Python."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if training:
            inputs = inputs + tf.random.uniform(tf.shape(inputs))
        known = tf.numpy_function(lambda x: x, [inputs], tf.float32)
        return tf.ensure_shape(known, inputs.shape) - tf.reduce_mean(inputs, axis=0)


@register_scenario("unsteady")
class WithUnsteady(Sound):
    def build_model(self) -> keras.Model:
        return keras.Sequential([keras.Input((4,)), Unsteady(), keras.layers.Dense(3, "softmax")])


@register_scenario("logits")
class Logits(Sound):
    """A softmax is missing."""

    def build_model(self) -> keras.Model:
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="scores")])


@register_scenario("labels_for_one_by_one")
class LabelsForOneByOne(Sound):
    """Ten classes under the loss of two."""

    def objective(self) -> Objective:
        return Objective(loss="binary_crossentropy")


@register_scenario("texts")
class Texts(Sound):
    def source(self, split: Split) -> ArraySource:
        _, labels = super().source(split).numpy()
        return ArraySource((np.array([[b"a", b"b", b"c", b"d"]] * 40, dtype=object), labels))


@register_scenario("text_labels")
class TextLabels(Sound):
    def source(self, split: Split) -> ArraySource:
        points, _ = super().source(split).numpy()
        return ArraySource((points, np.array([b"cat", b"dog"] * 20, dtype=object)))


class _Subclassed(keras.Model):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3, "softmax")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.dense(inputs)


@register_scenario("subclassed")
class Subclassed(Sound):
    """Another width than its data have, which only calling it shows."""

    def build_model(self) -> keras.Model:
        model = _Subclassed()
        model(np.zeros((1, 5), "float32"))
        return model


@register_scenario("frozen")
class Frozen(Sound):
    def build_model(self) -> keras.Model:
        body = keras.layers.Dense(4, name="body", trainable=False)
        return keras.Sequential(
            [
                keras.Input((4,)),
                body,
                keras.layers.Dense(3, "softmax", kernel_initializer="zeros", name="head"),
            ]
        )


@register_scenario("unbuilt")
class Unbuilt(Sound):
    def build_model(self) -> keras.Model:
        class Net(keras.Model):
            def __init__(self) -> None:
                super().__init__()
                self.dense = keras.layers.Dense(3, "softmax")

            def call(self, inputs: tf.Tensor) -> tf.Tensor:
                return self.dense(inputs)

        return Net()


class Net(keras.Model):
    """Not registered, and without get_config: Keras keeps plain arguments by itself."""

    def __init__(self, units: Any = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(units() if callable(units) else units, "softmax")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.dense(inputs)


@register_scenario("called")
class Called(Sound):
    """A subclassed model is whole after it was called once."""

    def build_model(self) -> keras.Model:
        model = Net(3)
        model(np.zeros((1, 4), "float32"))
        return model


@register_scenario("nested")
class Nested(Sound):
    """What the message about a model that is not built advises."""

    def build_model(self) -> keras.Model:
        inputs = keras.Input((4,))
        return keras.Model(inputs, Net(3)(inputs))


@register_scenario("half_built")
class HalfBuilt(Sound):
    """Keras takes the model for built, and its layer has no weights."""

    def build_model(self) -> keras.Model:
        model = Net(3)
        model.build((None, 4))
        return model


@register_scenario("not_made_again")
class NotMadeAgain(Sound):
    """An argument that no file can hold."""

    def build_model(self) -> keras.Model:
        model = Net(lambda: 4)
        model(keras.Input((4,)))
        return model
