"""The source made of what a scenario's `source` returns, if that is not a `Source` already."""

from __future__ import annotations

import inspect
import itertools
import logging
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from framework.data.map_source import MapSource, as_sample, not_a_sample
from framework.data.source import ArraySource, Source, digest_of
from framework.data.structure import PADDING_HINT, described
from framework.errors import DataError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from framework.data.structure import Tree

_log = logging.getLogger("framework")

_ALLOWED = (
    "a framework.Source, a tuple of arrays (x, y), an object with __len__ and __getitem__, a "
    "tf.data.Dataset, a keras.utils.PyDataset, or a generator"
)
_WAYS_OUT = (
    "give what can be loaded by index: arrays, an object with __len__ and __getitem__, or a "
    "framework.Source, such as TfRecords (docs/data.md)"
)
_OWN_ORDER = (
    "leave out shuffling and random augmentation: the stream shuffles, and Scenario.augment "
    "augments, each with its seeds"
)


def as_source(given: object, what: str, *, limit_bytes: int | None, targets: bool = True) -> Source:
    """Make a source of what a scenario returned.

    Arrays, and objects that load by index, are used as they are. A `tf.data.Dataset`, a
    `keras.utils.PyDataset`, a generator and other iterables are read once, into memory, which is logged.

    Args:
        given: what the scenario returned.
        what: where it comes from, for messages: `source('train') of digits`.
        limit_bytes: the most memory for samples that do not load by index; None: no limit.
        targets: whether samples have targets; samples to predict need none.

    Raises:
        DataError: if no source can be made of it. The message says what was given, and what is allowed.
    """
    if isinstance(given, Source):
        return given
    if given is None:
        raise DataError(f"{what} gave None", hint=f"return {_ALLOWED}")
    import keras
    import numpy as np
    import tensorflow as tf

    if inspect.isgeneratorfunction(given):
        given = given()
    if isinstance(given, tf.data.Dataset):
        return _of_dataset(given, what, limit_bytes, targets)
    if isinstance(given, keras.utils.PyDataset):
        return _of_batches(given, what, limit_bytes, targets)
    if isinstance(given, Mapping | np.ndarray) or tf.is_tensor(given):
        if targets:
            raise not_a_sample(given, f"what {what} gave")
        given = (given,)
    if isinstance(given, tuple):
        if len(given) not in ((2, 3) if targets else (1, 2, 3)):
            raise not_a_sample(given, f"what {what} gave")
        return ArraySource(given)
    if isinstance(given, type | str | bytes | os.PathLike):
        raise _refusal(given, what)
    if hasattr(given, "dataset") and hasattr(given, "batch_size"):
        raise DataError(
            f"{what} gave a {_name(given)}, which has an order and batches of its own",
            hint="return its data set: loader.dataset",
        )
    if hasattr(given, "__len__") and hasattr(given, "__getitem__"):
        try:
            source = MapSource(given, targets=targets)
        except DataError as error:
            raise DataError(f"{what}: {error}") from error
        if source.varies():
            _log.warning(
                "%s: sample 0 of the %s is another one each time, so that the run does not resume exactly, "
                "and samples kept in memory (data.cache) do not change; %s",
                what,
                _name(given),
                _OWN_ORDER,
            )
        return source
    if isinstance(given, Iterable):
        _log.info("%s is a %s: its samples are read into memory", what, _name(given))
        memory = _Memory(what, limit_bytes)
        for sample in given:
            memory.add(as_sample(sample, f"sample {memory.count} of {what}", targets=targets))
        return memory.source(given)
    raise _refusal(given, what)


def _refusal(given: object, what: str) -> DataError:
    shown = f"{given!r:.80} " if isinstance(given, str | bytes | os.PathLike | int | float) else ""
    kind = (
        f"the class {given.__name__}" if isinstance(given, type) else f"{shown}(of the type {_name(given)})"
    )
    return DataError(f"{what} gave {kind.strip()}", hint=f"return {_ALLOWED}")


def _name(given: object) -> str:
    import tensorflow as tf

    return "tf.data.Dataset" if isinstance(given, tf.data.Dataset) else type(given).__name__


def _of_dataset(given: tf.data.Dataset, what: str, limit_bytes: int | None, targets: bool) -> Source:
    import tensorflow as tf

    if given.cardinality() == tf.data.INFINITE_CARDINALITY or "RepeatDataset" in _steps(given):
        raise DataError(
            f"{what} gave a tf.data.Dataset that is repeated",
            hint="leave out repeat(): an epoch is a number of steps here",
        )
    specs = tf.nest.flatten(given.element_spec)
    if any(not isinstance(spec, tf.TensorSpec) for spec in specs):
        raise DataError(
            f"{what} gave a tf.data.Dataset with elements that are not tensors: {given.element_spec}",
            hint=PADDING_HINT,
        )
    first, again = (list(itertools.islice(given.as_numpy_iterator(), 3)) for _ in range(2))
    if _bytes_of(first) != _bytes_of(again):
        raise DataError(f"{what} gave a tf.data.Dataset that has other elements each time", hint=_OWN_ORDER)
    batched = _is_batched(given)
    memory = _Memory(what, limit_bytes)
    for element in given.as_numpy_iterator():
        name = f"{'batch' if batched else 'sample'} {memory.pieces} of {what}"
        memory.add(as_sample(element, name, targets=targets), batched=batched)
    return memory.source(given, "its batches were taken apart" if batched else "")


def _steps(dataset: tf.data.Dataset) -> list[str]:
    """Return the names of a dataset's transformations, the last one first, as far as they are known.

    For example `["BatchDataset", "MapDataset"]`.
    """
    steps = []
    while True:
        steps.append(type(dataset).__name__.strip("_"))
        inputs: list[tf.data.Dataset] = dataset._inputs() if hasattr(dataset, "_inputs") else []
        if len(inputs) != 1:
            return steps
        (dataset,) = inputs


def _is_batched(dataset: tf.data.Dataset) -> bool:
    """Return whether the elements of a dataset are batches.

    They are if the dataset was made by `batch`, and all parts of an element have the same first dimension.
    """
    import tensorflow as tf

    shapes = [spec.shape for spec in tf.nest.flatten(dataset.element_spec)]
    if not all(shape.rank and shape[0] == shapes[0][0] for shape in shapes):
        return False
    made_by = next(
        (
            step
            for step in _steps(dataset)
            if "batch" in step.lower() or "FlatMap" in step or "Interleave" in step
        ),
        "",
    )
    return made_by in ("BatchDataset", "ParallelBatchDataset", "PaddedBatchDataset")


def _of_batches(given: keras.utils.PyDataset, what: str, limit_bytes: int | None, targets: bool) -> Source:
    """Read a `keras.utils.PyDataset`, which gives batches by index."""
    count = given.num_batches
    if count is None:
        raise DataError(f"{what} gave a {_name(given)} without end", hint=_WAYS_OUT)
    if count and _bytes_of(given[0]) != _bytes_of(given[0]):
        raise DataError(f"{what} gave a {_name(given)} that has other batches each time", hint=_OWN_ORDER)
    memory = _Memory(what, limit_bytes)
    for i in range(count):
        memory.add(as_sample(given[i], f"batch {i} of {what}", targets=targets), batched=True)
    return memory.source(given, "its batches were taken apart")


def _bytes_of(structure: object) -> list[bytes]:
    import numpy as np
    import tensorflow as tf

    parts = (np.asarray(part) for part in tf.nest.flatten(structure))
    return [repr(part.tolist()).encode() if part.dtype == object else part.tobytes() for part in parts]


class _InMemory(ArraySource):
    """Samples that were read from something that cannot be read again. Their values are the fingerprint."""

    def fingerprint(self) -> str:
        import tensorflow as tf

        digest = digest_of(_bytes_of(tf.nest.flatten(self.numpy())), digits=16)
        return f"{len(self)} samples, {digest}"


class _Memory:
    """A collection of samples of one shape, in memory, up to a limit.

    Args:
        what: where they come from, for messages.
        limit_bytes: the most memory that they may take; None: no limit.
    """

    _CHUNK = 1024  # single samples that are stacked at a time
    _FIRST_WORD = 500_000  # samples after which progress is logged, and again each time they have doubled

    def __init__(self, what: str, limit_bytes: int | None) -> None:
        self._what, self._limit = what, limit_bytes
        self.count = self.pieces = 0
        self._bytes = 0
        self._say_at = self._FIRST_WORD
        self._first: tuple[Tree[np.ndarray], ...] | None = None
        self._kinds: list[tuple[np.dtype, tuple[int, ...]]] = []
        self._single: list[list[np.ndarray]] = []
        self._batches: list[list[np.ndarray]] = []

    def add(self, sample: tuple[Tree[np.ndarray], ...], *, batched: bool = False) -> None:
        """Add a sample, or a batch of several.

        Args:
            sample: NumPy arrays in tuples and dicts.
            batched: whether their first dimension is that of the batch.

        Raises:
            DataError: if its shape is not that of the first, or all samples together exceed the limit.
        """
        import tensorflow as tf

        name = f"{'batch' if batched else 'sample'} {self.pieces} of {self._what}"
        parts: list[np.ndarray] = tf.nest.flatten(sample)
        if batched and (not all(part.ndim for part in parts) or len({len(part) for part in parts}) != 1):
            raise DataError(f"{name} has parts of several lengths: {', '.join(map(described, parts))}")
        kinds = [(part.dtype, part.shape[int(batched) :]) for part in parts]
        if self._first is None:
            self._first, self._kinds = sample, kinds
        if kinds != self._kinds or not _alike(sample, self._first):
            raise DataError(
                f"{name} has {_listed(kinds)}, and the first has {_listed(self._kinds)}; all samples have "
                "one shape",
                hint=PADDING_HINT if batched else f"{PADDING_HINT}; batches are taken apart by unbatch()",
            )
        self._bytes += sum(
            sum(map(len, part.ravel())) if part.dtype == object else part.nbytes for part in parts
        )
        if self._limit == 0:
            raise DataError(
                f"the samples of {self._what} must be read into memory, and data.cache=off forbids it",
                hint=_WAYS_OUT,
            )
        if self._limit is not None and self._bytes > self._limit:
            raise DataError(
                f"the samples of {self._what} are read into memory, and take more than the "
                f"{self._limit / 1e9:g} GB that they may (data.cache, data.cache_limit): {self.count:,} "
                "samples were read",
                hint=_WAYS_OUT,
            )
        self.pieces += 1
        self.count += len(parts[0]) if batched else 1
        if self.count >= self._say_at:  # an endless iterable is read up to the limit, for minutes
            _log.info(
                "%s: %s samples were read so far, %.1f MB", self._what, f"{self.count:,}", self._bytes / 1e6
            )
            self._say_at *= 2
        # Copied, since an iterable may use one buffer for all samples.
        (self._batches if batched else self._single).append([part.copy() for part in parts])
        if len(self._single) == self._CHUNK:
            self._put_together()

    def source(self, given: object, remark: str = "") -> Source:
        """Return all samples that were added as a source, and log it.

        Args:
            given: what the samples were read from.
            remark: what else to log.
        """
        import numpy as np
        import tensorflow as tf

        if not self.count:
            raise DataError(f"{self._what} gave a {_name(given)} without samples")
        self._put_together()
        # Part by part, so that at most one part is in memory twice.
        parts = [np.concatenate([batch[i] for batch in self._batches]) for i in range(len(self._kinds))]
        _log.info(
            "%s is a %s: its %d samples, each %s, were read into memory, %.1f MB%s. Each pass has these "
            "samples; the stream shuffles and batches them",
            self._what,
            _name(given),
            self.count,
            _listed(self._kinds),
            self._bytes / 1e6,
            f"; {remark}" if remark else "",
        )
        return _InMemory(tf.nest.pack_sequence_as(self._first, parts))

    def _put_together(self) -> None:
        import numpy as np

        if self._single:
            self._batches.append([np.stack(parts) for parts in zip(*self._single, strict=True)])
            self._single = []


def _alike(sample: object, first: object) -> bool:
    import tensorflow as tf

    try:
        tf.nest.assert_same_structure(sample, first)
    except (ValueError, TypeError):
        return False
    return True


def _listed(kinds: list[tuple[np.dtype, tuple[int, ...]]]) -> str:
    return ", ".join(f"{'string' if dtype.hasobject else dtype} {shape}" for dtype, shape in kinds)
