"""Images that a list names: each kind of list in, the right samples out, and bad rows and files named."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from framework.data.image_files import ImageFiles
from framework.data.image_list import ImageList
from framework.data.source import Split
from framework.errors import ConfigError, DataError
from framework.evaluation.validate_data import check_data
from framework.scenario import compose
from tests.unit.data.test_images import PHOTO, save
from tests.unit.data.test_rows import write

FILES = ["one.png", "more/two 2.png", "three.png", "four.png"]
LABELS = ["cat", "dog", "cat", "dog"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images in and below a folder."""
    for i, name in enumerate(FILES):
        save(tmp_path / name, PHOTO.resize((8, 8 + i)))
    return tmp_path


def list_of(path: Path, files: list[str] = FILES, labels: list[str] = LABELS) -> str:
    return str(
        write(path, [{"file": file, "label": label} for file, label in zip(files, labels, strict=True)])
    )


def source_of(path: str, split: Split = Split.TRAIN, **settings: Any) -> ImageFiles:
    return ImageList(train=path, val=path, **settings).source(split, seed=0)


def lines_of(path: Path) -> str:
    return "".join(f"{file} \t{label}\n" for file, label in zip(FILES, LABELS, strict=True))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.jsonl", "a.txt", "a.txt.gz"])
def test_each_kind_of_list_gives_the_same_images(folder: Path, name: str) -> None:
    if ".txt" in name:
        content = ("\ufeff" + lines_of(folder) + "\n").replace("\n", "\r\n").encode()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    else:
        list_of(folder / name)
    source = source_of(str(folder / name), image_size=8)
    assert source.paths == tuple(str(folder / file) for file in FILES)
    assert source.classes == ("cat", "dog")
    assert [source.load(tf.constant(i, tf.int64))[1].numpy().tolist() for i in range(4)] == [
        [0.0],
        [1.0],
        [0.0],
        [1.0],
    ]
    spec = tf.data.Dataset.range(4).map(source.load).element_spec
    assert spec == (tf.TensorSpec([8, 8, 3], tf.uint8), tf.TensorSpec([1], tf.float32))
    assert source.sample_name(1) == str(folder / "more" / "two 2.png")


def test_paths_are_absolute_or_relative_to_the_folder_of_the_list(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lists").mkdir()
    path = list_of(folder / "lists" / "a.csv", ["../one.png", str(folder / "three.png")], ["b", "a"])
    monkeypatch.chdir(folder)
    resolved = ImageList(train="lists/a.csv", val=path).resolve()
    monkeypatch.chdir("/")
    source = resolved.source(Split.TRAIN, seed=0)
    assert [Path(p).resolve() for p in source.paths] == [folder / "one.png", folder / "three.png"]
    assert source.unreadable(range(2)) == []


def test_other_columns_sizes_classes_and_test_images(folder: Path) -> None:
    rows = [{"image": file, "topic": i % 3} for i, file in enumerate(FILES)]
    path = str(write(folder / "a.jsonl", rows))
    config = ImageList(train=path, val=path, test=path, file="image", label="topic", image_size=16)
    source = config.source(Split.TEST, seed=0)
    image, target = source.load(tf.constant(2, tf.int64))
    assert (image.shape, target.dtype, int(target)) == ((16, 16, 3), tf.int32, 2)
    positive = source_of(list_of(folder / "b.csv"), positive_class="cat", classes=("dog", "cat"))
    assert positive.load(tf.constant(0, tf.int64))[1].numpy().tolist() == [1.0]
    assert positive.labels is not None and positive.labels.tolist() == [1, 0, 1, 0]


def test_without_val_a_part_is_held_out(folder: Path) -> None:
    config = ImageList(train=list_of(folder / "a.csv"), validation_split=0.5, image_size=8)
    train, validation = (config.source(split, seed=1).paths for split in (Split.TRAIN, Split.VALIDATION))
    assert (len(train), len(validation)) == (2, 2)
    assert not set(train) & set(validation)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "file,label\none.png,cat\nthree.png\n", r"1 of 2 rows(.|\n)*a\.csv:2: has 1 cells"),
        (
            "a.csv",
            "files,label\none.png,cat\n",
            r"a\.csv:1: has no 'file'(.|\n)*data\.file(.|\n)*did you mean 'files'",
        ),
        ("a.csv", "file,label\n,cat\n", r"a\.csv:1: its 'file' is '', which is not a path"),
        (
            "a.jsonl",
            '{"file": "a\\u0000b", "label": "cat"}\n',
            r"a\.jsonl:1: its 'file' .*, which is not a path",
        ),
        ("a.csv", "file,label\none.png,\n", r"a\.csv:1: its 'label' is empty"),
        (
            "a.txt",
            "one.png cat\n\nthree.png\n",
            r"a\.txt:2: has a single word, 'three\.png', where `FILE LABEL`",
        ),
        ("a.txt", "\n", r"a\.txt has no rows(.|\n)*\.txt"),
        ("a.xls", "", r"cannot tell the kind of(.|\n)*FILE LABEL"),
    ],
)
def test_a_list_that_cannot_be_used(folder: Path, name: str, content: str, reason: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=reason):
        source_of(str(folder / name))


def test_a_list_that_is_not_there(folder: Path) -> None:
    list_of(folder / "train.csv")
    with pytest.raises(
        ConfigError, match=r"data\.train: must be a file(.|\n)*\.txt(.|\n)*did you mean .*train\.csv"
    ):
        source_of(str(folder / "trian.csv"))
    with pytest.raises(
        ConfigError, match=r"data\.train: is needed for the train images(.|\n)*data\.train=FILE"
    ):
        ImageList().resolve()


def test_fail_names_each_bad_file_with_its_row(folder: Path) -> None:
    (folder / "three.png").write_bytes(b"")
    path = list_of(folder / "a.csv", [*FILES, "gone.png", "gone.png"], [*LABELS, "cat", "dog"])
    for config in (ImageList(train=path, val=path), ImageList(train=path)):
        with pytest.raises(DataError) as caught:
            config.source(Split.TRAIN, seed=0)
        assert str(caught.value).splitlines()[:4] == [
            f"3 of 6 images in {path} cannot be read:",
            f"    {folder}/three.png: is empty (named by {path}:3)",
            f"    {folder}/gone.png: No such file or directory (named by {path}:5)",
            f"    {folder}/gone.png: No such file or directory (named by {path}:6)",
        ]
        assert "data.on_error=skip" in str(caught.value)


def test_skip_leaves_out_whatever_cannot_be_decoded(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = (folder / "one.png").read_bytes()
    (folder / "one.png").write_bytes(content[: len(content) // 2])
    path = list_of(folder / "a.csv", [*FILES, "gone.png"], [*LABELS, "cat"])
    source = source_of(path, on_error="skip", image_size=8)
    assert [Path(p).name for p in source.paths] == ["two 2.png", "three.png", "four.png"]
    assert source.load(tf.constant(1, tf.int64))[1].numpy().tolist() == [0.0]
    (record,) = caplog.records
    assert f"2 of 5 images in {path}" in record.getMessage()
    assert f"gone.png: No such file or directory (named by {path}:5)" in record.getMessage()
    (folder / "three.png").unlink()
    with pytest.raises(DataError, match="none of class 'cat'"):
        source_of(path, on_error="skip")


def test_validate_data_finds_what_is_wrong(folder: Path) -> None:
    content = (folder / "one.png").read_bytes()
    (folder / "one.png").write_bytes(content[: len(content) // 2])
    path = list_of(folder / "a.csv", [*FILES, "gone.png"], [*LABELS, "cat"])
    train, validation = check_data(
        compose("scenario=mesonet", "data=image_list", f"data.train={path}", f"data.val={path}")
    )
    assert [(fault.name, fault.kind) for fault in train.unusable] == [
        (f"{folder}/one.png", "truncated"),
        (f"{folder}/gone.png", "missing"),
    ]
    assert train.unusable[1].reason.endswith(f"(named by {path}:5)")
    assert [fault for fault in validation.faults if fault.fatal] == train.faults
    assert validation.kinds()[-1] == ("duplicate in train", 4, False)


@pytest.mark.parametrize("change", ["nothing", "move", "label", "order"])
def test_a_fingerprint_tells_lists_apart_and_knows_a_moved_folder(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "a"
    for name in FILES:
        save(folder / name, PHOTO.resize((8, 8)))
    before = source_of(list_of(folder / "a.csv")).fingerprint()
    if change == "move":
        folder = folder.rename(tmp_path / "b")
    elif change == "label":
        list_of(folder / "a.csv", labels=["dog", *LABELS[1:]])
    elif change == "order":
        list_of(folder / "a.csv", [*FILES[2:], *FILES[:2]])
    assert (source_of(str(folder / "a.csv")).fingerprint() == before) == (change in ("nothing", "move"))
