"""Checks that targets, outputs and losses go together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from framework.data.structure import Tensors

# Losses of Keras that compare target and output number by number, without underscores.
_OF_PROBABILITIES = {
    "binarycrossentropy",
    "binaryfocalcrossentropy",
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
}
_ELEMENTWISE = {
    *_OF_PROBABILITIES,
    *("meansquarederror", "meanabsoluteerror", "meanabsolutepercentageerror", "meansquaredlogarithmicerror"),
    *("huber", "logcosh", "poisson", "kldivergence", "cosinesimilarity"),
}
_SPARSE = "sparsecategoricalcrossentropy"
_CTC = "ctc"


class Broken(Exception):  # noqa: N818 - what is found, and no error of ours
    """A broken contract of a scenario.

    Args:
        reason: how, in a sentence.
        hint: what to do.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


def named_parts(structure: object, name: str = "the sample") -> list[tuple[str, tf.Tensor]]:
    """List the tensors of a structure, with what to call each: `the sample[0]['image']`."""
    members: Iterable[tuple[object, object]] = ()
    if isinstance(structure, Mapping):
        members = sorted(structure.items())
    elif isinstance(structure, tuple | list):
        members = enumerate(structure)
    else:
        return [(name, structure)]
    return [part for key, member in members for part in named_parts(member, f"{name}[{key!r}]")]


def outputs_of(model: keras.Model) -> Tensors | None:
    """Find the symbolic outputs of a model, in the structure that it gives; None where its class does not
    say."""
    import keras

    if isinstance(model, keras.Sequential):
        return model.outputs[0]
    return getattr(model, "_outputs_struct", None)


def check_targets(outputs: Tensors, targets: Tensors, losses: object, values: Tensors | None) -> None:
    """Check each target.

    Args:
        outputs: what the model gives; shapes are enough.
        targets: what it is to give; shapes are enough.
        losses: as `keras.Model.compile` takes them. A loss of the scenario's own may take what it likes.
        values: the targets of some samples; None where they are not known.
    """
    given, made = dict(named_parts(targets, "the target")), dict(named_parts(outputs, "the target"))
    of_outputs = _losses(losses, made)
    names = {name: _name_of(loss) for name, loss in of_outputs.items()}
    if not any(names.values()):
        return
    if set(given) != set(made) and all(names.values()):
        raise Broken(
            f"the data have {', '.join(given)}, and the model gives {', '.join(made)}",
            "the keys of targets and outputs are the same",
        )
    seen = dict(named_parts(values, "the target")) if values is not None else {}
    for name, loss in names.items():
        if loss and loss != _CTC and name in given:
            _check_target(name, given[name], made[name], of_outputs[name], seen.get(name))


def _losses(losses: object, outputs: Mapping[str, tf.Tensor]) -> dict[str, object]:
    """Find the loss of each output."""
    if isinstance(losses, Mapping | list | tuple):
        found = dict(named_parts(losses, "the target"))
        return {name: found.get(name) for name in outputs}
    return dict.fromkeys(outputs, losses)


def _name_of(loss: object) -> str | None:
    """Find what Keras calls a loss, in lower case without underscores; None for one of the scenario's own."""
    import keras

    if not isinstance(loss, str) and not (
        isinstance(loss, keras.losses.Loss) and type(loss).__module__.startswith("keras.")
    ):
        return None
    found = keras.losses.get(loss)
    name: str = getattr(found, "__name__", type(found).__name__)
    return name.replace("_", "").lower()


def _check_target(
    name: str, target: tf.Tensor, output: tf.Tensor, given_loss: object, values: tf.Tensor | None
) -> None:
    import tensorflow as tf

    loss, shown = _name_of(given_loss), _shown(given_loss)
    shape, made = target.shape[1:], tf.TensorShape(output.shape[1:])
    if target.dtype.name == "string":
        raise Broken(f"{name} is a text", "give the index of its class, a whole number counted from 0")
    if loss in _OF_PROBABILITIES and values is not None:
        least, most = _range(values)
        if least < 0 or most > 1:
            raise Broken(
                f"{name} has values of {least:g} to {most:g}, and the loss, {shown}, takes 0 to 1",
                "several classes have the loss sparse_categorical_crossentropy, and a softmax with a unit "
                "for each",
            )
    # An index into the last axis of the output, or one number for an output of one.
    of_index = made.rank and made[:-1].is_compatible_with(
        shape[:-1] if shape.rank == made.rank and shape[-1] == 1 else shape
    )
    if loss == _SPARSE and of_index and values is not None:
        least, most = _range(values)
        if not 0 <= least <= most < (made[-1] or most + 1):
            raise Broken(
                f"{name} has labels of {least:g} to {most:g}, and the model gives {made[-1]} classes",
                "labels are counted from 0; the last layer has as many units as there are classes",
            )
    if shape.is_compatible_with(made):
        return
    whole = target.dtype.is_integer or values is None or bool(tf.reduce_all(values == tf.round(values)))
    if not of_index or (made[-1] != 1 and not whole):
        raise Broken(
            f"{name} is {described(target.dtype, shape)}, and the model gives "
            f"{described(output.dtype, made)}",
            "the last layer gives as many numbers as a target has; the index of a class is one whole number",
        )
    if loss in _ELEMENTWISE and made[-1] != 1:
        raise Broken(
            f"{name} is one number, and the model gives {made[-1]}, which the loss, {shown}, compares one "
            "by one",
            "the loss of an index of a class is sparse_categorical_crossentropy",
        )


def _shown(loss: object) -> str:
    return loss if isinstance(loss, str) else type(loss).__name__


def _range(values: tf.Tensor) -> tuple[float, float]:
    """Return the lowest and the highest value. NaN is left out: other checks find it."""
    import numpy as np

    found = np.asarray(values).astype("float64").ravel()
    found = found[~np.isnan(found)]
    return (float(found.min()), float(found.max())) if len(found) else (0.0, 0.0)


def find_logits(model: keras.Model, losses: object) -> Broken | None:
    """Find a loss of probabilities on an output that its layer leaves as it is; None where there is none, or
    the model's class hides it."""
    if (outputs := outputs_of(model)) is None:
        return None
    parts = dict(named_parts(outputs, "the target"))
    for name, loss in _losses(losses, parts).items():
        called = _name_of(loss)
        if called not in {*_OF_PROBABILITIES, _SPARSE} or _of_logits(loss):
            continue
        if (layer := _unscaled_layer(parts[name])) is not None:
            activation = "sigmoid" if called.startswith("binary") else "softmax"
            return Broken(
                f"layer {layer.name!r} gives any number, and the loss, {_shown(loss)}, takes probabilities",
                f'give the layer activation="{activation}", or the loss from_logits=True',
            )
    return None


def _of_logits(loss: object) -> bool:
    import keras

    return isinstance(loss, keras.losses.Loss) and bool(loss.get_config().get("from_logits"))


def _unscaled_layer(tensor: keras.KerasTensor) -> keras.layers.Layer | None:
    """Find the layer without an activation that gives a symbolic output; None where it is another kind of
    layer."""
    import keras

    layer, _, index = tensor._keras_history
    if isinstance(layer, keras.Model):
        outputs = getattr(layer, "outputs", None)  # a subclassed model has none
        return _unscaled_layer(outputs[index]) if outputs else None
    linear = getattr(layer, "activation", None) is keras.activations.linear
    if linear and isinstance(layer, keras.layers.Activation):
        return _unscaled_layer(layer.input)
    return layer if linear else None


def described(dtype: object, shape: Sequence[int | None]) -> str:
    """Describe a tensor for a message: `float32 (3,)`."""
    return f"{getattr(dtype, 'name', dtype)} {tuple(shape)}"
