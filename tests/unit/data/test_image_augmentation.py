"""Degradations in training: each has its part of the images and its range, and none moves a bit while it is off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from framework.config.schema import read
from framework.data.augment import AffineAugmentation
from framework.data.degradations import blur, recompress, rescale
from framework.data.image_augmentation import ImageAugmentation
from framework.errors import Problem

STILL: dict[str, Any] = {
    "rotation": 0.0,
    "zoom": 0.0,
    "horizontal_flip": False,
    "channel_shift": 0.0,
    "brightness": (1.0, 1.0),
}
ALL: dict[str, Any] = {"grey": 0.3, "blur": 0.5, "downscale": 0.5, "noise": 0.5, "jpeg": 0.5}


def only(**settings: Any) -> ImageAugmentation:
    return ImageAugmentation(**(STILL | settings))


def seeds_of(count: int) -> tf.Tensor:
    return tf.stack([tf.fill([count], tf.constant(3, tf.int64)), tf.range(count, dtype=tf.int64)], axis=1)


def pictures(count: int) -> np.ndarray:
    """Return colourful gradients with noise, uint8 [count, 24, 40, 3]."""
    y, x = np.mgrid[:24, :40]
    smooth = np.stack([x * 6, y * 10, (x + y) % 32 * 6], axis=-1)
    noise = np.random.default_rng(0).normal(0, 8, (count, *smooth.shape))
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def apply(augmentation: AffineAugmentation, images: np.ndarray, seeds: tf.Tensor) -> np.ndarray:
    """Apply an augmentation in a graph, as a training does; sample by sample is slow outside of one."""
    result: np.ndarray = tf.function(augmentation.apply)(images, seeds).numpy()
    return result


def grey(image: tf.Tensor) -> tf.Tensor:
    return tf.tile(tf.image.rgb_to_grayscale(image), [1, 1, 3])


FIXED: list[tuple[dict[str, Any], Callable[[tf.Tensor], tf.Tensor]]] = [
    ({"grey": 1.0}, grey),
    ({"blur": 1.0, "blur_sigma": (0.7, 0.7)}, lambda image: blur(image, 0.7)),
    ({"downscale": 1.0, "downscale_factor": (0.5, 0.5)}, lambda image: rescale(image, 0.5)),
    ({"jpeg": 1.0, "jpeg_quality": (30, 30)}, lambda image: recompress(image, 30)),
]


def test_without_degradations_the_bits_are_those_of_the_affine_augmentation() -> None:
    expected = apply(AffineAugmentation(shift=0.1), pictures(5), seeds_of(5))
    np.testing.assert_array_equal(apply(ImageAugmentation(shift=0.1), pictures(5), seeds_of(5)), expected)


@pytest.mark.parametrize(("settings", "degrade"), FIXED, ids=[next(iter(settings)) for settings, _ in FIXED])
def test_a_degradation_of_all_images(
    settings: dict[str, Any], degrade: Callable[[tf.Tensor], tf.Tensor]
) -> None:
    images = pictures(3)
    result = apply(only(**settings), images, seeds_of(3))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [degrade(image.astype(np.float32)) for image in images])
    assert not np.array_equal(result, images)


def test_noise_has_its_standard_deviation_and_is_another_one_in_each_image() -> None:
    images = np.full((2, 64, 64, 3), 128, np.uint8)
    result = apply(only(noise=1.0, noise_sigma=(5.0, 5.0)), images, seeds_of(2)) - 128
    assert abs(result.mean()) < 0.2
    np.testing.assert_allclose(result.std(axis=(1, 2, 3)), 5, rtol=0.03)
    assert abs(np.corrcoef(result[0].ravel(), result[1].ravel())[0, 1]) < 0.05
    clipped = apply(only(noise=1.0), images * 0, seeds_of(2))
    assert clipped.min() == 0
    assert clipped.max() > 0


@pytest.mark.parametrize("name", ALL)
def test_a_part_of_the_images_is_degraded_and_the_others_keep_their_bits(name: str) -> None:
    images = pictures(100)
    result = apply(only(**{name: 0.3}), images, seeds_of(100))
    same = (result == images).all(axis=(1, 2, 3))
    assert 55 <= same.sum() <= 85


@pytest.mark.parametrize(
    ("name", "field", "ends"),
    [
        ("blur", "blur_sigma", (0.4, 2.0)),
        ("downscale", "downscale_factor", (0.3, 0.9)),
        ("noise", "noise_sigma", (2.0, 20.0)),
        ("jpeg", "jpeg_quality", (5, 90)),
    ],
)
def test_strengths_are_drawn_between_the_ends_of_the_range(
    name: str, field: str, ends: tuple[float, float]
) -> None:
    """What is lost is more than at the weaker end of the range, less than at the stronger, and varies."""
    images, seeds = np.tile(pictures(1), (30, 1, 1, 1)), seeds_of(30)

    def lost(low: float, high: float) -> np.ndarray:
        result = apply(only(**{name: 1.0, field: (low, high)}), images, seeds)
        return np.square(result - images).mean(axis=(1, 2, 3))

    weak, strong = sorted((lost(ends[0], ends[0]), lost(ends[1], ends[1])), key=np.mean)
    drawn = lost(*ends)
    assert (drawn >= weak * 0.999).all()
    assert (drawn <= strong * 1.001).all()
    reached = (drawn - weak) / (strong - weak)
    assert reached.min() < 0.3
    assert reached.max() > 0.5


def test_both_ends_of_the_qualities_are_drawn() -> None:
    image = pictures(1)
    result = apply(only(jpeg=1.0, jpeg_quality=(20, 21)), np.tile(image, (20, 1, 1, 1)), seeds_of(20))
    expected = [recompress(image[0], quality).numpy() for quality in (20, 21)]
    drawn = [[np.array_equal(each, one) for one in expected] for each in result]
    assert np.sum(drawn, axis=1).tolist() == [1] * 20
    assert all(np.sum(drawn, axis=0))


def test_degradations_come_in_their_order_after_the_affine_transformation() -> None:
    images = pictures(3)
    fixed = {name: value for settings, _ in FIXED for name, value in settings.items()}
    result = apply(ImageAugmentation(**fixed), images, seeds_of(3))
    for image, expected in zip(apply(AffineAugmentation(), images, seeds_of(3)), result, strict=True):
        for _, degrade in FIXED:
            image = degrade(image)
        np.testing.assert_array_equal(image, expected)


def test_a_sample_depends_on_itself_and_its_seed_alone_also_in_a_pipeline() -> None:
    augmentation = ImageAugmentation(**ALL)
    images, seeds = pictures(13), seeds_of(13)
    together = apply(augmentation, images, seeds)
    order = np.random.default_rng(1).permutation(13)
    np.testing.assert_array_equal(
        apply(augmentation, images[order], tf.gather(seeds, order)), together[order]
    )
    batches = (
        tf.data.Dataset.from_tensor_slices((images, seeds))
        .batch(4)
        .map(augmentation.apply, num_parallel_calls=2)
    )
    np.testing.assert_array_equal(np.concatenate(list(batches.as_numpy_iterator())), together)
    assert batches.element_spec.shape[1:] == images.shape[1:]


def test_switching_one_off_leaves_what_the_others_draw() -> None:
    """An image that is not compressed is the same with `jpeg` and without it, and so is one without noise."""
    images, seeds = pictures(30), seeds_of(30)
    with_all = apply(only(**ALL), images, seeds)
    for name in ("noise", "jpeg"):
        without = apply(only(**(ALL | {name: 0.0})), images, seeds)
        spared = (apply(only(**{name: ALL[name]}), images, seeds) == images).all(axis=(1, 2, 3))
        np.testing.assert_array_equal(with_all[spared], without[spared])
        changed = (with_all[~spared] != without[~spared]).any(axis=(1, 2, 3))
        assert changed.all()
        assert 5 < len(changed) < 25


def test_ranges_and_bounds_are_checked() -> None:
    problems: list[Problem] = []
    given: dict[str, Any] = {"grey": 2.0, "jpeg_quality": [0, 90], "downscale_factor": [0.0, 1.0]}
    read(ImageAugmentation, given, "scenario.augmentation", problems)
    ranges = {"blur_sigma": [2.0, 1.0], "noise_sigma": [1.0], "jpeg_quality": [90, 40], "brightness": [1.0]}
    read(ImageAugmentation, ranges, "scenario.augmentation", problems)
    assert {problem.path.partition("[")[0] for problem in problems} == {
        f"scenario.augmentation.{name}" for name in (*given, *ranges)
    }
