"""Handwritten digits: MNIST from its files, and the small set that scikit-learn ships."""

from __future__ import annotations

import dataclasses
import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from framework import ArraySource, ConfigError, DataConfig, DataError, Problem, Split, setting

if TYPE_CHECKING:
    import numpy as np

_FILES = {
    Split.TRAIN: ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    Split.TEST: ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True, kw_only=True)
class DigitImages(DataConfig):
    """Base class of both data sets.

    A sample is `(image, label)`: uint8 [image_size, image_size, 1], white on black, and an int32 scalar.
    """

    image_size: int = setting(32, "Height and width that images are resized to, in pixels.", ge=8, le=4096)

    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def source(self, split: Split, *, seed: int) -> ArraySource:
        """Return the digits of a split.

        Args:
            split: the split.
            seed: not used: the digits of a split are fixed.

        Raises:
            ConfigError, DataError: if the data are missing or damaged.
        """
        import tensorflow as tf

        images, labels = self._read(split)
        with tf.device("/CPU:0"):
            resized = tf.image.resize(images[..., None], [self.image_size, self.image_size])
            return ArraySource((tf.cast(tf.round(resized), tf.uint8), labels.astype("int32")))

    def _read(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """Return images, uint8 [n, height, width], and labels [n]."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Mnist(DigitImages):
    """MNIST (LeCun, Cortes and Burges 1998): 60,000 digits to train on, and 10,000 test digits, 28x28.

    The files are those of the original distribution, compressed by gzip or not. Validation uses the test
    digits, as tutorials do, so that results can be compared. `validation_split` keeps a part of the training
    digits for validation instead.
    """

    dir: str | None = setting(
        None, "Folder of the idx files. null: keras.datasets downloads them, which needs a network once."
    )
    validation_split: float = setting(
        0.0,
        "Fraction of the training digits, from their end, that is kept for validation. 0: the test digits "
        "are used.",
        ge=0,
        lt=1,
    )

    def check(self) -> Iterator[Problem]:
        if 0 < self.validation_split < 1 / 1000:
            yield Problem(
                "validation_split",
                "keeps too little",
                given=self.validation_split,
                allowed="0, or 0.001 and more",
            )

    def resolve(self) -> Mnist:
        """Make the folder absolute, so that the run can be resumed from any working directory."""
        return self if self.dir is None else dataclasses.replace(self, dir=str(Path(self.dir).absolute()))

    def _read(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        divided = self.validation_split > 0 and split is not Split.TEST
        part = Split.TRAIN if divided or split is Split.TRAIN else Split.TEST
        images, labels = self._read_files(part) if self.dir is not None else _download(part)
        if not divided:
            return images, labels
        kept = math.ceil(self.validation_split * len(images))
        chosen = slice(-kept, None) if split is Split.VALIDATION else slice(0, -kept)
        return images[chosen], labels[chosen]

    def _read_files(self, part: Split) -> tuple[np.ndarray, np.ndarray]:
        assert self.dir is not None
        folder = Path(self.dir)
        if not folder.is_dir():
            raise ConfigError(
                Problem("data.dir", "must be a folder", given=self.dir, allowed=_what_is_wanted())
            )
        images, labels = (read_idx(_find(folder, name)) for name in _FILES[part])
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise DataError(
                f"the {part} digits in {folder} do not fit: images {list(images.shape)}, labels "
                f"{list(labels.shape)}",
                hint="get the files again",
            )
        return images, labels


@dataclass(frozen=True, kw_only=True)
class Digits(DigitImages):
    """The digits that scikit-learn ships: 1,797 of 8x8 pixels, so no download is needed. Every fifth is for
    validation; there is no test split. (E. Alpaydin and C. Kaynak 1998, Optical Recognition of Handwritten
    Digits, UCI.)"""

    def _read(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        import numpy as np
        from sklearn.datasets import load_digits

        if split is Split.TEST:
            raise DataError(
                "the digits of scikit-learn have no test split", hint="use split=validation, or data=mnist"
            )
        found = load_digits()
        validates = np.arange(len(found.target)) % 5 == 0
        chosen = validates if split is Split.VALIDATION else ~validates
        # They have 17 shades, 0 to 16.
        return np.rint(found.images[chosen] * (255 / 16)).astype("uint8"), found.target[chosen]


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file of bytes (http://yann.lecun.com/exdb/mnist/, "The IDX file format").

    Args:
        path: the file, compressed by gzip or not.

    Returns:
        uint8, of the shape in the file.

    Raises:
        DataError: if it cannot be read. It names the file.
    """
    import numpy as np

    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}", hint="get the file again") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(
            f"{path} is not an idx file of bytes: it begins with {content[:4].hex() or 'nothing'}",
            hint="get the file again",
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(
            f"{path} is damaged: it breaks off after {len(content)} bytes", hint="get the file again"
        )
    shape = np.frombuffer(content[4:start], ">u4")
    values = np.frombuffer(content[start:], np.uint8)
    if len(values) != shape.prod(dtype=np.int64):
        raise DataError(
            f"{path} is damaged: it says that it holds {' x '.join(map(str, shape))} bytes, and has "
            f"{len(values):,}",
            hint="get the file again",
        )
    return values.reshape(shape)


def _find(folder: Path, name: str) -> Path:
    """Find an idx file by one of its usual names."""
    dotted = name.replace("-idx", ".idx")
    for candidate in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    raise DataError(
        f"there is no {name} or {name}.gz in {folder}", hint=f"data.dir wants {_what_is_wanted()}"
    )


def _what_is_wanted() -> str:
    return "a folder with " + ", ".join(f"{name}.gz" for names in _FILES.values() for name in names)


def _download(part: Split) -> tuple[Any, Any]:
    import keras

    try:
        train, test = keras.datasets.mnist.load_data()
    except Exception as error:  # a missing network raises errors of many kinds
        raise DataError(
            f"MNIST cannot be downloaded here: {error}",
            hint=f"data.dir=DIR names {_what_is_wanted()}; data=digits needs no download",
        ) from error
    return train if part is Split.TRAIN else test
