"""Some samples of a source: chosen ones, evenly spread ones, and those that are kept for validation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from framework.data.source import Fault, Source

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from framework.data.structure import Tensors

T = TypeVar("T", str, int)


class Subset(Source):
    """Some samples of a source.

    Args:
        source: the source.
        indices: the samples to take, in the order that they have here.
    """

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = [int(index) for index in indices]

    @property
    def batched(self) -> bool:  # type: ignore[override]
        return self._source.batched

    def __len__(self) -> int:
        return len(self._indices)

    def load(self, index: tf.Tensor) -> tuple[Tensors, ...]:
        return self._source.load(self._translate(index))

    def load_batch(self, indices: tf.Tensor) -> tuple[Tensors, ...]:
        return self._source.load_batch(self._translate(indices))

    def sample_name(self, index: int) -> str:
        return self._source.sample_name(self._indices[index])

    def true_label(self, index: int) -> str | None:
        return self._source.true_label(self._indices[index])

    def group_name(self, index: int) -> str | None:
        return self._source.group_name(self._indices[index])

    def known_targets(self) -> np.ndarray | None:
        targets = self._source.known_targets()
        return None if targets is None else targets[self._indices]

    def diagnose(self, index: int, reason: str) -> Fault:
        return self._source.diagnose(self._indices[index], reason)

    def known_fault(self, index: int) -> Fault | None:
        return self._source.known_fault(self._indices[index])

    def remarks(self, index: int) -> Iterable[Fault]:
        return self._source.remarks(self._indices[index])

    def fingerprint(self) -> str:
        return f"{len(self)} of {self._source.fingerprint()}"

    def groups(self) -> np.ndarray | None:
        groups = self._source.groups()
        return None if groups is None else groups[self._indices]

    def _translate(self, indices: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        return tf.gather(tf.constant(self._indices, tf.int64), indices)


def spread(source: Source, count: int) -> Source:
    """Return `count` samples of a source, evenly spread over it, or the source if it has no more.

    Even spread gives samples of each kind if the data are sorted.
    """
    size = len(source)
    return source if count >= size else Subset(source, [i * size // count for i in range(count)])


def held_out(keys: Sequence[T], part: float, seed: int) -> set[T]:
    """Choose the keys of the training samples that are kept for validation.

    They are the fraction `part` of all, but at least one, and never all.
    """
    # Ranked by a hash of seed and key: this is the same on every platform and with every version of NumPy,
    # and a new sample moves few others between the parts.
    ranked = sorted(keys, key=lambda key: hashlib.sha256(os.fsencode(f"{seed}/{key}")).digest())
    return set(ranked[: min(max(round(part * len(keys)), 1), len(keys) - 1)])
