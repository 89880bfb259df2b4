"""TFRecord files as samples by index.

A record is its length (8 bytes), the masked CRC-32C of the length (4), the data, and their masked CRC-32C
(4), little-endian, one after the other: https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords
format details". Only the heads are read to find each record, so that a stream can start anywhere. Each length
is checked by its CRC. The CRC of the data is a part of the fingerprint of the samples. It is not verified:
data that were damaged in place are given as they are.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import glob
import hashlib
import itertools
import os
import struct
import weakref
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from framework.config.schema import setting
from framework.data.image_files import hint_for_missing
from framework.data.source import DataConfig, Source, Split, digest_of
from framework.errors import ConfigError, DataError, Problem, listing

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from framework.data.structure import Tensors

_FIELDS = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test"}

_HEAD, _FOOT = 12, 4
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x78\x01": "zlib",
    b"\x78\x5e": "zlib",
    b"\x78\x9c": "zlib",
    b"\x78\xda": "zlib",
}
_KEPT_OPEN = 256  # files; many systems let a process open 1,024


class _Index(NamedTuple):
    """The place and the length of the data of each record of a file, in bytes."""

    starts: array[int]
    lengths: array[int]
    digest: str


class TfRecordSource(Source):
    """The records of TFRecord files by index, in the order of the files.

    The heads of all records are read when the source is made, and take 16 bytes of memory each. A record is
    loaded by reading its bytes from their place, many at the same time. The first 256 files stay open;
    further ones are opened each time.

    Args:
        files: the files, not packed.
        parse: `(serialized) -> sample`, traced into a graph: from a string scalar, as it was written, to a
            sample as in `Source`. It consists of TensorFlow operations, and its results have known shapes
            (`tf.ensure_shape`).

    Raises:
        DataError: naming each file that cannot be read, is packed, breaks off or is damaged, and the record;
            or if there are no records.

    >>> features = {"x": tf.io.FixedLenFeature([8], tf.float32), "y": tf.io.FixedLenFeature([1], tf.float32)}
    >>> def parse(serialized):
    ...     example = tf.io.parse_single_example(serialized, features)
    ...     return example["x"], example["y"]
    >>> source = TfRecordSource(["train-0.tfrecord", "train-1.tfrecord"], parse)
    """

    def __init__(
        self, files: Sequence[str | Path], parse: Callable[[tf.Tensor], tuple[Tensors, ...]]
    ) -> None:
        self.files = tuple(os.fspath(file) for file in files)
        self._parse = parse
        self._indices: list[_Index] = []
        faults = []
        for file in self.files:
            try:
                self._indices.append(_index(file))
            except DataError as error:
                faults.append(str(error))
        if faults:
            raise DataError(
                f"{len(faults):,} of {len(self.files):,} TFRecord files cannot be read:{listing(faults)}",
                hint="write damaged files again; unpack what is packed (gunzip), or write it without "
                "compression: a packed file cannot be read from the middle",
            )
        self._ends = list(itertools.accumulate(len(index.starts) for index in self._indices))
        if not len(self):
            raise DataError(
                f"there are no records in {', '.join(self.files[:10]) or 'no files'}", hint="write some"
            )
        self._handles: dict[int, int] = {}
        weakref.finalize(self, _close, self._handles)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def load(self, index: tf.Tensor) -> tuple[Tensors, ...]:
        import tensorflow as tf

        with tf.device("/CPU:0"):
            # Not stateful: under determinism TensorFlow runs stateful operations one after the other.
            serialized = tf.numpy_function(self._read, [index], tf.string, stateful=False)
            sample = self._parse(tf.ensure_shape(serialized, []))
        for part in tf.nest.flatten(sample):
            if isinstance(part, tf.Tensor) and not part.shape.is_fully_defined():
                given = f"{part.shape}, {part.dtype.name}"
                raise ValueError(
                    f"parse gives a tensor of unknown shape, {given}; tf.ensure_shape(x, [...]) says what "
                    "it is"
                )
        return sample

    def sample_name(self, index: int) -> str:
        """Return `FILE:record N`, counted from 1 in each file."""
        number, record = self._place(index)
        return f"{self.files[number]}:record {record + 1}"

    def fingerprint(self) -> str:
        """Return the number of records, and a checksum of their lengths and of their checksums."""
        return f"{len(self)} records ({digest_of(index.digest.encode() for index in self._indices)})"

    def _place(self, index: int) -> tuple[int, int]:
        """Return the number of the file of a sample, and the number of its record, both from 0."""
        number = bisect.bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)

    def _read(self, index: np.ndarray) -> bytes:
        """Read the data of a record."""
        import tensorflow as tf

        number, record = self._place(int(index))
        found = self._indices[number]
        start, length = found.starts[record], found.lengths[record]
        try:
            data = self._read_bytes(number, start, length)
        except OSError as error:
            raise tf.errors.DataLossError(None, None, f"cannot be read: {error.strerror}") from error
        if len(data) < length:
            raise tf.errors.DataLossError(
                None, None, f"breaks off: it has {len(data):,} of {length:,} bytes; has the file changed?"
            )
        return data

    def _read_bytes(self, number: int, start: int, length: int) -> bytes:
        if number < _KEPT_OPEN:
            if number not in self._handles:
                handle = os.open(self.files[number], os.O_RDONLY | os.O_CLOEXEC)
                if self._handles.setdefault(number, handle) != handle:
                    os.close(handle)  # another thread was faster
            return _read_at(self._handles[number], start, length)
        handle = os.open(self.files[number], os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _read_at(handle, start, length)
        finally:
            os.close(handle)


@dataclass(frozen=True, kw_only=True)
class TfRecords(DataConfig):
    """TFRecord files, not packed. The scenario parses the records:

    datas = TfRecords

    def source(self, split):
        return self.data.records(split, self.parse)
    """

    train: tuple[str, ...] | None = setting(
        None, "Files of the training data, or patterns such as DIR/train-*.tfrecord."
    )
    val: tuple[str, ...] | None = setting(None, "Files of the validation data, or patterns.")
    test: tuple[str, ...] | None = setting(None, "Files of the test data, or patterns.")

    kinds: ClassVar[str] = (
        "a list of TFRecord files, or of patterns of them, not packed: [DIR/train-*.tfrecord]"
    )

    def resolve(self) -> Self:
        """Return the config with absolute paths. Patterns stay patterns."""
        train, val, test = (
            None if paths is None else tuple(str(Path(path).absolute()) for path in paths)
            for paths in (self.train, self.val, self.test)
        )
        return dataclasses.replace(self, train=train, val=val, test=test)

    def source(self, split: Split, *, seed: int) -> Source:
        raise NotImplementedError(
            "a scenario says what is in a record: def source(self, split): return self.data.records(split, "
            "self.parse)"
        )

    def records(self, split: Split, parse: Callable[[tf.Tensor], tuple[Tensors, ...]]) -> TfRecordSource:
        """Return the records of a split, in the order of the paths of their files, byte by byte.

        Args:
            split: the split.
            parse: as for `TfRecordSource`.

        Raises:
            ConfigError: if no file is given, a file does not exist, or no file fits a pattern.
            DataError: as for `TfRecordSource`.
        """
        return TfRecordSource(self.files(split), parse)

    def files(self, split: Split) -> Sequence[str]:
        """Return the files of a split, each once, absolute, sorted by their bytes.

        Raises:
            ConfigError: as for `records`.
        """
        field = _FIELDS[split]
        paths = getattr(self.resolve(), field)
        if not paths:
            what, hint = f"is needed for the {split} records", f"add 'data.{field}=[FILE]'"
            raise ConfigError(
                Problem(f"data.{field}", what, given=getattr(self, field), allowed=self.kinds, hint=hint)
            )
        found: set[str] = set()
        problems = []
        for path in paths:
            # A path with a bracket is also a pattern, which the path itself does not fit.
            files = [path] if os.path.exists(path) else glob.glob(path, recursive=True)
            files = [file for file in files if os.path.isfile(file)]
            found.update(files)
            if not files:
                problems.append(self._no_file(f"data.{field}", path))
        if problems:
            raise ConfigError(problems)
        return sorted(found, key=os.fsencode)

    def _no_file(self, where: str, path: str) -> Problem:
        if glob.has_magic(path):
            return Problem(where, "is a pattern that no file fits", given=path, allowed=self.kinds)
        hint = f"is a folder; did you mean {path}/*?" if os.path.isdir(path) else hint_for_missing(path)
        return Problem(where, "must be a file", given=path, allowed=self.kinds, hint=hint)


def _close(handles: dict[int, int]) -> None:
    for handle in handles.values():
        os.close(handle)


def _read_at(handle: int, start: int, length: int) -> bytes:
    """Read bytes from a place in a file, fewer at its end. The system returns at most 2 GB at once."""
    data = os.pread(handle, length, start)
    while len(data) < length and (more := os.pread(handle, length - len(data), start + len(data))):
        data += more
    return data


def _index(file: str) -> _Index:
    """Find the records of a file.

    Raises:
        DataError: naming file and record, without a hint.
    """
    try:
        with open(file, "rb", buffering=0) as opened:
            return _read_heads(file, opened.fileno())
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}") from error


def _read_heads(file: str, handle: int) -> _Index:
    size = os.fstat(handle).st_size
    starts, lengths, digest = array("q"), array("q"), hashlib.sha256()
    place, head = 0, os.pread(handle, _HEAD, 0)
    while place < size:
        length, crc = struct.unpack("<QI", head.ljust(_HEAD, b"\0"))
        end = place + _HEAD + length + _FOOT
        fault = None
        if len(head) < _HEAD:
            fault = "breaks off: the file ends before the data begin"
        elif crc != _masked_crc(head[:8]):
            fault = "is damaged: its length and the checksum of its length do not agree"
        elif end > size:
            fault = f"breaks off: it has {length:,} bytes, and {end - size:,} bytes of it are missing"
        if fault and not place:
            packing = _PACKED.get(head[:2])
            raise DataError(
                f"{file}: is packed by {packing}"
                if packing
                else f"{file}: record 1 {fault}; is this a TFRecord file?"
            )
        if fault:
            raise DataError(f"{file}: record {len(starts) + 1} {fault}")
        starts.append(place + _HEAD)
        lengths.append(length)
        foot = os.pread(handle, _FOOT + _HEAD, end - _FOOT)  # with the head of the next record
        digest.update(head + foot[:_FOOT])
        place, head = end, foot[_FOOT:]
    return _Index(starts, lengths, digest.hexdigest())


@functools.cache
def _crc_table() -> Sequence[int]:
    """Return the CRC-32C (Castagnoli) of each byte.

    Its polynomial, reflected, is 0x82F63B78 (RFC 3720, appendix B.4).
    """
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def _masked_crc(data: bytes) -> int:
    """Return the CRC-32C of some bytes as TFRecord files hold it: rotated by 15 bits, plus a constant."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
