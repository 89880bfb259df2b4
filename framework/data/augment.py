"""Random augmentation of training images: each result depends on the image and its own seed alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework.config.schema import setting
from framework.errors import Problem

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class AffineAugmentation:
    """An affine transformation of the image, then a change of its values.

    The transformation interpolates bilinearly and repeats the border of the image beyond it.

    The defaults are the augmentation that MesoNet was trained with (Afchar et al. 2018, arXiv:1809.00888);
    the numbers are the authors', https://github.com/DariusAf/MesoNet/issues/4#issuecomment-448694527. The
    settings mean what those of Keras' `ImageDataGenerator` mean: zoom is drawn for each axis separately, and
    the channel shift is one number for all channels. Two things differ: values are clipped to [0, 255] once,
    at the end (Keras first clips a shifted image to its own extremes), and they are not rounded.
    """

    rotation: float = setting(15.0, "Rotate by up to that many degrees either way.", ge=0, le=180)
    zoom: float = setting(
        0.2,
        "Scale each axis by its own factor in [1 - zoom, 1 + zoom]; a factor above 1 shows more.",
        ge=0,
        lt=1,
    )
    shift: float = setting(0.0, "Move along each axis by up to that fraction of its length.", ge=0, le=1)
    horizontal_flip: bool = setting(True, "Mirror half of the images, left to right.")
    channel_shift: float = setting(
        30.0, "Add up to that much to all values, or subtract it; values are 0 to 255.", ge=0, le=255
    )
    brightness: tuple[float, ...] = setting(
        (0.8, 1.2), "Multiply values by a factor between these two.", ge=0
    )

    def check(self) -> Iterator[Problem]:
        yield from check_range("brightness", self.brightness)

    def unused_settings(self) -> Iterator[tuple[str, str]]:
        """Yield each setting that has no effect, and the setting that turns it off."""
        yield from ()

    def apply(self, images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Augment a batch.

        Image i of the result depends, bit for bit, on `images[i]` and `seeds[i]` alone.

        Args:
            images: uint8 or float32 [batch, height, width, channels], values in [0, 255].
            seeds: int64 [batch, 2]; equal seeds draw equal numbers.

        Returns:
            float32 [batch, height, width, channels], values in [0, 255].
        """
        import tensorflow as tf

        images = tf.cast(images, tf.float32)
        shape, size = images.shape, tf.shape(images)[1:3]

        def draw_sample(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # Each setting has its own number, even if it is off, so that switching one off does not change
            # what the others draw.
            numbers = tf.random.stateless_uniform([8], seed, alg="philox")
            return self._transform(numbers[:6], tf.cast(size[::-1], tf.float32)), self._values(numbers[6:])

        # Sample by sample instead of the whole batch at once: sine and cosine round differently in vectorised
        # code and in the rest at a vector's end, so the bits of a sample would depend on its place in the
        # batch. This is 2 % of the work.
        transforms, values = tf.map_fn(
            draw_sample,
            seeds,
            fn_output_signature=(tf.TensorSpec([8], tf.float32), tf.TensorSpec([2], tf.float32)),
        )
        if self.rotation or self.zoom or self.shift or self.horizontal_flip:
            images = tf.raw_ops.ImageProjectiveTransformV3(
                images=images,
                transforms=transforms,
                output_shape=size,
                fill_value=0.0,
                interpolation="BILINEAR",
                fill_mode="NEAREST",
            )
        if self.channel_shift or self.brightness != (1, 1):
            added, factor = tf.unstack(values[:, :, tf.newaxis, tf.newaxis, tf.newaxis], axis=1)
            images = (images + added) * factor
        return tf.ensure_shape(tf.clip_by_value(images, 0.0, 255.0), shape)

    def _transform(self, numbers: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        """Return the map from an output pixel to its place in the input, for `ImageProjectiveTransformV3`.

        Args:
            numbers: float32 [6], each in [0, 1).
            size: width and height, float32 [2], in pixels.

        Returns:
            float32 [8]: a0, a1, a2, b0, b1, b2, 0, 0. The output at (x, y) is the input at
            (a0 x + a1 y + a2, b0 x + b1 y + b2).
        """
        import tensorflow as tf

        # Written so that the order of operations is fixed: a graph rearranges chains of additions and common
        # factors, which would change the last bit.
        either_way = 2 * numbers - 1
        angle = math.radians(self.rotation) * either_way[0]
        scale = 1 + self.zoom * either_way[1:3]
        move = self.shift * size * either_way[3:5]
        mirror = tf.where(numbers[5] < 0.5, [-1.0, 1.0], [1.0, 1.0]) if self.horizontal_flip else tf.ones([2])
        cos, sin = tf.cos(angle), tf.sin(angle)
        rotation = tf.reshape(tf.stack([cos, -sin, sin, cos]), [2, 2])
        # About the centre: mirrored, scaled, moved, rotated, in the order of ImageDataGenerator.
        matrix = rotation * (scale * mirror)
        centre = (size - 1) / 2
        offset = centre + tf.reduce_sum(rotation * move, axis=1) - tf.reduce_sum(matrix * centre, axis=1)
        return tf.concat([matrix[0], offset[:1], matrix[1], offset[1:], [0.0, 0.0]], axis=0)

    def _values(self, numbers: tf.Tensor) -> tf.Tensor:
        """Return what to add to the values, and the factor of the sum, float32 [2].

        Args:
            numbers: float32 [2], each in [0, 1).
        """
        import tensorflow as tf

        low, high = self.brightness
        return tf.stack([self.channel_shift * (2 * numbers[0] - 1), low + (high - low) * numbers[1]])


def check_range(name: str, values: tuple[float, ...]) -> Iterator[Problem]:
    """Yield a problem with a setting that is to be two numbers, the smaller first, if it is not."""
    if len(values) != 2 or values[0] > values[1]:
        yield Problem(name, "must be a range", given=values, allowed="two numbers, the smaller first")
