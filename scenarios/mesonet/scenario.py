"""MesoNet as a scenario: is a face real, or forged by a network?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.classification import Classification
from framework.config import RunConfig
from framework.data.augment import AffineAugmentation
from framework.data.images import ImageFiles, ImageFolder, find_images
from framework.data.source import Source
from framework.errors import Problem
from framework.registry import Registry
from framework.scenario import register_scenario
from framework.schema import setting
from scenarios.mesonet.data import ForgedPatches
from scenarios.mesonet.model import MODELS

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

DATAS = Registry("data")
DATAS.register("image_folder")(ImageFolder)
DATAS.register("forged_patches")(ForgedPatches)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What MesoNet has beside its model and its data."""

    augment: bool = setting(False, "Augment training images as `augmentation` says.")
    augmentation: AffineAugmentation = field(
        default_factory=AffineAugmentation, metadata={"help": "The paper's augmentation, unless changed."}
    )


@register_scenario("mesonet")
class MesoNet(Classification):
    """Two classes of images by one probability, that of the positive class; more classes by softmax."""

    Config = Settings
    models = MODELS
    datas = DATAS

    def build_model(self) -> keras.Model:
        model: keras.Model = self.model.build(classes=len(self.classes))
        return model

    def augments(self) -> bool:
        return bool(self.settings.augment)

    def augment(self, batch: Any, seeds: tf.Tensor) -> Any:
        images, labels = batch
        return self.settings.augmentation.apply(images, seeds), labels

    def prediction_source(self, arguments: Sequence[str | Path]) -> Source:
        return ImageFiles(find_images(arguments), image_size=self.model.image_size)

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
