"""The parts of a sample, and of a batch: NumPy arrays in tuples and dicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from framework.errors import DataError, reason_of

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

T = TypeVar("T")
R = TypeVar("R")

Tree: TypeAlias = "T | tuple[Tree[T], ...] | Mapping[str, Tree[T]]"
"""Parts in nested tuples and dicts."""
Tensors: TypeAlias = "Tree[tf.Tensor]"
"""What a model takes or gives, of a sample or of a batch."""

PADDING_HINT = "PaddedSource takes samples of unequal length (docs/data.md)"


def map_parts(function: Callable[[Any, str], R], structure: object, name: str = "the sample") -> Tree[R]:
    """Apply a function to each part of a structure.

    Tuples and dicts hold parts. Everything else is a part, also a list.

    Args:
        function: `(part, name) -> result`.
        structure: nested tuples and mappings.
        name: what to call the whole; a part is called `name[0]['image']`.

    Returns:
        The results, in plain tuples and dicts.
    """
    if isinstance(structure, Mapping):
        return {key: map_parts(function, part, f"{name}[{key!r}]") for key, part in structure.items()}
    if isinstance(structure, tuple):
        return tuple(map_parts(function, part, f"{name}[{i}]") for i, part in enumerate(structure))
    return function(structure, name)


def as_array(value: object, name: str) -> np.ndarray:
    """Convert a part of a sample, from code outside of the framework, to a NumPy array.

    Arrays keep their dtype, also those of PyTorch, TensorFlow and Pillow. Python floats become float32 and
    Python integers int64. Texts become bytes in UTF-8 in an array of objects, which TensorFlow needs.

    Args:
        value: an array, a number, a text, or a list of these.
        name: what to call it in messages.

    Raises:
        DataError: if it is none of these.
    """
    import numpy as np
    import tensorflow as tf

    if value is None:
        raise DataError(f"{name} is None")
    try:
        array = np.asarray(value)
    except Exception as error:  # the library of the value may raise anything
        hint = PADDING_HINT if "inhomogeneous" in str(error) else None
        raise DataError(f"{name} is not an array: {reason_of(error)}", hint=hint) from error
    if array.dtype.kind in "SUO":
        texts = [text.encode() if isinstance(text, str) else text for text in array.ravel().tolist()]
        if not all(isinstance(text, bytes) for text in texts):
            raise DataError(f"{name} is not an array of numbers or texts: it is {type(value).__name__}")
        strings = np.empty(len(texts), object)
        strings[:] = texts
        return strings.reshape(array.shape)
    try:
        tf.as_dtype(array.dtype)
    except TypeError as error:
        raise DataError(f"{name} has the dtype {array.dtype}, which TensorFlow does not have") from error
    return array.astype("float32") if array.dtype == np.float64 and _is_of_python(value) else array


def _is_of_python(value: object) -> bool:
    """Return whether a number, or the first one in a list of lists, has a type of Python."""
    while isinstance(value, Sequence) and len(value):
        value = value[0]
    return type(value) in (int, float, bool)


def described(array: np.ndarray) -> str:
    """Return dtype and shape, as in `float32 (28, 28)`."""
    kind = "string" if array.dtype == object else array.dtype.name
    return f"{kind} {tuple(map(int, array.shape))}"


def is_list_of_samples(value: object, length: int | None) -> bool:
    """Return whether a list holds one sample after another.

    Otherwise it holds parts, each an array of all samples, such as a list of several inputs.

    Args:
        value: a value in a structure of arrays.
        length: the number of samples; None if it is not known.
    """
    if not isinstance(value, list):
        return False
    return not value or not all(
        len(getattr(member, "shape", ())) and len(member) == (length or len(member)) for member in value
    )


def as_arrays(structure: object) -> object:
    """Convert the arrays of a source to arrays that TensorFlow takes.

    Args:
        structure: nested tuples, dicts and lists of arrays, each with all samples in its first dimension. A
            list of samples becomes an array.

    Raises:
        DataError: naming what is not an array, or the first sample of another shape.
    """
    import numpy as np
    import tensorflow as tf

    lengths: list[int] = []

    def look(part: Any, name: str) -> None:
        if not isinstance(part, list) and len(getattr(part, "shape", ())):
            lengths.append(int(part.shape[0]))
        elif isinstance(part, list) and part and not getattr(part[0], "shape", ()):
            lengths.append(len(part))

    def convert(part: Any, name: str) -> Any:
        if is_list_of_samples(part, lengths[0] if lengths else None):
            return stacked(part, name)
        if isinstance(part, list):
            return [convert(member, f"{name}[{i}]") for i, member in enumerate(part)]
        if isinstance(part, tf.RaggedTensor):
            raise DataError(f"{name} is a RaggedTensor", hint=PADDING_HINT)
        known = isinstance(part, tf.Tensor | tf.Variable) or (
            isinstance(part, np.ndarray) and part.dtype != object
        )
        array = (
            part
            if known
            else stacked(part, name)
            if isinstance(part, np.ndarray) and part.ndim
            else as_array(part, name)
        )
        if not len(array.shape):
            raise DataError(f"{name} is one value, and not an array of all samples")
        return array

    map_parts(look, structure, "the source")
    return map_parts(convert, structure, "the source")


def stacked(samples: Sequence[object] | np.ndarray, name: str) -> np.ndarray:
    """Stack samples into one array.

    Raises:
        DataError: naming the first sample of another shape than sample 0.
    """
    try:
        return as_array(samples, name)
    except DataError:
        first: tuple[int, ...] | None = None
        for i, sample in enumerate(samples):
            shape = tuple(as_array(sample, f"{name}, sample {i},").shape)
            first = shape if first is None else first
            if shape != first:
                what = (
                    f"{name}: sample {i} has the shape {shape}, and sample 0 has {first}; all of a "
                    "source have one"
                )
                raise DataError(what, hint=PADDING_HINT) from None
        raise
