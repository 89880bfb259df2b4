"""Texts by topic: the files that are read, the networks, and a run on texts of one's own."""

from __future__ import annotations

import csv
import gzip
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.cli import lav, predict, resume
from framework.cli import train as train_command
from framework.data.source import Split
from framework.data.texts import TextFiles, read_texts
from framework.errors import ConfigError, DataError
from framework.evaluation.validate_data import check_data
from framework.scenario import compose
from scenarios.reuters.data import ReutersTexts
from scenarios.reuters.model import MODELS

Command = Callable[..., subprocess.CompletedProcess[str]]

WORDS = {
    "fruit": "apple pear plum cherry grape",
    "tools": "hammer saw drill nail screw",
    "sky": "sun moon star cloud rain",
}


def rows_of(classes: list[str], count: int, seed: int = 0) -> list[dict[str, str]]:
    """Short texts, each of words of its class and some that say nothing."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        label = classes[i % len(classes)]
        words = rng.choices(WORDS[label].split(), k=6) + rng.choices(["the", "of", "and", "a,", "it."], k=6)
        rng.shuffle(words)
        rows.append({"text": " ".join(words), "label": label})
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    if suffix == "jsonl":
        content = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        content = "\n".join(
            ("\t" if suffix == "tsv" else ",").join(f'"{cell}"' for cell in line) for line in lines
        )
    path.write_bytes(gzip.compress(content.encode()) if path.name.endswith(".gz") else content.encode())
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write(tmp_path / "train.jsonl", rows_of(list(WORDS), 60))


# Files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.tsv.gz"])
def test_each_kind_of_file_gives_the_same_texts(tmp_path: Path, name: str) -> None:
    rows = rows_of(list(WORDS), 9)
    rows[3]["text"] = "zwölf, 名前"
    path = write(tmp_path / name, rows)
    assert [(text, label) for text, label, _ in read_texts(str(path))] == [
        (row["text"], row["label"]) for row in rows
    ]
    assert read_texts(str(path))[4][2] == f"{path}:5"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "a.jsonl",
            b'{"text": "a", "label": "b"}\n{"text": "a"\n[1]\n',
            r"2 of 3 rows(.|\n)*a\.jsonl:2: must be JSON(.|\n)*:3: must be a JSON object",
        ),
        (
            "a.jsonl",
            b'{"body": "a", "label": "b"}',
            r"1 of 1 rows(.|\n)*has no 'text'; it has 'body', 'label'(.|\n)*data\.text",
        ),
        ("a.csv", b"body,topic\na,b\n", "has no 'text' and no 'label'; it has 'body', 'topic'"),
        ("a.csv", b"text,label\n", "has no rows"),
        ("a.csv", b"", "has no rows"),
        ("a.txt", b"text", "cannot tell the kind of"),
        ("a.csv", b"text,label\n\xff\xfe,a\n", "cannot read .*utf-8"),
        ("a.csv.gz", b"no gzip", "cannot read"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_texts(str(tmp_path / name))


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [{"body": "x", "topic": i % 3} for i in range(9)])
    source = TextFiles(train=str(path), val=str(path), text="body", label="topic").source(Split.TRAIN, seed=0)
    assert source.numpy()[1].tolist() == [0, 1, 2] * 3


def test_targets_are_those_of_a_classifier(tmp_path: Path, train: Path) -> None:
    texts, targets = TextFiles(train=str(train), val=str(train)).source(Split.VALIDATION, seed=0).numpy()
    assert texts.dtype == object
    assert (targets.dtype, targets[:4].tolist()) == (
        np.int32,
        [0, 2, 1, 0],
    )  # fruit, tools, sky; sorted: fruit, sky, tools
    two = write(tmp_path / "two.csv", rows_of(["fruit", "tools"], 6))
    for positive, expected in ((None, [0, 1]), ("fruit", [1, 0])):
        config = TextFiles(train=str(two), val=str(two), classes=("fruit", "tools"), positive_class=positive)
        assert config.source(Split.TRAIN, seed=0).numpy()[1].tolist() == [[float(x)] for x in expected] * 3
    with pytest.raises(ConfigError, match=r"data\.positive_class"):
        TextFiles(train=str(two), positive_class="fruits").source(Split.TRAIN, seed=0)


def test_without_val_a_part_is_held_out(train: Path) -> None:
    config = TextFiles(train=str(train), validation_split=0.25)
    kept, held = (config.source(split, seed=3) for split in (Split.TRAIN, Split.VALIDATION))
    names = [{source.sample_name(i) for i in range(len(source))} for source in (kept, held)]
    assert (len(kept), len(held)) == (45, 15)
    assert not names[0] & names[1]
    other = config.source(Split.VALIDATION, seed=4)
    assert {other.sample_name(i) for i in range(15)} != names[1]


def test_labels_and_files_that_are_not_there_are_answered(tmp_path: Path, train: Path) -> None:
    val = write(tmp_path / "val.jsonl", [{"text": "a", "label": "fruits"}, {"text": "b", "label": "sky"}])
    with pytest.raises(DataError, match=r"1 of 2 texts(.|\n)*val\.jsonl:1: 'fruits'"):
        TextFiles(train=str(train), val=str(val)).source(Split.VALIDATION, seed=0)
    with pytest.raises(ConfigError, match=r"data\.val(.|\n)*did you mean .*val\.jsonl"):
        TextFiles(train=str(train), val=str(tmp_path / "vall.jsonl")).resolve()
    with pytest.raises(ConfigError, match=r"data\.test"):
        TextFiles(train=str(train)).source(Split.TEST, seed=0)
    assert len(TextFiles(train=str(train), test=str(train)).source(Split.TEST, seed=0)) == 60


def test_without_files_and_without_a_network_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def unreachable() -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(keras.datasets.reuters, "get_word_index", unreachable)
    with pytest.raises(DataError, match=r"no route to host(.|\n)*data\.train=FILE"):
        ReutersTexts().resolve()


def test_texts_have_a_fingerprint_and_an_empty_one_is_remarked(tmp_path: Path, train: Path) -> None:
    rows = rows_of(list(WORDS), 60)
    before = TextFiles(train=str(train), val=str(train)).source(Split.TRAIN, seed=0).fingerprint()
    rows[7]["text"] = "  "
    changed = write(tmp_path / "changed.jsonl", rows)
    assert TextFiles(train=str(changed), val=str(train)).source(Split.TRAIN, seed=0).fingerprint() != before
    report, _ = check_data(compose("scenario=reuters", f"data.train={changed}", f"data.val={train}"))
    assert [(fault.name, fault.kind) for fault in report.faults] == [(f"{changed}:8", "empty text")]


# Networks ---------------------------------------------------------------------------------------------------


def test_the_network_is_that_of_the_tutorial() -> None:
    model = MODELS["text_cnn"]().build(classes=46, texts=["a b c", "B, d!"])
    shapes = {layer.name: tuple(layer.output.shape)[1:] for layer in model.layers}
    assert [
        shapes[name]
        for name in ("words", "embedding", "conv1", "pool1", "conv2", "pool2", "flatten", "output")
    ] == [
        (300,),
        (300, 7),
        (296, 64),
        (148, 64),
        (146, 32),
        (73, 32),
        (2336,),
        (46,),
    ]
    assert model.get_layer("words").get_vocabulary() == ["", "[UNK]", "b", "d", "c", "a"]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_settings_of_the_networks(name: str) -> None:
    more: dict[str, Any] = {"widths": (2, 6), "filters": 9} if name == "wide_text_cnn" else {}
    model = MODELS[name](words=3, tokens=40, embedding=11, dropout=0.3, **more).build(
        classes=2, texts=["a b c d e a b c"]
    )
    assert model.get_layer("words").vocabulary_size() == 5
    assert tuple(model.get_layer("embedding").output.shape) == (None, 40, 11)
    assert model.get_layer("dropout").rate == 0.3
    assert model.output_shape == (None, 1)
    if more:
        assert [model.get_layer(f"conv{width}").kernel.shape for width in (2, 6)] == [(2, 11, 9), (6, 11, 9)]
        assert model.get_layer("dropout").output.shape == (None, 18)


# Runs -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "classes",
    [
        pytest.param(["fruit", "tools"], id="two", marks=pytest.mark.long),
        pytest.param(list(WORDS), id="three"),
    ],
)
def test_the_walk_of_a_run(command_here: Command, tmp_path: Path, classes: list[str]) -> None:
    """Trained, interrupted by nothing, resumed, validated, and asked: the vocabulary goes along with the
    model."""
    write(tmp_path / "train.csv.gz", rows_of(classes, 120))
    write(tmp_path / "val.jsonl", rows_of(classes, 40, seed=1))
    words = [
        "scenario=reuters",
        "data.train=train.csv.gz",
        "data.val=val.jsonl",
        "model=wide_text_cnn",
        "model.tokens=20",
    ]
    small = ["model.embedding=8", "model.filters=8", "batch_size=8", "lr=0.01", "output_dir=run"]
    trained = command_here(train_command.main, *words, *small, "epochs=3")
    assert trained.returncode == 0, trained.stderr
    resumed = command_here(resume.main, "run", "epochs=4")
    assert resumed.returncode == 0, resumed.stderr
    best = json.loads((tmp_path / "run" / "result.json").read_text())["best"]["metrics"]
    assert best["val_accuracy"] > 0.95
    (tmp_path / "train.csv.gz").rename(tmp_path / "other.csv.gz")
    gone = command_here(resume.main, "run", "epochs=5")
    assert gone.returncode == 2
    assert "data.train: must be a file" in gone.stderr
    (tmp_path / "other.csv.gz").rename(tmp_path / "train.csv.gz")
    validated = command_here(lav.main, "run")
    assert validated.returncode == 0, validated.stderr
    report = json.loads((tmp_path / "run" / "lav.json").read_text())
    assert report["metrics"]["accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-6)
    (tmp_path / "letter.txt").write_text("A hammer, a saw; and the nail.")
    predicted = command_here(predict.main, "run", "letter.txt", "val.jsonl")
    assert predicted.returncode == 0, predicted.stderr
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["file"], rows[0]["label"]) == ("letter.txt", "tools")
    assert list(rows[0]) == ["file", "true_label", "label", *sorted(classes)]
    assert rows[0]["true_label"] == ""
    assert {row["true_label"] for row in rows[1:]} == set(classes)
    assert len(rows) == 41


def test_many_classes_are_judged_by_the_first_five_too(tmp_path: Path) -> None:
    path = write(tmp_path / "many.csv", [{"text": "x", "label": f"topic {i % 7}"} for i in range(21)])

    def metrics(*words: str) -> list[Any]:
        return [getattr(m, "name", m) for m in compose("scenario=reuters", *words).objective().metrics]

    assert metrics(f"data.train={path}") == ["accuracy", "top_5"]
    few = write(tmp_path / "few.csv", [{"text": "x", "label": f"topic {i % 5}"} for i in range(10)])
    assert metrics(f"data.train={few}") == ["accuracy"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "top_1", "top_5"),
    [(["scenario=reuters"], 0.75, 0.89), (["experiment=reuters_best"], 0.90, 0.98)],
    ids=["plain", "best"],
)
def test_reuters(
    command: Command, tmp_path: Path, shared_data: Path, words: list[str], top_1: float, top_5: float
) -> None:
    data = [
        f"data.train={shared_data / 'reuters' / 'train.jsonl.gz'}",
        f"data.val={shared_data / 'reuters' / 'test.jsonl.gz'}",
    ]
    result = command("train-scenario", *words, *data, "output_dir=run", timeout=1700)
    assert result.returncode == 0, result.stderr
    best = json.loads((tmp_path / "run" / "result.json").read_text())["best"]["metrics"]
    assert best["val_accuracy"] >= top_1
    assert best["val_top_5"] >= top_5
