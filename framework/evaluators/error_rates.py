"""The equal error rate of a ROC curve, and its threshold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


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
