"""Image files that are in the data twice: the same content, nearly the same image, or the same path."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework.data.image_files import ImageFiles
from framework.data.source import Fault, Source, Split
from framework.errors import listing

if TYPE_CHECKING:
    import numpy as np

_DISTANCE = 4  # the most bits of 64 in which the hashes of near duplicates differ
_CHUNKS = 5  # more chunks than bits that differ, so that two such hashes have a chunk in common
# The most, of 255, that the thumbnails of near duplicates differ on average over their pixels, once both have
# the same mean.
_DIFFERENCE = 8.0
# A thumbnail of a lower standard deviation, in pixel values, shows nothing that could be recognised.
_FLAT = 2.0
_ROWS, _COLUMNS, _THUMBNAIL = 8, 8, 16
_AT_ONCE = 1_000_000  # pairs of hashes compared at a time
_AT_START = 20_000  # files whose contents are compared before a training
_TAIL = 4096  # bytes at the end of a file, which tell most compressed images apart

_log = logging.getLogger("framework")


@dataclass(frozen=True)
class _File:
    """An image file of a split.

    Args:
        split: the split.
        path: the file.
        label: the name of its class; None without labels.
    """

    split: Split
    path: str
    label: str | None


def find_duplicates(sources: Mapping[Split, Source], *, near: bool = False) -> dict[Split, list[Fault]]:
    """Find image files with the same content in two splits, or in two classes of one split.

    Two files of one class and one split are not reported. The content of a file is read only if another file
    has its size.

    Args:
        sources: the samples of each split; sources that are not image files are left out.
        near: whether to find images that are nearly the same, too. This decodes all images that can be read.

    Returns:
        For each split the faults of its files. Each fault names the first file before it, in the order of
        `sources`, that it is like.
    """
    images = {split: source for split, source in sources.items() if isinstance(source, ImageFiles)}
    files = [file for split, source in images.items() for file in _files_of(split, source)]
    found: dict[Split, list[Fault]] = {split: [] for split in sources}
    told = set()
    for same in _same_content([file.path for file in files]):
        for index, other in _conflicts(same, files):
            told.add(index)
            found[files[index].split].append(_fault(files[index], files[other], near=False))
    if near:
        first_like: dict[int, int] = {}
        for index, other in _near_pairs(images, files):
            first_like[index] = min(other, first_like.get(index, other))
        for index, other in sorted(first_like.items()):
            if index not in told:
                found[files[index].split].append(_fault(files[index], files[other], near=True))
    return found


def warn_of_shared_files(training: Source, validation: Source) -> bool:
    """Warn of files that are in both the training and the validation data.

    Their paths are compared, with links resolved, not their contents.

    Returns:
        Whether there are any.
    """
    trained, validated = (getattr(source, "paths", ()) for source in (training, validation))
    shared = [validated[index] for index in _same_paths(trained, validated)]
    if shared:
        _log.warning(
            "%d of the %d validation files are training files, too, so the validation will flatter the "
            "model:%s",
            len(shared),
            len(validation),
            listing(shared, 5),
        )
    return bool(shared)


def warn_of_same_content(training: Source, validation: Source) -> bool:
    """Warn of validation files that have the content of a training file.

    Of more than 20,000 files it takes too long before a training; `validate-data` compares any number.

    Returns:
        Whether there are any.
    """
    trained, validated = (getattr(source, "paths", ()) for source in (training, validation))
    if not trained or not validated or len(trained) + len(validated) > _AT_START:
        return False
    pairs = []
    for same in _same_content([*trained, *validated]):
        ours = [index for index in same if index < len(trained)]
        pairs += [(validated[i - len(trained)], trained[ours[0]]) for i in same if ours and i >= len(trained)]
    if pairs:
        _log.warning(
            "%d of the %d validation files have the content of a training file, so the validation will flatter "
            "the model:%s",
            len(pairs),
            len(validated),
            listing([f"{path} is {other}" for path, other in sorted(pairs)], 5),
        )
    return bool(pairs)


def shared_files(known: Sequence[str], files: Sequence[str]) -> list[int]:
    """Return the indices of files that have the path, with links resolved, or the content of a known file.

    Of more than 20,000 files only the paths are compared.
    """
    found = _same_paths(known, files)
    others = sorted(set(range(len(files))) - set(found))
    if len(known) + len(others) <= _AT_START:
        for same in _same_content([*known, *(files[index] for index in others)]):
            if same[0] < len(known):
                found += [others[index - len(known)] for index in same if index >= len(known)]
    return sorted(found)


def _same_paths(known: Sequence[str], files: Sequence[str]) -> list[int]:
    """Return the indices of files that have the path of a known file, with links resolved."""
    if not known:
        return []
    resolved = _RealPaths()
    paths = {resolved[path] for path in known}
    return [index for index, path in enumerate(files) if resolved[path] in paths]


class _RealPaths(dict[str, str]):
    """The real paths of files by their paths. Each folder is resolved once."""

    def __missing__(self, path: str) -> str:
        folder, name = os.path.split(path)
        self[path] = (
            os.path.realpath(path) if os.path.islink(path) else os.path.join(self._folder(folder), name)
        )
        return self[path]

    def _folder(self, folder: str) -> str:
        key = folder + os.sep  # no path of a file ends so
        if key not in self:
            self[key] = os.path.realpath(folder)
        return self[key]


def _files_of(split: Split, source: ImageFiles) -> Iterator[_File]:
    for i, path in enumerate(source.paths):
        yield _File(split, path, None if source.labels is None else source.classes[source.labels[i]])


def _conflict(one: _File, other: _File) -> bool:
    """Return whether two files that show the same are a fault: in two splits, or with two labels."""
    return one.split is not other.split or one.label != other.label


def _conflicts(same: Sequence[int], files: Sequence[_File]) -> Iterator[tuple[int, int]]:
    """Yield, among files that are the same, each that conflicts with an earlier one, and that earlier one."""
    for place, index in enumerate(same):
        others = (other for other in same[:place] if _conflict(files[index], files[other]))
        if (other := next(others, None)) is not None:
            yield index, other


def _fault(file: _File, other: _File, *, near: bool) -> Fault:
    kind = f"duplicate in {other.split}" if other.split is not file.split else "duplicate of another class"
    likeness = "is nearly the same image as" if near else "has the same content as"
    where = f" of the {other.split} data" if other.split is not file.split else ""
    labels = (
        f", which is labelled {other.label!r}, and this {file.label!r}" if other.label != file.label else ""
    )
    return Fault(
        file.path, f"near {kind}" if near else kind, f"{likeness} {other.path}{where}{labels}", fatal=False
    )


def _same_content(paths: Sequence[str]) -> Iterator[list[int]]:
    """Yield the indices of the files with one content, for each content that several files have."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for index, path in enumerate(paths):
        try:
            by_size[os.stat(path).st_size].append(index)
        except OSError:
            continue  # an unreadable file is reported elsewhere
    for size, indices in by_size.items():
        if size == 0 or len(indices) < 2:
            continue
        # Most files of one size differ at their ends, so that few are read whole.
        for alike in _grouped(indices, lambda index: _tail_of(paths[index])):
            yield from _grouped(alike, lambda index: _digest_of(paths[index]))


def _grouped(indices: Sequence[int], key_of: Callable[[int], bytes]) -> Iterator[list[int]]:
    """Yield the indices with the same key, for each key that several have. Unreadable files are left out."""
    found: dict[bytes, list[int]] = defaultdict(list)
    for index in indices:
        with contextlib.suppress(OSError):
            found[key_of(index)].append(index)
    yield from (same for same in found.values() if len(same) > 1)


def _tail_of(path: str) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        return file.read(_TAIL)


def _digest_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _near_pairs(images: Mapping[Split, ImageFiles], files: Sequence[_File]) -> Iterator[tuple[int, int]]:
    """Yield pairs of images that are nearly the same and a fault: `(later, earlier)`, indices in `files`."""
    import numpy as np

    count = len(files)
    numbers: dict[tuple[Split, str | None], int] = {}
    groups = np.array(
        [numbers.setdefault((file.split, file.label), len(numbers)) for file in files], np.int64
    )
    hashes, thumbnails = np.zeros(count, np.uint64), np.zeros((count, _THUMBNAIL**2), np.uint8)
    usable = np.zeros(count, bool)
    first = 0
    for source in images.values():
        for index, code, thumbnail in _hashed(source):
            hashes[first + index], thumbnails[first + index] = code, thumbnail
            usable[first + index] = thumbnail.std() >= _FLAT
        first += len(source)
    for later, earlier in close_pairs(hashes, groups, np.flatnonzero(usable)):
        difference = thumbnails[later].astype(np.float32) - thumbnails[earlier]
        apart = np.abs(difference - difference.mean(axis=1, keepdims=True)).mean(axis=1)
        for i in np.flatnonzero(apart <= _DIFFERENCE):
            yield int(later[i]), int(earlier[i])


def _hashed(source: ImageFiles) -> Iterator[tuple[int, np.uint64, np.ndarray]]:
    """Yield the index, the difference hash and a grey thumbnail, uint8 [256], of each readable image.

    A bit of the hash says whether one of 8x9 grey pixels is brighter than its right neighbour (N. Krawetz
    2013, "Kind of Like That").
    """
    import numpy as np
    import tensorflow as tf

    def look(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        grey = tf.image.rgb_to_grayscale(source.load(index)[0])
        small = tf.image.resize(grey, [_ROWS, _COLUMNS + 1], antialias=True)[..., 0]
        thumbnail = tf.image.resize(grey, [_THUMBNAIL, _THUMBNAIL], antialias=True)
        return index, small[:, :-1] > small[:, 1:], tf.cast(tf.round(tf.reshape(thumbnail, [-1])), tf.uint8)

    looked = tf.data.Dataset.range(len(source)).map(look, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    for index, brighter, thumbnail in looked.as_numpy_iterator():
        yield int(index), np.packbits(brighter).view(np.uint64)[0], thumbnail


def close_pairs(
    hashes: np.ndarray, groups: np.ndarray, candidates: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of hashes of different groups that differ in few bits: the later and the earlier indices.

    Two hashes that differ in fewer bits than there are chunks have a chunk in common, so only hashes with a
    common chunk are compared.

    Args:
        hashes: uint64 [n].
        groups: the group of each hash, int64 [n].
        candidates: the indices of the hashes to compare, ascending.
    """
    import numpy as np

    bounds = [round(64 * i / _CHUNKS) for i in range(_CHUNKS + 1)]
    for low, high in itertools.pairwise(bounds):
        chunks = (hashes[candidates] >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
        order = np.argsort(chunks, kind="stable")
        starts = np.flatnonzero(np.diff(chunks[order], prepend=chunks[order][:1] + 1))
        for bucket in np.split(candidates[order], starts[1:]):
            yield from _close_within(hashes, groups, bucket)


def _close_within(
    hashes: np.ndarray, groups: np.ndarray, bucket: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the close pairs among the hashes at the indices in `bucket`, which ascend."""
    import numpy as np

    step = max(1, _AT_ONCE // max(len(bucket), 1))
    for start in range(0, len(bucket), step):
        rows = bucket[start : start + step]
        distances = np.bitwise_count(hashes[rows][:, None] ^ hashes[bucket][None, :])
        wanted = (bucket[None, :] < rows[:, None]) & (groups[bucket][None, :] != groups[rows][:, None])
        later, earlier = np.nonzero((distances <= _DISTANCE) & wanted)
        if len(later):
            yield rows[later], bucket[earlier]
