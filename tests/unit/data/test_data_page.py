"""The page on data: what its blocks of Python define is there, and loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from framework.data.source import Split
from framework.data.stream import Stream
from framework.scenario import Scenario
from tests.conftest import REPOSITORY

BLOCKS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "data.md").read_text(), re.DOTALL)


def named(name: str) -> dict[str, Any]:
    """What the block defines that has a class of that name."""
    (block,) = (block for block in BLOCKS if f"class {name}(" in block)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "docs/data.md", "exec", dont_inherit=True), names)
    return names


def scenario(name: str, **data: Any) -> Any:
    """A scenario of the page on a section `data`, without the rest of a config."""
    made: Any = object.__new__(named(name)[name])
    kind = made.datas
    made.config = type("Config", (), {"data": kind(**data).resolve(), "trainer": type("T", (), {"seed": 0})})
    return made


def test_each_block_defines_a_scenario() -> None:
    for block in BLOCKS:
        *_, last = re.findall(r"^class (\w+)\(", block, re.MULTILINE)
        assert issubclass(named(last)[last], Scenario)


def test_arrays() -> None:
    digits = scenario("Digits")
    assert [len(digits.source(split)) for split in (Split.TRAIN, Split.VALIDATION)] == [1497, 300]


def test_samples_of_unequal_length() -> None:
    longest = scenario("Longest")
    tokens, labels = next(iter(Stream(longest.source(Split.TRAIN), batch_size=8, seed=0).from_step(0)))
    assert tokens.shape[1] in (16, 32, 64)
    assert longest.build_model()(tokens).shape == (8, 4)
    assert set(labels.numpy()) <= {0, 1, 2, 3}


def test_rows() -> None:
    source = scenario("Rows").source(Split.VALIDATION)
    assert len(source) == 300
    image, label = source.load(tf.constant(3, tf.int64))
    assert (image.shape, image.dtype, label.dtype) == ((64,), tf.float32, tf.int64)


def test_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na sun,sky\na saw,tools\na moon,sky\n")
    topics = scenario("Topics", train=str(tmp_path / "a.csv"), val=str(tmp_path / "a.csv"))
    assert topics.build_model()(tf.constant(["the sun", "saw"])).shape == (2, 1)


def test_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("rooms,area,price\n1,20,3\n2,50,5\n")
    houses = scenario("Houses", train=str(tmp_path / "a.csv"), target="price", task="regression")
    assert houses.build_model().input_shape == (None, 2)


def test_tf_records(tmp_path: Path) -> None:
    feature = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=[1.0] * size))
        for name, size in (("x", 4), ("y", 1))
    }
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    sums = scenario("Sums", train=(str(tmp_path / "a"),))
    points, targets = sums.source(Split.TRAIN).load(tf.constant(0, tf.int64))
    assert sums.build_model()(points[tf.newaxis]).shape == (1, 1)
    assert targets.shape == (1,)


def test_a_source_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label, value in (("no", 0.0), ("yes", 0.5)):
        (tmp_path / "sounds" / "train" / label).mkdir(parents=True)
        sound = tf.audio.encode_wav(np.full((9_000, 1), value, np.float32), 16_000)
        (tmp_path / "sounds" / "train" / label / "one.wav").write_bytes(sound.numpy())
    monkeypatch.chdir(tmp_path)
    source = scenario("Speech").source(Split.TRAIN)
    loaded = [
        (float(sound[0, 0]), float(label)) for sound, label in tf.data.Dataset.range(2).map(source.load)
    ]
    assert loaded == [(0.0, 0.0), (pytest.approx(0.5, abs=1e-3), 1.0)]
    assert not list(source.inspect(range(2)))


@pytest.mark.parametrize("split", [Split.TRAIN, Split.VALIDATION])
def test_a_config_of_ones_own(split: Split) -> None:
    points, _ = scenario("Sum", samples=7, deviation=0.1).data.source(split, seed=0).numpy()
    assert points.shape == (7, 8)
    assert np.abs(points).max() < 1
