"""What a scenario gives in place of a source: the same samples, in the same order, or one line that says what
is allowed."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from framework.data.adapt import as_source
from framework.data.cache import cached
from framework.data.map_source import MapSource
from framework.data.source import ArraySource, Source, Split
from framework.data.stream import Stream, in_order
from framework.data.subset import Subset
from framework.errors import DataError, Interrupted, ScenarioError
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario, compose
from framework.splits import prepare_source
from framework.testing.checks import CHECKS
from framework.testing.subject import Subject
from framework.training.agreement import Broken
from framework.training.trainer import Trainer
from tests.runs import InterruptedAfter, comparable, final_state, quiet, resume

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

X, Y = np.arange(40, dtype="float32").reshape(20, 2), np.arange(20)
WHAT = "source('train') of digits"


def adapted(given: Any, **arguments: Any) -> Source:
    return as_source(given, WHAT, **{"limit_bytes": 100_000, **arguments})


def scenario(kind: str, *words: str) -> Scenario:
    quick = (
        "trainer.tensorboard=false",
        "trainer.report=false",
        "trainer.export_saved_model=false",
        "epochs=2",
        "batch_size=8",
    )
    return compose("scenario=module", "scenario.target=given:Given", f"scenario.kind={kind}", *quick, *words)


class Rows:
    """A map-style data set: `made(index)` is what it has."""

    def __init__(self, made: Callable[[int], Any] = lambda i: (X[i], int(Y[i]))) -> None:
        self.made = made

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        return self.made(index)


class Batches(keras.utils.PyDataset):
    def __init__(self, noise: float = 0) -> None:
        super().__init__()
        self.noise = noise

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        part = slice(8 * index, 8 * index + 8)
        return X[part] + self.noise * np.random.random(), Y[part]


def test_check_scenario_finds_samples_that_are_drawn_anew(tmp_path: Path) -> None:
    check = CHECKS["the stream is the same from any step"]
    with pytest.raises(
        Broken, match=r"sample 0 is another one when it is loaded again: the sample\[0\], in 4 of 4 values"
    ):
        check(Subject(["scenario.target=given:Given", "scenario.kind=drawn rows"], None, tmp_path))
    check(Subject(["scenario.target=given:Given", "scenario.kind=rows"], None, tmp_path))


@pytest.mark.parametrize(
    "kind",
    [
        *["arrays", "lists", "rows", "list of samples"],
        *["dataset", "batched dataset", "even batches", "unbatched", "PyDataset", "generator"],
    ],
)
def test_each_kind_gives_the_same_batches(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        source = prepare_source(scenario(kind), Split.TRAIN)
    inputs, labels = next(iter(Stream(source, batch_size=50, seed=3).from_step(1)))
    expected = next(
        iter(Stream(prepare_source(scenario("arrays"), Split.TRAIN), batch_size=50, seed=3).from_step(1))
    )
    np.testing.assert_array_equal(inputs, expected[0])
    np.testing.assert_array_equal(labels, expected[1])
    assert (inputs.dtype, labels.dtype) == (tf.float32, tf.int64)
    said = [
        record.getMessage() for record in caplog.records if "were read into memory" in record.getMessage()
    ]
    by_index = kind in ("arrays", "lists", "rows", "list of samples")
    assert len(said) == (0 if by_index else 1)
    if said:
        assert "source('train') of given is a " in said[0]
        assert "its 50 samples, each float32 (4,), int64 ()" in said[0]
        assert ("taken apart" in said[0]) == (kind in ("batched dataset", "even batches", "PyDataset"))


def test_a_run_on_rows_has_the_bits_of_one_on_arrays_in_the_middle_of_an_epoch_too(tmp_path: Path) -> None:
    def trainer(kind: str, *words: str) -> Trainer:
        return Trainer(scenario(kind, *words), RunDirectory.create(tmp_path / kind), console=quiet())

    trainer("arrays").train()
    interrupted = trainer("rows", "data.cache=off", "loop.max_steps_per_call=1")
    interrupted.interruption = InterruptedAfter(5)
    with pytest.raises(Interrupted):
        interrupted.train()
    assert 0 < final_state(tmp_path / "rows").step < 6
    resume(tmp_path / "rows")
    assert comparable(tmp_path / "arrays")["variables"] == comparable(tmp_path / "rows")["variables"]


def test_parts_of_all_kinds() -> None:
    made = Rows(
        lambda i: (
            {"image": Image.fromarray(np.full((4, 5, 3), i, "uint8")), "text": f"ä{i}", "tokens": [i, i + 1]},
            (0.5, i % 2 == 0, tf.constant(i, tf.int16)),
            np.float64(i),
        )
    )
    (inputs, targets, weights) = next(iter(in_order(cached(adapted(made), None, None), batch_size=20)))
    assert inputs["image"].dtype == tf.uint8
    assert inputs["image"].shape == (20, 4, 5, 3)
    assert inputs["text"].numpy()[3].decode() == "ä3"
    np.testing.assert_array_equal(inputs["tokens"][5], [5, 6])
    assert inputs["tokens"].dtype == tf.int64
    assert [part.dtype for part in targets] == [tf.float32, tf.bool, tf.int16]
    assert weights.dtype == tf.float64


def test_rows_that_are_dicts_are_transformed() -> None:
    rows = Rows(lambda i: {"image": X[i], "label": int(Y[i])})
    with pytest.raises(
        DataError,
        match=r"(?s)it is a dict of 'image', 'label'.*\(row\['image'\], row\['label'\]\).*MapSource",
    ):
        adapted(rows)
    source = MapSource(
        rows, transform=lambda row: (row["image"], row["label"]), names=[f"row {i}" for i in range(20)]
    )
    assert source.sample_name(4) == "row 4"
    whole = [x.numpy() for x, _ in Stream(source, batch_size=3, seed=0).from_step(0).take(9)]
    for ours, (theirs, _) in zip(whole[5:], Stream(source, batch_size=3, seed=0).from_step(5), strict=False):
        np.testing.assert_array_equal(ours, theirs)


def test_a_sample_that_cannot_be_loaded_or_has_another_shape_is_named() -> None:
    def made(index: int) -> Any:
        if index == 5:
            raise OSError("the cable is out")
        return X[index], int(Y[index])

    source = adapted(Rows(made))
    (fault,) = source.inspect(range(20))
    assert re.fullmatch(
        r"sample 5: cannot be loaded: OSError: the cable is out \(test_adapt\.py:\d+\)", str(fault)
    )
    with pytest.raises(
        DataError, match=r"(?s)1 of 20 samples cannot be loaded:.*sample 5: .*the cable is out"
    ):
        cached(source, None, None)
    with pytest.raises(
        DataError, match=r"(?s)sample 7: has float32 \(1,\) where sample 0 has float32 \(2,\).*PaddedSource"
    ):
        cached(adapted(Rows(lambda i: (X[i, : 1 if i == 7 else 2], 1))), None, None)
    (fault,) = adapted(Rows(lambda i: (X[i], 1.5 if i == 9 else 1))).inspect(range(20))
    assert (
        str(fault) == "sample 9: has float32 () where sample 0 has int64 (); all of a source have one shape"
    )
    (fault,) = adapted(Rows(lambda i: (X[i], None if i == 9 else 1))).inspect(range(20))
    assert str(fault) == "sample 9: it[1] is None"


class _Shaped(Source):
    """Of a shape that is known when a sample is loaded; that of `odd` is another one."""

    def __init__(self, odd: range) -> None:
        self.odd = odd

    def __len__(self) -> int:
        return 200

    def load(self, index: tf.Tensor) -> Any:
        return tf.range(tf.where((index >= self.odd.start) & (index < self.odd.stop), 1, 3)), index


@pytest.mark.parametrize("odd", [range(70, 71), range(64, 200)])
def test_a_sample_of_another_shape_is_named_where_a_source_of_ones_own_loads_it(odd: range) -> None:
    with pytest.raises(
        DataError,
        match=rf"(?s){len(odd)} of 200 .*sample {odd[0]}: has the shape \(1,\), and sample 0 has \(3,\)",
    ):
        cached(_Shaped(odd), None, None)


def test_arrays_of_unequal_samples_are_answered_with_the_sample() -> None:
    unequal = [X[0], X[1], X[2, :1]]
    for given in (unequal, np.array(unequal, object), [[1, 2], [3, 4], [5]]):
        with pytest.raises(
            DataError, match=r"(?s)sample 2 has the shape \(1,\), and sample 0 has \(2,\).*PaddedSource"
        ):
            ArraySource((given, np.arange(3)))
    with pytest.raises(DataError, match="PaddedSource"):
        ArraySource((tf.ragged.constant([[1], [1, 2]]), np.arange(2)))
    source: Any = ArraySource(([X, X], Y))
    assert source.load(tf.constant(1, tf.int64))[0][1].shape == (2,)  # a list of inputs, as before


def test_one_sample_is_loaded_at_a_time() -> None:
    inside, most = 0, 0

    def made(index: int) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.002)  # lets other threads in
        inside -= 1
        return X[index], 1

    list(in_order(MapSource(Rows(made)), batch_size=4, workers=4))
    assert most == 1


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_several_samples_are_loaded_at_a_time_where_they_may() -> None:
    together = threading.Barrier(2)

    def made(index: int) -> Any:
        if index:  # sample 0 is looked at before
            together.wait(timeout=60)
        return X[index], 1

    # An even number of them: each waits for another one.
    assert (
        len(
            list(
                in_order(Subset(MapSource(Rows(made), parallel=True), range(1, 19)), batch_size=6, workers=4)
            )
        )
        == 3
    )


def test_samples_that_are_drawn_anew_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    adapted(Rows(lambda i: (X[i] + np.random.random(), 1)))
    assert "sample 0 of the Rows is another one each time" in caplog.text
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    for given in (data.shuffle(20), data.shuffle(20).batch(4), Batches(1)):
        with pytest.raises(DataError, match="each time"):
            adapted(given)


def endless() -> Iterator[Any]:
    while True:
        yield X[0], 1


DATA = tf.data.Dataset.from_tensor_slices((X, Y))


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (None, r"gave None.*return a framework.Source, a tuple of arrays \(x, y\)"),
        (3, r"gave 3 \(of the type int\).*return a framework.Source"),
        ("data/train", r"gave 'data/train' \(of the type str\)"),
        (Rows, "gave the class Rows"),
        (X, "is of the type ndarray, and Keras trains on"),
        ([X, Y], "sample 0 of the list: it is of the type ndarray"),
        ((X,), "is a tuple of 1, and Keras trains on"),
        ({"image": X, "label": Y}, "is a dict of 'image', 'label'"),
        ((X, Y[:3]), r"of a source have one length.* \[3, 20\]"),
        ((X, None), r"\[1\] is None"),
        (DATA.repeat(), "repeated.*leave out repeat"),
        (DATA.repeat(3).batch(2), "repeated.*leave out repeat"),
        (DATA.take(0), "without samples"),
        (DATA.map(lambda x, y: {"image": x, "label": y}), "sample 0 of .* is a dict of 'image', 'label'"),
        (DATA.map(lambda x, y: x), "of the type ndarray"),
        (
            tf.data.Dataset.from_tensor_slices((tf.ragged.constant([[1], [1, 2]]), [1, 2])),
            "not tensors.*PaddedSource",
        ),
        (endless(), r"take more than the 0.0001 GB.*data.cache_limit.*load"),
        (
            iter([(X[0], 1), (X[1][:1], 1)]),
            r"sample 1 of .* has float32 \(1,\), int64 \(\), and the first has .*PaddedSource",
        ),
        (iter([1]), "sample 0 of .* is of the type int"),
        (Rows(dict[int, Any]().__getitem__), "sample 0 of the Rows: cannot be loaded: KeyError: 0"),
        (
            type("Loader", (Rows,), {"dataset": Rows(), "batch_size": 2})(),
            "return its data set: loader.dataset",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # the same in each process
)
def test_what_cannot_be_used_is_answered(given: Any, answer: str) -> None:
    with pytest.raises(DataError, match=f"(?s){answer}") as caught:
        adapted(given)
    assert WHAT in str(caught.value) or "the source" in str(caught.value) or "a source" in str(caught.value)


def test_nothing_is_read_into_memory_where_that_is_off() -> None:
    with pytest.raises(DataError, match="cache=off forbids it"):
        prepare_source(scenario("generator", "data.cache=off"), Split.TRAIN)
    with pytest.raises(ScenarioError, match=r"source\('train'\) of given gave None"):
        prepare_source(scenario("nothing"), Split.TRAIN)


def test_what_was_read_is_known_by_what_it_is() -> None:
    prints = [adapted(iter([(X[i] + shift, 1) for i in range(20)])).fingerprint() for shift in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]
    assert prints[0].startswith("20 samples, ")


def test_a_generator_that_takes_long_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("framework.data.adapt._Memory._FIRST_WORD", 10)
    with caplog.at_level(logging.INFO):
        adapted((np.zeros(4, "float32"), i) for i in range(45))
    assert re.findall(r"(\d+) samples were read so far", caplog.text) == ["10", "20", "40"]


def test_a_generator_may_use_one_buffer_for_all() -> None:
    def reusing() -> Iterator[Any]:
        buffer = np.zeros(2, "float32")
        for values in X:
            buffer[:] = values
            yield buffer, 1

    (batch,) = in_order(adapted(reusing), batch_size=20)
    np.testing.assert_array_equal(batch[0], X)


def test_samples_to_predict_need_no_targets() -> None:
    for given in (X, (X,), list(X), iter(X), DATA.map(lambda x, y: x)):
        (batch,) = in_order(adapted(given, targets=False), batch_size=20)
        np.testing.assert_array_equal(batch[0], X)
