"""Samples of unequal length: padded, in batches of like length, exactly; and a model that masks does not
notice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.data.padded import PaddedSource
from framework.data.source import Split
from framework.data.stream import Stream, in_order
from framework.data.subset import Subset
from framework.errors import DataError, Interrupted
from framework.evaluation.load_and_validate import load_and_validate
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario, compose
from framework.training.agreement import check_lengths
from framework.training.trainer import Trainer
from tests.runs import InterruptedAfter, comparable, quiet, records, resume

pytestmark = pytest.mark.usefixtures("toy_on_the_path")


def sequences(count: int, longest: int = 60, shortest: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(count)
    return [rng.integers(1, 9, length) for length in rng.integers(shortest, longest + 1, count)]


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(
    count=st.integers(1, 90),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 2**31 - 1),
    start=st.integers(0, 90),
    per_step=st.integers(1, 3),
)
def test_a_bucketed_stream_is_the_same_from_any_step(
    count: int, batch_size: int, seed: int, start: int, per_step: int
) -> None:
    given = sequences(count)
    source = PaddedSource((given, np.arange(count)), buckets=(8, 16, 64))
    stream = Stream(source, batch_size=batch_size, seed=seed, batches_per_step=per_step)
    whole = list(stream.from_step(0).take((start + 2) * per_step))[start * per_step :]
    tail = list(stream.from_step(start).take(2 * per_step))
    for (inputs, indices), (again, same) in zip(whole, tail, strict=True):
        np.testing.assert_array_equal(inputs, again)
        np.testing.assert_array_equal(indices, same)
        longest = max(len(given[i]) for i in indices.numpy())
        assert inputs.shape == (batch_size, next(bucket for bucket in (8, 16, 64) if bucket >= longest))
        for row, i in zip(inputs.numpy(), indices.numpy(), strict=True):
            np.testing.assert_array_equal(row[: len(given[i])], given[i])
            assert not row[len(given[i]) :].any()
    found = np.concatenate([indices.numpy() for _, indices in tail[:per_step]])
    np.testing.assert_array_equal(stream.indices(start), found)


def test_each_sample_is_seen_once_a_pass_and_few_batches_are_of_several_buckets() -> None:
    given = sequences(640)
    source = PaddedSource((given, np.arange(640)), buckets=(16, 32, 48, 64))
    stream = Stream(source, batch_size=5, seed=0)  # 128 batches, 4 windows of 32
    batches = [stream.indices(step) for step in range(256)]
    for first in (0, 128):
        assert Counter(np.concatenate(batches[first : first + 128]).tolist()) == dict.fromkeys(range(640), 1)
    groups = source.groups()
    assert groups is not None
    mixed = [len(set(groups[indices].tolist())) > 1 for indices in batches[:128]]
    assert sum(mixed) <= 4 * 3
    assert (
        np.diff([groups[indices].max() for indices in batches[:32]]) < 0
    ).any()  # the short ones do not all come first
    assert [b.tolist() for b in batches[:128]] != [b.tolist() for b in batches[128:]]


def test_without_buckets_the_order_is_that_of_arrays() -> None:
    given = sequences(20)
    plain = Stream(PaddedSource((given, np.arange(20))), batch_size=4, seed=2)
    fixed = Stream(PaddedSource((given, np.arange(20)), pad_to=64), batch_size=4, seed=2)
    for (inputs, indices), (wide, same) in zip(plain.from_step(3).take(9), fixed.from_step(3), strict=False):
        np.testing.assert_array_equal(indices, same)
        assert inputs.shape == (4, max(len(given[i]) for i in indices.numpy()))
        np.testing.assert_array_equal(inputs, wide[:, : inputs.shape[1]])
    assert fixed.from_step(0).element_spec[0].shape == (4, 64)
    assert plain.from_step(0).element_spec[0].shape.as_list() == [4, None]


def test_parts_of_their_own_lengths_pads_texts_and_features() -> None:
    source = PaddedSource(
        (
            {
                "text": [["a"], ["b", "ö"]],
                "series": [np.ones((3, 2)), np.ones((1, 2))],
                "length": np.array([3, 1]),
            },
            [[7], [8, 9]],
        ),
        pad_value=({"text": "-", "series": np.nan, "length": 0}, -1),
        names=["first", "second"],
    )
    ((inputs, targets),) = in_order(source, batch_size=2)
    assert inputs["text"].numpy().tolist() == [[b"a", b"-"], [b"b", "ö".encode()]]
    assert inputs["series"].shape == (2, 3, 2)
    assert np.isnan(inputs["series"][1, 1:]).all()
    assert inputs["length"].numpy().tolist() == [3, 1]
    assert targets.numpy().tolist() == [[7, -1], [8, 9]]
    second: Any = source.load(tf.constant(1, tf.int64))
    assert second[0]["series"].shape == (3, 2)
    (fault,) = source.inspect([1])  # as asked for: it was padded by NaN
    assert str(fault) == "second: holds NaN or infinity"
    (batch, _) = next(iter(in_order(PaddedSource(([[], [1]], [0, 1])), batch_size=1)))
    assert batch.numpy().tolist() == [[0]]


@pytest.mark.parametrize(("truncate", "kept"), [("end", [1, 2]), ("start", [3, 4])])
@pytest.mark.parametrize("lengths", [{"pad_to": 2}, {"buckets": (1, 2)}])
def test_too_long_samples_are_cut_where_that_is_asked_for(
    truncate: Any, kept: list[int], lengths: dict[str, Any]
) -> None:
    source = PaddedSource(([[1, 2, 3, 4], [5]], [0, 1]), truncate=truncate, **lengths)
    (inputs, _) = next(iter(in_order(source, batch_size=2)))
    assert inputs.numpy().tolist() == [kept, [5, 0]]


@pytest.mark.parametrize(
    ("samples", "arguments", "answer"),
    [
        (
            ([[1, 2, 3], [4]], [0, 1]),
            {"pad_to": 2},
            r"1 of 2 samples are longer than 2:\s+sample 0: 3.*truncate",
        ),
        (([[1], [2]], [0, 1]), {"pad_to": 2, "buckets": (2,)}, "both given"),
        (
            ([[1], [2]], [0, 1]),
            {"buckets": (4, 2)},
            r"buckets=\(4, 2\) must be whole numbers >= 1, in rising order",
        ),
        (([[1], [2]], [0, 1]), {"pad_to": 0}, "pad_to=0 must be"),
        (([[1], [2]], [0, 1]), {"pad_to": "8"}, "pad_to='8' must be a whole number >= 1"),
        (([[1], [2]], [0, 1]), {"buckets": 16}, "buckets=16 must be whole numbers >= 1, in rising order"),
        (([[1], [2]], [0, 1]), {"names": ["one"]}, "1 names were given for 2 samples"),
        (([[1], [2]], [0, 1]), {"truncate": "no"}, "truncate='no' must be"),
        (([[1], [2]], [0, 1]), {"pad_value": 0.5}, "pad_value=0.5 does not go with int64"),
        (([[1], [2]], [0, 1]), {"pad_value": (0, 0, 0)}, "pad_value has 3 values for the 2 parts"),
        ((np.zeros((2, 3)), [0, 1]), {}, "no part is a list with a sequence for each sample.*ArraySource"),
        (([[1], [2]], [0, 1, 2]), {}, r"not \[2, 3\]"),
        (([[1], 2], [0, 1]), {}, r"\[0\]: sample 1 is one value, and not a sequence"),
        (
            ([np.ones((2, 3)), np.ones((2, 4))], [0, 1]),
            {},
            r"sample 1 has float64 \(2, 4\) where others have float64 \(2, 3\)",
        ),
    ],
)
def test_what_cannot_be_padded_is_answered(samples: Any, arguments: dict[str, Any], answer: str) -> None:
    with pytest.raises(DataError, match=f"(?s){answer}"):
        PaddedSource(samples, **arguments)


def test_some_samples_of_it_keep_their_groups() -> None:
    source = PaddedSource((sequences(30), np.arange(30)), buckets=(30, 64))
    part, whole = Subset(source, [3, 5, 8]).groups(), source.groups()
    assert part is not None
    assert whole is not None
    assert part.tolist() == whole[[3, 5, 8]].tolist()


# A run ------------------------------------------------------------------------------------------------------


def compose_sequences(*words: str) -> Scenario:
    quick = (
        "trainer.tensorboard=false",
        "trainer.report=false",
        "trainer.export_saved_model=false",
        "epochs=2",
        "batch_size=8",
        "lr=1e-2",
    )
    return compose("scenario=module", "scenario.target=sequences:Sequences", *quick, *words)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, toy_on_the_path: None) -> Path:
    path = tmp_path_factory.mktemp("padded") / "run"
    Trainer(compose_sequences(), RunDirectory.create(path), console=quiet()).train()
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["loop=fit"], ["loop=train_on_batch"], ["loop.max_steps_per_call=1"]], ids=str
)
def test_resumed_in_the_middle_of_an_epoch_with_any_loop_it_has_the_same_bits(
    run: Path, tmp_path: Path, words: list[str]
) -> None:
    interrupted = Trainer(compose_sequences(*words), RunDirectory.create(tmp_path / "run"), console=quiet())
    interrupted.interruption = InterruptedAfter(3)
    with pytest.raises(Interrupted):
        interrupted.train()
    resume(tmp_path / "run")
    assert comparable(tmp_path / "run") == comparable(run)


def test_several_devices_are_refused_an_embedding_and_several_lengths() -> None:
    scenario = compose_sequences()
    model, source = scenario.build_model(), scenario.source(Split.TRAIN)
    with pytest.raises(
        DataError, match=r"(?s)several devices cannot train the Embedding 'embedding\w*'.*pad_to"
    ):
        check_lengths(model, Stream(source, batch_size=4, seed=0).from_step(0).element_spec)
    fixed = PaddedSource(([[1], [2, 3]], [0, 1]), pad_to=3)
    check_lengths(model, Stream(fixed, batch_size=2, seed=0).from_step(0).element_spec)


def test_validation_does_not_depend_on_what_shares_a_batch(run: Path) -> None:
    best = records(run)[-1]["metrics"] if records(run)[-1]["phase"] == "validation" else None
    assert best is not None
    values = [load_and_validate(run, f"batch_size={size}", model="export").metrics for size in (1, 5, 34)]
    for found in values:
        assert found["loss"] == pytest.approx(best["loss"], rel=1e-5)
        assert found["accuracy"] == pytest.approx(best["accuracy"])
