"""Post-hoc EMA: an average of the weights of any length, made after training from averages that were saved.

A power-function average of exponent g after step T gives the weights of step k the share (k^(g+1) -
(k-1)^(g+1)) / T^(g+1). The longer the training, the longer the memory of the average. Its length is the
standard deviation of this profile as a fraction of the training so far, 0 to 0.28. Each length has one
exponent.

Two such averages, saved at intervals, are enough. A combination of the saved profiles comes close to the
profile of another length, and the same combination of the saved averages is close to the average of that
length. Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
arXiv:2312.02696, section 3.1, 3.2 and appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

LONGEST = 0.28
"""The longest length. An exponent near 0 weighs all steps alike, and its length is 1 / sqrt(12) = 0.2887."""

_STEPS_AT_ONCE = 1 << 16


def power_average(length: float) -> str:
    """Return the name of the average of a length in the state of a run."""
    return f"power-{length:g}"


def exponent_of(length: float) -> float:
    """Return the exponent g of a length s in (0, 0.28].

    It is the root of s^2 (g+2)^2 (g+3) = g + 1 (Karras et al. 2024, equation 3 and appendix C).

    >>> round(exponent_of(0.1), 2), round(exponent_of(0.05), 2)
    (6.94, 16.97)
    """
    import numpy as np

    roots = np.roots([1, 7, 16 - length**-2, 12 - length**-2])
    return float(max(roots.real))


def move(step: tf.Tensor, length: float) -> tf.Tensor:
    """Return the fraction of the way towards the weights that an average of a length moves after a step.

    It is 1 - (1 - 1/step)^(g+1) (Karras et al. 2024, equation 2).

    Args:
        step: steps done, >= 1, a float64 scalar tensor.
        length: as for `exponent_of`.
    """
    import tensorflow as tf

    # With log1p and expm1, because 1 - (1 - x) loses the digits of a small x.
    return -tf.math.expm1((exponent_of(length) + 1) * tf.math.log1p(-1 / step))


@dataclass(frozen=True)
class Profile:
    """The share of each step in an average.

    Args:
        step: the step after which the average was taken, >= 1.
        length: its length at that step, in (0, 0.28].
    """

    step: int
    length: float

    def weights(self, first: int, last: int) -> np.ndarray:
        """Return the shares of the steps from `first` to `last`, counted from 1.

        Returns:
            float64 [last - first + 1]. The shares of all steps sum to 1.
        """
        import numpy as np

        edges = np.minimum(np.arange(first - 1, last + 1) / self.step, 1.0)
        return np.diff(edges ** (exponent_of(self.length) + 1))


def coefficients(saved: Sequence[Profile], wanted: Profile) -> np.ndarray:
    """Return the factors with which the saved averages add up to the wanted one.

    The profiles then differ least in the sum of squares over the steps (Karras et al. 2024, appendix C).
    Unlike there, it is a sum over steps instead of an integral, which is exact for short trainings too. The
    coefficients also sum to 1, so that weights that do not move stay what they are.

    Args:
        saved: profiles of the saved averages. Those of later steps than the wanted one must be left out.
        wanted: the profile to approximate.

    Returns:
        float64 [len(saved)].
    """
    import numpy as np

    products = np.zeros((len(saved), len(saved)))
    towards = np.zeros(len(saved))
    for first in range(1, wanted.step + 1, _STEPS_AT_ONCE):
        last = min(first + _STEPS_AT_ONCE - 1, wanted.step)
        rows = np.stack([profile.weights(first, last) for profile in saved])
        products += rows @ rows.T
        towards += rows @ wanted.weights(first, last)
    scale = 1 / np.sqrt(np.diag(products))
    # With a Lagrange multiplier for the sum of 1.
    system = np.block([[products * scale[:, None] * scale, scale[:, None]], [scale[None], np.zeros((1, 1))]])
    # Averages saved one after the other are nearly the same, so the system is nearly singular. Least squares
    # still solves it.
    solution, *_ = np.linalg.lstsq(system, np.append(towards * scale, 1.0), rcond=1e-12)
    return solution[:-1] * scale


def deviation(saved: Sequence[Profile], wanted: Profile) -> float:
    """Return the distance of the nearest combination of the saved profiles from the wanted one; 0 is exact.

    It is the root of the sum of squared differences, relative to that of the wanted profile.
    """
    import numpy as np

    weights = coefficients(saved, wanted)
    difference = size = 0.0
    for first in range(1, wanted.step + 1, _STEPS_AT_ONCE):
        last = min(first + _STEPS_AT_ONCE - 1, wanted.step)
        target = wanted.weights(first, last)
        made = weights @ np.stack([profile.weights(first, last) for profile in saved])
        difference += float(np.sum((made - target) ** 2))
        size += float(np.sum(target**2))
    return math.sqrt(difference / size)
