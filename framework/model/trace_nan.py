"""Finding the layer, gradient or weight in which the first NaN or infinity of a training step arises."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from framework.model.freezing import layers_of
from framework.run.patching import patching

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from framework.data.structure import Tensors

# Mark the subject of a check, so that it can be found in the message of TensorFlow's error.
_MARKED = re.compile(r"<checked>(.*?)</checked>")
_HAD = re.compile(r"Tensor had (.*)")
_GRADIENT = "detected in gradient"


@contextlib.contextmanager
def watching(model: keras.Model) -> Iterator[None]:
    """Make what is traced (or run eagerly) within the context fail at the first number that is not finite.

    Checked are the batch, the output of each layer, the loss; in the backward pass the gradient of each of
    these and of each weight; and the weights after the step. Each check passes its tensor on, so a check runs
    before anything is computed from its tensor: the first one to fail is where the number arose.

    Args:
        model: compiled.
    """
    with contextlib.ExitStack() as stack:
        for path, layer in layers_of(model):
            what = f"the output of layer {path!r} ({type(layer).__name__})"
            stack.enter_context(patching(layer, call=_checking(layer.call, what)))
        train_step, apply, optimizer = model.train_step, model.optimizer.apply, model.optimizer

        def checked_step(batch: Tensors) -> Mapping[str, tf.Tensor]:
            return train_step(_checked(batch, "the batch itself"))

        def checked_apply(
            gradients: Sequence[tf.Tensor | tf.IndexedSlices | None],
            variables: Sequence[keras.Variable] | None = None,
        ) -> None:
            variables = list(optimizer._trainable_variables if variables is None else variables)
            apply(
                [
                    None if gradient is None else _checked(gradient, f"the gradient of {variable.path!r}")
                    for gradient, variable in zip(gradients, variables, strict=True)
                ],
                variables,
            )
            for variable in variables:
                _assert_finite(variable.value, f"the weight {variable.path!r} after the step")

        stack.enter_context(patching(optimizer, apply=checked_apply))
        stack.enter_context(
            patching(model, train_step=checked_step, compute_loss=_checking(model.compute_loss, "the loss"))
        )
        yield


def what_was_bad(error: tf.errors.OpError) -> str | None:
    """Describe which check of `watching` failed with an error; None if it is another error."""
    text = str(error)
    found = _MARKED.search(text)
    if found is None:
        return None
    had = _HAD.search(text)
    kind = "NaN or infinity" if had is None else "NaN" if "NaN" in had[1] else "infinity"
    if _GRADIENT in text:
        return f"{kind} in the gradient that comes back to {found[1]}, which itself is finite"
    return f"{kind} in {found[1]}, and in nothing that it is computed from"


def _checking(function: Callable[..., Tensors], what: str) -> Callable[..., Tensors]:
    def checked(*args: object, **kwargs: object) -> Tensors:
        return _checked(function(*args, **kwargs), what)

    return checked


def _checked(structure: Tensors, what: str) -> Tensors:
    import tensorflow as tf

    def check(tensor: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | tf.IndexedSlices:
        if isinstance(tensor, tf.IndexedSlices):
            return tf.IndexedSlices(check(tensor.values), tensor.indices, tensor.dense_shape)
        if not tf.is_tensor(tensor) or not tensor.dtype.is_floating:
            return tensor
        return tf.debugging.check_numerics(tensor, f"<checked>{what}</checked>")

    return tf.nest.map_structure(check, structure)


def _assert_finite(tensor: tf.Tensor, what: str) -> None:
    """Check a tensor that nothing in the step is computed from."""
    import tensorflow as tf

    tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(tensor)), [f"<checked>{what}</checked>"])
