"""Transformations of training images that Keras' `ImageDataGenerator` has and MesoNet's augmentation does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework import setting

if TYPE_CHECKING:
    import tensorflow as tf

_STREAM = 0x6D65736F  # numbers of its own: those of `AffineAugmentation` come from the same seeds


@dataclass(frozen=True, kw_only=True)
class Displacement:
    """A shear, a shift along each axis, and a mirror image, about the centre of an image, in this order.

    Pixels are interpolated bilinearly, and the border of the image is repeated beyond it.
    """

    shear: float = setting(0.0, "Shear by up to that many degrees either way.", ge=0, lt=90)
    width_shift: float = setting(
        0.0, "Move sideways by up to that fraction of the width, either way.", ge=0, le=1
    )
    height_shift: float = setting(0.0, "Move up or down by up to that fraction of the height.", ge=0, le=1)
    vertical_flip: bool = setting(False, "Mirror half of the images, top to bottom.")

    def apply(self, images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Transform a batch. Image i of the result depends on `images[i]` and `seeds[i]` alone.

        Args:
            images: float32 [batch, height, width, channels].
            seeds: int64 [batch, 2].

        Returns:
            float32 [batch, height, width, channels].
        """
        import tensorflow as tf

        if self == Displacement():
            return images
        size = tf.cast(tf.shape(images)[1:3], tf.float32)

        def transform(seed: tf.Tensor) -> tf.Tensor:
            numbers = tf.random.stateless_uniform([4], tf.bitwise.bitwise_xor(seed, _STREAM), alg="philox")
            return self._matrix(numbers, size)

        transforms = tf.map_fn(transform, seeds, fn_output_signature=tf.TensorSpec([8], tf.float32))
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=transforms,
            output_shape=tf.shape(images)[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )
        return tf.ensure_shape(moved, images.shape)

    def _matrix(self, numbers: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        """Return the map from an output pixel to its place in the input, as `ImageProjectiveTransformV3` has it.

        Args:
            numbers: float32 [4], each in [0, 1).
            size: height and width, float32 [2], in pixels.

        Returns:
            float32 [8]: the output at (x, y) is the input at (a0 x + a1 y + a2, b0 x + b1 y + b2).
        """
        import tensorflow as tf

        either_way = 2 * numbers - 1
        angle = math.radians(self.shear) * either_way[0]
        sin, cos = tf.sin(angle), tf.cos(angle)
        right, down = self.width_shift * size[1] * either_way[1], self.height_shift * size[0] * either_way[2]
        mirror = tf.where(numbers[3] < 0.5, -1.0, 1.0) if self.vertical_flip else tf.ones([])
        centre_y = (size[0] - 1) / 2
        # As ImageDataGenerator shears: rows move sideways, and away from each other.
        across, down_by = -sin * mirror, cos * mirror
        x = [tf.ones([]), across, right - across * centre_y]
        y = [tf.zeros([]), down_by, centre_y - down_by * centre_y + down]
        return tf.stack([*x, *y, tf.zeros([]), tf.zeros([])])
