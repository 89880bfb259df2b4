"""Image folders: every format in, the right samples out, and bad data named."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from framework.config.schema import read, to_plain
from framework.data import images
from framework.data.image_faults import quick_faults
from framework.data.images import ImageFiles, ImageFolder, load_image
from framework.data.source import Split
from framework.errors import ConfigError, DataError, Problem

COLOURS = (np.add.outer(np.arange(40) * 3, np.arange(40) * 2)[..., None] + np.array([0, 40, 15])).astype(
    np.uint8
)
PHOTO = Image.fromarray(COLOURS)


def save(path: Path, image: Image.Image = PHOTO, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def folder_of(root: Path, **classes: int) -> Path:
    """A folder with that many small images of each class, all different."""
    for number, (name, count) in enumerate(classes.items()):
        for i in range(count):
            image = PHOTO.resize((8, 8))
            image.putpixel((0, 0), (number, i, 0))
            save(root / name / f"{i:02}.png", image)
    return root


def names(source: ImageFiles, root: Path) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in source.paths]


def labels_of(source: ImageFiles) -> list[int]:
    assert source.labels is not None
    return source.labels.tolist()


def train_source(root: Path, **settings: Any) -> ImageFiles:
    return ImageFolder(train_dir=str(root), val_dir=str(root), **settings).source(Split.TRAIN, seed=0)


def config_problem(config: ImageFolder, split: Split = Split.TRAIN) -> Problem:
    with pytest.raises(ConfigError) as caught:
        config.source(split, seed=0)
    (problem,) = caught.value.problems
    return problem


# Formats ----------------------------------------------------------------------------------------------------


def with_alpha() -> Image.Image:
    alpha = np.zeros((40, 40), np.uint8)
    alpha[:, 20:] = 128
    return Image.merge("RGBA", [*PHOTO.split(), Image.fromarray(alpha)])


FORMATS: dict[str, tuple[Image.Image, dict[str, Any], int]] = {
    "photo.jpg": (PHOTO, {"quality": 95}, 5),
    "progressive.jpg": (PHOTO, {"quality": 95, "progressive": True}, 5),
    "grey.jpg": (PHOTO.convert("L"), {}, 2),
    "cmyk.jpg": (PHOTO.convert("CMYK"), {"quality": 95}, 20),
    "colour.png": (PHOTO, {}, 0),
    "grey.png": (PHOTO.convert("L"), {}, 0),
    "grey_alpha.png": (PHOTO.convert("LA"), {}, 0),
    "palette.png": (PHOTO.quantize(64), {}, 0),
    "black_and_white.png": (PHOTO.convert("1"), {}, 0),
    "alpha.png": (with_alpha(), {}, 0),
    "colour.bmp": (PHOTO, {}, 0),
    "grey.bmp": (PHOTO.convert("L"), {}, 0),
    "palette.bmp": (PHOTO.quantize(64), {}, 0),
    "alpha.bmp": (with_alpha(), {}, 0),
    "lossy.webp": (PHOTO, {"quality": 90}, 1),
    "lossless.webp": (PHOTO, {"lossless": True}, 0),
    "alpha.webp": (with_alpha(), {"lossless": True, "exact": True}, 0),
    "lossy_alpha.webp": (with_alpha(), {"quality": 90, "exact": True}, 1),
    "animation_alpha.webp": (
        with_alpha(),
        {"save_all": True, "append_images": [Image.new("RGBA", (40, 40))], "lossless": True, "exact": True},
        0,
    ),
    "picture.gif": (PHOTO.quantize(64), {}, 0),
    "animation.gif": (
        PHOTO.quantize(64),
        {"save_all": True, "append_images": [Image.new("RGB", (40, 40))]},
        0,
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_becomes_rgb(tmp_path: Path, name: str) -> None:
    image, options, tolerance = FORMATS[name]
    path = save(tmp_path / name, image, **options)
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGB")).astype(int)
    loaded = load_image(path, 40)
    assert loaded.dtype == np.uint8
    assert loaded.shape == (40, 40, 3)
    assert np.abs(loaded - expected).max() <= tolerance
    assert not quick_faults([str(path)])


def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(tf.io.encode_png(COLOURS.astype(np.uint16) * 256 + 77).numpy())
    np.testing.assert_array_equal(load_image(path, 40), COLOURS)


def test_the_content_tells_the_format_and_not_the_suffix(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "really_png.jpg", format="PNG")
    save(tmp_path / "dog" / "really_webp.gif", format="WEBP", lossless=True)
    source = train_source(tmp_path, image_size=40)
    for i in range(2):
        np.testing.assert_array_equal(source.load(tf.constant(i, tf.int64))[0], COLOURS)


def test_an_animated_webp_without_alpha_is_refused(tmp_path: Path) -> None:
    path = save(
        tmp_path / "moving.webp", save_all=True, append_images=[Image.new("RGB", (40, 40))], lossless=True
    )
    with pytest.raises(DataError, match=r"moving\.webp.*Animation"):
        load_image(path, 40)


# Samples ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 256, 520])
def test_resizing_is_bilinear_and_smooth_where_much_is_lost(
    tmp_path: Path, shared_data: Path, size: int
) -> None:
    face = sorted((shared_data / "faces" / "train" / "real").iterdir())[0]
    with Image.open(face) as image:
        expected = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)).astype(
            int
        )
    assert np.abs(load_image(face, size) - expected).mean() < 1


def test_fine_patterns_become_grey_and_not_noise(tmp_path: Path) -> None:
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = load_image(save(tmp_path / "board.png", Image.fromarray(board)), 60)
    assert np.abs(small.astype(int) - 127).max() < 12


def test_a_pipeline_loads_the_same_bits_as_load_image(tmp_path: Path, shared_data: Path) -> None:
    faces = sorted((shared_data / "faces" / "val" / "fake").iterdir())[:8]
    for size in (96, 256, 400):
        source = ImageFiles(faces, image_size=size)
        loaded = list(tf.data.Dataset.range(8).map(source.load, num_parallel_calls=4).as_numpy_iterator())
        for (image,), face in zip(loaded, faces, strict=True):
            np.testing.assert_array_equal(image, load_image(face, size))


@pytest.mark.parametrize(
    ("positive", "expected"), [(None, [0, 0, 1]), ("dog", [0, 0, 1]), ("cat", [1, 1, 0])]
)
def test_two_classes_have_one_float_as_target(
    tmp_path: Path, positive: str | None, expected: list[float]
) -> None:
    source = train_source(folder_of(tmp_path, cat=2, dog=1), image_size=8, positive_class=positive)
    spec = tf.data.Dataset.range(3).map(source.load).element_spec
    assert spec == (tf.TensorSpec([8, 8, 3], tf.uint8), tf.TensorSpec([1], tf.float32))
    assert [source.load(tf.constant(i, tf.int64))[1].numpy().tolist() for i in range(3)] == [
        [float(e)] for e in expected
    ]
    assert source.classes == ("cat", "dog")
    assert labels_of(source) == [0, 0, 1]


def test_more_classes_have_their_index_as_target(tmp_path: Path) -> None:
    source = train_source(folder_of(tmp_path, cat=1, dog=2, emu=1), image_size=8)
    assert tf.data.Dataset.range(4).map(source.load).element_spec[1] == tf.TensorSpec([], tf.int32)
    assert [int(source.load(tf.constant(i, tf.int64))[1]) for i in range(4)] == [0, 1, 1, 2]


def test_samples_are_in_the_byte_order_of_their_paths(tmp_path: Path) -> None:
    hidden = ("b/.hidden.png", "b/.trash/a.png", ".git/a.png")
    for name in ("b/z.png", "b/Z.PNG", "b/deep/er/a.png", "b-2/a.png", "b/ä.png", *hidden):
        save(tmp_path / name, format="PNG")
    source = train_source(tmp_path)
    assert names(source, tmp_path) == ["b-2/a.png", "b/Z.PNG", "b/deep/er/a.png", "b/z.png", "b/ä.png"]
    assert source.sample_name(0) == str(tmp_path / "b-2" / "a.png")
    assert source.classes == ("b", "b-2")
    assert labels_of(source) == [1, 0, 0, 0, 0]


def test_other_files_are_ignored_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder_of(tmp_path, cat=5, dog=5)
    for name in ("labels.csv", "cat/Thumbs.db", "dog/notes.txt"):
        (tmp_path / name).write_text("x")
    config = ImageFolder(train_dir=str(tmp_path))
    assert sum(len(config.source(split, seed=0)) for split in (Split.TRAIN, Split.VALIDATION)) == 10
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("framework", logging.WARNING)
    assert "ignored 3 file(s)" in record.getMessage()
    assert str(tmp_path / "cat" / "Thumbs.db") in record.getMessage()


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    folder_of(tmp_path / "data", cat=1, dog=1)
    save(tmp_path / "elsewhere" / "linked.png")
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cat" / "loop").symlink_to(tmp_path / "data" / "cat")
    (tmp_path / "data" / "dog" / "up").symlink_to(tmp_path / "data" / "dog")
    assert names(train_source(tmp_path / "data"), tmp_path / "data") == [
        "cat/00.png",
        "cat/more/linked.png",
        "dog/00.png",
    ]


@pytest.mark.skipif(os.name == "nt", reason="file names are bytes on POSIX alone")
def test_a_name_that_is_no_text_is_read_all_the_same(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=1, dog=1)
    (tmp_path / "cat" / "00.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/cat/\xff.png"))
    assert train_source(tmp_path, image_size=8).load(tf.constant(0, tf.int64))[0].shape == (8, 8, 3)


# Splits and classes -----------------------------------------------------------------------------------------


def test_without_val_dir_a_part_of_each_class_is_held_out(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=20, dog=10, emu=2)
    config = ImageFolder(train_dir=str(tmp_path), validation_split=0.3)
    train, validation = (names(config.source(s, seed=4), tmp_path) for s in (Split.TRAIN, Split.VALIDATION))
    assert sorted(train + validation) == sorted(
        p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")
    )
    assert [sum(n.startswith(c) for n in validation) for c in ("cat", "dog", "emu")] == [6, 3, 1]
    assert names(config.source(Split.VALIDATION, seed=4), tmp_path) == validation
    assert names(config.source(Split.VALIDATION, seed=5), tmp_path) != validation


@pytest.mark.parametrize("part", [0.01, 0.99])
def test_each_class_is_on_either_side(tmp_path: Path, part: float) -> None:
    folder_of(tmp_path, cat=5, dog=2)
    config = ImageFolder(train_dir=str(tmp_path), validation_split=part)
    for split in (Split.TRAIN, Split.VALIDATION):
        assert set(labels_of(config.source(split, seed=0))) == {0, 1}


def test_a_divided_folder_is_listed_and_its_files_are_opened_once_for_both_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path, cat=5, dog=5)
    config = ImageFolder(train_dir=str(tmp_path), validation_split=0.4, on_error="fail").resolve()
    assert config.resolve() is config
    opened: Counter[str] = Counter()
    monkeypatch.setattr(images, "quick_faults", lambda paths: opened.update(list(paths)) or ())
    parts = [names(config.source(split, seed=0), tmp_path) for split in (Split.TRAIN, Split.VALIDATION)]
    assert [len(part) for part in parts] == [6, 4]
    assert sorted(opened.values()) == [1] * 10


def test_resolve_records_what_later_commands_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path / "train", cat=2, dog=2)
    folder_of(tmp_path / "test", dog=3, cat=1)
    monkeypatch.chdir(tmp_path)
    resolved = ImageFolder(train_dir="train", test_dir="test").resolve()
    assert (resolved.classes, resolved.positive_class, resolved.val_dir) == (("cat", "dog"), "dog", None)
    monkeypatch.chdir("/")
    (tmp_path / "train").rename(tmp_path / "gone")
    problems: list[Problem] = []
    plain = to_plain(resolved)
    plain.pop("name", None)  # it has one where a scenario has registered it
    again = read(ImageFolder, plain, "data", problems)
    assert again is not None
    assert again.resolve() == resolved
    assert labels_of(again.source(Split.TEST, seed=0)) == [0, 1, 1, 1]


def test_the_shared_faces(shared_data: Path) -> None:
    config = ImageFolder(
        train_dir=str(shared_data / "faces/train"), val_dir=str(shared_data / "faces/val")
    ).resolve()
    sizes = [len(config.source(split, seed=0)) for split in (Split.TRAIN, Split.VALIDATION)]
    assert sizes == [902, 387]
    assert config.classes == ("fake", "real")
