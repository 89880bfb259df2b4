"""The scenario mesonet: classification of images as real or forged."""

from __future__ import annotations

from dataclasses import dataclass, field

from framework import (
    ClassificationSettings,
    ImageAugmentation,
    ImageClassification,
    ImageFolder,
    ImageList,
    Registry,
    register_scenario,
    setting,
)
from scenarios.mesonet.data import ForgedPatches
from scenarios.mesonet.networks import MODELS

DATAS = Registry("data")
DATAS.register("image_folder")(ImageFolder)
DATAS.register("image_list")(ImageList)
DATAS.register("forged_patches")(ForgedPatches)


@dataclass(frozen=True, kw_only=True)
class Settings(ClassificationSettings):
    """The settings of the scenario mesonet itself, besides its model and its data."""

    augment: bool = setting(False, "Augment training images with the transformations of `augmentation`.")
    augmentation: ImageAugmentation = field(
        default_factory=ImageAugmentation,
        metadata={"help": "The transformations; by default those of the paper."},
    )


@register_scenario("mesonet")
class MesoNet(ImageClassification):
    """Image classification: with two classes, the probability of the positive one; with more, a softmax."""

    Config = Settings
    models = MODELS
    datas = DATAS
