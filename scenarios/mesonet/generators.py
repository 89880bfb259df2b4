"""Batches of the images in a folder, to train a Keras model on or to test it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework import ImageFolder, Problem, Split
from framework.config.schema import read
from scenarios.mesonet.arguments import in_arguments, plain, problems_of_arguments
from scenarios.mesonet.augmentations import settings_of

if TYPE_CHECKING:
    import tensorflow as tf

    from framework.data.image_files import ImageFiles
    from scenarios.mesonet.batches import ImageBatches

IMG_WIDTH = 256
"""Height and width of the images, as the paper has them."""

_SEED = 1


def get_train_data_generator(
    train_data_dir: str | Path,
    batch_size: int,
    validation_split: float | None = None,
    use_default_augmentation: bool = True,
    augmentations: Mapping[str, object] | None = None,
) -> tuple[ImageBatches, ImageBatches | None]:
    """Return batches of the images in a folder to train on, and of those that are kept for validation.

    Images are 256x256, with values of 0 to 1. Those for training come in a new order in each epoch, and are
    augmented; those for validation are not.

    Args:
        train_data_dir: a folder with one sub-folder per class.
        batch_size: images of a batch.
        validation_split: fraction of each class that is kept for validation, in [0, 1); None or 0: nothing.
        use_default_augmentation: whether to augment as MesoNet's authors do. It takes precedence.
        augmentations: further arguments of Keras' `ImageDataGenerator`.

    Returns:
        The training batches, and the validation batches or None.

    Raises:
        ScenarioError: if the folder or an argument cannot be used.
    """
    from scenarios.mesonet.batches import ImageBatches
    from scenarios.mesonet.given_model import Settings

    problems: list[Problem] = []
    augmenting = settings_of(augmentations, use_default=use_default_augmentation)
    settings = read(Settings, augmenting, "scenario", problems)
    images = {"train_dir": plain(train_data_dir), "validation_split": plain(validation_split) or 0.0}
    folder = read(ImageFolder, {**images, "image_size": IMG_WIDTH}, "data", problems)
    if settings is None or folder is None:
        raise in_arguments(problems)
    with problems_of_arguments():
        folder = folder.resolve()
        training = folder.source(Split.TRAIN, seed=_SEED)
        kept = folder.source(Split.VALIDATION, seed=_SEED) if folder.has_validation() else None

    def augment(images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return settings.displacement.apply(settings.augmentation.apply(images, seeds), seeds)

    where, how = str(train_data_dir), augment if settings.augment else None
    return (
        ImageBatches(training, where, batch_size=batch_size, seed=_SEED, augment=how),
        None if kept is None else ImageBatches(kept, where, batch_size=batch_size),
    )


def get_test_data_generator(
    test_data_dir: str | Path, batch_size: int, shuffle: bool = False
) -> ImageBatches:
    """Return batches of the images in a folder, as they are.

    Images are 256x256, with values of 0 to 1.

    Args:
        test_data_dir: a folder with one sub-folder per class.
        batch_size: images of a batch.
        shuffle: whether they come in a new order in each epoch; otherwise in that of their names.

    Raises:
        ScenarioError: if the folder cannot be used.
    """
    from scenarios.mesonet.batches import ImageBatches

    source = images_of_classes(test_data_dir, (IMG_WIDTH, IMG_WIDTH))
    seed = _SEED if shuffle else None
    return ImageBatches(source, str(test_data_dir), batch_size=batch_size, seed=seed)


def images_of_classes(folder: str | Path, image_size: Sequence[int], **classes: Any) -> ImageFiles:
    """Return the images in a folder with one sub-folder per class.

    Args:
        folder: the folder.
        image_size: height and width that they are resized to, in pixels.
        classes: the settings `classes` and `positive_class` of an `ImageFolder`.

    Raises:
        ScenarioError: if the folder cannot be used.
    """
    problems: list[Problem] = []
    settings = {"test_dir": plain(folder), "image_size": list(image_size), **classes}
    images = read(ImageFolder, settings, "data", problems)
    if images is None:
        raise in_arguments(problems)
    with problems_of_arguments():
        return images.source(Split.TEST, seed=_SEED)
