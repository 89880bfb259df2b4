"""Settings of data with image files as samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Unpack

from framework.config.schema import setting
from framework.data.groups import find_groups
from framework.data.image_decoding import Exif, Jpeg
from framework.data.image_files import ImageFiles, Labels
from framework.data.source import DataConfig
from framework.errors import Problem


@dataclass(frozen=True, kw_only=True)
class ImageConfig(DataConfig):
    """Settings of how image files become samples."""

    image_size: int | tuple[int, ...] = setting(
        256,
        "Height and width of a sample in pixels: one number for both, or `[height,width]`. Images are "
        "resized to it.",
        ge=1,
        le=4096,
    )
    exif: Exif = setting(
        "apply",
        "How to use the orientation in the EXIF data of an image. apply: turn the image upright; ignore: "
        "take the pixels as they are stored.",
    )
    jpeg: Jpeg = setting(
        "accurate",
        "How to decode a JPEG. accurate: to the values that Pillow and OpenCV give; fast: by TensorFlow's "
        "inexact default, off by up to 9 of 255 and not faster.",
    )
    on_error: Literal["fail", "skip"] = setting(
        "fail",
        "What to do about an unreadable image. fail: end with an error; skip: try every image before the "
        "run starts, and leave out those that fail.",
    )

    group_by: str | None = setting(
        None,
        "Regular expression that finds in the path of an image what it belongs to, such as its video or its "
        "person: its first group, or the whole match. Where the training data are divided, all images of a group "
        "are on one side. null: each image by itself.",
    )

    def group_names(self, paths: Sequence[str]) -> list[str] | None:
        """Return the group of each image, or None if `group_by` is not set.

        Args:
            paths: relative to the folder of the images, or as their list has them.

        Raises:
            DataError: naming the first paths that `group_by` does not match.
        """
        return None if self.group_by is None else find_groups(self.group_by, paths, "data.group_by")

    def files(self, paths: Sequence[str | Path], **labelled: Unpack[Labels]) -> ImageFiles:
        """Return a source of image files, read as the settings say.

        Args:
            paths: the files.
            labelled: further arguments of `ImageFiles`; none for prediction.
        """
        return ImageFiles(paths, image_size=self.image_size, exif=self.exif, jpeg=self.jpeg, **labelled)


def check_image_size(image_size: int | Sequence[int]) -> Iterator[Problem]:
    """Yield the problem of an `image_size` that is neither one number nor two."""
    if not isinstance(image_size, int) and len(image_size) != 2:
        yield Problem(
            "image_size",
            "must be a size",
            given=list(image_size),
            allowed="a whole number, or [height,width]",
        )
