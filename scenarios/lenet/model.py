"""LeNet-5, as in today's tutorials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework import setting

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class LeNet5:
    """Two convolutions and three dense layers, 61,706 parameters, after LeCun, Bottou, Bengio and Haffner
    1998, Gradient-Based Learning Applied to Document Recognition, figure 2. As in MindSpore's training
    tutorial, it has ReLU in place of tanh, max pooling, full connections between the maps of both
    convolutions, and a softmax at the end."""

    image_size: int = setting(32, "Height and width of an image, in pixels.", ge=16, le=4096)
    deviation: float = setting(
        0.02,
        "Standard deviation of the normal distribution that the initial weights of dense layers are drawn "
        "from.",
        gt=0,
    )
    dropout: float = setting(
        0.0,
        "Fraction of the activations before each dense layer that dropout sets to 0 in training.",
        ge=0,
        lt=1,
    )

    def build(self, *, classes: int) -> keras.Model:
        """Build the model, not compiled.

        Args:
            classes: the number of classes, 3 or more.

        Returns:
            A functional model. Its input is float32 [batch, image_size, image_size, 1], pixel values in [0,
            255], which the model scales to [0, 1] itself. Its output is float32 [batch, classes],
            probabilities that sum to 1.
        """
        import keras
        from keras import layers

        image = keras.Input((self.image_size, self.image_size, 1), name="image")
        x = layers.Rescaling(1 / 255, name="rescale")(image)
        for number, filters in enumerate((6, 16), start=1):
            x = layers.Conv2D(filters, 5, activation="relu", name=f"conv{number}")(x)
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
        x = layers.Flatten(name="flatten")(x)
        for number, units in enumerate((120, 84), start=1):
            x = layers.Dropout(self.dropout, name=f"dropout{number}")(x)
            x = layers.Dense(units, "relu", kernel_initializer=self._normal(number), name=f"dense{number}")(x)
        # float16 cannot represent small probabilities, and the loss takes their logarithm.
        output = layers.Dense(
            classes, "softmax", kernel_initializer=self._normal(3), dtype="float32", name="output"
        )(x)
        return keras.Model(image, output, name="lenet5")

    def _normal(self, number: int) -> keras.initializers.Initializer:
        import keras

        return keras.initializers.RandomNormal(stddev=self.deviation)
