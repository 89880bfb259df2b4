"""The images that a model on disk is to predict, and the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from framework import DataError
from framework.data.image_files import ImageFiles, find_images, hint_for_missing, visible_entries
from scenarios.mesonet.generators import images_of_classes
from scenarios.mesonet.keras_files import facts_of

if TYPE_CHECKING:
    import numpy as np


def images_to_predict(
    model_path: str | Path, folder: str | Path, image_size: Sequence[int]
) -> tuple[ImageFiles, tuple[str, ...], np.ndarray | None]:
    """Find the images in a folder.

    Args:
        model_path: the model that is to predict them.
        folder: the folder, with one sub-folder per class or without.
        image_size: height and width that they are resized to.

    Returns:
        The images; the names of the classes, the positive one of two last; and the index of the class of each
        image, or None if the folder does not say it.

    Raises:
        ScenarioError: if there are no images.
    """
    if not Path(folder).is_dir():
        there = Path(folder).exists()
        raise DataError(
            f"{folder} is a file, and a folder of images is needed"
            if there
            else f"there is no folder {folder}",
            hint=None if there else hint_for_missing(folder),
        )
    folders, _ = visible_entries(folder)
    names = _recorded_names(model_path) or (tuple(folders) if len(folders) > 1 else ("0", "1"))
    if len(names) == 2 and folders and set(folders) <= set(names):
        source = images_of_classes(folder, image_size, classes=list(names), positive_class=names[1])
        return source, names, source.labels
    paths = find_images([folder])
    if not paths:
        raise DataError(f"there are no images in {folder}")
    return ImageFiles(paths, image_size=image_size), names, None


def _recorded_names(model_path: str | Path) -> tuple[str, ...]:
    """The names of the classes that were recorded beside a model, the positive one of two last."""
    facts = facts_of(model_path)
    names, positive = facts.get("classes"), facts.get("positive_class")
    if not isinstance(names, list):
        return ()
    # Sorted by whether it is the positive one; the others keep their order.
    return tuple(sorted(map(str, names), key=lambda name: name == positive))
