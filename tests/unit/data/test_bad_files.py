"""Fifteen kinds of image files that are not as they should be: each is told apart before training, and left
out or answered by name."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from framework.data.image_files import load_image
from framework.data.images import ImageFolder
from framework.data.source import ArraySource, Fault, Split
from framework.data.subset import Subset
from framework.errors import DataError
from framework.evaluation.validate_data import check_data, write_faults
from framework.scenario import Scenario, compose
from framework.splits import prepare_source
from tests.unit.data.test_images import PHOTO, folder_of, save


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG, PNG, BMP = encoded(PHOTO, "JPEG"), encoded(PHOTO, "PNG"), encoded(PHOTO, "BMP")

# What cannot be used.
FATAL: dict[str, tuple[str, bytes]] = {
    "zero bytes.jpg": ("empty", b""),
    "cut off.jpg": ("truncated", JPEG[: len(JPEG) // 2]),
    "cut off.png": ("truncated", PNG[: len(PNG) // 2]),
    "cut off.bmp": ("truncated", BMP[:-50]),
    "a text.jpg": ("not an image", b"This is a text, whatever its suffix says."),
    "hurt.png": ("damaged", PNG[:60] + bytes(20) + PNG[80:]),
}
# What can be used, and how it is unusual.
UNUSUAL: dict[str, tuple[str | None, bytes]] = {
    "cmyk.jpg": ("CMYK", encoded(PHOTO.convert("CMYK"), "JPEG")),
    "a png.jpg": ("suffix of another format", PNG),
    "16 bits.png": ("16 bits", tf.io.encode_png(np.zeros((40, 40, 3), np.uint16)).numpy()),
    "animation.gif": (
        "animation",
        encoded(PHOTO.quantize(64), "GIF", save_all=True, append_images=[Image.new("P", (40, 40))]),
    ),
    "one pixel.png": ("tiny", encoded(PHOTO.resize((1, 1)), "PNG")),
    "wide.png": ("huge", encoded(Image.new("RGB", (20_000, 9)), "PNG")),
    "zwölf 🐱 名前.png": (None, PNG),
}
LINKS: dict[str, tuple[str, str]] = {
    "loop.jpg": ("link loop", "loop.jpg"),
    "gone.jpg": ("broken link", "nowhere.jpg"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sound images of two classes, and one file of each kind in the first."""
    folder_of(tmp_path, cat=4, dog=4)
    for name, (_, content) in (FATAL | UNUSUAL).items():
        (tmp_path / "cat" / name).write_bytes(content)
    for name, (_, target) in LINKS.items():
        (tmp_path / "cat" / name).symlink_to(target)
    (tmp_path / "cat" / "back").symlink_to(tmp_path / "cat")
    return tmp_path


def scenario_on(folder: Path, *words: str) -> Scenario:
    return compose(
        "scenario=mesonet", "data=image_folder", f"data.train_dir={folder}", f"data.val_dir={folder}", *words
    )


def test_a_pipe_and_a_device_are_told_and_never_opened(tmp_path: Path) -> None:
    folder_of(tmp_path, cat=3, dog=3)
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    (tmp_path / "dog" / "zero.png").symlink_to("/dev/zero")
    names = {"pipe.jpg", "zero.png"}
    with pytest.raises(
        DataError, match=r"(?s)pipe\.jpg: is a pipe or a device.*zero\.png: is a pipe or a device"
    ):
        scenario_on(tmp_path).source(Split.TRAIN)
    skipping = scenario_on(tmp_path, "data.on_error=skip")
    assert len(skipping.source(Split.TRAIN)) == 6
    train, _ = check_data(scenario_on(tmp_path))
    assert {(os.path.basename(fault.name), fault.kind) for fault in train.faults if fault.fatal} == {
        (n, "no file") for n in names
    }
    source = skipping.prediction_source([tmp_path / "cat"])
    assert [os.path.basename(fault.name) for fault in source.unreadable(range(len(source)))] == ["pipe.jpg"]
    assert [fault.kind for fault in Subset(source, range(len(source))).unreadable(range(len(source)))] == [
        "no file"
    ]
    with pytest.raises(DataError, match="is a pipe or a device"):
        load_image(tmp_path / "cat" / "pipe.jpg", 32)


def test_every_kind_is_told_apart(folder: Path) -> None:
    train, validation = check_data(scenario_on(folder))
    found = {os.path.basename(fault.name): (fault.kind, fault.fatal) for fault in train.faults}
    expected = {name: (kind, True) for name, (kind, _) in (FATAL | LINKS).items()}
    expected |= {name: (kind, False) for name, (kind, _) in UNUSUAL.items() if kind}
    assert found == expected
    assert train.samples == 8 + len(FATAL) + len(UNUSUAL) + len(LINKS)
    assert train.faults == [fault for fault in validation.faults if fault.kind != "duplicate in train"]
    assert train.kinds()[:2] == [("truncated", 3, True), ("broken link", 1, True)]
    assert all(fault.name.startswith(str(folder)) for fault in train.faults)


def test_skip_leaves_out_what_cannot_be_used_and_keeps_what_is_unusual(folder: Path) -> None:
    source = ImageFolder(train_dir=str(folder), val_dir=str(folder), on_error="skip", image_size=16).source(
        Split.TRAIN, seed=0
    )
    assert {
        os.path.basename(path)
        for path in source.paths
        if "/cat/" in path and "0" not in os.path.basename(path)
    } | {"16 bits.png"} == set(UNUSUAL)
    for index in range(len(source)):
        assert source.load(tf.constant(index, tf.int64))[0].shape == (16, 16, 3)


@pytest.mark.parametrize("name", [*FATAL, *LINKS])
def test_fail_names_the_file(folder: Path, name: str) -> None:
    """By a quick look before training, or, where only its end is missing, when it is loaded."""
    for other in [*FATAL, *LINKS]:
        if other != name:
            (folder / "cat" / other).unlink()
    scenario = scenario_on(folder, "data.image_size=32")
    with pytest.raises(DataError, match=r"1 of .* cannot be") as caught:
        prepare_source(scenario, Split.TRAIN)
    assert str(folder / "cat" / name) in str(caught.value)


def test_what_was_found_is_written_as_csv(folder: Path, tmp_path: Path) -> None:
    write_faults(check_data(scenario_on(folder)), tmp_path / "faults.csv")
    lines = [
        line
        for line in (tmp_path / "faults.csv").read_text().splitlines()
        if ",duplicate in train," not in line
    ]
    assert lines[0] == "split,sample,kind,reason,usable"
    assert f"train,{folder}/cat/zero bytes.jpg,empty,is empty,no" in lines
    assert len(lines) == 1 + 2 * (
        len(FATAL) + len(LINKS) + sum(kind is not None for kind, _ in UNUSUAL.values())
    )


def test_numbers_that_are_not_finite_are_found_in_any_source() -> None:
    points = np.zeros((5, 2), "float32")
    points[3, 1] = np.inf
    labels = np.array([0, 1, np.nan, 1, 0], "float32")
    source = ArraySource(({"points": points, "number": np.arange(5)}, labels))
    expected = [
        Fault("sample 2", "not finite", "holds NaN or infinity"),
        Fault("sample 3", "not finite", "holds NaN or infinity"),
    ]
    assert list(source.inspect(range(5))) == expected
    assert list(Subset(source, [4, 3]).inspect(range(2))) == expected[1:]
    assert source.unreadable(range(5)) == []


@pytest.mark.parametrize("change", [None, "rename", "label", "remove", "move"])
def test_a_fingerprint_tells_samples_from_others_and_knows_a_moved_folder(
    tmp_path: Path, change: str | None
) -> None:
    def fingerprint(folder: Path) -> str:
        return (
            ImageFolder(train_dir=str(folder), val_dir=str(folder)).source(Split.TRAIN, seed=0).fingerprint()
        )

    folder = folder_of(tmp_path / "a", cat=3, dog=3)
    before = fingerprint(folder)
    changes: dict[str | None, Callable[[], object]] = {
        None: lambda: save(folder / "cat" / "00.png", PHOTO.resize((9, 9))),
        "rename": lambda: (folder / "cat" / "00.png").rename(folder / "cat" / "03.png"),
        "label": lambda: (folder / "cat" / "00.png").rename(folder / "dog" / "03.png"),
        "remove": lambda: (folder / "cat" / "00.png").unlink(),
        "move": lambda: folder.rename(tmp_path / "b"),
    }
    changes[change]()
    same = fingerprint(tmp_path / "b" if change == "move" else folder) == before
    assert same == (change in (None, "move"))
