"""The law of the stream: its batches are a function of the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.data.source import ArraySource, Source
from framework.data.stream import Stream, in_order
from framework.errors import DataError


class Squares(Source):
    """Loads one by one, as files do."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def load(self, index: tf.Tensor) -> Any:
        return index, tf.cast(index, tf.float32) ** 2


def both(length: int) -> list[Source]:
    indices = np.arange(length)
    return [Squares(length), ArraySource((indices, indices.astype("float32") ** 2))]


def jitter(batch: Any, seeds: tf.Tensor) -> Any:
    """Without a loop over the seeds, which takes long to build."""
    indices, values = batch
    return indices, values + tf.cast(tf.math.floormod(seeds[:, 0] + seeds[:, 1], 8191), tf.float32) / 8191


def take(stream: Stream, start: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(i.numpy(), v.numpy()) for i, v in stream.from_step(start).take(count)]


@settings(max_examples=12, deadline=None)
@given(
    length=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    seed=st.integers(0, 2**31 - 1),
    start=st.integers(0, 30),
    augmented=st.booleans(),
    per_step=st.integers(1, 3),
)
def test_a_stream_gives_the_same_bits_from_any_start(
    length: int, batch_size: int, seed: int, start: int, augmented: bool, per_step: int
) -> None:
    """Over as many passes as it takes: 33 steps of 3 batches of 12 are up to 1,188 passes over one sample."""
    runs = []
    for source in both(length):
        stream = Stream(
            source,
            batch_size=batch_size,
            seed=seed,
            augment=jitter if augmented else None,
            batches_per_step=per_step,
        )
        whole = take(stream, 0, (start + 3) * per_step)[start * per_step :]
        tail = take(stream, start, 3 * per_step)
        for (i, v), (j, w) in zip(whole, tail, strict=True):
            np.testing.assert_array_equal(i, j)
            np.testing.assert_array_equal(v, w)
        runs.append(tail)
        np.testing.assert_array_equal(stream.indices(start), np.concatenate([i for i, _ in tail[:per_step]]))
    for (i, v), (j, w) in zip(*runs, strict=True):
        np.testing.assert_array_equal(i, j)
        np.testing.assert_array_equal(v, w)


@settings(max_examples=50, deadline=None)
@given(
    length=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 2**31 - 1),
    passes=st.integers(1, 3),
)
def test_each_pass_holds_every_sample_once(length: int, batch_size: int, seed: int, passes: int) -> None:
    stream = Stream(Squares(length), batch_size=batch_size, seed=seed)
    steps = -(-length * passes // batch_size)
    order = np.concatenate([stream.indices(k) for k in range(steps)])
    for p in range(passes):
        assert sorted(order[p * length : (p + 1) * length]) == list(range(length))


def test_passes_and_seeds_have_orders_of_their_own() -> None:
    orders = [
        tuple(
            np.concatenate(
                [
                    Stream(Squares(100), batch_size=10, seed=seed).indices(k)
                    for k in range(10 * p, 10 * p + 10)
                ]
            )
        )
        for seed in (0, 1)
        for p in (0, 1)
    ]
    assert len(set(orders)) == 4


def test_a_sample_is_augmented_anew_in_each_pass() -> None:
    stream = Stream(both(5)[1], batch_size=5, seed=0, augment=jitter)
    (i, v), (j, w) = take(stream, 0, 2)
    assert not np.any(np.isclose(v[np.argsort(i)], w[np.argsort(j)]))


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize(("length", "batch_size"), [(7, 3), (6, 3), (2, 5)])
def test_in_order_gives_every_sample_once_with_the_remainder(kind: int, length: int, batch_size: int) -> None:
    batches = [i.numpy() for i, _ in in_order(both(length)[kind], batch_size=batch_size)]
    assert [len(b) for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate(batches), np.arange(length))


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="one length"):
        ArraySource((np.zeros(3), np.zeros(4)))
