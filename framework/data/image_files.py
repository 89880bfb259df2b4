"""Image files as samples.

JPEG, PNG, BMP, WebP and GIF are told apart by their first bytes, not by their names. Whatever a file holds becomes uint8 RGB:
grey values are repeated, of 16 bits the upper 8 are kept, CMYK is converted, of an animation the first frame is taken, and alpha
is dropped, as Pillow's `convert("RGB")` does (to composite, one would have to invent a background). An orientation in EXIF is not
applied: the pixels are taken as they are stored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.classes import targets_of
from framework.data.image_faults import SUFFIXES, diagnose, remarks_on, special_fault
from framework.data.source import Fault, Source
from framework.errors import DataError, listing, nearest, reason_of

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

_log = logging.getLogger("framework")


class ImageFiles(Source):
    """Images by index, decoded and resized when they are loaded.

    A sample is `(image, target)`, or `(image,)` without labels, for prediction. The image is RGB, uint8
    [image_size, image_size, 3]; its aspect ratio is not kept. The target is float32 [1] with two classes, 1.0 for the positive
    one, and an int32 scalar, the index into `classes`, with more.

    Args:
        paths: the files. They are not looked at before they are loaded; see `unreadable`.
        image_size: height and width of a sample, in pixels.
        labels: for each file the index of its class.
        classes: the names of the classes.
        positive_class: with two classes, the one whose target is 1; None: the last.
        rows: for each file the row of the list that names it, for messages; None where there is no list.
        root: the folder that may be moved with all that is below it, for the fingerprint; None: what the paths have in common.

    >>> source = ImageFiles(["cat.jpg", "dog.png"], image_size=64, labels=[0, 1], classes=("cat", "dog"))
    >>> image, target = source.load(tf.constant(1, tf.int64))
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        image_size: int,
        labels: Sequence[int] | None = None,
        classes: Sequence[str] = (),
        positive_class: str | None = None,
        rows: Sequence[str] | None = None,
        root: str | None = None,
    ) -> None:
        import numpy as np
        import tensorflow as tf

        self.paths = tuple(os.fspath(path) for path in paths)
        self.labels = None if labels is None else np.array(labels, np.int32)
        self.classes = tuple(classes)
        self.image_size = image_size
        self._positive_class = positive_class
        self._rows = rows
        self._root = root
        targets = None if self.labels is None else targets_of(self.labels, self.classes, positive_class)
        with tf.device("/CPU:0"):
            self._files = tf.constant([os.fsencode(path) for path in self.paths], tf.string)
            self._targets = None if targets is None else tf.constant(targets)

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: tf.Tensor) -> Any:
        image = _read(self._files[index], self.image_size)
        return (image,) if self._targets is None else (image, self._targets[index])

    def sample_name(self, index: int) -> str:
        """The path of the file."""
        return self.paths[index]

    def diagnose(self, index: int, reason: str) -> Fault:
        fault = diagnose(self.paths[index], reason)
        return fault if self._rows is None else named_by(self._rows[index], fault)

    def known_fault(self, index: int) -> Fault | None:
        return special_fault(self.paths[index]) and self.diagnose(index, "")

    def remarks(self, index: int) -> Iterable[Fault]:
        return remarks_on(self.paths[index])

    def fingerprint(self) -> str:
        """The relative paths, so that a folder that was moved is the same, and the classes."""
        folders = {os.path.dirname(path) for path in self.paths}
        common = self._root or (os.path.commonpath([os.path.dirname(folder) or folder for folder in folders]) if folders else "")
        digest = hashlib.sha256()
        for path, label in zip(self.paths, self.labels if self.labels is not None else itertools.repeat(None), strict=False):
            digest.update(os.fsencode(f"{path.removeprefix(common).lstrip(os.sep)}\0{label}\0"))
        return f"{len(self)} files ({digest.hexdigest()[:12]})"

    def chosen(self, indices: Sequence[int]) -> ImageFiles:
        """Some of the files, in the order of `indices`."""
        return ImageFiles(
            [self.paths[i] for i in indices],
            image_size=self.image_size,
            labels=None if self.labels is None else [int(self.labels[i]) for i in indices],
            classes=self.classes,
            positive_class=self._positive_class,
            rows=self._rows and [self._rows[i] for i in indices],
            root=self._root,
        )


def named_by(row: str, fault: Fault) -> Fault:
    """The fault of a file, with the row of the list that names the file."""
    return dataclasses.replace(fault, reason=f"{fault.reason} (named by {row})")


def load_image(path: str | Path, image_size: int) -> np.ndarray:
    """One image, bit for bit as `ImageFiles` loads it.

    Args:
        path: its file.
        image_size: height and width of the result, in pixels.

    Returns:
        uint8 [image_size, image_size, 3], RGB.

    Raises:
        DataError: naming the file, where it cannot be read.
    """
    import tensorflow as tf

    if fault := special_fault(os.fspath(path)):
        raise DataError(f"cannot read the image {fault}")
    try:
        image: np.ndarray = _read(tf.constant(os.fsencode(path)), image_size).numpy()
    except tf.errors.OpError as error:
        raise DataError(f"cannot read the image {os.fspath(path)}: {reason_of(error)}") from error
    return image


def find_images(arguments: Sequence[str | Path]) -> list[Path]:
    """The image files that are meant by files and folders.

    Args:
        arguments: a file stands for itself, whatever its suffix; a folder for the images in it and below, sorted by relative
            path, without hidden ones.

    Returns:
        Each file once, in the order of the arguments.

    Raises:
        DataError: naming every argument that does not exist.
    """
    missing = [f"there is no {path}; {hint_for_missing(path)}" for path in arguments if not Path(path).exists()]
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
    """The names of the folders and of the files in a folder, each sorted by its bytes, without hidden ones."""
    _, folders, files = next(os.walk(folder, onerror=_cannot_list))
    return _visible(folders), _visible(files)


def _visible(names: Iterable[str]) -> list[str]:
    return sorted((name for name in names if not name.startswith(".")), key=os.fsencode)


def files_below(folder: str | Path) -> tuple[list[str], list[str]]:
    """The visible files in a folder and below. Links are followed, but not those that lead back.

    Returns:
        Paths relative to the folder, with `/`, sorted by their bytes: those with the suffix of an image, and the others.
    """
    images: list[str] = []
    others: list[str] = []
    seen = set()
    for here, folders, files in os.walk(folder, onerror=_cannot_list, followlinks=True):
        seen.add(os.path.realpath(here))
        folders[:] = [name for name in _visible(folders) if os.path.realpath(os.path.join(here, name)) not in seen]
        for name in _visible(files):
            relative = Path(here, name).relative_to(folder).as_posix()
            (images if name.lower().endswith(SUFFIXES) else others).append(relative)
    return sorted(images, key=os.fsencode), sorted(others, key=os.fsencode)


def _cannot_list(error: OSError) -> None:
    raise DataError(f"cannot list the folder {error.filename}: {error.strerror}") from error


def hint_for_missing(path: str | Path) -> str:
    """What is there instead of a path that does not exist: something spelled like it, or its neighbours."""
    missing = Path(path).absolute()
    while not missing.parent.is_dir():
        missing = missing.parent
    folders, files = visible_entries(missing.parent)
    near = nearest(missing.name, folders + files)
    if near:
        return f"did you mean {missing.parent / near}?"
    return f"{missing.parent} holds {', '.join((folders + files)[:10]) or 'nothing'}"


def warn_of_ignored(paths: Sequence[str]) -> None:
    """Say in one warning which files are passed over, if there are any."""
    if paths:
        _log.warning("ignored %d file(s) that are no images by their suffix:%s", len(paths), listing(sorted(paths), 5))


def _read(file: tf.Tensor, size: int) -> tf.Tensor:
    """The file at a path, a string scalar, as uint8 [size, size, 3]."""
    import tensorflow as tf

    with tf.device("/CPU:0"):
        return _resize(_decode(tf.io.read_file(file)), size)


def _decode(data: tf.Tensor) -> tf.Tensor:
    """The content of an image file, a string scalar, as uint8 [height, width, 3].

    `tf.io.decode_image` knows all formats, but fails on a WebP with alpha, and takes a BMP's indices into its palette for grey
    values.
    """
    import tensorflow as tf

    head = tf.io.decode_raw(data, tf.uint8, fixed_length=32)

    def stands(text: bytes, at: int) -> tf.Tensor:
        return tf.reduce_all(head[at : at + len(text)] == tf.constant(list(text), tf.uint8))

    def bit_4(at: int) -> tf.Tensor:
        return tf.bitwise.bitwise_and(head[at], 0x10) > 0

    # Where a WebP says that it has alpha: RFC 9649, sections 2.7 (VP8X) and 3.4 (VP8L).
    webp_with_alpha = stands(b"RIFF", 0) & ((stands(b"WEBPVP8X", 8) & bit_4(20)) | (stands(b"WEBPVP8L", 8) & bit_4(24)))
    bmp_with_palette = stands(b"BM", 0) & (head[28] == 8)

    def decode_palette() -> tf.Tensor:
        # The table of blue, green, red, 0 follows the file header of 14 bytes and the info header, which starts with its length.
        start = 14 + tf.cast(head[14], tf.int32)
        table = tf.reshape(tf.io.decode_raw(tf.strings.substr(data, start, 1024), tf.uint8, fixed_length=1024), [256, 4])
        indices = tf.io.decode_bmp(data)[..., 0]
        return tf.gather(table[:, 2::-1], tf.cast(indices, tf.int32))

    return tf.cond(
        webp_with_alpha,
        # The first frame of [frames, height, width, 4]. channels=0 would do for every WebP, but has TensorFlow 2.21 write beyond
        # its memory where an animation has no alpha. With 3 channels, below, it refuses such a file.
        lambda: tf.image.decode_webp(data, channels=4)[0, ..., :3],
        lambda: tf.cond(
            bmp_with_palette,
            decode_palette,
            lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
        ),
    )


def _resize(image: tf.Tensor, size: int) -> tf.Tensor:
    """Resize uint8 [height, width, 3] to uint8 [size, size, 3], bilinearly.

    An image that shrinks to half or less is smoothed on the way (antialias), or pixels would be passed over. Smoothing takes
    three times as long as decoding and plain resizing together; above half it would change a photograph by 0.6 of 255 at the
    most, on average, and is left out.
    """
    import tensorflow as tf

    image = tf.ensure_shape(image, [None, None, 3])
    resized = tf.cond(
        tf.reduce_max(tf.shape(image)[:2]) >= 2 * size,
        lambda: tf.image.resize(image, [size, size], antialias=True),
        lambda: tf.image.resize(image, [size, size]),
    )
    return tf.ensure_shape(tf.cast(tf.round(resized), tf.uint8), [size, size, 3])
