"""A source of objects that give samples by index.

They may be data sets of PyTorch, Hugging Face or TFDS, lists, or objects of your own classes.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.source import OTHER_SHAPE, Fault, Source
from framework.data.structure import as_array, described, map_parts
from framework.errors import DataError, reason_of

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from framework.data.structure import Tensors, Tree


class MapSource(Source):
    """The samples of an object with `__len__` and `__getitem__`.

    A sample is `(x, y)` or `(x, y, sample_weight)`. Tuples and dicts in it hold parts; everything else is a
    part. Arrays and tensors keep their dtype, and Pillow images are uint8. Python floats become float32,
    Python integers int64, texts strings. All samples must have the shapes and dtypes of sample 0.

    `dataset[index]` must depend on the index alone: random augmentation belongs in `Scenario.augment`.

    Args:
        dataset: has `len(dataset)` samples, `dataset[0]` and so on.
        transform: `dataset[index] -> sample`, for example for rows that are dicts.
        names: the name of each sample in messages.
        parallel: whether several samples may be loaded at the same time, in threads. By default one is loaded
            after the other, since open files and most data sets are not made for threads.
        targets: whether a sample has targets. Without, as for prediction, it is `(x,)` or x alone.

    Raises:
        DataError: if sample 0 cannot be loaded, or is not a sample.

    >>> MapSource(dataset, transform=lambda row: (row["image"], row["label"]))
    """

    def __init__(
        self,
        dataset: Any,
        transform: Callable[[Any], object] | None = None,
        *,
        names: Sequence[str] | None = None,
        parallel: bool = False,
        targets: bool = True,
    ) -> None:
        self.dataset = dataset
        self._transform, self._names, self._targets = transform, names, targets
        self._lock: contextlib.AbstractContextManager[object] = (
            contextlib.nullcontext() if parallel else threading.Lock()
        )
        self._length = len(dataset)
        if names is not None and len(names) != self._length:
            raise DataError(f"MapSource: {len(names)} names were given for {self._length} samples")
        if self._length:
            import tensorflow as tf

            try:
                self._first = self._sample(0)
            except Exception as error:  # the object may raise anything
                raise DataError(
                    f"{self.sample_name(0)} of the {type(dataset).__name__}: {_reason(error)}"
                ) from error
            self._flat: list[np.ndarray] = tf.nest.flatten(self._first)

    def __len__(self) -> int:
        return self._length

    def load(self, index: tf.Tensor) -> tuple[Tensors, ...]:
        import tensorflow as tf

        kinds = [tf.string if part.dtype == object else tf.as_dtype(part.dtype) for part in self._flat]
        # An error is returned as a text, since TensorFlow would print its traceback, and one of its own code.
        error, *parts = tf.numpy_function(self._try, [index], [tf.string, *kinds], stateful=False)
        with tf.control_dependencies([tf.debugging.Assert(tf.equal(error, ""), [error])]):
            known = [
                tf.ensure_shape(tf.identity(part), like.shape)
                for part, like in zip(parts, self._flat, strict=True)
            ]
        return tf.nest.pack_sequence_as(self._first, known)

    def sample_name(self, index: int) -> str:
        return str(self._names[index]) if self._names is not None else super().sample_name(index)

    def diagnose(self, index: int, reason: str) -> Fault:
        # The sample is loaded once more, since TensorFlow passes on only a text.
        try:
            self._parts(index)
        except _OtherShapeError as error:
            return Fault(self.sample_name(index), OTHER_SHAPE, str(error))
        except Exception as error:  # the object may raise anything
            reason = _reason(error)
        return super().diagnose(index, reason)

    def varies(self) -> bool:
        """Return whether sample 0 differs when it is loaded again, as with random augmentation."""
        if not self._length:
            return False
        import tensorflow as tf

        again = tf.nest.flatten(self._sample(0))
        return any(
            a.shape != b.shape
            or (a.tolist() != b.tolist() if a.dtype == object else a.tobytes() != b.tobytes())
            for a, b in zip(self._flat, again, strict=True)
        )

    def _try(self, index: np.ndarray) -> list[bytes | np.ndarray]:
        """Return an empty text and the parts of a sample, or why it failed and the parts of sample 0."""
        try:
            return [b"", *self._parts(index)]
        except Exception as error:  # the object may raise anything
            return [_reason(error).encode(), *self._flat]

    def _parts(self, index: int | np.ndarray) -> list[np.ndarray]:
        """Return the parts of a sample, after a check that they are like those of sample 0."""
        import tensorflow as tf

        sample = self._sample(int(index))
        try:
            tf.nest.assert_same_structure(self._first, sample)
        except (ValueError, TypeError) as error:
            raise DataError("has other parts than sample 0") from error

        flat: list[np.ndarray] = tf.nest.flatten(sample)
        for part, like in zip(flat, self._flat, strict=True):
            if (part.dtype, part.shape) != (like.dtype, like.shape):
                raise _OtherShapeError(
                    f"has {described(part)} where sample 0 has {described(like)}; all of a source have one "
                    "shape"
                )
        return flat

    def _sample(self, index: int) -> tuple[Tree[np.ndarray], ...]:
        """Return a sample as NumPy arrays in tuples and dicts."""
        with self._lock:
            given = self.dataset[index]
            given = given if self._transform is None else self._transform(given)
        return as_sample(given, "it", targets=self._targets)


def _reason(error: Exception) -> str:
    if isinstance(error, DataError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"cannot be loaded: {type(error).__name__}: {reason_of(error)}{place}"


class _OtherShapeError(DataError):
    """A sample of another shape or dtype than sample 0."""


def as_sample(given: object, name: str, *, targets: bool = True) -> tuple[Tree[np.ndarray], ...]:
    """Convert a sample from code outside of the framework to NumPy arrays in tuples and dicts.

    Args:
        given: the sample.
        name: what to call it in messages.
        targets: whether it must be `(x, y)` or `(x, y, sample_weight)`; otherwise it may be `(x,)`, or x
            alone, too.

    Raises:
        DataError: if it is something else.
    """
    if isinstance(given, list) and len(given) in (2, 3):  # some data sets give `[x, y]`
        given = tuple(given)
    if not isinstance(given, tuple) and not targets:
        given = (given,)
    if not isinstance(given, tuple) or len(given) not in ((2, 3) if targets else (1, 2, 3)):
        raise not_a_sample(given, name)
    return tuple(map_parts(as_array, part, f"{name}[{i}]") for i, part in enumerate(given))


def not_a_sample(given: Any, name: str) -> DataError:
    """Return the error for something that is not `(x, y)`."""
    allowed = "(x, y) or (x, y, sample_weight), a tuple"
    if hasattr(given, "keys"):
        keys = [repr(key) for key in given]
        x, y = keys[:2] if len(keys) > 1 else ("'input'", "'label'")
        return DataError(
            f"{name} is a dict of {', '.join(keys)}, and Keras trains on {allowed}",
            hint=f"say which is which: (row[{x}], row[{y}]), in MapSource(dataset, transform=lambda row: "
            "...) or dataset.map(...)",
        )
    what = f"a tuple of {len(given)}" if isinstance(given, tuple) else f"of the type {type(given).__name__}"
    return DataError(f"{name} is {what}, and Keras trains on {allowed}")
