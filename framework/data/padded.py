"""A source of samples of unequal length in memory, such as texts as numbers, sounds and series.

Each batch is padded to one length.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from framework.data.source import Source, single_target
from framework.data.structure import as_array, as_arrays, described, map_parts
from framework.errors import DataError, listing

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from framework.data.structure import Tensors


class PaddedSource(Source):
    """Samples of unequal length that are in memory. The samples of a batch are padded at their ends.

    They are padded to the length `pad_to` if it is given. Otherwise they are padded to the length of the
    longest sample of the batch, rounded up to one of `buckets` if these are given.

    With buckets, the samples of a bucket share a batch where that is possible (see `framework.data.stream`),
    so that there is little padding. The last batches of a window hold samples of several buckets.

    The output of the model must not depend on the padding. Use a mask (`Embedding(mask_zero=True)`,
    `Masking(pad_value)`), or give the lengths as one more input. With `pad_to` each sample is padded alike,
    whatever else is in its batch.

    Args:
        samples: `(x, y)` or `(x, y, sample_weight)`, nested tuples and dicts of parts. A part that is a list
            of sequences holds one for each sample, [length, ...], of a length of its own, and is padded. A
            part that is an array of all samples, [samples, ...], or a list of single values, stays as it is.
        pad_to: the length of all samples; None: each batch has its own.
        buckets: the lengths that batches may have, in rising order; none: any length.
        pad_value: the value of the padding, or one for each part, in the structure of `samples`. Texts are
            padded with "".
        truncate: what to do about a sample that is longer than `pad_to` or the last bucket: `refuse` it, or
            cut off its `end` or `start`.
        names: the name of each sample in messages.

    Raises:
        DataError: naming the part or the samples that cannot be used.

    >>> source = PaddedSource(([[3, 1, 2], [5, 4]], np.array([1, 0])), buckets=(4, 8))
    >>> source.load_batch([0, 1])[0]
    [[3, 1, 2, 0], [5, 4, 0, 0]]
    """

    batched = True

    def __init__(
        self,
        samples: object,
        *,
        pad_to: int | None = None,
        buckets: Sequence[int] = (),
        pad_value: object = 0,
        truncate: Literal["refuse", "end", "start"] = "refuse",
        names: Sequence[str] | None = None,
    ) -> None:
        import tensorflow as tf

        if pad_to is not None and buckets:
            raise DataError("PaddedSource: pad_to and buckets are both given", hint="give one of the two")
        steps = _whole_numbers(buckets if pad_to is None else (pad_to,))
        if steps is None or any(step < 1 for step in steps) or sorted(set(steps)) != steps:
            what = f"buckets={buckets!r} must be whole numbers >= 1, in rising order"
            raise DataError(
                "PaddedSource: "
                f"{what if pad_to is None else f'pad_to={pad_to!r} must be a whole number >= 1'}"
            )
        if truncate not in ("refuse", "end", "start"):
            raise DataError(f"PaddedSource: truncate={truncate!r} must be 'refuse', 'end' or 'start'")
        self._names, self._buckets = names, steps if pad_to is None else []
        found = map_parts(_Part, samples, "PaddedSource")
        parts: list[_Part] = tf.nest.flatten(found)
        pads = tf.nest.flatten(pad_value) if isinstance(pad_value, tuple | dict) else [pad_value] * len(parts)
        if len(pads) != len(parts):
            raise DataError(
                f"PaddedSource: pad_value has {len(pads)} values for the {len(parts)} parts of a sample"
            )
        longest = steps[0] if pad_to is not None else None
        self._padded: list[_Sequences] = []

        def take(part: _Part, pad: object) -> _Sequences | tf.Tensor:
            if not part.has_sequences():
                with tf.device("/CPU:0"):
                    return tf.convert_to_tensor(as_arrays(part.value))
            if names is not None and len(names) != len(part.value):
                raise DataError(f"PaddedSource: {len(names)} names were given for {len(part.value)} samples")
            arrays = [
                as_array(member, f"{part.name}, {self.sample_name(i)}") for i, member in enumerate(part.value)
            ]
            self._padded.append(
                _Sequences(self._cut(arrays, steps, truncate), pad, part.name, self.sample_name, longest)
            )
            return self._padded[-1]

        taken = [take(part, pad) for part, pad in zip(parts, pads, strict=True)]
        self._parts = tf.nest.pack_sequence_as(found, taken)
        if not self._padded:
            raise DataError(
                "PaddedSource: no part is a list with a sequence for each sample",
                hint="ArraySource takes arrays of all samples",
            )
        lengths = {len(part) if isinstance(part, _Sequences) else int(part.shape[0]) for part in taken}
        if len(lengths) != 1:
            raise DataError(
                f"PaddedSource: the parts have one length, the number of samples, not {sorted(lengths)}"
            )
        self._length = lengths.pop()

    def __len__(self) -> int:
        return self._length

    def load(self, index: tf.Tensor) -> tuple[Tensors, ...]:
        import tensorflow as tf

        # A single sample is padded for the longest of all, since `load` gives one shape for every index.
        batch = self._load(index[tf.newaxis], lambda part: self._rounded(part.longest))
        return tf.nest.map_structure(lambda part: part[0], batch)

    def load_batch(self, indices: tf.Tensor) -> tuple[Tensors, ...]:
        import tensorflow as tf

        def length_of(part: _Sequences) -> tf.Tensor | int:
            if part.pad_to is not None:
                return part.pad_to
            longest = tf.maximum(tf.reduce_max(tf.gather(part.lengths, indices)), 1)
            if not self._buckets:
                return longest
            buckets = tf.constant(self._buckets, tf.int64)
            return buckets[tf.searchsorted(buckets, longest[tf.newaxis])[0]]

        return self._load(indices, length_of)

    def sample_name(self, index: int) -> str:
        return str(self._names[index]) if self._names is not None else super().sample_name(index)

    def known_targets(self) -> np.ndarray | None:
        return single_target(self._parts)

    def groups(self) -> np.ndarray | None:
        import numpy as np

        if not self._buckets:
            return None
        return np.searchsorted(self._buckets, np.max([part.lengths for part in self._padded], axis=0)).astype(
            "int64"
        )

    def _load(
        self, indices: tf.Tensor, length_of: Callable[[_Sequences], tf.Tensor | int]
    ) -> tuple[Tensors, ...]:
        import tensorflow as tf

        def load(part: _Sequences | tf.Tensor) -> tf.Tensor:
            return (
                part.gather(indices, length_of(part))
                if isinstance(part, _Sequences)
                else tf.gather(part, indices)
            )

        return tf.nest.map_structure(load, self._parts)

    def _rounded(self, length: int) -> int:
        return next((bucket for bucket in self._buckets if bucket >= length), length)

    def _cut(self, arrays: list[np.ndarray], steps: Sequence[int], truncate: str) -> list[np.ndarray]:
        """Return the arrays, none longer than the last of `steps`."""
        if not steps:
            return arrays
        most = steps[-1]
        long = [i for i, array in enumerate(arrays) if array.ndim and len(array) > most]
        if long and truncate == "refuse":
            lines = [f"{self.sample_name(i)}: {len(arrays[i]):,}" for i in long]
            raise DataError(
                f"{len(long):,} of {len(arrays):,} samples are longer than {most:,}:{listing(lines)}",
                hint='give a larger pad_to or last bucket, or truncate="end" or "start"',
            )
        return [
            array if not array.ndim else array[:most] if truncate == "end" else array[-most:]
            for array in arrays
        ]


def _whole_numbers(values: Iterable[SupportsIndex]) -> list[int] | None:
    try:
        return [operator.index(value) for value in values]
    except TypeError:
        return None


@dataclass(frozen=True)
class _Part:
    """A part of the samples, as it was given."""

    value: Any
    name: str

    def has_sequences(self) -> bool:
        """Return whether the part holds an array for each sample."""
        import numpy as np

        first = self.value[0] if isinstance(self.value, list) and self.value else None
        if isinstance(self.value, np.ndarray) and self.value.dtype == object and len(self.value):
            first = self.value[0]
        return isinstance(first, list | tuple) or len(getattr(first, "shape", ())) > 0


class _Sequences:
    """Arrays of unequal length, stored one after the other.

    Args:
        arrays: one for each sample, [length, ...].
        pad: the value of the padding.
        name: what to call the part in messages.
        name_of: returns the name of a sample.
        pad_to: the length of all samples; None: each batch has its own.
    """

    def __init__(
        self,
        arrays: list[np.ndarray],
        pad: object,
        name: str,
        name_of: Callable[[int], str],
        pad_to: int | None,
    ) -> None:
        import numpy as np
        import tensorflow as tf

        like = next((array for array in arrays if array.size), np.zeros(0, "float32"))
        for i, array in enumerate(arrays):
            if array.ndim == 0:
                raise DataError(
                    f"{name}: {name_of(i)} is one value, and not a sequence",
                    hint="a list holds a sequence for each sample; give what has one value for each as an "
                    "array",
                )
            if array.size and (array.dtype, array.shape[1:]) != (like.dtype, like.shape[1:]):
                raise DataError(
                    f"{name}: {name_of(i)} has {described(array)} where others have {described(like)}; only "
                    "lengths differ"
                )
        self.pad_to = pad_to
        self.lengths = np.array([len(array) if array.size else 0 for array in arrays], "int64")
        self.longest = pad_to or max(1, int(self.lengths.max(initial=0)))
        self._starts = np.cumsum(self.lengths) - self.lengths
        try:
            value: np.ndarray | bytes = (
                b"" if like.dtype == object and isinstance(pad, int) else as_array(pad, "pad_value")
            )
            padding = np.empty((1, *like.shape[1:]), like.dtype)
            padding[...] = value
            if like.dtype != object and not np.array_equal(
                padding, np.broadcast_to(value, padding.shape), equal_nan=True
            ):
                raise ValueError(f"{pad!r} is not a value of {like.dtype}")
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(
                f"{name}: pad_value={pad!r} does not go with {described(like)}: {error}"
            ) from error
        # The padding is the last row, so that it is looked up like the values.
        with tf.device("/CPU:0"):
            self._values = tf.convert_to_tensor(
                np.concatenate([*(array for array in arrays if array.size), padding])
            )

    def __len__(self) -> int:
        return len(self.lengths)

    def gather(self, indices: tf.Tensor, length: tf.Tensor | int) -> tf.Tensor:
        """Return the samples at `indices`, int64 [batch], padded: [batch, length, ...]."""
        import tensorflow as tf

        starts, lengths = (
            tf.gather(tf.constant(of), indices)[:, tf.newaxis] for of in (self._starts, self.lengths)
        )
        steps = tf.range(tf.cast(length, tf.int64))
        places = tf.where(steps < lengths, starts + steps, tf.cast(tf.shape(self._values)[0] - 1, tf.int64))
        return tf.gather(self._values, places)
