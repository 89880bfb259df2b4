"""Do data, model and loss of a scenario go together? Keras broadcasts some of what does not, and trains on it without a word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from framework.assembly import training_stream
from framework.data.source import Split
from framework.data.stream import in_order
from framework.evaluation import prepare_source
from framework.scenario import Scenario

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Broken(Exception):  # noqa: N818 - what is found, and no error of ours
    """The contract of a scenario is broken.

    Args:
        reason: how, in a sentence.
        hint: what to do.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


def check_agreement(scenario: Scenario) -> None:
    """Look at a batch, what a new model makes of it, and its loss.

    Raises:
        Broken: naming the part that does not go with the others.
    """
    import tensorflow as tf

    batch = next(iter(training_stream(scenario, prepare_source(scenario, Split.TRAIN)).from_step(0)))
    if not isinstance(batch, tuple) or len(batch) not in (2, 3):
        raise Broken("a sample is not (inputs, targets)", "load(index) gives (x, y) or (x, y, sample_weight)")
    inputs, targets, weights = (*batch, None)[:3]
    if scenario.config.trainer.val_every_n:
        validation = in_order(prepare_source(scenario, Split.VALIDATION), batch_size=scenario.data.batch_size)
        _check_splits(batch, next(iter(validation)))
    model, objective = scenario.build_model(), scenario.objective()
    _check_inputs(model, inputs)
    outputs = model(inputs, training=False)
    if _is_of_keras(objective.loss):
        _check_targets(outputs, targets)
    model.compile(**objective.compile_arguments())
    loss = model.compute_loss(x=inputs, y=targets, y_pred=outputs, sample_weight=weights)
    if not bool(tf.reduce_all(tf.math.is_finite(loss))):
        raise Broken(
            f"the loss of the first batch is {float(loss)}",
            "look at the scale of inputs and targets; validate-data finds NaN in data",
        )


def named_parts(structure: Any, name: str = "the sample") -> list[tuple[str, tf.Tensor]]:
    """The tensors of a structure, with what to call each: `the sample[0]['image']`."""
    members: Iterable[tuple[Any, Any]] = ()
    if isinstance(structure, Mapping):
        members = sorted(structure.items())
    elif isinstance(structure, tuple | list):
        members = enumerate(structure)
    else:
        return [(name, structure)]
    return [part for key, member in members for part in named_parts(member, f"{name}[{key!r}]")]


def inputs_of(model: keras.Model) -> Any:
    """The symbolic inputs of a model, in the structure that it is called with; None where its class keeps that to itself."""
    import keras

    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return getattr(model, "_inputs_struct", None)  # that of a functional model


def _check_splits(training: Any, validation: Any) -> None:
    ours, theirs = ({name: (part.dtype, part.shape[1:]) for name, part in named_parts(batch)} for batch in (training, validation))
    for name in ours | theirs:
        if ours.get(name) != theirs.get(name):
            found = [_described(*parts[name]) if name in parts else "absent" for parts in (ours, theirs)]
            raise Broken(
                f"{name} is {found[0]} in training, and {found[1]} in validation",
                "source(split) gives samples of one structure for each split",
            )


def _check_inputs(model: keras.Model, inputs: Any) -> None:
    if (symbolic := inputs_of(model)) is None:
        return
    given, wanted = (dict(named_parts(structure, "the input")) for structure in (inputs, symbolic))
    if set(wanted) != set(given):
        raise Broken(
            f"the data have {', '.join(given)}, and the model wants {', '.join(wanted)}",
            "keras.Input(name=...) and the keys of the data are the same; several inputs are a dict",
        )
    for name, tensor in wanted.items():
        found, shape = given[name], tuple(tensor.shape[1:])
        if not found.shape[1:].is_compatible_with(shape):
            raise Broken(
                f"{name} is {_described(found.dtype, found.shape[1:])}, and the model wants {shape}",
                "mend keras.Input(shape) in build_model(), or what source(split) loads",
            )


def _is_of_keras(losses: Any) -> bool:
    """Whether Keras says what goes with each loss; a loss of the scenario's own may take what it likes."""
    import keras

    if isinstance(losses, Mapping | list | tuple):
        return all(_is_of_keras(loss) for loss in (losses.values() if isinstance(losses, Mapping) else losses))
    return isinstance(losses, str) or (isinstance(losses, keras.losses.Loss) and type(losses).__module__.startswith("keras."))


def _check_targets(outputs: Any, targets: Any) -> None:
    given, made = dict(named_parts(targets, "the target")), dict(named_parts(outputs, "the target"))
    if set(given) != set(made):
        raise Broken(
            f"the data have {', '.join(given)}, and the model gives {', '.join(made)}",
            "the keys of targets and outputs are the same",
        )
    for name, target in given.items():
        _check_target(name, target, made[name])


def _check_target(name: str, target: tf.Tensor, output: tf.Tensor) -> None:
    import tensorflow as tf

    shape, made = target.shape[1:], output.shape[1:]
    if shape.is_compatible_with(made):
        return
    # An index into the last axis of the output, or one number for an output of one.
    of_index = made.rank and made[:-1].is_compatible_with(shape[:-1] if shape.rank == made.rank and shape[-1] == 1 else shape)
    whole = target.dtype.is_integer or bool(tf.reduce_all(target == tf.round(target)))
    if not of_index or (made[-1] != 1 and not whole):
        raise Broken(
            f"{name} is {_described(target.dtype, shape)}, and the model gives {_described(output.dtype, made)}",
            "the last layer gives as many numbers as a target has; the index of a class is one whole number",
        )
    lowest, highest = int(tf.reduce_min(target)), int(tf.reduce_max(target))
    if made[-1] != 1 and not 0 <= lowest <= highest < made[-1]:
        raise Broken(
            f"{name} has labels of {lowest} to {highest}, and the model gives {made[-1]} classes",
            "labels are counted from 0; the last layer has as many units as there are classes",
        )


def _described(dtype: tf.DType, shape: Sequence[int | None]) -> str:
    return f"{dtype.name} {tuple(shape)}"
