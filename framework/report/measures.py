"""Measures of a classifier over all samples, with the uncertainty that a sample of that size has.

The curves need every threshold, and the intervals a thousand resamplings. Both come from one pass over the scores
in falling order: what is at or above a threshold is a leading part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework.evaluators.error_rates import RocCurve, area, average_precision, equal_error_rate, rates
from framework.report.intervals import RESAMPLINGS, Interval, bootstrap, of_resampled, with_width

if TYPE_CHECKING:
    import numpy as np

FPR_LIMITS = (0.01, 0.001)
"""The false positive rates at which the true positive rate is told."""


@dataclass(frozen=True)
class Operating:
    """What a threshold does.

    Args:
        name: why it is told, such as "equal error rate".
        threshold: a sample is taken for positive where its score is above it.
        tpr, fpr, precision, f1, accuracy: rates in [0, 1]; precision is nan where nothing is taken for positive.
    """

    name: str
    threshold: float
    tpr: float
    fpr: float
    precision: float
    f1: float
    accuracy: float


class Curves(RocCurve):
    """ROC and precision-recall curves of two classes, with intervals, and what thresholds do.

    >>> Curves([1, 0, 1], [0.9, 0.2, 0.6]).intervals()["auc"].value
    1.0
    """

    def intervals(
        self, threshold: float = 0.5, *, clusters: np.ndarray | None = None, seed: int = 0
    ) -> dict[str, Interval]:
        """Value and interval of each headline measure.

        Args:
            threshold: for the accuracy.
            clusters: the cluster of each sample, int [samples], such as its video; whole clusters are resampled. None:
                each sample by itself.
            seed: of the resamplings.

        Returns:
            `auc`, `eer`, `average_precision`, `accuracy`, and `tpr_at_fpr_L` for each limit of `FPR_LIMITS`.
        """
        import numpy as np

        above = int(np.sum(self.thresholds > threshold))

        def measure(weights: np.ndarray) -> list[float]:
            tp, fp = self.counts(weights)
            if not tp[-1] or not fp[-1]:
                return [np.nan] * (4 + len(FPR_LIMITS))
            fpr, tpr = rates(tp, fp)
            right = (tp[above - 1] if above else 0.0) + fp[-1] - (fp[above - 1] if above else 0.0)
            return [
                area(fpr, tpr),
                equal_error_rate(fpr, tpr),
                average_precision(tp, fp),
                right / (tp[-1] + fp[-1]),
                *(_tpr_at(fpr, tpr, limit) for limit in FPR_LIMITS),
            ]

        names = ("auc", "eer", "average_precision", "accuracy", *(f"tpr_at_fpr_{x:g}" for x in FPR_LIMITS))
        found = dict(zip(names, bootstrap(measure, len(self.positive), seed, clusters), strict=True))
        units = np.arange(len(self.positive)) if clusters is None else np.ravel(clusters)
        tried = dict.fromkeys(names[4:], len(np.unique(units[self.positive])))
        return with_width(found, len(self.positive), tried | {"accuracy": len(np.unique(units))})

    def operating_points(self, threshold: float = 0.5) -> list[Operating]:
        """What the thresholds do that somebody may want: the one in use, that of equal error rates, that of the
        best F1, and those that keep a false positive rate.

        A threshold lies in the middle between two scores, so that a few digits of it do.
        """
        import numpy as np

        points = [self.at("in use", threshold), self.at("equal error rate", self.eer_threshold)]
        f1 = 2 * self.tp / (self.tp + self.fp + self.positives)
        points.append(self.at("best F1", self._below(int(np.argmax(f1)))))
        for limit in FPR_LIMITS:
            kept = np.flatnonzero(self.fp / self.negatives <= limit)
            at = self._below(int(kept[-1])) if len(kept) else float(self.thresholds[0])
            points.append(self.at(f"FPR at most {limit:.1%}", at))
        return points

    def best_accuracy(self, near: float = 0.5) -> Operating:
        """What the threshold of the highest accuracy does; of several, the one nearest to `near`, with as few digits
        as it takes."""
        import numpy as np

        right = self.tp + self.negatives - self.fp
        ends = [self._below(int(point)) for point in np.flatnonzero(right == right.max())]
        threshold = min(ends, key=lambda end: abs(end - near))
        best = self.at("best accuracy", threshold)
        short = (self.at(best.name, round(threshold, digits)) for digits in range(2, 8))
        return next((point for point in short if point.accuracy == best.accuracy), best)

    def at(self, name: str, threshold: float) -> Operating:
        """What a threshold does."""
        import numpy as np

        above = int(np.sum(self.thresholds > threshold))
        tp, fp = (float(self.tp[above - 1]), float(self.fp[above - 1])) if above else (0.0, 0.0)
        return Operating(
            name=name,
            threshold=threshold,
            tpr=tp / float(self.positives),
            fpr=fp / float(self.negatives),
            precision=tp / (tp + fp) if above else float("nan"),
            f1=2 * tp / (tp + fp + float(self.positives)),
            accuracy=(tp + float(self.negatives) - fp) / float(self.positives + self.negatives),
        )

    def _below(self, point: int) -> float:
        """A threshold that the scores up to a point of the curve are above, and those behind it are not."""
        here = float(self.thresholds[point])
        if point + 1 == len(self.thresholds):
            return here / 2 if here > 0 else here - 1.0
        return (here + float(self.thresholds[point + 1])) / 2


def class_intervals(confusion: np.ndarray, *, seed: int = 0) -> dict[str, Interval]:
    """Value and interval of what a confusion matrix says.

    Args:
        confusion: samples by class and predicted class, int [classes, classes].
        seed: of the resamplings.

    Returns:
        `accuracy`, `balanced_accuracy` (the mean of the recalls) and `f1` (the mean of the F1 scores); the means
        leave out a class that has no samples.
    """
    import numpy as np

    flat, size = np.asarray(confusion, float).ravel(), len(confusion)
    total = int(flat.sum())

    def measure(cells: np.ndarray) -> list[float]:
        table = cells.reshape(size, size)
        right, rows, columns = np.diag(table), table.sum(1), table.sum(0)
        there = rows > 0
        recall = right[there] / rows[there]
        f1 = 2 * right[there] / (rows + columns)[there]
        return [float(right.sum() / rows.sum()), float(recall.mean()), float(f1.mean())]

    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(total, flat / total, size=RESAMPLINGS)
    found = of_resampled(measure(flat), [measure(cells) for cells in drawn])
    named = dict(zip(("accuracy", "balanced_accuracy", "f1"), found, strict=True))
    return with_width(named, total, {"accuracy": total})


def label_intervals(
    labels: np.ndarray, predicted: np.ndarray, *, clusters: np.ndarray | None = None, seed: int = 0
) -> dict[str, Interval]:
    """Value and interval of accuracy and balanced accuracy.

    Args:
        labels: the class of each sample, int [samples].
        predicted: the class that it is taken for, int [samples].
        clusters: as for `Curves.intervals`.
        seed: of the resamplings.

    Returns:
        `accuracy` and `balanced_accuracy`, the mean of the recalls of the classes that there are.
    """
    import numpy as np

    _, classes = np.unique(np.ravel(labels), return_inverse=True)
    right = (np.ravel(labels) == np.ravel(predicted)).astype(float)

    def measure(weights: np.ndarray) -> list[float]:
        count, hits = np.bincount(classes, weights), np.bincount(classes, weights * right)
        return [float(hits.sum() / count.sum()), float((hits[count > 0] / count[count > 0]).mean())]

    found = bootstrap(measure, len(right), seed, clusters)
    named = dict(zip(("accuracy", "balanced_accuracy"), found, strict=True))
    units = len(right) if clusters is None else len(np.unique(clusters))
    return with_width(named, len(right), {"accuracy": units})


def regression_intervals(residuals: np.ndarray, targets: np.ndarray, *, seed: int = 0) -> dict[str, Interval]:
    """Value and interval of `mae`, `rmse` and `r2`.

    Args:
        residuals: float [samples], what the model gives less what it should.
        targets: float [samples].
        seed: of the resamplings.
    """
    import numpy as np

    residuals, targets = np.ravel(residuals).astype(float), np.ravel(targets).astype(float)

    def measure(weights: np.ndarray) -> list[float]:
        count = weights.sum()
        squares = weights @ residuals**2
        mean = weights @ targets / count
        spread = weights @ (targets - mean) ** 2
        r2 = 1 - squares / spread if spread else float("nan")
        return [float(weights @ abs(residuals) / count), float((squares / count) ** 0.5), float(r2)]

    found = dict(zip(("mae", "rmse", "r2"), bootstrap(measure, len(residuals), seed), strict=True))
    return with_width(found, len(residuals), {})


@dataclass(frozen=True)
class Bin:
    """The samples of a like confidence.

    Args:
        confidence: the mean of their scores, in [0, 1].
        right: the part of them for which it was right, in [0, 1].
        samples: how many there are.
    """

    confidence: float
    right: float
    samples: int


def calibration(right: np.ndarray, confidence: np.ndarray, bins: int = 10) -> tuple[list[Bin], float]:
    """How far a confidence can be believed.

    Args:
        right: [samples], whether what was said with that confidence is so.
        confidence: float [samples], in [0, 1].
        bins: parts of [0, 1], of one width, that the samples are put into.

    Returns:
        The bins that have samples, and the expected calibration error: the mean distance of confidence and part
        that is right, weighted by samples (Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3).
    """
    import numpy as np

    right, confidence = np.ravel(right).astype(float), np.ravel(confidence).astype(float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    found = [
        Bin(float(confidence[here].mean()), float(right[here].mean()), int(here.sum()))
        for here in (place == i for i in range(bins))
        if here.any()
    ]
    error = sum(abs(part.confidence - part.right) * part.samples for part in found) / len(right)
    return found, error


def _tpr_at(fpr: np.ndarray, tpr: np.ndarray, limit: float) -> float:
    """The highest true positive rate of a threshold with a false positive rate of at most `limit`."""
    import numpy as np

    return float(tpr[int(np.searchsorted(fpr, limit, side="right")) - 1])


def best_constant(counts: Mapping[str, int]) -> tuple[str, float]:
    """What one reaches without looking: the most frequent class, and the accuracy of always saying it."""
    name = max(counts, key=lambda key: counts[key])
    return name, counts[name] / sum(counts.values())
