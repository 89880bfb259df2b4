"""Random changes to training images, each a function of the image and its own seed alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework.errors import Problem
from framework.schema import setting

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class AffineAugmentation:
    """One affine map of the pixels' places, bilinearly interpolated, the border repeated beyond it; then one of their values.

    The defaults are the augmentation that MesoNet was trained with (Afchar et al. 2018, arXiv:1809.00888; the numbers are the
    authors', https://github.com/DariusAf/MesoNet/issues/4#issuecomment-448694527), and the settings mean what those of Keras'
    `ImageDataGenerator` do: zoom is drawn for each axis by itself, and the channel shift is one number for all channels. Two
    things differ: values are clipped to [0, 255] once, at the end (Keras clips a shifted image to its own extremes first), and
    they are not rounded.
    """

    rotation: float = setting(15.0, "Rotated by up to that many degrees either way.", ge=0, le=180)
    zoom: float = setting(0.2, "Each axis scaled by a factor of its own in [1 - zoom, 1 + zoom]; above 1 shows more.", ge=0, lt=1)
    shift: float = setting(0.0, "Moved along each axis by up to that fraction of its length.", ge=0, le=1)
    horizontal_flip: bool = setting(True, "Half of the images mirrored, left to right.")
    channel_shift: float = setting(30.0, "Up to that much added to, or taken from, all values of 0 to 255.", ge=0, le=255)
    brightness: tuple[float, ...] = setting((0.8, 1.2), "Values multiplied by a factor between these two.", ge=0)

    def check(self) -> Iterator[Problem]:
        if len(self.brightness) != 2 or self.brightness[0] > self.brightness[1]:
            yield Problem("brightness", "is no range", given=self.brightness, allowed="two numbers, the smaller first")

    def apply(self, images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Augment a batch. Image i of the result depends, bit for bit, on `images[i]` and `seeds[i]` and nothing else.

        Args:
            images: uint8 or float32 [batch, height, width, channels], values in [0, 255].
            seeds: int64 [batch, 2]; equal seeds draw equal numbers.

        Returns:
            float32 [batch, height, width, channels], values in [0, 255].
        """
        import tensorflow as tf

        images = tf.cast(images, tf.float32)
        size = tf.shape(images)[1:3]
        height, width = tf.unstack(tf.cast(size, tf.float32))

        def draw_sample(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # A setting has its number whether it is used or not, so that switching one off leaves what the others draw.
            numbers = tf.unstack(tf.random.stateless_uniform([8], seed, alg="philox"))
            return self._transform(numbers[:6], height, width), self._values(numbers[6:])

        # Sample by sample, and not for the batch at once: sine and cosine round differently where they are vectorised and for the
        # rest at a vector's end, so a sample's bits would depend on its place in the batch. It is 2 % of the work.
        transforms, values = tf.map_fn(
            draw_sample, seeds, fn_output_signature=(tf.TensorSpec([8], tf.float32), tf.TensorSpec([2], tf.float32))
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
        return tf.clip_by_value(images, 0.0, 255.0)

    def _transform(self, numbers: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """The map from an output pixel to the place in the input that it shows, as `ImageProjectiveTransformV3` wants it.

        Args:
            numbers: 6 scalars in [0, 1).
            height, width: float32 scalars, in pixels.

        Returns:
            float32 [8]: a0, a1, a2, b0, b1, b2, 0, 0; output (x, y) shows input (a0 x + a1 y + a2, b0 x + b1 y + b2).
        """
        import tensorflow as tf

        rotation, zoom_x, zoom_y, shift_x, shift_y, flip = numbers
        angle = math.radians(self.rotation) * (2 * rotation - 1)
        scale_x = (1 + self.zoom * (2 * zoom_x - 1)) * (tf.where(flip < 0.5, -1.0, 1.0) if self.horizontal_flip else 1.0)
        scale_y = 1 + self.zoom * (2 * zoom_y - 1)
        move_x, move_y = self.shift * width * (2 * shift_x - 1), self.shift * height * (2 * shift_y - 1)
        cos, sin = tf.cos(angle), tf.sin(angle)
        # About the centre: mirrored and scaled, moved, rotated, in the order of ImageDataGenerator.
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        a0, a1, b0, b1 = cos * scale_x, -sin * scale_y, sin * scale_x, cos * scale_y
        a2 = centre_x + cos * move_x - sin * move_y - a0 * centre_x - a1 * centre_y
        b2 = centre_y + sin * move_x + cos * move_y - b0 * centre_x - b1 * centre_y
        return tf.stack([a0, a1, a2, b0, b1, b2, 0.0, 0.0])

    def _values(self, numbers: list[tf.Tensor]) -> tf.Tensor:
        """What is added to the values, and the factor that the sum is multiplied by, float32 [2], of 2 scalars in [0, 1)."""
        import tensorflow as tf

        low, high = self.brightness
        return tf.stack([self.channel_shift * (2 * numbers[0] - 1), low + (high - low) * numbers[1]])
