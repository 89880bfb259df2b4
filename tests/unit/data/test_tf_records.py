"""TFRecord files by index: the right record from its place, in any order, and damaged files named."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from framework.config.schema import read
from framework.data.source import Split
from framework.data.stream import Stream, in_order
from framework.data.tf_records import TfRecords, TfRecordSource
from framework.errors import ConfigError, DataError, Problem
from framework.evaluation.validate_data import check_data
from framework.run.run_directory import RunDirectory
from framework.scenario import compose
from framework.training.trainer import Trainer
from tests.runs import quiet


def write(path: Path, records: list[bytes], compression: str = "") -> Path:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path


def numbers(*values: float) -> list[bytes]:
    return [np.full(3, value, np.float32).tobytes() for value in values]


def parse(serialized: tf.Tensor) -> Any:
    row = tf.ensure_shape(tf.io.decode_raw(serialized, tf.float32), [3])
    return row, row[:1]


def first_of(source: TfRecordSource) -> list[float]:
    return [float(row[0]) for batch, _ in in_order(source, batch_size=4) for row in batch.numpy()]


def test_records_are_in_the_order_of_the_files(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "b", numbers(5, 6)),
        write(tmp_path / "empty", []),
        write(tmp_path / "a", numbers(*range(5))),
    ]
    source = TfRecordSource(files, parse)
    assert len(source) == 7
    assert first_of(source) == [5, 6, 0, 1, 2, 3, 4]
    names = [source.sample_name(i) for i in (0, 1, 2, 6)]
    assert names == [
        f"{tmp_path}/b:record 1",
        f"{tmp_path}/b:record 2",
        f"{tmp_path}/a:record 1",
        f"{tmp_path}/a:record 5",
    ]


def test_records_of_any_length_are_given_as_they_were_written(tmp_path: Path) -> None:
    records = [b"", b"\0", os.urandom(100_000), b"x" * 77, b""]
    source: Any = TfRecordSource([write(tmp_path / "a", records)], lambda serialized: serialized)
    assert [source.load(tf.constant(i, tf.int64)).numpy() for i in range(5)] == records


def test_a_stream_loads_many_at_the_same_time_from_any_step(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{k}", numbers(*range(k * 50, k * 50 + 50))) for k in range(4)]
    streams = [
        Stream(TfRecordSource(files, parse), batch_size=16, seed=1, workers=workers) for workers in (1, 8)
    ]
    long, short = (
        [*s.from_step(k).take(n).as_numpy_iterator()]
        for s, k, n in zip(streams, (0, 10), (20, 10), strict=True)
    )
    for expected, found in zip(long[10:], short, strict=True):
        np.testing.assert_array_equal(expected[0], found[0])
    assert {float(x[0]) for points, _ in long[:13] for x in points} == set(range(200))
    spec = streams[0].from_step(0).element_spec
    assert [part.shape.as_list() for part in spec] == [[16, 3], [16, 1]]


def test_files_are_opened_once_and_closed_with_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from framework.data import tf_records

    monkeypatch.setattr(tf_records, "_KEPT_OPEN", 2)
    files = [write(tmp_path / f"{k}", numbers(k, k)) for k in range(4)]

    def opened() -> list[str]:
        links = (f"/proc/self/fd/{handle}" for handle in os.listdir("/proc/self/fd"))
        return sorted(
            os.readlink(link) for link in links if os.path.exists(link) and str(tmp_path) in os.readlink(link)
        )

    source: Any = TfRecordSource(files, parse)
    assert opened() == []
    for _ in range(3):
        for i in range(8):
            assert float(source.load(tf.constant(i, tf.int64))[1][0]) == i // 2
    assert opened() == [str(file) for file in files[:2]], "further ones are opened each time"
    del source
    assert opened() == []


def test_a_shape_that_is_not_known_is_answered(tmp_path: Path) -> None:
    source = TfRecordSource(
        [write(tmp_path / "a", numbers(1))], lambda serialized: tf.io.decode_raw(serialized, tf.float32)
    )
    with pytest.raises(ValueError, match=r"unknown shape, \(None,\), float32; tf\.ensure_shape"):
        in_order(source, batch_size=1)


# Files that cannot be used ----------------------------------------------------------------------------------


def changed(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


SIZE = 12 + 12 + 4  # a record of three float32
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "its data are cut off": (
        lambda c: c[: 2 * SIZE + 20],
        r"record 3 breaks off: it has 12 bytes, and 8 bytes",
    ),
    "its last checksum is cut off": (lambda c: c[:-1], r"record 4 breaks off: it has 12 bytes, and 1 bytes"),
    "its head is cut off": (
        lambda c: c[: 3 * SIZE + 5],
        r"record 4 breaks off: the file ends before the data begin",
    ),
    "a length is damaged": (lambda c: changed(c, SIZE), r"record 2 is damaged: its length"),
    "a checksum is damaged": (lambda c: changed(c, 2 * SIZE + 9), r"record 3 is damaged: its length"),
    "something is inserted": (lambda c: c[:SIZE] + b"\0" + c[SIZE:], r"record 2 is damaged"),
    "it is no TFRecord file": (
        lambda c: b"This is a text, and no TFRecord file.",
        r"record 1 is damaged.*is this a TFRecord file\?",
    ),
    "it is a short text": (lambda c: b"text", r"record 1 breaks off.*is this a TFRecord file\?"),
    "it is packed": (gzip.compress, r"is packed by gzip(.|\n)*gunzip(.|\n)*cannot be read from the middle"),
    "it is packed otherwise": (zlib.compress, r"is packed by zlib(.|\n)*without compression"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_named_with_its_record(tmp_path: Path, name: str) -> None:
    damage, reason = DAMAGES[name]
    sound, bad = write(tmp_path / "sound", numbers(1, 2)), write(tmp_path / "bad", numbers(*range(4)))
    bad.write_bytes(damage(bad.read_bytes()))
    with pytest.raises(DataError, match=rf"1 of 2 TFRecord files(.|\n)*{bad}: {reason}"):
        TfRecordSource([sound, bad], parse)


def test_what_tensorflow_packs_is_known(tmp_path: Path) -> None:
    for compression, packing in (("GZIP", "gzip"), ("ZLIB", "zlib")):
        with pytest.raises(DataError, match=f"is packed by {packing}"):
            TfRecordSource([write(tmp_path / "a", numbers(1), compression)], parse)


def test_all_bad_files_are_named_at_once_and_there_must_be_records(tmp_path: Path) -> None:
    write(tmp_path / "a", numbers(1)).write_bytes(b"x" * 20)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError) as caught:
        TfRecordSource([tmp_path / "a", tmp_path / "gone", tmp_path / "folder"], parse)
    message = str(caught.value)
    assert "3 of 3 TFRecord files" in message
    assert f"{tmp_path}/gone: No such file or directory" in message
    assert f"{tmp_path}/folder: Is a directory" in message
    for files in ([], [write(tmp_path / "empty", [])]):
        with pytest.raises(DataError, match="no records"):
            TfRecordSource(files, parse)


def test_a_file_that_is_cut_off_later_and_a_record_that_cannot_be_parsed_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [*numbers(1, 2), b"four", *numbers(4)])
    source = TfRecordSource([path], parse)
    (fault,) = source.inspect(range(4))
    assert fault.name == f"{path}:record 3"
    os.truncate(path, 3 * SIZE)
    faults = list(source.inspect(range(4)))
    assert [fault.name for fault in faults] == [f"{path}:record 3", f"{path}:record 4"]
    assert "breaks off" in faults[1].reason
    with pytest.raises(tf.errors.OpError):
        list(in_order(source, batch_size=2))


@pytest.mark.parametrize("change", ["nothing", "rename", "content", "order", "fewer"])
def test_a_fingerprint_is_of_the_content(tmp_path: Path, change: str) -> None:
    def fingerprint(*files: Path) -> str:
        return TfRecordSource(files, parse).fingerprint()

    a, b = write(tmp_path / "a", numbers(1, 2)), write(tmp_path / "b", numbers(3))
    before = fingerprint(a, b)
    if change == "rename":
        a = a.rename(tmp_path / "c")
    elif change == "content":
        write(a, numbers(1, 2.5))
    elif change == "order":
        a, b = b, a
    elif change == "fewer":
        write(a, numbers(1))
    assert (fingerprint(a, b) == before) == (change in ("nothing", "rename"))


# The section of the config ----------------------------------------------------------------------------------


def test_patterns_are_found_in_order_and_paths_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train-10", "train-2", "train-[x]", "val", "test"):
        write(tmp_path / name, numbers(*range(len(name))))
    (tmp_path / "train-folder").mkdir()
    monkeypatch.chdir(tmp_path)
    config = TfRecords(train=("train-2", "train-*"), val=("val",), test=("test", "train-[x]"))
    resolved = config.resolve()
    assert resolved.train == (f"{tmp_path}/train-2", f"{tmp_path}/train-*")
    assert [len(config.records(split, parse)) for split in Split] == [8 + 7 + 9, 3, 4 + 9]
    monkeypatch.chdir("/")
    assert resolved.files(Split.TRAIN) == [
        f"{tmp_path}/{name}" for name in ("train-10", "train-2", "train-[x]")
    ]
    assert resolved.records(Split.VALIDATION, parse).sample_name(1) == f"{tmp_path}/val:record 2"


def test_files_that_are_not_named_or_not_there(tmp_path: Path) -> None:
    write(tmp_path / "train", numbers(1))
    with pytest.raises(ConfigError) as caught:
        TfRecords(train=(f"{tmp_path}/tran", f"{tmp_path}/*.tfrecord", str(tmp_path))).files(Split.TRAIN)
    found = caught.value.problems
    assert [(p.path, p.message) for p in found] == [
        ("data.train", "must be a file"),
        ("data.train", "is a pattern that no file fits"),
        ("data.train", "must be a file"),
    ]
    assert found[0].hint == f"did you mean {tmp_path}/train?"
    assert found[2].hint is not None and "folder" in found[2].hint
    for config in (TfRecords(), TfRecords(val=())):
        with pytest.raises(
            ConfigError, match=r"data\.val: is needed for the validation records(.|\n)*data\.val=\[FILE\]"
        ):
            config.files(Split.VALIDATION)
    with pytest.raises(NotImplementedError, match="def source"):
        TfRecords(train=("x",)).source(Split.TRAIN, seed=0)
    problems: list[Problem] = []
    assert read(TfRecords, {"train": "x.tfrecord"}, "data", problems) is None
    assert [(p.path, p.allowed) for p in problems] == [("data.train", "a list of: a text, or null")]


# A run ------------------------------------------------------------------------------------------------------


def examples(count: int, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)

    def floats(values: Any) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    points = rng.normal(size=(count, 4))
    return [
        tf.train.Example(
            features=tf.train.Features(feature={"x": floats(p), "y": floats([float(p.sum() > 0)])})
        ).SerializeToString()
        for p in points
    ]


@pytest.mark.parametrize("cache", ["auto", pytest.param("off", marks=pytest.mark.slow)])
def test_a_run_on_tf_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "toy"))
    from tables_toy import write_conf

    for k in range(3):
        write(tmp_path / f"train-{k}.tfrecord", examples(64, k))
    write(tmp_path / "val.tfrecord", examples(40, 9))
    words = [
        f"data.train=[{tmp_path}/train-*.tfrecord]",
        f"data.val=[{tmp_path}/val.tfrecord]",
        f"data.cache={cache}",
    ]
    quick = (
        "trainer.tensorboard=false",
        "trainer.report=false",
        "trainer.export_saved_model=false",
        "lr=0.05",
        "epochs=4",
    )
    scenario = compose("scenario=records_toy", *quick, *words, config_dir=write_conf(tmp_path / "conf"))
    result = Trainer(scenario, RunDirectory.create(tmp_path / "run"), console=quiet()).train()
    assert result.status == "finished"
    assert result.best is not None and result.best["metrics"]["val_accuracy"] > 0.85
    assert [(report.samples, list(report.faults)) for report in check_data(scenario)] == [(192, []), (40, [])]
