"""A model described in one line, and as the table that Keras prints."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

from framework.run.files import write_atomically

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


def describe_model(model: keras.Model, name: str) -> str:
    """Describe a model in one line: `meso4: 28,073 parameters, 27,977 trainable, input 256x256x3 -> 1`.

    Args:
        model: built.
        name: its name in the line.
    """
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    line = f"{name}: {model.count_params():,} parameters, {trainable:,} trainable"
    try:
        inputs, outputs = model.inputs, model.outputs
    except (AttributeError, ValueError):  # a subclassed model has no graph of its own
        return line
    if not inputs or not outputs:
        return line
    names = [f"{tensor.name} " if len(inputs) > 1 else "" for tensor in inputs]
    taken = ", ".join(name + _shape(tensor) for name, tensor in zip(names, inputs, strict=True))
    return f"{line}, input {taken} -> {', '.join(map(_shape, outputs))}"


def _shape(tensor: keras.KerasTensor) -> str:
    """Format a shape without the batch dimension; `?` is a size that varies."""
    return "x".join("?" if size is None else str(size) for size in tensor.shape[1:]) or "scalar"


def summarise(model: keras.Model) -> str:
    """Return Keras' table of the layers of a model, the shapes of their outputs, and their parameters."""
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80)
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()).rstrip()


def write_summary(summary: str, path: Path) -> None:
    """Write the table of the layers into a run directory. A full disk is logged, and does not end the run."""
    try:
        write_atomically(path, summary + "\n")
    except OSError as error:
        log.warning("%s cannot be written: %s", path, error)
