"""MesoNet as a scenario: is a face real, or forged by a network?"""

from __future__ import annotations

from dataclasses import dataclass, field

from framework import (
    AffineAugmentation,
    ClassificationSettings,
    ImageClassification,
    ImageFolder,
    ImageList,
    Registry,
    register_scenario,
    setting,
)
from scenarios.mesonet.data import ForgedPatches
from scenarios.mesonet.model import MODELS

DATAS = Registry("data")
DATAS.register("image_folder")(ImageFolder)
DATAS.register("image_list")(ImageList)
DATAS.register("forged_patches")(ForgedPatches)


@dataclass(frozen=True, kw_only=True)
class Settings(ClassificationSettings):
    """What MesoNet has beside its model and its data."""

    augment: bool = setting(False, "Augment training images as `augmentation` says.")
    augmentation: AffineAugmentation = field(
        default_factory=AffineAugmentation, metadata={"help": "The paper's augmentation, unless changed."}
    )


@register_scenario("mesonet")
class MesoNet(ImageClassification):
    """Two classes of images by one probability, that of the positive class; more classes by softmax."""

    Config = Settings
    models = MODELS
    datas = DATAS
