"""The same image in two splits, or under two labels: by its content, by its looks, and by its path."""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

from framework.data.duplicates import close_pairs, find_duplicates, shared_files, warn_of_shared_files
from framework.data.image_files import ImageFiles
from framework.data.images import ImageFolder
from framework.data.source import ArraySource, Fault, Split
from framework.evaluation.validate_data import check_data
from framework.scenario import compose

PHOTOGRAPHS = load_sample_images().images


def crop(number: int) -> Image.Image:
    """One of 30 pieces of two photographs."""
    row, column = divmod(number % 15, 5)
    place = PHOTOGRAPHS[number // 15][row * 140 : row * 140 + 128, column * 128 : column * 128 + 128]
    return Image.fromarray(place)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve different images: eight to train on, four to validate on."""
    for i in range(12):
        save(
            tmp_path / ("train" if i < 8 else "val") / ("cat" if i % 2 else "dog") / f"{i:02}.png",
            crop(2 * i),
        )
    return tmp_path


def sources_of(folder: Path) -> dict[Split, ImageFiles]:
    config = ImageFolder(train_dir=str(folder / "train"), val_dir=str(folder / "val"), image_size=64)
    return {split: config.source(split, seed=0) for split in (Split.TRAIN, Split.VALIDATION)}


def told(found: Mapping[Split, list[Fault]]) -> list[tuple[str, str, str]]:
    return [
        (split.value, fault.kind, Path(fault.name).name)
        for split, faults in found.items()
        for fault in faults
    ]


def test_different_images_are_none(folder: Path) -> None:
    assert told(find_duplicates(sources_of(folder), near=True)) == []


def test_a_content_in_two_splits_or_under_two_labels(folder: Path) -> None:
    first = (folder / "train" / "dog" / "00.png").read_bytes()
    (folder / "train" / "dog" / "copy.png").write_bytes(
        first
    )  # of one class and split, which is told by nothing
    (folder / "train" / "dog" / "zz.png").write_bytes(first[:-1] + b"x")  # of the same size
    (folder / "train" / "cat" / "same.png").write_bytes(first)
    (folder / "val" / "cat" / "leaked.png").write_bytes(first)
    found = find_duplicates(sources_of(folder) | {Split.TEST: ArraySource(np.zeros((3, 2)))})
    assert told(found) == [
        ("train", "duplicate of another class", "00.png"),
        ("train", "duplicate of another class", "copy.png"),
        ("validation", "duplicate in train", "leaked.png"),
    ]
    (leaked,) = found[Split.VALIDATION]
    assert not leaked.fatal
    assert leaked.reason == f"has the same content as {folder}/train/cat/same.png of the train data"


def test_near_duplicates_are_found_where_they_are_asked_for(folder: Path) -> None:
    save(folder / "val" / "dog" / "worse.jpg", crop(0), quality=40)
    save(folder / "val" / "dog" / "smaller.png", crop(2).resize((90, 90), Image.Resampling.LANCZOS))
    save(folder / "train" / "cat" / "brighter.png", ImageEnhance.Brightness(crop(12)).enhance(1.04))
    # What is flat has nothing to be told by.
    save(folder / "val" / "cat" / "grey.png", Image.new("RGB", (64, 64), (90, 90, 90)))
    save(folder / "train" / "cat" / "also grey.png", Image.new("RGB", (64, 60), (90, 90, 90)))
    sources = sources_of(folder)
    assert told(find_duplicates(sources)) == []
    assert sorted(told(find_duplicates(sources, near=True))) == [
        ("train", "near duplicate of another class", "06.png"),
        ("validation", "near duplicate in train", "smaller.png"),
        ("validation", "near duplicate in train", "worse.jpg"),
    ]


def test_the_close_hashes_are_those_that_all_pairs_would_show() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 300, np.uint64)
    planted = hashes.copy()
    for i in range(200, 300):  # the first hundred again, with up to six bits turned
        planted[i] = hashes[i - 200]
        for bit in rng.choice(64, i % 7, replace=False):
            planted[i] ^= np.uint64(1 << int(bit))
    groups = np.arange(300) % 3
    candidates = np.array([i for i in range(300) if i % 10])
    found = {
        (int(a), int(b))
        for later, earlier in close_pairs(planted, groups, candidates)
        for a, b in zip(later, earlier, strict=True)
    }
    expected = {
        (later, earlier)
        for earlier, later in itertools.combinations(candidates.tolist(), 2)
        if groups[later] != groups[earlier] and int(planted[later] ^ planted[earlier]).bit_count() <= 4
    }
    assert found == expected
    assert len(expected) > 30


def test_validate_data_tells_of_them(folder: Path) -> None:
    (folder / "val" / "cat" / "leaked.png").write_bytes((folder / "train" / "cat" / "01.png").read_bytes())
    words = (
        "scenario=mesonet",
        "data=image_folder",
        f"data.train_dir={folder}/train",
        f"data.val_dir={folder}/val",
    )
    train, validation = check_data(compose(*words))
    assert (train.faults, train.unusable, validation.unusable) == ([], [], [])
    assert validation.kinds() == [("duplicate in train", 1, False)]
    assert [report.split for report in check_data(compose(*words[:3], "data.validation_split=0"))] == [
        Split.TRAIN
    ]


def test_files_are_shared_by_path_or_by_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, others = (list(source.paths) for source in sources_of(folder).values())
    (folder / "link").symlink_to(folder / "train")
    copied = shutil.copy(known[2], folder / "copied.png")
    files = [
        others[0],
        known[1].replace("/train/", "/link/"),
        str(copied),
        known[0],
        str(folder / "missing.png"),
    ]
    assert shared_files(known, files) == [1, 2, 3]
    assert shared_files([], files) == shared_files(known, []) == []
    monkeypatch.setattr("framework.data.duplicates._AT_START", len(known))
    assert shared_files(known, files) == [1, 3], "of many files the contents are not read"


def test_training_warns_of_the_same_paths(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    training, validation = sources_of(folder).values()
    warn_of_shared_files(training, validation)
    warn_of_shared_files(ArraySource(np.zeros((3, 2))), ArraySource(np.zeros((3, 2))))
    assert not caplog.records
    (folder / "val" / "dog" / "link.png").symlink_to(folder / "train" / "dog" / "00.png")
    (folder / "val" / "cat" / "more").symlink_to(folder / "train" / "cat")
    with caplog.at_level(logging.WARNING, "framework"):
        warn_of_shared_files(*sources_of(folder).values())
    (record,) = caplog.records
    assert "5 of the 9 validation files are training files, too" in record.getMessage()
    assert str(folder / "val" / "dog" / "link.png") in record.getMessage()
