"""Image folders that are not as they should be, and images that cannot be read: each is named, with what to
do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from PIL import Image

from framework.config.schema import read
from framework.data.images import ImageFiles, ImageFolder, find_images, load_image
from framework.data.source import Split
from framework.errors import ConfigError, DataError, Problem
from tests.unit.data.test_images import labels_of

PICTURE = Image.linear_gradient("L").resize((32, 32))


def folder_of(root: Path, **classes: int) -> Path:
    """A folder with that many images of each class."""
    for name, count in classes.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            PICTURE.save(root / name / f"{i:02}.jpg")
    return root


def problems_of(*, split: Split = Split.TRAIN, **folders: Path | None) -> list[Problem]:
    given: dict[str, Any] = {field: folder and str(folder) for field, folder in folders.items()}
    with pytest.raises(ConfigError) as caught:
        ImageFolder(**given).source(split, seed=0)
    return list(caught.value.problems)


def problem_of(*, split: Split = Split.TRAIN, **folders: Path | None) -> Problem:
    (problem,) = problems_of(split=split, **folders)
    return problem


# Folders ----------------------------------------------------------------------------------------------------


def test_a_missing_folder_with_the_one_that_was_meant(tmp_path: Path) -> None:
    folder_of(tmp_path / "faces" / "train", cat=1, dog=1)
    problem = problem_of(train_dir=tmp_path / "faces" / "trian")
    assert (problem.path, problem.message) == ("data.train_dir", "does not exist")
    assert problem.hint == f"did you mean {tmp_path / 'faces' / 'train'}?"
    problem = problem_of(train_dir=tmp_path / "fases" / "train")
    assert problem.hint == f"did you mean {tmp_path / 'faces'}?"
    problem = problem_of(train_dir=tmp_path / "faces" / "learning")
    assert problem.hint == f"{tmp_path / 'faces'} holds train"


def test_all_folders_are_checked_at_once(tmp_path: Path) -> None:
    problems = problems_of(train_dir=tmp_path / "one", val_dir=tmp_path / "two", test_dir=tmp_path / "three")
    assert [p.path for p in problems] == ["data.train_dir", "data.val_dir", "data.test_dir"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_text("x")
    assert problem_of(train_dir=tmp_path / "data.zip").message == "is a file, not a folder"


def test_an_empty_folder(tmp_path: Path) -> None:
    assert problem_of(train_dir=tmp_path).message == "holds no folders of classes"


def test_images_without_folders_of_classes(tmp_path: Path) -> None:
    for i in range(3):
        PICTURE.save(tmp_path / f"{i}.jpg")
    problem = problem_of(train_dir=tmp_path)
    assert problem.message == "holds 3 images, but no folders of classes"
    assert "CLASS" in (problem.allowed or "")


def test_one_class_only(tmp_path: Path) -> None:
    problem = problem_of(train_dir=folder_of(tmp_path, cat=2))
    assert (problem.path, problem.message) == ("data.train_dir", "holds one class only, 'cat'")


def test_a_class_without_images(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=2, dog=0, emu=2)
    (tmp_path / "dog" / "list.txt").write_text("x")
    problem = problem_of(train_dir=tmp_path, val_dir=tmp_path)
    assert problem.message == "holds no images of class 'dog'"
    assert ".jpg" in (problem.allowed or "")


def test_a_class_that_training_lacks(tmp_path: Path) -> None:
    folder_of(tmp_path / "train", cat=2, dog=2)
    folder_of(tmp_path / "val", cat=2, dogs=2, bird=1)
    problem = problem_of(train_dir=tmp_path / "train", val_dir=tmp_path / "val", split=Split.VALIDATION)
    assert (problem.path, problem.allowed) == ("data.val_dir", "cat, dog")
    assert problem.message == "holds folders of unknown classes: 'bird', 'dogs'"


def test_a_class_that_validation_lacks_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder_of(tmp_path / "train", cat=2, dog=2, emu=1)
    folder_of(tmp_path / "val", cat=2, emu=0)
    config = ImageFolder(train_dir=str(tmp_path / "train"), val_dir=str(tmp_path / "val"))
    assert len(config.source(Split.VALIDATION, seed=0)) == 2
    (record,) = caplog.records
    assert "no images of class 'dog', 'emu'" in record.getMessage()


def test_folders_that_are_not_set(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=2, dog=2)
    assert problem_of(train_dir=None, val_dir=tmp_path).path == "data.train_dir"
    assert problem_of(train_dir=tmp_path, split=Split.TEST).path == "data.test_dir"


def test_a_single_image_cannot_be_divided(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=2, dog=1)
    assert "a single image of class 'dog'" in problem_of(train_dir=tmp_path).message
    assert len(ImageFolder(train_dir=str(tmp_path), val_dir=str(tmp_path)).source(Split.TRAIN, seed=0)) == 3


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"classes": ["cat"]}, "data.classes"),
        ({"classes": ["cat", "cat"]}, "data.classes"),
        ({"classes": ["cat", "dog"], "positive_class": "dgo"}, "data.positive_class"),
        ({"classes": ["cat", "dog", "emu"], "positive_class": "dog"}, "data.positive_class"),
        ({"on_error": "skp"}, "data.on_error"),
        ({"validation_split": 1.0}, "data.validation_split"),
        ({"image_size": 0}, "data.image_size"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], path: str) -> None:
    problems: list[Problem] = []
    assert read(ImageFolder, settings, "data", problems) is None
    assert [p.path for p in problems] == [path]


def test_a_positive_class_that_the_folder_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'dog'") as caught:
        ImageFolder(train_dir=str(folder_of(tmp_path, cat=1, dog=1)), positive_class="dgo").resolve()
    assert [p.path for p in caught.value.problems] == ["data.positive_class"]


# Files ------------------------------------------------------------------------------------------------------


def break_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def test_all_bad_files_are_named_at_once(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=20, dog=2)
    for i in range(11):
        (tmp_path / "cat" / f"{i:02}.jpg").write_bytes(b"")
    (tmp_path / "dog" / "00.jpg").write_text("no image")
    (tmp_path / "dog" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError) as caught:
        ImageFolder(train_dir=str(tmp_path), val_dir=str(tmp_path)).source(Split.TRAIN, seed=0)
    message = str(caught.value)
    assert "13 of 23 images" in message
    assert f"{tmp_path / 'cat' / '09.jpg'}: is empty" in message
    assert "10.jpg" not in message
    assert "and 3 more" in message
    assert "data.on_error=skip" in message


def test_reasons_of_a_quick_look(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=2, dog=2)
    (tmp_path / "dog" / "00.jpg").write_text("no image")
    (tmp_path / "dog" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError) as caught:
        ImageFolder(train_dir=str(tmp_path), val_dir=str(tmp_path)).source(Split.TRAIN, seed=0)
    assert "00.jpg: is not a JPEG, PNG, BMP, WebP or GIF" in str(caught.value)
    assert "gone.jpg: No such file or directory" in str(caught.value)


def test_skip_leaves_out_whatever_cannot_be_decoded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder_of(tmp_path, cat=4, dog=3)
    (tmp_path / "cat" / "01.jpg").write_bytes(b"")
    break_off(tmp_path / "dog" / "02.jpg")
    config = ImageFolder(train_dir=str(tmp_path), val_dir=str(tmp_path), on_error="skip", image_size=8)
    source = config.source(Split.TRAIN, seed=0)
    assert [Path(p).relative_to(tmp_path).as_posix() for p in source.paths] == [
        "cat/00.jpg",
        "cat/02.jpg",
        "cat/03.jpg",
        "dog/00.jpg",
        "dog/01.jpg",
    ]
    assert labels_of(source) == [0, 0, 0, 1, 1]
    assert source.load(tf.constant(3, tf.int64))[1].numpy().tolist() == [1.0]
    (record,) = caplog.records
    message = record.getMessage()
    assert "2 of 7 images" in message
    assert str(tmp_path / "cat" / "01.jpg") in message
    assert str(tmp_path / "dog" / "02.jpg") in message


def test_skip_does_not_lose_a_whole_class(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=4, dog=1)
    break_off(tmp_path / "dog" / "00.jpg")
    with pytest.raises(DataError, match="none of class 'dog'"):
        ImageFolder(train_dir=str(tmp_path), val_dir=str(tmp_path), on_error="skip").source(
            Split.TRAIN, seed=0
        )


def test_a_file_that_breaks_off_fails_when_loaded_and_can_be_named(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=4, dog=4)
    bad = tmp_path / "dog" / "01.jpg"
    break_off(bad)
    source = ImageFolder(train_dir=str(tmp_path), val_dir=str(tmp_path), image_size=8).source(
        Split.TRAIN, seed=0
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(tf.data.Dataset.range(8).map(source.load))
    (fault,) = source.unreadable(range(8))
    assert (fault.name, fault.kind) == (str(bad), "truncated")
    assert fault.reason.endswith("Invalid JPEG data or crop window.")
    assert "{{" not in fault.reason
    assert source.unreadable([0, 4, 6]) == []
    assert source.unreadable([]) == []
    bad.unlink()
    assert "No such file" in source.unreadable([5])[0].reason


def test_load_image_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jpg.*No such file"):
        load_image(tmp_path / "nowhere.jpg", 8)


# Files to predict -------------------------------------------------------------------------------------------


def test_find_images_expands_folders_and_keeps_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder_of(tmp_path, b=2, a=1)
    (tmp_path / "b" / "notes.txt").write_text("x")
    PICTURE.save(tmp_path / "scan", format="PNG")
    found = find_images([tmp_path / "scan", str(tmp_path), tmp_path / "b" / "00.jpg"])
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ["scan", "a/00.jpg", "b/00.jpg", "b/01.jpg"]
    (record,) = caplog.records
    assert "ignored 2 file(s)" in record.getMessage()
    source = ImageFiles(found, image_size=8)
    (image,) = source.load(tf.constant(0, tf.int64))
    assert image.shape == (8, 8, 3)
    assert source.labels is None


def test_find_images_names_all_that_is_missing(tmp_path: Path) -> None:
    folder_of(tmp_path, faces=1)
    with pytest.raises(DataError) as caught:
        find_images([tmp_path / "faces" / "00.jpg", tmp_path / "fases", tmp_path / "xyz.jpg"])
    assert f"there is no {tmp_path / 'fases'}; did you mean {tmp_path / 'faces'}?" in str(caught.value)
    assert f"there is no {tmp_path / 'xyz.jpg'}" in str(caught.value)
    assert "00.jpg" not in str(caught.value)
