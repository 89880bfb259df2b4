"""Sources: finite collections of samples that load by index, so that a stream can start anywhere in them."""

from __future__ import annotations

import abc
import enum
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from framework.config.schema import setting
from framework.data.structure import PADDING_HINT, Tensors, as_arrays
from framework.errors import DataError, listing, reason_of

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


T = TypeVar("T", str, int)


class Split(enum.StrEnum):
    """A part of the data."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Fault:
    """A fault of a sample, or a remark on it.

    Args:
        name: what the sample is called: its file, if it has one.
        kind: the kind in a word or two, for counting: "empty", "truncated".
        reason: the reason in a sentence.
        fatal: whether the sample cannot be used.
    """

    name: str
    kind: str
    reason: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Settings of every kind of data. Derive from it, and make a `Source` for each split."""

    batch_size: int = setting(32, "Samples in a training batch, over all devices.", ge=1, le=1_000_000)
    cache: Literal["auto", "memory", "off"] = setting(
        "auto", "Keep loaded samples in memory, unaugmented. auto: if a split fits into `cache_limit`."
    )
    cache_limit: float = setting(
        2.0, "Gigabytes of memory that a split may take with cache=auto.", gt=0, le=1e6
    )
    limit: int | None = setting(
        None,
        "Use only that many samples of each split, evenly spread, for quick trials. null: all.",
        ge=1,
        le=10**12,
    )
    workers: int | None = setting(
        None, "Samples loaded at the same time. null: tuned while running.", ge=1, le=1024
    )

    def source(self, split: Split, *, seed: int) -> Source:
        """Return the samples of a split.

        Args:
            split: the split.
            seed: the seed of anything random in it, such as a division into splits.

        Raises:
            ConfigError, DataError: if the data are missing or cannot be used.
        """
        raise NotImplementedError

    def unchecked_source(self, split: Split, *, seed: int) -> Source:
        """Return the samples of a split, with those that cannot be loaded, for `validate-data` to find."""
        return self.source(split, seed=seed)

    def has_validation(self) -> bool:
        """Return whether there is a validation split. Without one, a run trains without validation."""
        return True

    def resolve(self) -> DataConfig:
        """Return the config with everything filled in that was left to the data, such as the classes.

        A run records the result.
        """
        return self


class Source(abc.ABC):
    """A finite collection of samples that load by index.

    A sample is what Keras trains on: `(x, y)` or `(x, y, sample_weight)`, each a tensor or a dict of tensors,
    without the batch dimension. Its shapes are the same for each index.

    `load` is traced into a graph, so it consists of TensorFlow operations. It must depend on its index alone.
    """

    batched: ClassVar[bool] = False
    """Whether the source has `load_batch`, which is faster than loading the samples one by one."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abc.abstractmethod
    def load(self, index: tf.Tensor) -> tuple[Tensors, ...]:
        """Return the sample at `index`, an int64 scalar in [0, len)."""

    def load_batch(self, indices: tf.Tensor) -> tuple[Tensors, ...]:
        """Return the samples at `indices`, int64 [batch], as one sample with a batch dimension.

        It is called only if `batched` is true.
        """
        raise NotImplementedError

    def sample_name(self, index: int) -> str:
        """Return what to call a sample in messages: its file, if it has one."""
        return f"sample {index}"

    def true_label(self, index: int) -> str | None:
        """Return the class of a sample to predict, if it is known, for example from its folder or its row."""
        return None

    def group_name(self, index: int) -> str | None:
        """Return the name of what a sample belongs to, such as its video or its person, or None.

        Samples of one group are alike, so that they must not be in both training and validation.
        """
        return None

    def known_targets(self) -> np.ndarray | None:
        """Return the targets of all samples, [len, ...], if they are known without loading the samples; else None."""
        return None

    def diagnose(self, index: int, reason: str) -> Fault:
        """Return why the sample at `index` cannot be loaded.

        Args:
            reason: what the operation that failed said.
        """
        return Fault(self.sample_name(index), "cannot be loaded", reason)

    def known_fault(self, index: int) -> Fault | None:
        """Return why loading the sample at `index` must not be tried, or None if it may be.

        Reading a pipe, for example, might never return.
        """
        return None

    def remarks(self, index: int) -> Iterable[Fault]:
        """Return what is unusual about the sample at `index`, which can be loaded."""
        return ()

    def fingerprint(self) -> str:
        """Return what distinguishes these samples from others, as far as it is known without loading them."""
        return f"{len(self)} samples"

    def groups(self) -> np.ndarray | None:
        """Return the group of each sample, int64 [len] >= 0, or None if any samples may share a batch.

        The batches of a stream hold samples of one group where that is possible, such as samples of similar
        length.
        """
        return None

    def unreadable(self, indices: Iterable[int]) -> list[Fault]:
        """Return the faults of the samples at `indices` that cannot be loaded, after trying all of them.

        Several samples are tried at the same time.
        """
        return [fault for fault in self.inspect(indices, remarks=False) if fault.kind != _NOT_FINITE]

    def inspect(self, indices: Iterable[int], *, remarks: bool = True) -> Iterator[Fault]:
        """Yield the faults of the samples at `indices`, in their order. Each sample is loaded.

        Args:
            indices: the samples to inspect.
            remarks: whether to yield what is unusual about samples that can be used, too.
        """
        import numpy as np
        import tensorflow as tf

        def attempt(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
            parts = [part for part in tf.nest.flatten(self.load(index)) if isinstance(part, tf.Tensor)]
            finite = [tf.reduce_all(tf.math.is_finite(part)) for part in parts if part.dtype.is_floating]
            shapes = tuple(tf.shape(part) for part in parts if not part.shape.is_fully_defined())
            # A value of each part is returned, since TensorFlow does not compute a part that is not used.
            return (
                index,
                tf.reduce_all(tf.stack([*finite, True])),
                shapes,
                *(tf.reshape(part, [-1])[:1] for part in parts),
            )

        wanted = [int(index) for index in indices]
        known = {index: fault for index in wanted if (fault := self.known_fault(index))}
        tried = np.array([index for index in wanted if index not in known], np.int64)
        attempts = tf.data.Dataset.from_tensor_slices(tried).map(attempt, num_parallel_calls=tf.data.AUTOTUNE)
        loaded, shapes = {}, {}
        for index, finite, found, *_ in attempts.ignore_errors().as_numpy_iterator():
            loaded[index], shapes[index] = finite, [tuple(map(int, shape)) for shape in found]
        if any(shapes.values()) and 0 not in shapes:
            first = tf.data.Dataset.range(1).map(attempt).ignore_errors().as_numpy_iterator()
            shapes[0] = [tuple(map(int, shape)) for _, _, found, *_ in first for shape in found]
        for index in wanted:
            if index in known:
                yield known[index]
            elif index not in loaded:
                try:
                    self.load(tf.constant(index, tf.int64))
                except tf.errors.OpError as error:
                    yield self.diagnose(index, reason_of(error))
            elif (ours := shapes[index]) and (theirs := shapes[0]) and ours != theirs:
                differ = next((a, b) for a, b in zip(ours, theirs, strict=True) if a != b)
                reason = "has the shape {}, and sample 0 has {}; all of a source have one".format(*differ)
                yield Fault(self.sample_name(index), OTHER_SHAPE, reason)
            elif not loaded[index]:
                yield Fault(self.sample_name(index), _NOT_FINITE, "holds NaN or infinity")
            elif remarks:
                yield from self.remarks(index)


_NOT_FINITE = "not finite"
OTHER_SHAPE = "of another shape"
"""Kind of a fault: the sample itself is sound, but its shape is not that of the others."""


def raise_unreadable(source: Source, indices: Iterable[int], cause: Exception) -> None:
    """Raise a `DataError` that names the samples at `indices` that cannot be loaded, if there are any."""
    bad = source.unreadable(dict.fromkeys(int(i) for i in indices))
    if bad:
        lines = [str(fault) for fault in bad]
        of_another_shape = all(fault.kind == OTHER_SHAPE for fault in bad)
        skip = "mend or remove them; image folders and lists can pass over them with data.on_error=skip"
        raise DataError(
            f"{len(bad):,} of {len(source):,} samples cannot be "
            f"{'used' if of_another_shape else 'loaded'}:{listing(lines)}",
            hint=PADDING_HINT if of_another_shape else skip,
        ) from cause


class ArraySource(Source):
    """Samples that are in memory already.

    Args:
        arrays: a batch of all samples: a nested structure of arrays, each with the same first dimension.
        names: the name of each sample in messages.

    Raises:
        DataError: if a part is not an array, or the arrays have several lengths.

    >>> source = ArraySource((np.zeros((10, 28, 28), "uint8"), np.arange(10)))
    >>> len(source)
    10
    """

    batched = True

    def __init__(self, arrays: object, names: list[str] | None = None) -> None:
        import tensorflow as tf

        with tf.device("/CPU:0"):
            self._tensors = tf.nest.map_structure(tf.convert_to_tensor, as_arrays(arrays))
        lengths = {int(t.shape[0]) for t in tf.nest.flatten(self._tensors)}
        if len(lengths) != 1:
            raise DataError(
                f"the arrays of a source have one length, the number of samples, not {sorted(lengths)}"
            )
        self._length = lengths.pop()
        self._names = names

    def __len__(self) -> int:
        return self._length

    def load(self, index: tf.Tensor) -> tuple[Tensors, ...]:
        import tensorflow as tf

        return tf.nest.map_structure(lambda t: t[index], self._tensors)

    def load_batch(self, indices: tf.Tensor) -> tuple[Tensors, ...]:
        import tensorflow as tf

        return tf.nest.map_structure(lambda t: tf.gather(t, indices), self._tensors)

    def sample_name(self, index: int) -> str:
        return self._names[index] if self._names else super().sample_name(index)

    def known_targets(self) -> np.ndarray | None:
        """Return the targets, if a sample has a single one."""
        return single_target(self._tensors)

    def numpy(self) -> Any:
        """Return all samples, as the structure of NumPy arrays that the source was made of."""
        import tensorflow as tf

        def as_array(tensor: tf.Tensor) -> np.ndarray:
            return tensor.numpy()

        return tf.nest.map_structure(as_array, self._tensors)


def single_target(samples: object) -> np.ndarray | None:
    """Return the targets in a batch of samples, `(inputs, targets)` or with weights; None unless they are one tensor."""
    import tensorflow as tf

    if isinstance(samples, tuple) and len(samples) > 1 and isinstance(samples[1], tf.Tensor):
        targets: np.ndarray = samples[1].numpy()
        return targets
    return None


def digest_of(parts: Iterable[bytes], *, digits: int = 12) -> str:
    """Return the first hex digits of the SHA-256 of all parts, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:digits]
