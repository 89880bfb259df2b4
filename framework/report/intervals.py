"""Intervals of measures: how much a value depends on which samples were drawn."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from framework.run.console import plural

if TYPE_CHECKING:
    import numpy as np

RESAMPLINGS = 1000
"""Resamplings of an interval."""
_DRAWN = 20_000_000  # numbers that may be drawn for all of them
_OUTSIDE = 0.05  # of the distribution, on both sides together
_ERRORS = ("eer", "mae", "rmse")  # measures that are 0 where nothing is wrong; the others are 1


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval.

    Args:
        value: of the samples as they are.
        low, high: the 2.5 % and the 97.5 % quantile over resamplings of the samples (Efron and Tibshirani, An
            Introduction to the Bootstrap, 1993, chapter 13); of a proportion of 0 or 1, those of `exact`.
        note: why the interval has no width, and so says nothing; None where it has one.
    """

    value: float
    low: float
    high: float
    note: str | None = None


def exact(value: float, tried: int) -> Interval:
    """The exact interval of a proportion of 0 or 1, of which all resamplings are alike.

    With a = 0.05, it goes from 0 to 1 - (a/2)^(1/n), or from (a/2)^(1/n) to 1 (Clopper and Pearson, The Use of
    Confidence or Fiducial Limits Illustrated in the Case of the Binomial, Biometrika 26, 1934).

    Args:
        value: 0 or 1.
        tried: n, the independent samples that it is a proportion of, >= 1.

    >>> round(exact(1.0, 388).low, 4)
    0.9905
    """
    bound: float = (_OUTSIDE / 2) ** (1 / tried)
    return Interval(1.0, bound, 1.0) if value else Interval(0.0, 0.0, 1 - bound)


def with_width(
    found: Mapping[str, Interval], samples: int, proportions: Mapping[str, int]
) -> dict[str, Interval]:
    """Replace intervals of no width, which a bootstrap gives where nothing, or everything, is wrong.

    Args:
        found: by the names of the measures.
        samples: that they are of.
        proportions: which of them are proportions, and of how many independent samples (or clusters) each: these get
            the interval of `exact`. The others get a note.
    """
    return {
        name: interval
        if not math.isclose(interval.low, interval.high, abs_tol=1e-12)
        else exact(interval.value, proportions[name])
        if name in proportions and interval.value in (0, 1)
        else replace(interval, note=_why(name, interval.value, samples))
        for name, interval in found.items()
    }


def _why(name: str, value: float, samples: int) -> str:
    faultless = math.isclose(value, 0 if name in _ERRORS else 1, abs_tol=1e-12)
    return f"no errors in {plural(samples, 'sample')}" if faultless else "the same in all resamplings"


def bootstrap(
    measure: Callable[[np.ndarray], list[float]], samples: int, seed: int, clusters: np.ndarray | None = None
) -> Iterator[Interval]:
    """The intervals of what is measured with each sample taken as often as it is drawn.

    Args:
        measure: from how often each sample counts, float [samples], to the values.
        samples: how many there are. Of a great many, whose intervals are narrow, fewer resamplings are made.
        seed: of the resamplings.
        clusters: of each sample; all samples of a cluster are drawn together. None: each sample by itself.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    rounds = min(RESAMPLINGS, max(100, _DRAWN // samples))
    cluster = np.arange(samples) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    units = int(cluster.max()) + 1
    drawn = (
        np.bincount(generator.integers(0, units, units), minlength=units).astype(float)[cluster]
        for _ in range(rounds)
    )
    return of_resampled(measure(np.ones(samples)), [measure(weights) for weights in drawn])


def of_resampled(values: list[float], resampled: list[list[float]]) -> Iterator[Interval]:
    """The intervals of values, from those of resampled data: a list of values for each resampling."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a measure that no resampling defines is nan
        low, high = np.nanpercentile(np.array(resampled), [2.5, 97.5], axis=0)
    for value, start, end in zip(values, low, high, strict=True):
        yield Interval(value, float(start), float(end))
