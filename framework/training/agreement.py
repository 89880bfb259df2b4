"""Checks that data, model and loss of a scenario go together.

Keras broadcasts some of what does not, and trains on it without a message. `check_start` is for each start of
a run: it checks shapes and dtypes, which are known without computing, and the targets of a few samples.
`check_batch` is for `check-scenario`: it checks what a model computes from a batch. `check_built` and
`check_lengths` check a model alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framework.data.source import Source
from framework.errors import DataError, ScenarioError, reason_of
from framework.model.freezing import layers_of
from framework.model.layers import all_layers
from framework.scenario import Objective
from framework.training.loss_agreement import (
    Broken,
    check_targets,
    described,
    find_logits,
    named_parts,
    outputs_of,
)

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from framework.data.structure import Tensors

# How many samples have their targets checked when a run starts: of those in memory, and of those that have to
# be read first.
_IN_MEMORY, _TO_BE_READ = 64, 4


def check_start(model: keras.Model, objective: Objective, batch: Tensors, source: Source) -> Broken | None:
    """Check shapes and dtypes, and the targets of a few samples. Draws no random numbers and changes no
    variable.

    Args:
        model: built.
        objective: its loss is checked.
        batch: the structure of a training batch, of `tf.TensorSpec`s.
        source: the training samples.

    Returns:
        What is probably wrong, though it can be trained: a loss of probabilities on other outputs.

    Raises:
        Broken: naming the part that does not go with the others.
    """
    if _steps_by_itself(model):
        return None
    inputs, targets = _inputs_and_targets(batch)
    _check_inputs(model, inputs)
    if _computes_its_loss(model):
        return None
    check_targets(_symbolic_outputs(model, inputs), targets, objective.loss, _some_targets(source, targets))
    return find_logits(model, objective.loss)


def check_batch(model: keras.Model, objective: Objective, batch: Tensors) -> None:
    """Check a batch, what a new model computes from it, and its loss. Compiles the model.

    Raises:
        Broken: naming the part that does not go with the others.
    """
    import keras
    import tensorflow as tf

    inputs, targets = _inputs_and_targets(batch)
    _, _, weights = keras.utils.unpack_x_y_sample_weight(batch)
    _check_inputs(model, inputs)
    outputs = model(inputs, training=False)
    check_targets(outputs, targets, objective.loss, targets)
    if (logits := find_logits(model, objective.loss)) is not None:
        raise logits
    model.compile(**objective.compile_arguments())
    loss = model.compute_loss(x=inputs, y=targets, y_pred=outputs, sample_weight=weights)
    if not bool(tf.reduce_all(tf.math.is_finite(loss))):
        raise Broken(
            f"the loss of the first batch is {float(loss)}",
            "look at the scale of inputs and targets; validate-data finds NaN in data",
        )


def check_splits(training: Tensors, validation: Tensors) -> None:
    """Raise a `Broken` where batches of two splits are not of one structure."""
    ours, theirs = (
        {name: (part.dtype, part.shape[1:]) for name, part in named_parts(batch)}
        for batch in (training, validation)
    )
    for name in ours | theirs:
        if ours.get(name) != theirs.get(name):
            found = [described(*parts[name]) if name in parts else "absent" for parts in (ours, theirs)]
            raise Broken(
                f"{name} is {found[0]} in training, and {found[1]} in validation",
                "source(split) gives samples of one structure for each split",
            )


def inputs_of(model: keras.Model) -> Tensors | None:
    """Find the symbolic inputs of a model, in the structure that it is called with; None where its class does
    not say."""
    import keras

    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return getattr(model, "_inputs_struct", None)  # that of a functional model


def _inputs_and_targets(batch: Tensors) -> tuple[Tensors, Tensors]:
    if not isinstance(batch, tuple) or len(batch) not in (2, 3):
        raise Broken("a sample is not (inputs, targets)", "load(index) gives (x, y) or (x, y, sample_weight)")
    return batch[0], batch[1]


def _steps_by_itself(model: keras.Model) -> bool:
    """Return whether a model has a `train_step` of its own. Nothing is known of what that does with a
    batch."""
    import keras

    return type(model).train_step is not keras.Model.train_step


def _computes_its_loss(model: keras.Model) -> bool:
    import keras

    return type(model).compute_loss is not keras.Model.compute_loss


def _symbolic_outputs(model: keras.Model, inputs: Tensors) -> Tensors:
    """Find what the model gives for a batch, as far as that is known without computing it."""
    import keras
    import tensorflow as tf

    if (known := outputs_of(model)) is not None:
        return known

    def symbolic(part: tf.TensorSpec) -> keras.KerasTensor:
        return keras.KerasTensor(part.shape, part.dtype.name)

    try:
        return model.compute_output_spec(tf.nest.map_structure(symbolic, inputs))
    except Exception as error:  # whatever the model's own code raises
        raise Broken(
            f"the model cannot be called with what the data give: {reason_of(error)}",
            "correct call() of the model, or what source(split) loads",
        ) from error


def _some_targets(source: Source, expected: Tensors) -> Tensors | None:
    """Load the targets of a few samples; None where augmentation makes others of them, or a sample cannot be
    loaded: training names it."""
    import tensorflow as tf

    count = min(_IN_MEMORY if source.batched else _TO_BE_READ, len(source))
    indices = [i * len(source) // count for i in range(count)]
    try:
        if source.batched:
            targets = source.load_batch(tf.constant(indices, tf.int64))[1]
        else:
            loaded = [source.load(tf.constant(index, tf.int64))[1] for index in indices]
            targets = tf.nest.map_structure(lambda *parts: tf.stack(parts), *loaded)
        ours, theirs = (
            {name: (part.dtype, part.shape[1:]) for name, part in named_parts(structure)}
            for structure in (targets, expected)
        )
    except Exception:  # what cannot be loaded has messages of its own, later
        return None
    return targets if ours == theirs else None


def _check_inputs(model: keras.Model, inputs: Tensors) -> None:
    if (symbolic := inputs_of(model)) is None:
        return
    given, wanted = (dict(named_parts(structure, "the input")) for structure in (inputs, symbolic))
    if set(wanted) != set(given):
        raise Broken(
            f"the data have {', '.join(given)}, and the model takes {', '.join(wanted)}",
            "keras.Input(name=...) and the keys of the data are the same; several inputs are a dict",
        )
    for name, tensor in wanted.items():
        found, shape = given[name], tuple(tensor.shape[1:])
        if not found.shape[1:].is_compatible_with(shape):
            raise Broken(
                f"{name} is {described(found.dtype, found.shape[1:])}, and the model takes {shape}",
                "correct keras.Input(shape) in build_model(), or what source(split) loads",
            )
        if (found.dtype.name == "string") != (tensor.dtype == "string"):
            raise Broken(
                f"{name} is {found.dtype.name}, and the model takes {tensor.dtype}",
                'texts go into keras.Input(shape, dtype="string"), and numbers into one of numbers',
            )


def check_built(model: object) -> None:
    """Raise a `ScenarioError` where a model does not have all its weights yet."""
    import keras

    if not isinstance(model, keras.Model):
        raise ScenarioError(f"build_model gives {type(model).__name__}, which is not a Keras model")
    # A subclassed model has no inputs of its own. Keras takes one for built after `model.build(shape)`,
    # though its layers may not be.
    whole = getattr(model, "inputs", None) or model._called or all(layer.built for layer in all_layers(model))
    if not model.built or not whole:
        name = type(model).__name__
        raise ScenarioError(
            f"the model {name} that build_model gives is not built: it does not know the shape of what goes "
            "in",
            hint="in build_model: inputs = keras.Input(SHAPE); return keras.Model(inputs, "
            f"{name}(...)(inputs)), or call the "
            "model once, model(keras.Input(SHAPE)); a Sequential model begins with keras.Input(SHAPE)",
        )


def check_lengths(model: keras.Model, batch: Tensors) -> None:
    """Raise a `DataError` where batches of several lengths and an Embedding meet, for which several devices
    cannot train a model.

    The gradient of an Embedding has a row for each token. The devices gather these rows, and TensorFlow wants
    the same number of them in each step.

    Args:
        batch: the specs of the tensors of a batch.
    """
    import keras
    import tensorflow as tf

    embeddings = [
        path
        for path, layer in layers_of(model)
        if isinstance(layer, keras.layers.Embedding) and layer.trainable
    ]
    if embeddings and not all(spec.shape[1:].is_fully_defined() for spec in tf.nest.flatten(batch)):
        raise DataError(
            f"several devices cannot train the Embedding {embeddings[0]!r} on batches of several lengths",
            hint="pad all to one length, as by PaddedSource(..., pad_to=LENGTH), or use one device",
        )


__all__ = [
    "Broken",
    "check_batch",
    "check_built",
    "check_lengths",
    "check_splits",
    "check_start",
    "inputs_of",
    "named_parts",
]
