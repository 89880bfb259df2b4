"""Measures of scikit-learn, and functions like them."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from framework.evaluators.evaluator import Evaluator, Sample

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


def identity(output: T) -> T:
    """Return the output of a model unchanged."""
    return output


class ScikitLearnMetric(Evaluator):
    """One value, computed by a function of `sklearn.metrics` or by a function of your own.

        ScikitLearnMetric("kappa", cohen_kappa_score, output=np.argmax)
        ScikitLearnMetric("weighted_f1", functools.partial(f1_score, average="weighted", zero_division=0),
        output=np.argmax)

    The value is nan if there are no samples, if an output is nan, or if the function calls it ill-defined by
    an `UndefinedMetricWarning`. Other warnings of the function are silenced, since each evaluation would
    repeat them. Exceptions of the function are passed on.

    Samples of weight 0 are left out. The weights go to a function that has an argument `sample_weight`,
    unless all are 1. Any other function counts all samples alike.

    Args:
        name: the name of the value.
        function: gets targets and outputs, [samples, ...]; [samples] if those of a sample have shape [1].
        output: turns the model's output for one sample into what the function needs.
    """

    def __init__(
        self, name: str, function: Callable[..., float], output: Callable[[np.ndarray], object] = identity
    ) -> None:
        self.names = (name,)
        self._function = function
        self._output = output
        self._targets: list[object] = []
        self._outputs: list[object] = []
        self._weights: list[float] = []

    def update(self, sample: Sample) -> None:
        if sample.weight == 0:
            return
        self._targets.append(sample.target)
        self._outputs.append(self._output(sample.output))
        self._weights.append(sample.weight)

    def result(self) -> dict[str, float]:
        return {self.names[0]: self._value()}

    def _value(self) -> float:
        from sklearn.exceptions import UndefinedMetricWarning

        if not self._targets:
            return math.nan
        targets, outputs = _stacked(self._targets), _stacked(self._outputs)
        if (outputs != outputs).any():  # only nan is unequal to itself
            return math.nan
        weighted = (
            set(self._weights) != {1} and "sample_weight" in inspect.signature(self._function).parameters
        )
        weights = {"sample_weight": self._weights} if weighted else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", UndefinedMetricWarning)
            try:
                return float(self._function(targets, outputs, **weights))
            except UndefinedMetricWarning:
                return math.nan


def _stacked(values: Sequence[object]) -> np.ndarray:
    """Return the values of all samples as one array; [samples, 1] becomes [samples]."""
    import numpy as np

    stacked = np.stack([np.asarray(value) for value in values])
    return stacked[:, 0] if stacked.shape[1:] == (1,) else stacked
