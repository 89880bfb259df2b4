"""Random augmentation of photographs: affine transformations, then what images meet on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from framework.config.schema import setting
from framework.data.augment import AffineAugmentation, check_range
from framework.errors import Problem

if TYPE_CHECKING:
    import tensorflow as tf

# What is folded into the seed of a sample, for numbers apart from those of the base class.
_DRAWS, _NOISE = 1, 2
_Degradation = Literal["grey", "blur", "downscale", "noise", "jpeg"]
_RANGES: dict[_Degradation, str] = {
    "blur": "blur_sigma",
    "downscale": "downscale_factor",
    "noise": "noise_sigma",
    "jpeg": "jpeg_quality",
}


@dataclass(frozen=True, kw_only=True)
class ImageAugmentation(AffineAugmentation):
    """An affine transformation and a change of values, then degradations, each of a part of the images.

    They are applied in this order: an image turns grey, is blurred, is scaled down and back up, gets noise, and
    is compressed. All are off by default. They make a model ignore the quality of the files, which often tells
    the classes of a data set apart, although it is unrelated to what they mean.
    """

    grey: float = setting(0.0, "Part of the images that lose their colours.", ge=0, le=1)
    blur: float = setting(0.0, "Part of the images that are blurred by a Gaussian.", ge=0, le=1)
    blur_sigma: tuple[float, ...] = setting(
        (0.3, 1.5),
        "Standard deviation of the Gaussian, in pixels, drawn between these two.",
        ge=0,
        le=100,
    )
    downscale: float = setting(
        0.0, "Part of the images that are scaled down, and back up to their size.", ge=0, le=1
    )
    downscale_factor: tuple[float, ...] = setting(
        (0.5, 1.0), "Factor of height and width, drawn between these two.", gt=0, le=1
    )
    noise: float = setting(0.0, "Part of the images that get Gaussian noise.", ge=0, le=1)
    noise_sigma: tuple[float, ...] = setting(
        (1.0, 10.0),
        "Standard deviation of the noise, drawn between these two; values are 0 to 255.",
        ge=0,
        le=255,
    )
    jpeg: float = setting(0.0, "Part of the images that are compressed as a JPEG.", ge=0, le=1)
    jpeg_quality: tuple[int, ...] = setting(
        (40, 95), "Quality of the JPEG, drawn between these two, both included.", ge=1, le=100
    )

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        for name in _RANGES.values():
            yield from check_range(name, getattr(self, name))

    def unused_settings(self) -> Iterator[tuple[str, str]]:
        plain = type(self)()
        for part, name in _RANGES.items():
            if not getattr(self, part) and getattr(self, name) != getattr(plain, name):
                yield name, part

    def apply(self, images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Augment a batch.

        Image i of the result depends, bit for bit, on `images[i]` and `seeds[i]` alone.

        Args:
            images: uint8 or float32 [batch, height, width, 3], RGB, values in [0, 255].
            seeds: int64 [batch, 2]; equal seeds draw equal numbers.

        Returns:
            float32 [batch, height, width, 3], values in [0, 255].
        """
        import tensorflow as tf

        images = super().apply(images, seeds)
        if not any((self.grey, self.blur, self.downscale, self.noise, self.jpeg)):
            return images
        return tf.map_fn(
            lambda sample: self._degrade(*sample),
            (images, seeds),
            fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32),
        )

    def _degrade(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Degrade an image, float32 [height, width, 3] in [0, 255], as its seed, int64 [2], says."""
        import tensorflow as tf

        from framework.data.degradations import blur, recompress, rescale

        # Each setting has its own numbers, even if it is off, as in the base class.
        numbers = tf.random.stateless_uniform(
            [10], tf.random.fold_in(seed, _DRAWS, alg="philox"), alg="philox"
        )
        chances, strengths = numbers[:5], numbers[5:]

        def between(name: _Degradation, index: int) -> tf.Tensor:
            low, high = getattr(self, _RANGES[name])
            return low + (high - low) * strengths[index]

        def add_noise(image: tf.Tensor) -> tf.Tensor:
            numbers = tf.random.stateless_normal(
                tf.shape(image), tf.random.fold_in(seed, _NOISE, alg="philox"), alg="philox"
            )
            return tf.clip_by_value(image + between("noise", 3) * numbers, 0.0, 255.0)

        def compress(image: tf.Tensor) -> tf.Tensor:
            low, high = self.jpeg_quality
            return recompress(image, low + tf.cast((high - low + 1) * strengths[4], tf.int32))

        steps: tuple[tuple[float, Callable[[tf.Tensor], tf.Tensor]], ...] = (
            (self.grey, lambda image: tf.tile(tf.image.rgb_to_grayscale(image), [1, 1, 3])),
            (self.blur, lambda image: blur(image, between("blur", 1))),
            (self.downscale, lambda image: rescale(image, between("downscale", 2))),
            (self.noise, add_noise),
            (self.jpeg, compress),
        )
        for index, (part, step) in enumerate(steps):
            if part:
                image = tf.cond(chances[index] < part, lambda: step(image), lambda: image)  # noqa: B023
        return image
