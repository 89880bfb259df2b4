"""The scenario lenet: classification of handwritten digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework import (
    AffineAugmentation,
    ClassificationSettings,
    ImageClassification,
    Registry,
    Source,
    register_scenario,
    setting,
)
from framework.data.image_files import ImageFiles
from scenarios.lenet.data import Digits, Mnist
from scenarios.lenet.model import LeNet5

if TYPE_CHECKING:
    import tensorflow as tf

DATAS = Registry("data")
DATAS.register("mnist")(Mnist)
DATAS.register("digits")(Digits)

MODELS = Registry("model")
MODELS.register("lenet5")(LeNet5)


def _small_changes() -> AffineAugmentation:
    return AffineAugmentation(
        rotation=10.0, zoom=0.1, shift=0.08, horizontal_flip=False, channel_shift=0.0, brightness=(1.0, 1.0)
    )


@dataclass(frozen=True, kw_only=True)
class Settings(ClassificationSettings):
    """The settings of the scenario lenet itself, besides its model and its data."""

    augment: bool = setting(False, "Augment training images with the transformations of `augmentation`.")
    augmentation: AffineAugmentation = field(
        default_factory=_small_changes,
        metadata={"help": "The transformations; by default small rotations, scalings and shifts."},
    )


@register_scenario("lenet")
class LeNet(ImageClassification):
    """Classification of images into ten digits by a softmax."""

    Config = Settings
    models = MODELS
    datas = DATAS

    def prediction_source(self, arguments: Sequence[str | Path]) -> Source:
        return GreyImages(self.images_to_predict(arguments))


class GreyImages(Source):
    """Image files in grey: `(image,)`, uint8 [image_size, image_size, 1].

    Colours are weighted by ITU-R BT.601. Images must be white on black, like MNIST.
    """

    def __init__(self, files: ImageFiles) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def load(self, index: tf.Tensor) -> Any:
        import tensorflow as tf

        return (tf.image.rgb_to_grayscale(self._files.load(index)[0]),)

    def sample_name(self, index: int) -> str:
        return self._files.sample_name(index)

    def true_label(self, index: int) -> str | None:
        return self._files.true_label(index)

    def diagnose(self, index: int, reason: str) -> Any:
        return self._files.diagnose(index, reason)
