"""A source of image files."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from framework.data.classes import targets_of
from framework.data.image_decoding import Exif, Jpeg, height_and_width, read_image
from framework.data.image_faults import SUFFIXES, diagnose, remarks_on, special_fault
from framework.data.source import Fault, Source, digest_of
from framework.errors import DataError, listing, nearest, reason_of

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

_log = logging.getLogger("framework")


class Labels(TypedDict, total=False):
    """What is known of the classes of images; see `ImageFiles`."""

    labels: Sequence[int] | None
    classes: Sequence[str]
    positive_class: str | None
    rows: Sequence[str] | None
    root: str | None
    known: Sequence[str | None] | None
    group_names: Sequence[str] | None


class ImageFiles(Source):
    """Images by index, decoded and resized when they are loaded.

    A sample is `(image, target)`, or `(image,)` without labels, for prediction. The image is RGB, uint8
    [height, width, 3]; its aspect ratio is not kept. With two classes the target is float32 [1], 1.0 for the
    positive class. With more it is an int32 scalar, the index into `classes`.

    Args:
        paths: the files. They are not opened before they are loaded; see `unreadable`.
        image_size: height and width of a sample, in pixels: one number for both, or both.
        exif, jpeg: as for `framework.data.image_decoding.read_image`.
        labels: for each file the index of its class.
        classes: the names of the classes.
        positive_class: with two classes, the one with the target 1; None: the last.
        rows: for each file the row of the list that names it, for messages; None without a list.
        root: the folder that may be moved with all that is below it, for the fingerprint; None: what the
            paths have in common.
        known: for each file to predict the name of its class, or None if it is not known.
        group_names: for each file the name of its group, such as its video; None without groups.

    >>> source = ImageFiles(["cat.jpg", "dog.png"], image_size=64, labels=[0, 1], classes=("cat", "dog"))
    >>> image, target = source.load(tf.constant(1, tf.int64))
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        image_size: int | Sequence[int],
        exif: Exif = "apply",
        jpeg: Jpeg = "accurate",
        labels: Sequence[int] | None = None,
        classes: Sequence[str] = (),
        positive_class: str | None = None,
        rows: Sequence[str] | None = None,
        root: str | None = None,
        known: Sequence[str | None] | None = None,
        group_names: Sequence[str] | None = None,
    ) -> None:
        import numpy as np
        import tensorflow as tf

        self.paths = tuple(os.fspath(path) for path in paths)
        self.labels = None if labels is None else np.array(labels, np.int32)
        self.classes = tuple(classes)
        self.image_size = image_size
        self._exif: Exif = exif
        self._jpeg: Jpeg = jpeg
        self._positive_class = positive_class
        self._rows = rows
        self._root = root
        self._known = known
        self._group_names = group_names
        targets = None if self.labels is None else targets_of(self.labels, self.classes, positive_class)
        with tf.device("/CPU:0"):
            self._files = tf.constant([os.fsencode(path) for path in self.paths], tf.string)
            self._targets = None if targets is None else tf.constant(targets)

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = read_image(
            self._files[index], height_and_width(self.image_size), exif=self._exif, jpeg=self._jpeg
        )
        return (image,) if self._targets is None else (image, self._targets[index])

    def sample_name(self, index: int) -> str:
        """Return the path of the file."""
        return self.paths[index]

    def true_label(self, index: int) -> str | None:
        return self._known[index] if self._known is not None else None

    def group_name(self, index: int) -> str | None:
        return self._group_names[index] if self._group_names is not None else None

    def known_targets(self) -> np.ndarray | None:
        return None if self._targets is None else self._targets.numpy()

    def diagnose(self, index: int, reason: str) -> Fault:
        fault = diagnose(self.paths[index], reason)
        return fault if self._rows is None else named_by(self._rows[index], fault)

    def known_fault(self, index: int) -> Fault | None:
        return special_fault(self.paths[index]) and self.diagnose(index, "")

    def remarks(self, index: int) -> Iterable[Fault]:
        return remarks_on(self.paths[index], exif=self._exif)

    def fingerprint(self) -> str:
        """Return the number of files, and a checksum of their relative paths and their classes.

        A folder that was moved has the same fingerprint.
        """
        folders = {os.path.dirname(path) for path in self.paths}
        common = self._root or (
            os.path.commonpath([os.path.dirname(folder) or folder for folder in folders]) if folders else ""
        )
        labels = self.labels if self.labels is not None else [None] * len(self)
        relative = (path.removeprefix(common).lstrip(os.sep) for path in self.paths)
        named = zip(relative, labels, strict=True)
        digest = digest_of(os.fsencode(f"{path}\0{label}\0") for path, label in named)
        return f"{len(self)} files ({digest})"

    def chosen(self, indices: Sequence[int]) -> ImageFiles:
        """Return a source of some of the files, in the order of `indices`."""
        return ImageFiles(
            [self.paths[i] for i in indices],
            image_size=self.image_size,
            exif=self._exif,
            jpeg=self._jpeg,
            labels=None if self.labels is None else [int(self.labels[i]) for i in indices],
            classes=self.classes,
            positive_class=self._positive_class,
            rows=self._rows and [self._rows[i] for i in indices],
            root=self._root,
            group_names=self._group_names and [self._group_names[i] for i in indices],
        )


def named_by(row: str, fault: Fault) -> Fault:
    """Add the row of the list that names a file to the fault of that file."""
    return dataclasses.replace(fault, reason=f"{fault.reason} (named by {row})")


def load_image(
    path: str | Path, image_size: int | Sequence[int], *, exif: Exif = "apply", jpeg: Jpeg = "accurate"
) -> np.ndarray:
    """Load one image, bit for bit as `ImageFiles` loads it.

    Args:
        path: the file.
        image_size, exif, jpeg: as for `ImageFiles`.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    import tensorflow as tf

    if fault := special_fault(os.fspath(path)):
        raise DataError(f"cannot read the image {fault}")
    try:
        file, size = tf.constant(os.fsencode(path)), height_and_width(image_size)
        image: np.ndarray = read_image(file, size, exif=exif, jpeg=jpeg).numpy()
    except tf.errors.OpError as error:
        raise DataError(f"cannot read the image {os.fspath(path)}: {reason_of(error)}") from error
    return image


def find_images(arguments: Sequence[str | Path]) -> list[Path]:
    """Find the image files that files and folders stand for.

    Args:
        arguments: a file stands for itself, whatever its suffix; a folder for the images in it and below,
            sorted by relative path, without hidden ones.

    Returns:
        Each file once, in the order of the arguments.

    Raises:
        DataError: naming every argument that does not exist.
    """
    missing = [
        f"there is no {path}; {hint_for_missing(path)}" for path in arguments if not Path(path).exists()
    ]
    if missing:
        raise DataError("\n".join(missing))
    found: list[Path] = []
    ignored: list[str] = []
    for path in map(Path, arguments):
        if path.is_dir():
            images, others = files_below(path)
            found += [path / name for name in images]
            ignored += [str(path / name) for name in others]
        else:
            found.append(path)
    warn_of_ignored(ignored)
    return list(dict.fromkeys(found))


def visible_entries(folder: str | Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder.

    Both are sorted by their bytes, without hidden names.
    """
    _, folders, files = next(os.walk(folder, onerror=_cannot_list))
    return _visible(folders), _visible(files)


def _visible(names: Iterable[str]) -> list[str]:
    return sorted((name for name in names if not name.startswith(".")), key=os.fsencode)


def files_below(folder: str | Path) -> tuple[list[str], list[str]]:
    """Return the visible files in a folder and below.

    Links are followed, except those that lead back.

    Returns:
        Paths relative to the folder, with `/`, sorted by their bytes: those with the suffix of an image, and
        the others.
    """
    images: list[str] = []
    others: list[str] = []
    seen = set()
    for here, folders, files in os.walk(folder, onerror=_cannot_list, followlinks=True):
        seen.add(os.path.realpath(here))
        folders[:] = [
            name for name in _visible(folders) if os.path.realpath(os.path.join(here, name)) not in seen
        ]
        for name in _visible(files):
            relative = Path(here, name).relative_to(folder).as_posix()
            (images if name.lower().endswith(SUFFIXES) else others).append(relative)
    return sorted(images, key=os.fsencode), sorted(others, key=os.fsencode)


def _cannot_list(error: OSError) -> None:
    raise DataError(f"cannot list the folder {error.filename}: {error.strerror}") from error


def hint_for_missing(path: str | Path) -> str:
    """Return a hint for a path that does not exist: a similar path, or what is in its folder."""
    missing = Path(path).absolute()
    while not missing.parent.is_dir():
        missing = missing.parent
    folders, files = visible_entries(missing.parent)
    near = nearest(missing.name, folders + files)
    if near:
        return f"did you mean {missing.parent / near}?"
    return f"{missing.parent} holds {', '.join((folders + files)[:10]) or 'nothing'}"


def warn_of_ignored(paths: Sequence[str]) -> None:
    """Warn once of all files that are passed over, if there are any."""
    if paths:
        _log.warning(
            "ignored %d file(s) without the suffix of an image:%s", len(paths), listing(sorted(paths), 5)
        )
