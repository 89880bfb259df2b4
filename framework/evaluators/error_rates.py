"""The ROC curve of two classes, its areas, its equal error rate, and the threshold of that."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class RocCurve:
    """ROC and precision-recall curves of two classes.

    Both come from one pass over the scores in falling order: what is at or above a threshold is a leading part of it.

    Args:
        targets: [samples], 1 or True for the positive class.
        scores: float [samples], finite; the higher, the more like the positive class.
        weights: float [samples], > 0, how often each sample counts; None: once each.

    Attributes:
        thresholds: the scores that occur, float [points], falling. A point of a curve takes for positive what is
            at or above its threshold.
        tp, fp: how many positive and negative samples that are, float [points].
        positives, negatives: how many there are of each.

    Raises:
        ValueError: where a class has no samples, or a score is not finite.

    >>> RocCurve([1, 0, 1], [0.9, 0.2, 0.6]).auc
    1.0
    """

    def __init__(self, targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> None:
        import numpy as np

        self.positive, scores = np.asarray(targets, bool).ravel(), np.asarray(scores, np.float64).ravel()
        if not np.isfinite(scores).all():
            raise ValueError("a score is not finite")
        if self.positive.all() or not self.positive.any():
            raise ValueError("one of the classes has no samples")
        values, self._inverse = np.unique(-scores, return_inverse=True)
        self.thresholds = -values
        self.tp, self.fp = self.counts(
            np.ones(len(scores)) if weights is None else np.asarray(weights, float)
        )
        self.positives, self.negatives = self.tp[-1], self.fp[-1]

    @property
    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rates, float [points + 1] each, rising from 0 to 1."""
        return rates(self.tp, self.fp)

    @property
    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Precision and recall at each threshold, float [points] each; recall rises to 1."""
        return self.tp / (self.tp + self.fp), self.tp / self.positives

    @property
    def auc(self) -> float:
        """The area under the ROC curve."""
        return area(*self.roc)

    @property
    def average_precision(self) -> float:
        """The mean of the precisions at all thresholds, weighted by how much recall each adds."""
        return average_precision(self.tp, self.fp)

    @property
    def eer(self) -> float:
        """The equal error rate."""
        return equal_error_rate(*self.roc)

    @property
    def eer_threshold(self) -> float:
        """The threshold of the equal error rate: see `equal_error_threshold`."""
        import numpy as np

        return equal_error_threshold(*self.roc, np.concatenate([[np.inf], self.thresholds]))

    def counts(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count the positive and negative samples at or above each threshold, float [points] each.

        Args:
            weights: float [samples], how often each sample counts.
        """
        import numpy as np

        size = len(self.thresholds)
        positive = np.bincount(self._inverse, weights * self.positive, size)
        negative = np.bincount(self._inverse, weights * ~self.positive, size)
        return np.cumsum(positive), np.cumsum(negative)


def rates(tp: np.ndarray, fp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true positive rates, float [points + 1] each, from counts at falling thresholds."""
    import numpy as np

    return np.concatenate([[0.0], fp / fp[-1]]), np.concatenate([[0.0], tp / tp[-1]])


def area(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Return the area under a ROC curve, linear between its points."""
    import numpy as np

    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1])) / 2)


def average_precision(tp: np.ndarray, fp: np.ndarray) -> float:
    """Return the area under a precision-recall curve as a sum of steps, not interpolated."""
    import numpy as np

    taken = tp + fp
    precision = np.divide(tp, taken, out=np.zeros_like(tp), where=taken > 0)
    return float(np.sum(np.diff(tp, prepend=0.0) / tp[-1] * precision))


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
