"""What scenarios share that give each sample one label out of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from framework.config import RunConfig
from framework.errors import Problem
from framework.evaluators import BinaryReport, ClassReport, Evaluator
from framework.scenario import Objective, Scenario

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Classification(Scenario):
    """One label a sample: two classes by one probability, that of the positive class, more by a softmax.

    The section `data` has `classes`, their names in the order of the model's outputs, and, where it may be two, `positive_class`.
    A model of two classes gives [batch, 1] and has targets [batch, 1] of 0 and 1; one of more gives [batch, classes] and has the index
    of the class, [batch].
    """

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes."""
        classes: Sequence[str] = self.data.classes
        return classes

    def objective(self) -> Objective:
        loss = "binary_crossentropy" if len(self.classes) == 2 else "sparse_categorical_crossentropy"
        return Objective(loss=loss, metrics=["accuracy"], monitor="val_accuracy", mode="max")

    def evaluators(self) -> Sequence[Evaluator]:
        """A report on each class, since accuracy does not say which of them are missed."""
        return [BinaryReport(self.classes, self.data.positive_class) if len(self.classes) == 2 else ClassReport(self.classes)]

    def describe_prediction(self, output: Any) -> Mapping[str, Any]:
        """The label, and the probability of each class: `{"label": "fake", "fake": 0.98, "real": 0.02}`."""
        if len(self.classes) == 2:
            positive = float(output[0])
            probabilities = [positive if name == self.data.positive_class else 1 - positive for name in self.classes]
        else:
            probabilities = [float(value) for value in output]
        label = self.classes[max(range(len(self.classes)), key=probabilities.__getitem__)]
        return {"label": label, **dict(zip(self.classes, probabilities, strict=True))}

    def describe_model(self) -> Mapping[str, Any]:
        positive = {"positive_class": self.data.positive_class} if len(self.classes) == 2 else {}
        return {"classes": list(self.classes), **positive}


class ImageClassification(Classification):
    """Images of one size. The section `model` builds itself for a number of classes; the settings have `augment`, whether training images
    are augmented, and `augmentation`, by what. The size is set at `data.image_size`; `model.image_size` refers to it."""

    def build_model(self) -> keras.Model:
        model: keras.Model = self.model.build(classes=len(self.classes))
        return model

    def augments(self) -> bool:
        return bool(self.settings.augment)

    def augment(self, batch: Any, seeds: tf.Tensor) -> Any:
        images, labels = batch
        return self.settings.augmentation.apply(images, seeds), labels

    @classmethod
    def check_config(cls, config: RunConfig) -> Iterator[Problem]:
        if config.model.image_size != config.data.image_size:
            yield Problem(
                "model.image_size",
                "is not the size of the images",
                given=config.model.image_size,
                allowed=f"{config.data.image_size}, as data.image_size",
                hint="set data.image_size alone; model.image_size refers to it",
            )
