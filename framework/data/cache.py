"""Samples kept in memory, so that each file is read and decoded once a run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from framework.data.source import ArraySource, Source, raise_unreadable

if TYPE_CHECKING:
    import numpy as np

_CHUNK = 64  # samples copied at a time, while more are being loaded

_log = logging.getLogger("framework")


class CachedSource(ArraySource):
    """A source with all samples in memory, bit for bit as the original loads them.

    Other attributes of the original, such as `classes` or `paths`, are available here too.

    Args:
        original: the source that the samples came from.
        arrays: all its samples, with a batch dimension.
    """

    def __init__(self, original: Source, arrays: object) -> None:
        super().__init__(arrays)
        self.original = original

    def sample_name(self, index: int) -> str:
        return self.original.sample_name(index)

    def group_name(self, index: int) -> str | None:
        return self.original.group_name(index)

    def fingerprint(self) -> str:
        return self.original.fingerprint()

    def __getattr__(self, name: str) -> Any:
        if name == "original":  # not set yet while this is being copied
            raise AttributeError(name)
        return getattr(self.original, name)


def cached(source: Source, limit_bytes: float | None, workers: int | None) -> Source:
    """Return the source with all its samples in memory, or the source itself if they do not fit.

    Each sample is loaded once, unaugmented. Meanwhile up to twice the memory is taken.

    Args:
        source: the samples to load; those of an `ArraySource` are in memory already.
        limit_bytes: the most memory for the samples, estimated from the first one; None: no limit.
        workers: samples loaded at the same time; None: tuned while running.

    Returns:
        A `CachedSource` or `source`.

    Raises:
        DataError: naming the samples that cannot be loaded.
    """
    import numpy as np
    import tensorflow as tf

    if isinstance(source, ArraySource) or not len(source):
        return source
    indices = tf.data.Dataset.range(len(source))
    samples = indices.map(source.load, num_parallel_calls=workers or tf.data.AUTOTUNE, deterministic=True)
    arrays: list[np.ndarray] = []
    filled = 0
    try:
        first = [
            np.asarray(part.numpy(), part.dtype.as_numpy_dtype)
            for part in tf.nest.flatten(source.load(tf.constant(0, tf.int64)))
        ]
        size = len(source) * sum(part.nbytes for part in first)
        if limit_bytes is not None and size > limit_bytes:
            _log.info("%d samples are not kept in memory: they would take %.1f GB", len(source), size / 1e9)
            return source
        arrays = [np.empty((len(source), *part.shape), part.dtype) for part in first]
        for chunk in samples.batch(_CHUNK).prefetch(2):
            parts = tf.nest.flatten(chunk)
            if any(part.shape[1:] != array.shape[1:] for array, part in zip(arrays, parts, strict=True)):
                raise tf.errors.InvalidArgumentError(None, None, "samples have several shapes")
            for array, part in zip(arrays, parts, strict=True):
                array[filled : filled + len(part)] = part.numpy()
            filled += len(parts[0])
    except tf.errors.OpError as error:
        # Samples come in order, so those before `filled` were loaded.
        raise_unreadable(source, range(filled, len(source)), error)
        raise
    return CachedSource(source, tf.nest.pack_sequence_as(samples.element_spec, arrays))
