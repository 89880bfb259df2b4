"""What an evaluator is, and the samples that it gets."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Mode = Literal["min", "max"]
"""Whether the lowest or the highest value of a measure is best."""


@dataclass(frozen=True)
class Sample:
    """One evaluated sample, as NumPy values without the batch dimension.

    Args:
        inputs: the model's input; a structure (dict, tuple) if it has several inputs.
        target: the output that the data expect.
        output: the model's output; a structure if it has several outputs.
        weight: how much the sample counts, >= 0; 1.0 if the data give no weight.
    """

    inputs: Any
    target: Any
    output: Any
    weight: float = 1.0


def samples_of(inputs: Any, targets: Any, outputs: Any, weights: Any = None) -> Iterator[Sample]:
    """Take the samples out of a batch.

    Args:
        inputs, targets, outputs: tensors or NumPy arrays with a batch dimension, or structures of them.
        weights: [batch]; None: 1 each.
    """
    import tensorflow as tf

    def as_array(part: Any) -> Any:
        return part.numpy() if hasattr(part, "numpy") else part

    batch = tf.nest.map_structure(as_array, (inputs, targets, outputs, weights))
    for i in range(len(tf.nest.flatten(batch[0])[0])):
        x, y, output, weight = tf.nest.map_structure(
            lambda array, i=i: None if array is None else array[i], batch
        )
        yield Sample(inputs=x, target=y, output=output, weight=1.0 if weight is None else float(weight))


class Evaluator(abc.ABC):
    """A measure that gets every sample of an evaluation once. Each evaluation needs a new instance."""

    names: Sequence[str]
    """Names of the values of `result`.

    They are known before the first sample, so that a monitor is checked before training.
    """

    @abc.abstractmethod
    def update(self, sample: Sample) -> None:
        """Take in a sample."""

    @abc.abstractmethod
    def result(self) -> Mapping[str, float]:
        """Return the values, by exactly the names in `names`; nan where the data do not define a value."""

    def draws(self) -> bool:
        """Return whether it has figures: by default, if it defines them."""
        return type(self).figures is not Evaluator.figures

    def figures(self) -> Mapping[str, Figure]:
        """Return figures for the report of a run, by names for their files; none by default.

        def figures(self):
            from framework.report.drawing import drawing

            with drawing() as (figure, axes):
                axes.hist(self.errors, 40)
                axes.set(title="Errors", xlabel="pixels")
            return {"errors": figure}
        """
        return {}
