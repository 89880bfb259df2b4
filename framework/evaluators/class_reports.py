"""Reports of classification: headline values, and a table with a row for each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from framework.evaluators.error_rates import RocCurve
from framework.evaluators.evaluator import Evaluator, Sample

if TYPE_CHECKING:
    import numpy as np

_COLUMNS = ("precision", "recall", "f1", "samples")


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
        import numpy as np

        positive = np.array(self._targets) == self._positive
        curve = RocCurve(positive, np.array(self._scores), np.array(self._weights))
        return curve.auc, curve.eer, curve.average_precision, curve.eer_threshold


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
