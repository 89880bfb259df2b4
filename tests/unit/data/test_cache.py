"""The cache: the same bits as loading, within its limit, with everything else that the original has."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from framework.data.cache import CachedSource, cached
from framework.data.images import ImageFiles
from framework.data.source import ArraySource, Source
from framework.data.stream import in_order
from framework.errors import DataError


class Squares(Source):
    """Numbers and their squares; each load is counted, so that a test sees what is loaded."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.loads = tf.Variable(0, dtype=tf.int64)

    def __len__(self) -> int:
        return self.size

    def load(self, index: tf.Tensor) -> Any:
        self.loads.assign_add(1)
        return {"number": index, "pair": tf.stack([index, index * index])}, tf.cast(index, tf.float32)


@pytest.fixture
def photos(tmp_path: Path) -> ImageFiles:
    rng = np.random.default_rng(0)
    paths = []
    for i in range(150):
        path = tmp_path / f"{i:03}.jpg"
        Image.fromarray(rng.integers(0, 256, (20 + i % 5, 30, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    return ImageFiles(
        paths, image_size=16, labels=[i % 2 for i in range(150)], classes=("cat", "dog"), positive_class="cat"
    )


def batches(source: Source) -> list[Any]:
    return [tf.nest.map_structure(lambda t: t.numpy(), batch) for batch in in_order(source, batch_size=64)]


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_the_same_bits_as_loading(photos: ImageFiles, workers: int | None) -> None:
    memory = cached(photos, None, workers)
    assert isinstance(memory, CachedSource)
    for kept, loaded in zip(batches(memory), batches(photos), strict=True):
        for a, b in zip(kept, loaded, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_each_sample_is_loaded_once_and_never_again() -> None:
    source = Squares(200)
    memory = cached(source, None, 2)
    at_first = int(source.loads)
    assert at_first == 201  # and the first, to know how large a sample is
    (inputs, target) = batches(memory)[-1]
    np.testing.assert_array_equal(inputs["pair"], [[i, i * i] for i in range(192, 200)])
    np.testing.assert_array_equal(inputs["number"], target)
    assert int(source.loads) == at_first


def test_what_does_not_fit_is_not_kept(photos: ImageFiles) -> None:
    size = 150 * (16 * 16 * 3 + 4)
    assert cached(photos, size - 1, None) is photos
    assert isinstance(cached(photos, size, None), CachedSource)


def test_it_has_what_the_original_has(photos: ImageFiles) -> None:
    memory: Any = copy.copy(cached(photos, None, None))
    assert memory.classes == ("cat", "dog")
    assert memory.paths == photos.paths
    assert memory.sample_name(7) == photos.paths[7]
    assert len(memory) == 150
    assert memory.batched
    with pytest.raises(AttributeError, match="nonsense"):
        memory.nonsense  # noqa: B018


def test_what_is_in_memory_already_stays_as_it_is() -> None:
    source = ArraySource(np.arange(3))
    assert cached(source, None, None) is source


def test_unreadable_samples_are_named(photos: ImageFiles) -> None:
    with open(photos.paths[100], "r+b") as file:
        file.truncate(200)
    with open(photos.paths[120], "w") as file:
        file.write("no image")
    with pytest.raises(DataError) as caught:
        cached(photos, None, None)
    assert "2 of 150" in str(caught.value)
    assert photos.paths[100] in str(caught.value)
    assert photos.paths[120] in str(caught.value)
    assert photos.paths[119] not in str(caught.value)


def test_an_unreadable_first_sample_is_named(photos: ImageFiles) -> None:
    with open(photos.paths[0], "r+b") as file:
        file.truncate(0)
    with pytest.raises(DataError, match=r"000\.jpg: is empty"):
        cached(photos, 10**9, None)
