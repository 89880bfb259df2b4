"""What all data of a file a split share: paths, parts, classes and labels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from framework.config.schema import read
from framework.data.source import Split
from framework.data.texts import TextFiles
from framework.errors import ConfigError, DataError, Problem
from tests.unit.data.test_rows import write


def texts(path: Path, labels: str) -> str:
    """A file with a text for each letter, which is its label."""
    return str(write(path, [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]))


def names(config: TextFiles, split: Split, seed: int = 0) -> list[str]:
    return [row.name.rpartition(":")[2] for row in config.rows(split, seed=seed)]


def problems_of(config: TextFiles, split: Split = Split.TRAIN) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        config.source(split, seed=0)
    return list(caught.value.problems)


@pytest.mark.parametrize(("part", "seed", "count"), [(0.2, 0, 10), (0.2, 7, 10), (0.01, 0, 1), (0.99, 0, 49)])
def test_the_rows_that_are_kept_for_validation_never_change(
    tmp_path: Path, part: float, seed: int, count: int
) -> None:
    """Runs of years ago are validated on the same rows: those whose hash of seed and place is least."""
    config = TextFiles(train=texts(tmp_path / "a.csv", "ab" * 25), validation_split=part)
    ranked = sorted(range(50), key=lambda i: hashlib.sha256(f"{seed}/{i}".encode()).digest())
    assert names(config, Split.VALIDATION, seed) == [str(i + 1) for i in sorted(ranked[:count])]
    assert names(config, Split.TRAIN, seed) == [str(i + 1) for i in sorted(ranked[count:])]


def test_the_first_seeds_keep_these_rows(tmp_path: Path) -> None:
    config = TextFiles(train=texts(tmp_path / "a.csv", "ab" * 5), validation_split=0.3)
    assert [names(config, Split.VALIDATION, seed) for seed in (0, 1, 2)] == [
        ["1", "5", "7"],
        ["1", "2", "4"],
        ["2", "6", "10"],
    ]


def test_a_file_of_its_own_is_not_divided(tmp_path: Path) -> None:
    train, other = texts(tmp_path / "train.csv", "abab"), texts(tmp_path / "other.csv", "bb")
    config = TextFiles(train=train, val=other, test=other)
    assert [len(config.source(split, seed=0)) for split in Split] == [4, 2, 2]
    assert len(TextFiles(train=train, test=other).source(Split.TEST, seed=0)) == 2


def test_a_single_row_cannot_be_divided(tmp_path: Path) -> None:
    train = texts(tmp_path / "a.csv", "a")
    (problem,) = problems_of(TextFiles(train=train, classes=("a", "b")))
    assert (problem.path, problem.given) == ("data.train", train)
    assert "single row" in problem.message
    assert len(TextFiles(train=train, val=train, classes=("a", "b")).source(Split.TRAIN, seed=0)) == 1


def test_files_that_are_not_named_or_not_there(tmp_path: Path) -> None:
    (problem,) = problems_of(TextFiles())
    assert (problem.path, problem.message, problem.hint) == (
        "data.train",
        "is needed for the train texts",
        "add data.train=FILE",
    )
    assert problem.allowed is not None and ".jsonl" in problem.allowed and "head line" in problem.allowed
    train = texts(tmp_path / "train.csv", "abab")
    (problem,) = problems_of(TextFiles(train=train), Split.TEST)
    assert problem.path == "data.test"
    config = TextFiles(train=str(tmp_path / "tran.csv"), val=str(tmp_path), test=str(tmp_path / "nowhere"))
    found = problems_of(config)
    assert [(p.path, p.message) for p in found] == [
        (f"data.{field}", "must be a file") for field in ("train", "val", "test")
    ]
    assert found[0].hint == f"did you mean {train}?"
    (problem,) = problems_of(
        TextFiles(train=train, val=str(tmp_path / "nowhere"), classes=("a", "b")), Split.VALIDATION
    )
    assert problem.path == "data.val"


def test_resolve_records_what_later_commands_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(tmp_path / "train.csv", "babc")
    texts(tmp_path / "val.csv", "ab")
    monkeypatch.chdir(tmp_path)
    resolved = TextFiles(train="train.csv", val="val.csv").resolve()
    assert (resolved.train, resolved.val, resolved.test) == (
        str(tmp_path / "train.csv"),
        str(tmp_path / "val.csv"),
        None,
    )
    assert (resolved.classes, resolved.positive_class) == (("a", "b", "c"), None)
    monkeypatch.chdir("/")
    (tmp_path / "train.csv").unlink()
    assert resolved.resolve() == resolved
    assert len(resolved.source(Split.VALIDATION, seed=0)) == 2
    two = TextFiles(train=str(tmp_path / "val.csv")).resolve()
    assert (two.classes, two.positive_class) == (("a", "b"), "b")


def test_classes_are_those_of_the_whole_file_whatever_is_kept_for_validation(tmp_path: Path) -> None:
    config = TextFiles(train=texts(tmp_path / "a.csv", "a" * 20 + "b" * 20 + "c"))
    assert config.resolve().classes == ("a", "b", "c")


def test_labels_that_are_no_classes(tmp_path: Path) -> None:
    train = texts(tmp_path / "train.csv", "abab")
    val = str(write(tmp_path / "val.csv", [{"text": "x", "label": label} for label in ("cats", "a", "?")]))
    with pytest.raises(DataError) as caught:
        TextFiles(train=train, val=val, classes=("cat", "a")).source(Split.VALIDATION, seed=0)
    assert str(caught.value).splitlines() == [
        "2 of 3 texts have labels of no class:",
        f"    {val}:1: 'cats'",
        f"    {val}:3: '?'",
        "    hint:    did you mean 'cat'? The classes are 'cat', 'a'",
    ]
    empty = str(write(tmp_path / "empty.csv", [{"text": "x", "label": label} for label in ("a", " ", "b")]))
    with pytest.raises(DataError, match=r"1 of 3 rows(.|\n)*empty\.csv:2: its 'label' is empty"):
        TextFiles(train=empty).resolve()
    (problem,) = problems_of(TextFiles(train=texts(tmp_path / "one.csv", "aaa")))
    assert (problem.path, problem.given) == ("data.classes", ("a",))


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"classes": ["a"]}, "data.classes"),
        ({"classes": ["a", "b"], "positive_class": "c"}, "data.positive_class"),
        ({"validation_split": -0.1}, "data.validation_split"),
        ({"train": 3}, "data.train"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], path: str) -> None:
    problems: list[Problem] = []
    assert read(TextFiles, settings, "data", problems) is None
    assert [p.path for p in problems] == [path]
