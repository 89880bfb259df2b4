"""Base classes of scenarios that give each sample one of several labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from framework.config.schema import setting
from framework.config.sections import RunConfig
from framework.data.image_config import ImageConfig
from framework.data.image_files import ImageFiles
from framework.data.image_list import images_to_predict
from framework.data.source import Source
from framework.errors import ConfigError, Problem
from framework.evaluators import BinaryReport, ClassReport, Evaluator
from framework.scenario import Objective, Scenario

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from framework.data.augment import AffineAugmentation


# The losses of Keras for one probability, and those for a distribution over classes.
_OF_TWO = (
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "log_cosh",
    "hinge",
    "squared_hinge",
)
_OF_MORE = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "kl_divergence",
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "log_cosh",
)
# The classes of Keras that smooth labels. SparseCategoricalCrossentropy does not; CategoricalCrossentropy
# does, and gives the same numbers.
_SMOOTHING = {
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "sparse_categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
}

Loss: TypeAlias = "str | keras.losses.Loss | Callable[[tf.Tensor, tf.Tensor], tf.Tensor]"
LossName = Literal[
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "hinge",
    "squared_hinge",
    "kl_divergence",
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "log_cosh",
]


@dataclass(frozen=True, kw_only=True)
class ClassificationSettings:
    """Settings of a scenario that gives each sample one label. Derive from it to add more."""

    loss: LossName | None = setting(
        None,
        "Loss that training minimises, by its name in Keras. null: binary_crossentropy with two classes, "
        "sparse_categorical_crossentropy with more.",
    )
    label_smoothing: float = setting(
        0.0,
        "Fraction by which targets are moved towards the mean over the classes. Only for a loss that is a "
        "cross-entropy.",
        ge=0,
        lt=1,
    )

    def check(self) -> Iterator[Problem]:
        if self.label_smoothing and self.loss is not None and self.loss not in _SMOOTHING:
            yield Problem(
                "label_smoothing",
                f"means nothing with {self.loss}",
                given=self.label_smoothing,
                allowed=f"0; or {', '.join(_SMOOTHING)}",
            )


class LabelledData(Protocol):
    """What `Classification` needs of the section `data`."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of the model's outputs; None: left for the data to say."""

    @property
    def positive_class(self) -> str | None:
        """Of two classes, the one that the model's output is the probability of; it is not looked at where
        there are more. None: left for the data to say."""


class Classification(Scenario):
    """A scenario that gives each sample one of several classes.

    With two classes the model gives the probability of the positive class, [batch, 1], and the targets are 0
    and 1, [batch, 1]. With more classes it gives a softmax, [batch, classes], and the targets are the indices
    of the classes, [batch].

    The section `data` has `classes`, their names in the order of the model's outputs, and, where there may be
    two, `positive_class`.
    """

    threshold: float = 0.5
    """Probability above which the positive one of two classes is predicted.

    The option `--threshold` of a command sets it. Reports that a scenario makes itself take it, too:
    `BinaryReport(classes, positive, self.threshold)`.
    """

    data: LabelledData

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes."""
        assert self.data.classes is not None  # `config` has filled them in
        return self.data.classes

    @property
    def _positive_class(self) -> str:
        assert self.data.positive_class is not None  # as above
        return self.data.positive_class

    Config = ClassificationSettings

    def objective(self) -> Objective:
        return Objective(loss=self._loss(), metrics=["accuracy"], monitor="val_accuracy", mode="max")

    def _loss(self) -> Loss:
        """Return the loss that the settings name, as `keras.Model.compile` takes it.

        Raises:
            ConfigError: if it does not fit the number of classes.
        """
        count = len(self.classes)
        fitting = _OF_TWO if count == 2 else _OF_MORE
        # Settings that do not derive from ClassificationSettings may have neither.
        name = getattr(self.settings, "loss", None) or fitting[0]
        smoothing = getattr(self.settings, "label_smoothing", 0.0)
        if name not in fitting:
            what = (
                f"does not fit {count} classes, of which the model gives "
                f"{'one probability' if count == 2 else 'a softmax'}"
            )
            raise ConfigError(Problem("scenario.loss", what, given=name, allowed=", ".join(fitting)))
        if name == fitting[0] and not smoothing:
            return name
        return _of_indices(name, smoothing, count) if count > 2 else _of_targets(name, smoothing)

    def evaluators(self) -> Sequence[Evaluator]:
        """Return a report on each class, since accuracy does not say which classes are missed."""
        if len(self.classes) == 2:
            return [BinaryReport(self.classes, self._positive_class, self.threshold)]
        return [ClassReport(self.classes)]

    def describe_prediction(self, output: np.ndarray) -> Mapping[str, object]:
        """Return the label and the probability of each class.

        For example `{"label": "fake", "fake": 0.98, "real": 0.02}`.
        """
        if len(self.classes) == 2:
            positive = float(output[0])
            other = next(name for name in self.classes if name != self._positive_class)
            probabilities = [
                positive if name == self._positive_class else 1 - positive for name in self.classes
            ]
            label = self._positive_class if positive > self.threshold else other
        else:
            probabilities = [float(value) for value in output]
            label = self.classes[max(range(len(self.classes)), key=probabilities.__getitem__)]
        return {"label": label, **dict(zip(self.classes, probabilities, strict=True))}

    def describe_model(self) -> Mapping[str, object]:
        positive = {"positive_class": self._positive_class} if len(self.classes) == 2 else {}
        return {"classes": list(self.classes), **positive}


def _of_targets(name: str, smoothing: float) -> Loss:
    """Return a loss of Keras by its name, with smoothed labels."""
    import keras

    return getattr(keras.losses, _SMOOTHING[name])(label_smoothing=smoothing) if smoothing else name


def _of_indices(name: str, smoothing: float, classes: int) -> Loss:
    """Return a loss of Keras that compares class probabilities with the index of the class, int [batch]."""
    import keras

    loss = keras.losses.get(_of_targets(name, smoothing))
    compute = loss.call if isinstance(loss, keras.losses.Loss) else loss

    def of_indices(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        # The result is the loss of each sample. Keras averages it, over several devices and with weights, as
        # it does a loss of its own. Targets come as [batch, 1], since Keras gives them the rank of the
        # outputs.
        indices = keras.ops.cast(keras.ops.reshape(targets, [-1]), "int32")
        return compute(keras.ops.one_hot(indices, classes, dtype=outputs.dtype), outputs)

    of_indices.__name__ = name
    return of_indices


class ImageSettings(Protocol):
    """What `ImageClassification` needs of the scenario's settings."""

    @property
    def augment(self) -> bool:
        """Whether training images are augmented."""

    @property
    def augmentation(self) -> AffineAugmentation:
        """By what."""


class ImageModel(Protocol):
    """What `ImageClassification` needs of the section `model`."""

    @property
    def image_size(self) -> int | tuple[int, ...]:
        """Height and width of an image, in pixels: one number for both, or two."""

    def build(self, *, classes: int) -> keras.Model:
        """Make the model for a number of classes, not compiled."""


@runtime_checkable
class _Sized(Protocol):
    image_size: int | tuple[int, ...]


class ImageClassification(Classification):
    """A scenario that classifies images of one size.

    The section `model` builds a model for a number of classes. The settings have `augment`, whether training
    images are augmented, and `augmentation`, how. The size is set at `data.image_size`; `model.image_size`
    refers to it.
    """

    model: ImageModel
    settings: ImageSettings

    def build_model(self) -> keras.Model:
        return self.model.build(classes=len(self.classes))

    def images_to_predict(self, arguments: Sequence[str | Path]) -> ImageFiles:
        """Return the images in files, folders and lists, read as those of the data are.

        The classes of the images are included where they are known.
        """
        names = {
            name: getattr(self.data, name) for name in ("file", "label", "rename") if hasattr(self.data, name)
        }
        images = images_to_predict(arguments, classes=self.classes, **names)
        if isinstance(self.data, ImageConfig):
            return self.data.files(list(images), known=list(images.values()))
        return ImageFiles(list(images), image_size=self.model.image_size, known=list(images.values()))

    def prediction_source(self, arguments: Sequence[str | Path]) -> Source:
        return self.images_to_predict(arguments)

    def augments(self) -> bool:
        return self.settings.augment

    def augment(self, batch: tuple[tf.Tensor, tf.Tensor], seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = batch
        return self.settings.augmentation.apply(images, seeds), labels

    def unused_settings(self) -> Iterator[str]:
        augmentation = self.settings.augmentation
        if not self.settings.augment:
            if augmentation != type(augmentation)():
                yield "scenario.augmentation has no effect: scenario.augment=true turns augmentation on"
            return
        for name, part in augmentation.unused_settings():
            yield f"scenario.augmentation.{name} has no effect: scenario.augmentation.{part} is 0"

    @classmethod
    def check_config(cls, config: RunConfig) -> Iterator[Problem]:
        model, data = config.model, config.data
        if isinstance(model, _Sized) and isinstance(data, _Sized) and model.image_size != data.image_size:
            yield Problem(
                "model.image_size",
                "is not the size of the images",
                given=model.image_size,
                allowed=f"{data.image_size}, as data.image_size",
                hint="set data.image_size alone; model.image_size refers to it",
            )
