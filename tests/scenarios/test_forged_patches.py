"""The embedded data set: always the same, split cleanly, forged where it says so, and learnable."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from framework.config.schema import read
from framework.data.source import Split
from framework.errors import DataError, Problem
from scenarios.mesonet.data import ForgedPatches
from scenarios.mesonet.model import Meso4


def patches(split: Split, *, seed: int = 0, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    return ForgedPatches(**settings).source(split, seed=seed).numpy()


def test_the_default_set() -> None:
    for split, count in ((Split.TRAIN, 1200), (Split.VALIDATION, 300)):
        source = ForgedPatches().source(split, seed=0)
        images, labels = source.numpy()
        assert len(source) == count
        assert (images.shape, images.dtype) == ((count, 128, 128, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((count, 1), np.float32)
        assert set(np.unique(labels)) == {0, 1}
        assert labels.sum() == count / 2
        assert source.classes == ForgedPatches().classes == ("forged", "real")
        assert [source.sample_name(i).startswith("forged") for i in range(count)] == (
            labels[:, 0] == 1
        ).tolist()


def test_it_is_always_the_same_set() -> None:
    images, labels = patches(Split.TRAIN, train_samples=12)
    again, labels_again = patches(Split.TRAIN, train_samples=12, seed=7)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    np.testing.assert_array_equal(images, patches(Split.TRAIN, train_samples=20)[0][:12])
    assert not np.array_equal(images, patches(Split.VALIDATION, validation_samples=12)[0])


def test_positive_class_turns_the_labels_round() -> None:
    images, labels = patches(Split.VALIDATION, validation_samples=10)
    other_images, other_labels = patches(Split.VALIDATION, validation_samples=10, positive_class="real")
    np.testing.assert_array_equal(images, other_images)
    np.testing.assert_array_equal(labels, 1 - other_labels)


def test_there_is_no_test_split() -> None:
    with pytest.raises(DataError, match="no test split"):
        ForgedPatches().source(Split.TEST, seed=0)


@pytest.mark.parametrize("size", [32, 100, 192])
def test_image_size(size: int) -> None:
    images, _ = patches(Split.TRAIN, train_samples=6, image_size=size)
    assert images.shape == (6, size, size, 3)


@pytest.mark.parametrize("size", [31, 193])
def test_image_size_out_of_range(size: int) -> None:
    problems: list[Problem] = []
    assert read(ForgedPatches, {"image_size": size}, "data", problems) is None
    assert [problem.path for problem in problems] == ["data.image_size"]


# Where the patches come from. Without noise, the border of a patch, which no forgery touches, is found in a
# photograph. ---------


def exposed() -> list[np.ndarray]:
    """The photographs as patches without noise show them."""
    return [np.rint(0.8 * image + 25).astype(np.uint8) for image in load_sample_images().images]


def border(images: np.ndarray) -> np.ndarray:
    """The pixels of the outline of each image."""
    return np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)


def find(patch: np.ndarray, photographs: list[np.ndarray]) -> tuple[int, int, int]:
    """The photograph, row and column that a patch was cut from, by its border."""
    size = len(patch)
    found = []
    for which, photograph in enumerate(photographs):
        places = np.argwhere(np.ones((photograph.shape[0] - size + 1, photograph.shape[1] - size + 1)))
        for y, x in [(0, 0), (0, size - 1), (size - 1, 0), (size - 1, size - 1)]:  # the corners sift them
            places = places[(photograph[places[:, 0] + y, places[:, 1] + x] == patch[y, x]).all(axis=-1)]
        for top, left in places.tolist():
            place = photograph[top : top + size, left : left + size]
            if np.array_equal(border(place[None]), border(patch[None])):
                found.append((which, top, left))
    assert len(found) == 1
    return found[0]


def test_no_pixel_is_in_both_splits() -> None:
    photographs = exposed()
    seen = {
        split: [np.zeros(p.shape[:2], bool) for p in photographs] for split in (Split.TRAIN, Split.VALIDATION)
    }
    tiles: dict[Split, set[tuple[int, int, int]]] = {split: set() for split in seen}
    for split in seen:
        for image in patches(split, noise=0.0, train_samples=80, validation_samples=40)[0]:
            which, top, left = find(image, photographs)
            seen[split][which][top : top + 128, left : left + 128] = True
            tiles[split].add((which, top // 213, left // 213))
    for which in range(2):
        assert not (seen[Split.TRAIN][which] & seen[Split.VALIDATION][which]).any()
    assert tiles[Split.VALIDATION] == {(0, 0, 1), (1, 0, 1)}
    assert (
        tiles[Split.TRAIN]
        == {(w, r, c) for w in (0, 1) for r in (0, 1) for c in (0, 1, 2)} - tiles[Split.VALIDATION]
    )


def test_only_forged_patches_differ_from_the_photographs() -> None:
    photographs = exposed()
    images, labels = patches(Split.TRAIN, noise=0.0, train_samples=40)
    for image, label in zip(images, labels[:, 0], strict=True):
        which, top, left = find(image, photographs)
        changed = (image != photographs[which][top : top + 128, left : left + 128]).any(axis=-1).mean()
        # Ellipses with radii of 0.3 to 0.45 of the patch: 28 % to 64 % of its area.
        assert 0.2 < changed < 0.65 if label else changed == 0


def test_the_noise_is_that_of_the_setting_and_a_forgery_lacks_it() -> None:
    silent, labels = patches(Split.TRAIN, noise=0.0, train_samples=60)
    noisy, _ = patches(Split.TRAIN, noise=8.0, train_samples=60)
    # The same places, for only the noise differs; the seed has drawn both.
    difference = noisy.astype(float) - silent
    assert 7.5 < border(difference).std() < 8.5
    forged, real = difference[labels[:, 0] == 1], difference[labels[:, 0] == 0]
    assert 7.5 < real.std() < 8.5
    middle = forged[:, 59:69, 59:69]  # all ellipses cover the middle, and most of them fully
    assert np.median(middle.std(axis=(1, 2, 3))) < 3


# Learning ---------------------------------------------------------------------------------------------------


def recalibrated(model: keras.Model, images: np.ndarray) -> keras.Model:
    """The model with BatchNorm statistics that are the mean over 20 batches, without dropout."""
    calm = Meso4(image_size=128, dropout=0.0).build(classes=2)
    calm.set_weights(model.get_weights())
    norms = [layer for layer in calm.layers if isinstance(layer, keras.layers.BatchNormalization)]
    order = np.random.default_rng(0).permutation(len(images))
    for k in range(20):
        for norm in norms:
            norm.momentum = k / (k + 1)
        calm(images[order[32 * k : 32 * (k + 1)]].astype("float32"), training=True)
    return calm


@pytest.mark.long
def test_meso4_learns_it() -> None:
    keras.utils.set_random_seed(0)
    images, labels = patches(Split.TRAIN)
    model = Meso4(image_size=128).build(classes=2)
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    model.fit(images.astype("float32"), labels, batch_size=32, epochs=10, verbose=0)
    images_seen = images
    images, labels = patches(Split.VALIDATION)
    probability = recalibrated(model, images_seen).predict(images, batch_size=100, verbose=0)
    assert ((probability > 0.5) == labels).mean() >= 0.95
