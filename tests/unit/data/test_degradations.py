"""Degradations give the values of Pillow and SciPy, and depend on image and strength alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.ndimage import gaussian_filter

from framework.data.degradations import DEGRADATIONS, blur, recompress, rescale

STRENGTHS = [("jpeg", 40), ("blur", 1.5), ("scale", 0.5)]


def picture(height: int = 40, width: int = 53) -> np.ndarray:
    """Return a colourful gradient with noise, uint8 [height, width, 3]; the size is odd on purpose."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) % 64 * 3], axis=-1)
    noise = np.random.default_rng(0).normal(0, 12, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [1, 10, 50, 75, 95, 100])
def test_recompression_gives_the_bits_of_pillow(quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "JPEG", quality=quality)
    np.testing.assert_array_equal(recompress(picture(), quality), np.asarray(Image.open(file)))


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0, 3.0, 30.0])
def test_blur_gives_the_values_of_scipy(sigma: float) -> None:
    image = picture().astype(np.float32)
    expected = gaussian_filter(image.astype(float), sigma, mode="nearest", axes=(0, 1))
    np.testing.assert_allclose(blur(image, sigma), expected, atol=1e-3)


@pytest.mark.parametrize("factor", [0.01, 0.25, 0.5, 0.75])
def test_scaling_gives_the_values_of_pillow(factor: float) -> None:
    image = picture().astype(np.float32)
    height, width = image.shape[:2]
    smaller = (max(1, round(width * factor)), max(1, round(height * factor)))
    expected = np.stack(
        [
            np.asarray(
                Image.fromarray(channel)
                .resize(smaller, Image.Resampling.BILINEAR)
                .resize((width, height), Image.Resampling.BILINEAR)
            )
            for channel in np.moveaxis(image, -1, 0)
        ],
        axis=-1,
    )
    np.testing.assert_allclose(rescale(image, factor), expected, atol=2e-3)


def test_strength_of_nothing_changes_nothing() -> None:
    image = picture()
    np.testing.assert_array_equal(blur(image, 0), image)
    np.testing.assert_array_equal(rescale(image, 1), image)


@pytest.mark.parametrize(("name", "strength"), STRENGTHS)
def test_types_agree_within_rounding(name: str, strength: float) -> None:
    image = picture()
    whole, real = (DEGRADATIONS[name](image.astype(dtype), strength) for dtype in (np.uint8, np.float32))
    assert whole.dtype == tf.uint8
    assert real.dtype == tf.float32
    np.testing.assert_allclose(whole, real, atol=0.5)


@pytest.mark.parametrize(("name", "strength"), STRENGTHS)
def test_pipeline_with_drawn_strengths_gives_the_same_bits(name: str, strength: float) -> None:
    image = picture()
    drawn = tf.data.Dataset.from_tensor_slices([strength] * 4)
    found = drawn.map(lambda value: DEGRADATIONS[name](image, value), num_parallel_calls=4)
    assert found.element_spec == tf.TensorSpec(image.shape, tf.uint8)
    for one in found:
        np.testing.assert_array_equal(one, DEGRADATIONS[name](image, strength))
