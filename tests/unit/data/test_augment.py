"""Augmentation: each setting does what it says, nothing else moves, and a sample depends on itself and its
seed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from framework.config.schema import read
from framework.data.augment import AffineAugmentation
from framework.errors import Problem

NOTHING: dict[str, Any] = {
    "rotation": 0.0,
    "zoom": 0.0,
    "shift": 0.0,
    "horizontal_flip": False,
    "channel_shift": 0.0,
    "brightness": (1.0, 1.0),
}
SIZE = 64
CENTRE = (SIZE - 1) / 2


def only(**settings: Any) -> AffineAugmentation:
    return AffineAugmentation(**(NOTHING | settings))


def seeds_of(count: int, first: int = 0) -> tf.Tensor:
    return tf.stack(
        [tf.fill([count], tf.constant(3, tf.int64)), tf.range(first, first + count, dtype=tf.int64)], axis=1
    )


def noise(count: int, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def maps_of(augmentation: AffineAugmentation, count: int) -> np.ndarray:
    """The affine maps of `count` samples, [count, 2, 3], in pixels from the centre: which place (x, y) each
    output pixel shows.

    They are read off an image whose values are its own coordinates, where the border does not disturb.
    """
    y, x = np.mgrid[:SIZE, :SIZE].astype("float32")
    ramps = np.tile(np.stack([x, y], axis=-1), (count, 1, 1, 1))
    shown = augmentation.apply(ramps, seeds_of(count)).numpy()
    inner = slice(SIZE // 3, -SIZE // 3)
    places = np.stack(
        [x[inner, inner].ravel() - CENTRE, y[inner, inner].ravel() - CENTRE, np.ones(x[inner, inner].size)],
        axis=1,
    )
    values = shown[:, inner, inner].reshape(count, -1, 2) - CENTRE
    return np.stack([np.linalg.lstsq(places, value, rcond=None)[0].T for value in values])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_settings_at_zero_change_no_bit(dtype: npt.DTypeLike) -> None:
    images = noise(4, 20, 30).astype(dtype)
    result = only().apply(images, seeds_of(4))
    assert result.dtype == tf.float32
    np.testing.assert_array_equal(result, images)


def test_rotation_turns_about_the_centre_by_its_degrees_at_most() -> None:
    maps = maps_of(only(rotation=15.0), 64)
    angles = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert np.abs(angles).max() <= 15.01
    assert angles.min() < -12
    assert angles.max() > 12
    cos, sin = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    np.testing.assert_allclose(
        maps[:, :, :2], np.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2), atol=1e-3
    )
    np.testing.assert_allclose(maps[:, :, 2], 0, atol=0.01)


def test_zoom_scales_each_axis_by_a_factor_of_its_own() -> None:
    maps = maps_of(only(zoom=0.2), 64)
    scales = maps[:, [0, 1], [0, 1]]
    assert scales.min() >= 0.799
    assert scales.max() <= 1.201
    assert (scales.min(axis=0) < 0.83).all()
    assert (scales.max(axis=0) > 1.17).all()
    assert abs(np.corrcoef(scales.T)[0, 1]) < 0.4
    np.testing.assert_allclose(maps[:, [0, 1], [1, 0]], 0, atol=1e-3)
    np.testing.assert_allclose(maps[:, :, 2], 0, atol=0.01)


def test_shift_moves_along_both_axes_by_a_part_of_the_size() -> None:
    maps = maps_of(only(shift=0.1), 64)
    moves = maps[:, :, 2] / SIZE
    assert np.abs(moves).max() <= 0.1001
    assert (moves.min(axis=0) < -0.07).all()
    assert (moves.max(axis=0) > 0.07).all()
    assert abs(np.corrcoef(moves[:, 0], moves[:, 1])[0, 1]) < 0.4
    np.testing.assert_allclose(maps[:, :, :2], np.tile(np.eye(2), (64, 1, 1)), atol=1e-3)


def test_horizontal_flip_mirrors_half_of_the_images_bit_for_bit() -> None:
    images = noise(200, 8, 12)
    result = only(horizontal_flip=True).apply(images, seeds_of(200)).numpy()
    same = (result == images).all(axis=(1, 2, 3))
    mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 70 <= mirrored.sum() <= 130


def test_channel_shift_adds_one_number_to_all_values_of_an_image() -> None:
    result = only(channel_shift=30.0).apply(np.full((100, 4, 4, 3), 100, np.uint8), seeds_of(100)).numpy()
    shifts = result[:, 0, 0, 0] - 100
    np.testing.assert_array_equal(result - 100, np.broadcast_to(shifts[:, None, None, None], result.shape))
    assert np.abs(shifts).max() <= 30
    assert shifts.min() < -25
    assert shifts.max() > 25
    assert abs(shifts.mean()) < 6


def test_brightness_multiplies_all_values_of_an_image() -> None:
    images = np.zeros((100, 1, 2, 3), np.uint8) + np.array([[100], [50]], np.uint8)
    result = only(brightness=(0.8, 1.2)).apply(images, seeds_of(100)).numpy()
    factors = result[:, 0, 0, 0] / 100
    np.testing.assert_allclose(result[:, 0, 1], np.repeat(factors[:, None] * 50, 3, axis=1), rtol=1e-5)
    assert factors.min() >= 0.8
    assert factors.max() <= 1.2
    assert factors.min() < 0.82
    assert factors.max() > 1.18


def test_the_shift_comes_before_the_factor_and_the_result_is_clipped() -> None:
    images = np.full((50, 2, 2, 3), 250, np.uint8)
    shifted = only(channel_shift=30.0).apply(images - 100, seeds_of(50)).numpy() - 150
    factors = only(brightness=(0.5, 1.5)).apply(np.full_like(images, 100), seeds_of(50)).numpy() / 100
    both = only(channel_shift=30.0, brightness=(0.5, 1.5)).apply(images, seeds_of(50)).numpy()
    np.testing.assert_allclose(both, np.clip((250 + shifted) * factors, 0, 255), rtol=1e-5)
    assert both.max() == 255


def test_beyond_the_border_the_border_is_repeated() -> None:
    columns = np.tile(np.arange(SIZE, dtype="float32")[None, None, :, None], (40, SIZE, 1, 1))
    result = only(shift=0.5).apply(columns, seeds_of(40)).numpy()
    assert result.min() >= 0
    moves = maps_of(only(shift=0.5), 1)[0, 0, 2]
    expected = np.clip(np.arange(SIZE) + moves, 0, SIZE - 1)
    np.testing.assert_allclose(result[0, 5, :, 0], expected, atol=0.05)


def test_a_sample_depends_on_itself_and_its_seed_alone() -> None:
    augmentation = AffineAugmentation(shift=0.1)
    images, seeds = noise(13), seeds_of(13)
    together = augmentation.apply(images, seeds).numpy()
    order = np.random.default_rng(1).permutation(13)
    np.testing.assert_array_equal(augmentation.apply(images[order], tf.gather(seeds, order)), together[order])
    parts = [augmentation.apply(images[i : i + 5], seeds[i : i + 5]).numpy() for i in range(0, 13, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), together)
    one_seed = augmentation.apply(np.tile(images[:1], (2, 1, 1, 1)), tf.gather(seeds, [1, 2])).numpy()
    assert not np.array_equal(one_seed[0], one_seed[1])


def test_the_same_bits_in_a_graph_and_in_a_parallel_pipeline() -> None:
    augmentation = AffineAugmentation(shift=0.1)
    images = noise(12)
    eager = augmentation.apply(images, seeds_of(12)).numpy()
    batches = (
        tf.data.Dataset.from_tensor_slices((images, seeds_of(12)))
        .batch(4)
        .map(augmentation.apply, num_parallel_calls=2)
    )
    np.testing.assert_array_equal(np.concatenate(list(batches.as_numpy_iterator())), eager)
    assert batches.element_spec.shape[1:] == (SIZE, SIZE, 3)


def test_switching_one_setting_off_leaves_what_the_others_draw() -> None:
    images = noise(8)
    with_zoom = maps_of(only(rotation=15.0, zoom=0.2), 8)
    without = maps_of(only(rotation=15.0), 8)
    turned = np.degrees(np.arctan2(with_zoom[:, 1, 0], with_zoom[:, 0, 0]))
    np.testing.assert_allclose(turned, np.degrees(np.arctan2(without[:, 1, 0], without[:, 0, 0])), atol=0.1)
    flat = np.full_like(images, 100)
    np.testing.assert_array_equal(
        AffineAugmentation().apply(flat, seeds_of(8)),
        AffineAugmentation(rotation=0.0, zoom=0.0, horizontal_flip=False).apply(flat, seeds_of(8)),
    )


def test_the_defaults_are_those_of_the_paper_and_bounds_are_checked() -> None:
    problems: list[Problem] = []
    given = {
        "rotation": 15,
        "zoom": 0.2,
        "shift": 0,
        "brightness": [0.8, 1.2],
        "channel_shift": 30,
        "horizontal_flip": True,
    }
    assert read(AffineAugmentation, given, "", problems) == AffineAugmentation()
    assert not problems
    read(AffineAugmentation, {"zoom": 1.0, "rotation": -1, "channel_shift": 300}, "augmentation", problems)
    assert [p.path for p in problems] == [
        "augmentation.rotation",
        "augmentation.zoom",
        "augmentation.channel_shift",
    ]


@pytest.mark.parametrize("brightness", [[1.0], [1.2, 0.8], [0.8, 1.0, 1.2]])
def test_brightness_is_a_range(brightness: list[float]) -> None:
    problems: list[Problem] = []
    assert read(AffineAugmentation, {"brightness": brightness}, "scenario.augmentation", problems) is None
    assert [p.path for p in problems] == ["scenario.augmentation.brightness"]
