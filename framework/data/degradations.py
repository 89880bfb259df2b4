"""Degradations that an image meets on its way: JPEG compression, blur, and scaling.

Each result depends on the image and the strength alone. The strength may be a number, or a scalar tensor that
is drawn in a pipeline. An image is uint8 or float32 [height, width, 3] with values in [0, 255]; the result has its
type and its size. A uint8 result is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

_TRUNCATE = 4.0  # standard deviations, beyond which a Gaussian is cut off, as SciPy does


def recompress(image: tf.Tensor, quality: int | tf.Tensor) -> tf.Tensor:
    """Encode an image as a JPEG, and decode it again.

    The values are those of Pillow's `save(quality=...)`: tables of the standard, scaled by the quality, and
    chroma at half the resolution.

    Args:
        image: uint8 or float32 [height, width, 3] in [0, 255]; float32 is rounded before it is encoded.
        quality: a whole number from 1 to 100.
    """
    import tensorflow as tf

    image = tf.convert_to_tensor(image)
    with tf.device("/CPU:0"):
        encoded = tf.raw_ops.EncodeJpegVariableQuality(
            images=_as_type(image, tf.uint8), quality=tf.cast(quality, tf.int32)
        )
        decoded = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(_as_type(decoded, image.dtype), image.shape)


def blur(image: tf.Tensor, sigma: float | tf.Tensor) -> tf.Tensor:
    """Blur an image by a Gaussian. The border is repeated beyond the image.

    The values are those of `scipy.ndimage.gaussian_filter(mode="nearest")` on each channel.

    Args:
        image: uint8 or float32 [height, width, 3] in [0, 255].
        sigma: the standard deviation in pixels, 0 or more; 0 changes nothing.
    """
    import tensorflow as tf

    image = tf.convert_to_tensor(image)
    sigma = tf.cast(sigma, tf.float32)
    radius = tf.cast(_TRUNCATE * sigma + 0.5, tf.int32)
    offsets = tf.cast(tf.range(-radius, radius + 1), tf.float32)
    # Below the bound the radius is 0, and the only weight is 1.
    weights = tf.exp(-0.5 * (offsets / tf.maximum(sigma, 0.01)) ** 2)
    weights /= tf.reduce_sum(weights)
    blurred = tf.cast(image, tf.float32)[tf.newaxis]
    for axis in (1, 2):
        length = tf.shape(blurred)[axis]
        repeated = tf.clip_by_value(tf.range(-radius, length + radius), 0, length - 1)
        kernel = tf.reshape(weights, [-1, 1, 1, 1] if axis == 1 else [1, -1, 1, 1])
        blurred = tf.nn.depthwise_conv2d(
            tf.gather(blurred, repeated, axis=axis),
            tf.tile(kernel, [1, 1, 3, 1]),
            strides=[1, 1, 1, 1],
            padding="VALID",
        )
    return tf.ensure_shape(_as_type(blurred[0], image.dtype), image.shape)


def rescale(image: tf.Tensor, factor: float | tf.Tensor) -> tf.Tensor:
    """Scale an image down, and back up to its size, both bilinearly.

    The values are those of Pillow's `resize` with `BILINEAR`, which smooths an image that shrinks.

    Args:
        image: uint8 or float32 [height, width, 3] in [0, 255].
        factor: of height and width, above 0 and at most 1; 1 changes nothing. No side becomes shorter than a
            pixel.
    """
    import tensorflow as tf

    image = tf.convert_to_tensor(image)
    size = tf.shape(image)[:2]
    smaller = tf.cast(tf.round(tf.cast(size, tf.float32) * tf.cast(factor, tf.float32)), tf.int32)
    shrunk = _resize(tf.cast(image, tf.float32)[tf.newaxis], tf.maximum(smaller, 1))
    return tf.ensure_shape(_as_type(_resize(shrunk, size)[0], image.dtype), image.shape)


DEGRADATIONS: Mapping[str, Callable[[tf.Tensor, float | tf.Tensor], tf.Tensor]] = MappingProxyType(
    {"jpeg": recompress, "blur": blur, "scale": rescale}
)
"""The degradations by their names."""


def _resize(images: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Resize images, float32 [batch, height, width, channels], as `tf.image.resize(antialias=True)` does.

    The factors are computed in float64. A graph may multiply by the inverse instead of dividing, which changes the
    last bit in float32, so that a pipeline would give other bits than the same code outside of it.
    """
    import tensorflow as tf

    factors = tf.cast(size, tf.float64) / tf.cast(tf.shape(images)[1:3], tf.float64)
    return tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=size,
        scale=tf.cast(factors, tf.float32),
        translation=tf.zeros([2]),
        kernel_type="triangle",
        antialias=True,
    )


def _as_type(image: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Cast values in [0, 255]; whole numbers get the nearest value."""
    import tensorflow as tf

    return tf.saturate_cast(tf.round(image), dtype) if dtype.is_integer else tf.cast(image, dtype)
