"""The pixels of a photograph: a JPEG to the values that Pillow gives, turned upright as its EXIF data say;
and as earlier runs read it."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from framework.config.changes import check_changes
from framework.config.run_config import parse
from framework.data.exif import orientation_of
from framework.data.image_faults import remarks_on
from framework.data.images import ImageFiles, load_image
from framework.errors import ConfigError, RunDirectoryError
from framework.run.config_file import FORMAT, config_text, read_config
from framework.scenario import compose
from tests.unit.data.test_images import folder_of

CHINA, FLOWER = load_sample_images().images
HEIGHT, WIDTH = 96, 131
PHOTO = Image.fromarray(CHINA[100 : 100 + HEIGHT, 200 : 200 + WIDTH])


def exif_data(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    """A TIFF directory with a width and an orientation in it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    value = struct.pack(
        order + ("I" if kind == 4 else "HH"), *([orientation] if kind == 4 else [orientation, 0])
    )
    width = struct.pack(order + "HHII", 0x0100, 4, 1, WIDTH)
    return (
        head
        + struct.pack(order + "H", 2)
        + width
        + struct.pack(order + "HHI", 0x0112, kind, 1)
        + value
        + bytes(4)
    )


def encoded(kind: str, exif: bytes = b"", **options: Any) -> bytes:
    buffer = io.BytesIO()
    PHOTO.save(buffer, kind, **({"exif": b"Exif\0\0" + exif} if exif else {}), **options)
    return buffer.getvalue()


def pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# How a JPEG is decoded --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}], ids=str
)
def test_a_jpeg_has_the_values_of_pillow(tmp_path: Path, options: dict[str, Any]) -> None:
    path = written(tmp_path / "photo.jpg", encoded("JPEG", quality=80, **options))
    size = (HEIGHT, WIDTH)
    np.testing.assert_array_equal(load_image(path, size), pillow(path))
    assert (load_image(path, size, jpeg="fast") != pillow(path)).any()


def test_real_faces_have_the_values_of_pillow(shared_data: Path) -> None:
    for face in sorted((shared_data / "faces" / "val" / "real").iterdir())[:5]:
        np.testing.assert_array_equal(load_image(face, pillow(face).shape[:2]), pillow(face))


# Which way up it is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "order", "number"),
    [("JPEG", "<", 3), ("JPEG", ">", 3), ("JPEG", ">", 4), ("PNG", ">", 3), ("WEBP", "<", 3)],
)
def test_each_orientation_is_applied_as_pillow_does(
    tmp_path: Path, kind: str, order: str, number: int
) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    shapes = set()
    for orientation in range(10):  # 0 and 9 mean nothing
        path = written(
            tmp_path / f"{orientation}.img", encoded(kind, exif_data(orientation, order, number), **options)
        )
        expected = pillow(path)
        np.testing.assert_array_equal(load_image(path, expected.shape[:2]), expected)
        np.testing.assert_array_equal(
            load_image(path, (HEIGHT, WIDTH), exif="ignore"), load_image(tmp_path / "0.img", (HEIGHT, WIDTH))
        )
        assert orientation_of(path.read_bytes()) == (orientation if 1 <= orientation <= 8 else 1)
        shapes.add(expected.shape)
    assert len(shapes) == 2


@pytest.mark.parametrize("size", [40, (30, 70), (200, 150)], ids=str)
def test_a_turned_image_is_resized_as_one_that_was_stored_upright(
    tmp_path: Path, size: int | tuple[int, int]
) -> None:
    for orientation in (3, 5, 6, 8):
        path = written(tmp_path / "turned.png", encoded("PNG", exif_data(orientation)))
        Image.fromarray(pillow(path)).save(tmp_path / "upright.png")
        turned, upright = load_image(path, size).astype(int), load_image(tmp_path / "upright.png", size)
        assert np.abs(turned - upright).max() <= 1
        assert (turned == upright).mean() > 0.99


def test_a_pipeline_turns_some_images_and_leaves_others(tmp_path: Path) -> None:
    files = [
        written(tmp_path / f"{i}.jpg", encoded("JPEG", exif_data(orientation) if orientation else b""))
        for i, orientation in enumerate([0, 6, 1, 3, 0, 8, 5, 0])
    ]
    source = ImageFiles(files, image_size=(50, 60))
    loaded = list(tf.data.Dataset.range(8).map(source.load, num_parallel_calls=4).as_numpy_iterator())
    for (image,), file in zip(loaded, files, strict=True):
        np.testing.assert_array_equal(image, load_image(file, (50, 60)))


DAMAGES = {
    "cut off in the head": exif_data(6)[:6],
    "cut off before the entry": exif_data(6)[:20],
    "no TIFF": b"XX*\0" + exif_data(6)[4:],
    "a directory beyond the end": b"II*\0\xff\xff\xff\xff",
    "another type": exif_data(6).replace(
        struct.pack("<HHI", 0x0112, 3, 1), struct.pack("<HHI", 0x0112, 2, 1)
    ),
    "nothing": b"II*\0",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_exif_turns_nothing(tmp_path: Path, what: str) -> None:
    path, plain = (
        written(tmp_path / "a.jpg", encoded("JPEG", DAMAGES[what])),
        written(tmp_path / "b.jpg", encoded("JPEG")),
    )
    np.testing.assert_array_equal(load_image(path, 64), load_image(plain, 64))


def test_exif_is_found_behind_other_segments_and_not_in_what_only_looks_like_it() -> None:
    content, data = encoded("JPEG"), b"Exif\0\0" + exif_data(8)
    segment = b"\xff\xff\xe1" + struct.pack(">H", 2 + len(data)) + data
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(data)) + data
    assert orientation_of(content[:2] + comment + segment + content[2:]) == 8
    assert orientation_of(content[:2] + comment + content[2:]) == 1
    assert orientation_of(content + segment) == 1
    for end in range(0, 200, 7):
        assert orientation_of((content[:2] + segment + content[2:])[:end]) in (1, 8)


def test_what_is_turned_is_named(tmp_path: Path) -> None:
    path = str(written(tmp_path / "a.jpg", encoded("JPEG", exif_data(6))))
    (applied,), (ignored,) = remarks_on(path), remarks_on(path, exif="ignore")
    assert (applied.kind, applied.fatal) == ("rotated by EXIF", False)
    assert applied.reason == "is rotated by 90 degrees clockwise, as its EXIF data say"
    assert ignored.reason == "is not rotated by 90 degrees clockwise, though its EXIF data say so"


# What runs record, and earlier ones were made with ----------------------------------------------------------


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    folder_of(tmp_path / "images", cat=2, dog=2)
    return [
        "scenario=mesonet",
        "data=image_folder",
        f"data.train_dir={tmp_path}/images",
        f"data.val_dir={tmp_path}/images",
    ]


def test_a_run_of_the_first_format_goes_on_with_the_pixels_of_then(tmp_path: Path, words: list[str]) -> None:
    scenario = compose(*words)
    assert (scenario.data.exif, scenario.data.jpeg) == ("apply", "accurate")
    lines = config_text(scenario.config).splitlines()
    earlier = [line for line in lines if not line.startswith(("# sha256", "  exif:", "  jpeg:", "  rename:"))]
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(earlier).replace(f"format: {FORMAT}", "format: 1") + "\n")
    data: Any = parse(read_config(path)).data
    assert (data.exif, data.jpeg) == ("ignore", "fast")
    photo = written(tmp_path / "a.jpg", encoded("JPEG", exif_data(6)))
    (image,) = data.files([photo]).load(tf.constant(0, tf.int64))
    then = tf.image.resize(
        tf.io.decode_image(photo.read_bytes(), channels=3, expand_animations=False), [256, 256]
    )
    np.testing.assert_array_equal(image, tf.cast(tf.round(then), tf.uint8))
    path.write_text("\n".join(lines).replace(f"format: {FORMAT}", f"format: {FORMAT + 1}") + "\n")
    with pytest.raises(
        RunDirectoryError, match=rf"format {FORMAT + 1}, and this version .* reads formats 1 to {FORMAT}"
    ):
        read_config(path)


def test_a_run_that_has_begun_keeps_its_pixels() -> None:
    with pytest.raises(ConfigError) as caught:
        check_changes(
            {"data.exif": ("ignore", "apply"), "data.jpeg": ("fast", "accurate"), "data.workers": (None, 2)}
        )
    assert [problem.path for problem in caught.value.problems] == ["data.exif", "data.jpeg"]


@pytest.mark.parametrize("word", ["data.exif=ignore", "data.jpeg=fast", "data.image_size=[64,32]"])
def test_what_is_predicted_is_read_as_the_training_images(
    tmp_path: Path, words: list[str], word: str
) -> None:
    photo = written(tmp_path / "a.jpg", encoded("JPEG", exif_data(6)))
    scenario = compose(*words, word)
    source: Any = scenario.prediction_source([photo])
    (image,) = source.load(tf.constant(0, tf.int64))
    data = scenario.data
    np.testing.assert_array_equal(image, load_image(photo, data.image_size, exif=data.exif, jpeg=data.jpeg))
    if word != "data.image_size=[64,32]":
        assert (image.numpy() != load_image(photo, data.image_size)).any()


# Images that are not square ---------------------------------------------------------------------------------


def test_a_model_of_images_that_are_not_square(words: list[str]) -> None:
    scenario = compose(
        *words, "model=meso1", "data.image_size=[32,64]", "scenario.augment=true", "data.classes=[cat,dog]"
    )
    model = scenario.build_model()
    assert model.input_shape == (None, 32, 64, 3)
    images = np.stack([FLOWER[:32, :64], CHINA[:32, :64]])
    augmented, _ = scenario.augment(
        (tf.constant(images), tf.zeros([2, 1])), tf.constant([[1, 2], [3, 4]], tf.int64)
    )
    assert augmented.shape == images.shape
    assert model(augmented).shape == (2, 1)


@pytest.mark.parametrize("size", ["0", "[32]", "[32,64,3]", "[32,0]", "x", "[]", "1e9", "1.5"])
def test_what_is_no_size(words: list[str], size: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(*words, f"data.image_size={size}")
    assert {problem.path.partition("[")[0] for problem in caught.value.problems} <= {
        "data.image_size",
        "model.image_size",
    }
    assert "whole number" in str(caught.value)
