"""Averages of weights by a power of time, from which an average of any length is made after training
(post-hoc EMA).

A power-function average of exponent g after step T weighs the weights of step k by the part of T^(g+1) that
lies between (k-1)^(g+1) and k^(g+1): the longer the training, the longer its memory. Its length is the
standard deviation of that profile as a part of the training so far, 0 to 0.28; an exponent stands for each
length.

Two such averages, saved now and then, span a space of profiles in which the profile of another length lies
nearly: the same combination of the saved averages is nearly the average of that length. Karras et al. 2024,
"Analyzing and Improving the Training Dynamics of Diffusion Models", arXiv:2312.02696, section 3.1, 3.2 and
appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LONGEST = 0.28
"""The length of an exponent of nearly 0, which weighs all steps alike, is 1 / sqrt(12) = 0.2887."""

_STEPS_AT_ONCE = 1 << 16


def power_average(length: float) -> str:
    """What the average of a length is called in the state of a run."""
    return f"power-{length:g}"


def exponent_of(length: float) -> float:
    """The exponent g of a length s, in (0, 0.28]: the root of s^2 (g+2)^2 (g+3) = g + 1 (Karras et al. 2024,
    equation 3 and appendix C).

    >>> round(exponent_of(0.1), 2), round(exponent_of(0.05), 2)
    (6.94, 16.97)
    """
    import numpy as np

    roots = np.roots([1, 7, 16 - length**-2, 12 - length**-2])
    return float(max(roots.real))


def move(step: Any, length: float) -> Any:
    """The part of the way that an average of a length goes towards the weights after a step: 1 - (1 -
    1/step)^(g+1) (Karras et al. 2024, equation 2).

    Args:
        step: steps done, >= 1, float64, a scalar tensor.
        length: as for `exponent_of`.
    """
    import tensorflow as tf

    # By way of logarithms, because 1 - (1 - x) loses the digits of a small x.
    return -tf.math.expm1((exponent_of(length) + 1) * tf.math.log1p(-1 / step))


@dataclass(frozen=True)
class Profile:
    """How much each step counts in an average.

    Args:
        step: after how many steps it was taken, >= 1.
        length: its length at that step, in (0, 0.28].
    """

    step: int
    length: float

    def weights(self, first: int, last: int) -> np.ndarray:
        """The weight of each step from `first` to `last`, counted from 1; float64 [last - first + 1]. All of
        them sum to 1."""
        import numpy as np

        edges = np.minimum(np.arange(first - 1, last + 1) / self.step, 1.0)
        return np.diff(edges ** (exponent_of(self.length) + 1))


def coefficients(saved: Sequence[Profile], wanted: Profile) -> np.ndarray:
    """How much each saved average counts in the wanted one, so that the profiles differ least in the sum of
    squares over the steps (Karras et al. 2024, appendix C). Other than there, the sum is one over steps and
    no integral, which is exact for short trainings too, and the coefficients sum to 1, so that weights that
    do not move stay what they are.

    Args:
        saved: profiles of the saved averages; those of later steps than the wanted one are of no use, and not
            to be given.
        wanted: the profile to come near to.

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
    # By Lagrange: the gradient is the same for all coefficients, and their sum is 1.
    system = np.block([[products * scale[:, None] * scale, scale[:, None]], [scale[None], np.zeros((1, 1))]])
    # Averages saved one after the other are nearly the same, so the system is nearly singular; least squares
    # bears that.
    solution, *_ = np.linalg.lstsq(system, np.append(towards * scale, 1.0), rcond=1e-12)
    return solution[:-1] * scale


def deviation(saved: Sequence[Profile], wanted: Profile) -> float:
    """How far the nearest combination of the saved profiles is from the wanted one: the root of the sum of
    squared differences, relative to that of the wanted profile. 0 is exact."""
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
