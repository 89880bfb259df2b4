"""Evaluators: measures in Python and NumPy over all samples of an evaluation and the model's outputs.

A Keras metric adds up batch by batch in a graph. An evaluator gets every sample in Python, so it can compute
what needs all samples at once, such as the area under a ROC curve:

    class WorstError(Evaluator):
        names = ("worst_error",)
        worst = math.nan

        def update(self, sample): self.worst = max(abs(float(sample.output - sample.target)), self.worst)
        def result(self): return {"worst_error": self.worst}

The values are recorded beside the metrics of Keras, so they must not have the names of these metrics, such as
`loss` and `accuracy`.

A plain name is a headline value. A name with a slash belongs to a table: the part before the last slash is
the row, the part after it is the column. So `fake/precision` is in row `fake`. The name of a class may hold
spaces and slashes, the name of a column no slashes.
"""

from __future__ import annotations

import abc
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

T = TypeVar("T")

Mode = Literal["min", "max"]
"""Whether the lowest or the highest value of a measure is best."""

_COLUMNS = ("precision", "recall", "f1", "samples")


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


class _Report(Evaluator):
    """Headline values, and a table with a row for each class.

    Args:
        headlines: the names of the headline values.
        classes: the names of the classes.
    """

    def __init__(self, headlines: Sequence[str], classes: Sequence[str]) -> None:
        self.names = (*headlines, *(f"{name}/{column}" for name in classes for column in _COLUMNS))
        self._indices = range(len(classes))
        self._targets: list[int] = []
        self._predicted: list[int] = []
        self._weights: list[float] = []

    def _add(self, target: int, predicted: int, weight: float) -> None:
        """Add a sample, by the index of its class and the index of the predicted class."""
        self._targets.append(target)
        self._predicted.append(predicted)
        self._weights.append(weight)

    def _table(self) -> np.ndarray:
        """Return the table of the classes, float [classes, columns]."""
        import numpy as np
        from sklearn.metrics import precision_recall_fscore_support

        if not self._targets:  # scikit-learn refuses empty lists
            return np.array([[math.nan, math.nan, math.nan, 0.0]] * len(self._indices))
        columns = precision_recall_fscore_support(
            self._targets, self._predicted, labels=self._indices, sample_weight=self._weights, zero_division=0
        )
        table = np.stack(columns, axis=1).astype(float)
        table[table[:, 3] == 0, :3] = math.nan
        return table

    def _values(self, headlines: Sequence[float], table: np.ndarray, *, sound: bool) -> dict[str, float]:
        """Return all values by name. If the outputs are not sound, all but the samples are nan."""
        values = dict(zip(self.names, map(float, (*headlines, *table.flat)), strict=True))
        return {
            name: value if sound or name.endswith("/samples") else math.nan for name, value in values.items()
        }


class BinaryReport(_Report):
    """Measures of how well two classes are told apart by the probability of one of them.

    Headline values, all in [0, 1]:
        auc: area under the ROC curve.
        eer: equal error rate, see `equal_error_rate`.
        average_precision: the mean of the precisions at all thresholds, weighted by how much recall each
            adds, not interpolated.
        f1: of the positive class.
        eer_threshold: the threshold at which the error rates of both classes are nearest to each other.
    For each class, with its name before the slash: `precision`, `recall`, `f1`, and `samples`, how many the
    data have of it.

    A sample is predicted positive if its probability is above the threshold, as in Keras' accuracy. Each
    sample counts by its weight, in `samples` too: a weight of 2 is the sample twice, a weight of 0 leaves it
    out.

    A value that the data do not define is nan: `precision`, `recall` and `f1` of a class without samples, and
    `auc`, `eer`, `average_precision` and `eer_threshold` if either class has no samples. A class that has
    samples, but is never predicted, has a precision of 0. If an output is not finite, all values but
    `samples` are nan.

    Args:
        classes: the names of both classes, in any order.
        positive: the class with the target 1; the model gives its probability.
        threshold: the probability above which a sample is predicted positive.

    Raises:
        ValueError: if there are not two classes, or `positive` is neither of them.
    """

    def __init__(self, classes: Sequence[str], positive: str, threshold: float = 0.5) -> None:
        if len(classes) != 2 or positive not in classes:
            raise ValueError(f"needs two classes, one of them positive, not {list(classes)} and {positive!r}")
        super().__init__(("auc", "eer", "average_precision", "f1", "eer_threshold"), classes)
        self._threshold = threshold
        self._positive = list(classes).index(positive)
        self._scores: list[float] = []

    def update(self, sample: Sample) -> None:
        """Take in a sample.

        The target is 1 or 0, the output is the probability of the positive class; each is a scalar or of
        shape [1].

        Raises:
            ValueError: if the target or the output is anything else.
        """
        import numpy as np

        if sample.weight == 0:
            return
        target, score = np.asarray(sample.target).item(), float(np.asarray(sample.output).item())
        if target not in (0, 1):
            raise ValueError(f"a target is 1 for the positive class and 0 for the other, not {target}")
        other = 1 - self._positive
        self._add(
            self._positive if target else other,
            self._positive if score > self._threshold else other,
            sample.weight,
        )
        self._scores.append(score)

    def result(self) -> dict[str, float]:
        import numpy as np

        table = self._table()
        sound = bool(np.isfinite(self._scores).all())
        curve = self._curve() if sound and len(set(self._targets)) == 2 else (math.nan,) * 4
        return self._values((*curve[:3], table[self._positive, 2], curve[3]), table, sound=sound)

    def _curve(self) -> tuple[float, float, float, float]:
        """Return what needs all thresholds: `auc`, `eer`, `average_precision`, `eer_threshold`."""
        from sklearn.metrics import auc, average_precision_score, roc_curve

        positive = [target == self._positive for target in self._targets]
        fpr, tpr, thresholds = roc_curve(
            positive, self._scores, sample_weight=self._weights, drop_intermediate=False
        )
        precision = average_precision_score(positive, self._scores, sample_weight=self._weights)
        return (
            auc(fpr, tpr),
            equal_error_rate(fpr, tpr),
            precision,
            equal_error_threshold(fpr, tpr, thresholds),
        )


class ClassReport(_Report):
    """Measures of how well several classes are told apart.

    Headline values, all in [0, 1]:
        balanced_accuracy: the mean of the recalls of the classes.
        f1: the mean of their F1 scores (macro F1).
    The table, the weights and the nan values are those of `BinaryReport`. The means leave out a class that
    has no samples.

    The predicted class is the one with the highest output, or the first of several. An infinite output is
    allowed, as a logit.

    Args:
        classes: the names of the classes, in the order of the model's outputs.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(("balanced_accuracy", "f1"), classes)
        self._sound = True

    def update(self, sample: Sample) -> None:
        """Take in a sample.

        The target is the index of its class, a scalar or of shape [1]. The output is probabilities or logits,
        [classes].

        Raises:
            ValueError: if the target or the output is anything else.
        """
        import numpy as np

        if sample.weight == 0:
            return
        target, output, count = (
            np.asarray(sample.target).item(),
            np.asarray(sample.output),
            len(self._indices),
        )
        if target not in self._indices or output.shape != (count,):
            raise ValueError(
                f"target {target} and output of shape {list(output.shape)} do not fit {count} classes"
            )
        self._sound &= not np.isnan(output).any()
        self._add(int(target), int(output.argmax()), sample.weight)

    def result(self) -> dict[str, float]:
        table = self._table()
        present = table[table[:, 3] > 0]
        means = [present[:, column].mean() if len(present) else math.nan for column in (1, 2)]
        return self._values(means, table, sound=self._sound)


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


def equal_error_rate(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Return the rate at which as many negative samples are taken for positive as positive ones for negative.

    It is where the ROC curve, linear between its points, meets the line from (0, 1) to (1, 0). There is
    exactly one such point, since the difference of the two error rates rises along the whole curve, from -1
    to 1.


    Args:
        fpr: false positive rates, float [points], rising from 0 to 1.
        tpr: true positive rates, likewise.
    """
    import numpy as np

    difference = fpr - (1 - tpr)
    after = int(np.argmax(difference >= 0))
    before = after - 1
    part = -difference[before] / (difference[after] - difference[before])
    return float(fpr[before] + part * (fpr[after] - fpr[before]))


def equal_error_threshold(fpr: np.ndarray, tpr: np.ndarray, thresholds: np.ndarray) -> float:
    """Return the threshold at which the two error rates are nearest to each other.

    A score above the threshold is positive. The threshold lies in the middle between two scores, so that a
    few digits of it are enough.

    Args:
        fpr, tpr: as for `equal_error_rate`, with each point of the curve.
        thresholds: for each point the lowest score that is positive there, falling; the first is infinite.
    """
    import numpy as np

    at = int(np.argmin(np.abs(fpr - (1 - tpr))))
    lowest = float(thresholds[at])
    if at + 1 == len(thresholds):  # every sample is positive
        return lowest / 2 if lowest > 0 else float(np.nextafter(lowest, -np.inf))
    below = float(thresholds[at + 1])
    return below if math.isinf(lowest) else (lowest + below) / 2


def _stacked(values: Sequence[object]) -> np.ndarray:
    """Return the values of all samples as one array; [samples, 1] becomes [samples]."""
    import numpy as np

    stacked = np.stack([np.asarray(value) for value in values])
    return stacked[:, 0] if stacked.shape[1:] == (1,) else stacked
