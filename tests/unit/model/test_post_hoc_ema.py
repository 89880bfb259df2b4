"""Power-function averages: their profiles, and averages of other lengths made of saved ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.post_hoc_ema import Profile, coefficients, deviation, exponent_of, move

LENGTHS = st.floats(0.01, 0.28)


def moves(steps: int, length: float) -> list[float]:
    import tensorflow as tf

    return [float(move(tf.constant(step, tf.float64), length)) for step in range(1, steps + 1)]


def test_the_exponents_of_the_paper() -> None:
    """Karras et al. 2024: lengths 0.05 and 0.10 are exponents 16.97 and 6.94."""
    assert exponent_of(0.05) == pytest.approx(16.97, abs=0.005)
    assert exponent_of(0.10) == pytest.approx(6.94, abs=0.005)


@given(LENGTHS)
def test_the_length_is_the_standard_deviation_of_the_profile(length: float) -> None:
    steps = 4000
    weights = Profile(steps, length).weights(1, steps)
    assert weights.sum() == pytest.approx(1)
    times = (np.arange(steps) + 0.5) / steps
    mean = weights @ times
    assert np.sqrt(weights @ (times - mean) ** 2) == pytest.approx(length, rel=0.01)


@settings(deadline=None, max_examples=20)
@given(length=LENGTHS, steps=st.integers(1, 40))
def test_moving_by_the_rule_makes_the_profile(length: float, steps: int) -> None:
    """The average of unit vectors, one a step, holds the weight of each step."""
    average = np.zeros(steps)
    for step, part in enumerate(moves(steps, length), start=1):
        average += part * (np.eye(steps)[step - 1] - average)
    np.testing.assert_allclose(average, Profile(steps, length).weights(1, steps), atol=1e-12)


def test_late_steps_keep_their_digits() -> None:
    """1 - (1 - 1/n)^(g+1) at a billion steps is (g+1)/n, which a plain subtraction would get wrong in the
    third digit."""
    import tensorflow as tf

    assert float(move(tf.constant(1e9, tf.float64), 0.1)) == pytest.approx(
        (exponent_of(0.1) + 1) / 1e9, rel=1e-7
    )


@settings(deadline=None)
@given(length=LENGTHS, every=st.integers(1, 50), count=st.integers(1, 12))
def test_coefficients_sum_to_1_and_a_saved_average_is_itself(length: float, every: int, count: int) -> None:
    saved = [Profile(every * i, kept) for i in range(1, count + 1) for kept in (0.05, 0.1)]
    last = every * count
    assert coefficients(saved, Profile(last, length)).sum() == pytest.approx(1, abs=1e-6)
    assert deviation(saved, Profile(last, 0.1)) < 1e-6


def test_an_average_of_another_length_is_nearly_the_one_that_was_really_kept() -> None:
    steps, every, lengths = 400, 20, (0.05, 0.1)
    rng = np.random.default_rng(0)
    weights = np.cumsum(rng.normal(size=(steps, 30)), axis=0)  # a random walk, rougher than any training
    for wanted, most in ((0.03, 0.08), (0.07, 0.01), (0.15, 0.02), (0.2, 0.05)):
        averages = {length: np.zeros(30) for length in (*lengths, wanted)}
        parts = {length: moves(steps, length) for length in averages}
        saved, profiles = [], []
        for step in range(1, steps + 1):
            for length, average in averages.items():
                average += parts[length][step - 1] * (weights[step - 1] - average)
            if step % every == 0:
                saved += [averages[length].copy() for length in lengths]
                profiles += [Profile(step, length) for length in lengths]
        made = coefficients(profiles, Profile(steps, wanted)) @ np.stack(saved)
        kept = averages[wanted]
        assert np.linalg.norm(made - kept) / np.linalg.norm(weights[-1] - kept) < most, wanted


def test_more_saved_averages_come_nearer() -> None:
    def off(every: int) -> float:
        saved = [Profile(step, length) for step in range(every, 1001, every) for length in (0.05, 0.1)]
        return deviation(saved, Profile(1000, 0.15))

    assert off(10) < off(50) < off(250)
