"""The networks of MesoNet, as published by their authors.

D. Afchar, V. Nozick, J. Yamagishi, I. Echizen: MesoNet: a Compact Facial Video Forgery Detection Network,
WIFS 2018, arXiv:1809.00888, figure 4 (Meso-4) and figure 5 (MesoInception-4). What the paper leaves open, and
Meso-1, which is not in it, follow the authors' published code: https://github.com/DariusAf/MesoNet,
classifiers.py. The authors' published weights can be loaded with `model.load_weights`; with them, the output
is the probability of a real face.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from framework import ConfigError, Problem, Registry, setting
from framework.config.schema import check
from framework.data.image_config import check_image_size
from framework.data.image_decoding import height_and_width
from framework.errors import unknown_name

if TYPE_CHECKING:
    import keras

MODELS = Registry("model")

Activation = Literal["relu", "elu", "lrelu"]


@dataclass(frozen=True, kw_only=True)
class MesoModel(abc.ABC):
    """Base class of the models: from pixel values to one probability, or to one for each class."""

    image_size: int | tuple[int, ...] = setting(
        256,
        "Height and width of an image, in pixels: one number for both, or `[height,width]`.",
        ge=1,
        le=4096,
    )
    activation: Activation = setting(
        "relu", "Activation after each convolution. lrelu is LeakyReLU with slope 0.1."
    )
    dropout: float = setting(
        0.5, "Fraction of the activations that dropout sets to 0 in training.", ge=0, lt=1
    )

    name: ClassVar[str]
    shrinks: ClassVar[int]
    """The factor by which the last feature map is smaller than the image."""

    def check(self) -> Iterator[Problem]:
        # A config is typed before; an instance that is made in Python is not.
        for name in ("activation", "hidden_activation"):
            if (given := getattr(self, name, "relu")) not in get_args(Activation):
                yield unknown_name(name, "activation", given, get_args(Activation))
        yield from check_image_size(self.image_size)
        if not isinstance(self.image_size, int) and len(self.image_size) != 2:
            return
        if min(height_and_width(self.image_size)) < self.shrinks:
            yield Problem(
                "image_size",
                f"is too small for {self.name}, whose pooling shrinks an image {self.shrinks} times",
                given=self.image_size,
                allowed=f"a whole number >= {self.shrinks}",
                hint=f"set data.image_size={self.shrinks} or more; the authors use 256",
            )

    def build(self, *, classes: int) -> keras.Model:
        """Build the model, not compiled.

        Args:
            classes: the number of classes, 2 or more.

        Returns:
            A functional model. Its input is float32 [batch, height, width, 3], RGB pixel values in [0, 255].
            The model itself scales them to [0, 1], so that training and serving cannot differ in this. Its
            output is float32, also under mixed precision: with 2 classes [batch, 1], the probability of the
            positive class, otherwise [batch, classes], probabilities that sum to 1.

        Raises:
            ConfigError: at `model.image_size`, if it is too small; at an activation that is not known.
            ValueError: if `classes` is below 2.
        """
        import keras

        if problems := check(self, "model"):
            raise ConfigError(problems)
        if classes < 2:
            raise ValueError(f"a classifier has 2 classes or more, not {classes}")
        image = keras.Input((*height_and_width(self.image_size), 3), dtype="float32", name="image")
        x = keras.layers.Rescaling(1 / 255, name="rescale")(image)
        x = self._features(x)
        x = keras.layers.Flatten(name="flatten")(x)
        x = keras.layers.Dropout(self.dropout, name="dropout")(x)
        x = self._hidden(x)
        units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
        # float16 cannot represent small probabilities, and the loss takes their logarithm.
        output = keras.layers.Dense(units, activation=activation, dtype="float32", name="output")(x)
        return keras.Model(image, output, name=self.name)

    @abc.abstractmethod
    def _features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Return the feature map of images with values in [0, 1], smaller by the factor `shrinks`."""

    def _hidden(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Apply the layers between the flat features, float [batch, n], and the output: none by default."""
        return x

    def _conv(
        self, x: keras.KerasTensor, filters: int, kernel: int, name: str, *, dilation: int = 1
    ) -> keras.KerasTensor:
        """Apply a convolution that keeps the size, and its activation."""
        import keras

        x = keras.layers.Conv2D(filters, kernel, padding="same", dilation_rate=dilation, name=name)(x)
        return _activate(x, self.activation, f"{name}_activation")


def _activate(x: keras.KerasTensor, activation: Activation, name: str) -> keras.KerasTensor:
    import keras

    if activation == "lrelu":
        return keras.layers.LeakyReLU(0.1, name=name)(x)
    return keras.layers.Activation(activation, name=name)(x)


def _norm_and_pool(x: keras.KerasTensor, size: int, stage: int) -> keras.KerasTensor:
    import keras

    x = keras.layers.BatchNormalization(name=f"bn{stage}")(x)
    return keras.layers.MaxPooling2D(size, padding="same", name=f"pool{stage}")(x)


@MODELS.register("meso1")
@dataclass(frozen=True, kw_only=True)
class Meso1(MesoModel):
    """Meso-1, the smallest model in the authors' code: one pooled stage. 4,629 parameters at 256x256 and 2
    classes, of which 4,621 are trainable (the rest are BatchNorm's moving statistics)."""

    shrinks = 8

    def _features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        x = self._conv(x, 16, 3, "conv1")
        x = self._conv(x, 4, 1, "conv2")
        return _norm_and_pool(x, 8, 1)


@dataclass(frozen=True, kw_only=True)
class FourStages(MesoModel):
    """Base class of Meso-4 and MesoInception-4: their last two stages, and the dense layer of 16 units."""

    hidden_activation: Activation = setting(
        "lrelu", "Activation after the dense layer. lrelu is LeakyReLU with slope 0.1."
    )

    shrinks = 32

    def _features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        x = self._first_stages(x)
        x = _norm_and_pool(self._conv(x, 16, 5, "conv3"), 2, 3)
        return _norm_and_pool(self._conv(x, 16, 5, "conv4"), 4, 4)

    @abc.abstractmethod
    def _first_stages(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Apply the first two stages; each halves the size."""

    def _hidden(self, x: keras.KerasTensor) -> keras.KerasTensor:
        import keras

        x = keras.layers.Dense(16, name="hidden")(x)
        x = _activate(x, self.hidden_activation, "hidden_activation")
        return keras.layers.Dropout(self.dropout, name="hidden_dropout")(x)


@MODELS.register("meso4")
@dataclass(frozen=True, kw_only=True)
class Meso4(FourStages):
    """Meso-4: four convolutions. 28,073 parameters at 256x256 and 2 classes, of which 27,977 are trainable,
    the number in the paper."""

    def _first_stages(self, x: keras.KerasTensor) -> keras.KerasTensor:
        x = _norm_and_pool(self._conv(x, 8, 3, "conv1"), 2, 1)
        return _norm_and_pool(self._conv(x, 8, 5, "conv2"), 2, 2)


@MODELS.register("mesoinception4")
@dataclass(frozen=True, kw_only=True)
class MesoInception4(FourStages):
    """MesoInception-4: Meso-4 with inception modules of dilated convolutions in place of the first two
    convolutions. 28,725 parameters at 256x256 and 2 classes, of which 28,615 are trainable, the number in the
    paper."""

    def _first_stages(self, x: keras.KerasTensor) -> keras.KerasTensor:
        x = _norm_and_pool(self._inception(x, (1, 4, 4, 2), "inception1"), 2, 1)
        return _norm_and_pool(self._inception(x, (2, 4, 4, 2), "inception2"), 2, 2)

    def _inception(
        self, x: keras.KerasTensor, filters: tuple[int, int, int, int], name: str
    ) -> keras.KerasTensor:
        """Apply an inception module of four branches.

        One is a 1x1 convolution; the others are 3x3 convolutions with dilations 1, 2 and 3, each after a 1x1
        convolution.
        """
        import keras

        branches = [self._conv(x, filters[0], 1, f"{name}_point")]
        for dilation in (1, 2, 3):
            branch = f"{name}_dilated{dilation}"
            reduced = self._conv(x, filters[dilation], 1, f"{branch}_reduce")
            branches.append(self._conv(reduced, filters[dilation], 3, branch, dilation=dilation))
        return keras.layers.Concatenate(name=name)(branches)
