"""LeNet-5, as today's tutorials build it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework import setting

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class LeNet5:
    """Two convolutions and three dense layers, after LeCun, Bottou, Bengio and Haffner 1998, Gradient-Based
    Learning Applied to Document Recognition, figure 2, as MindSpore's training tutorial has it: ReLU in place
    of tanh, max pooling, each map of the second convolution sees all of the first, and a softmax ends it.
    61,706 parameters."""

    image_size: int = setting(32, "Height and width of an image, in pixels.", ge=16, le=4096)
    deviation: float = setting(
        0.02, "Standard deviation of the normal distribution that dense weights are drawn from.", gt=0
    )
    dropout: float = setting(
        0.0,
        "Part of the activations before each dense layer that dropout sets to 0 while training.",
        ge=0,
        lt=1,
    )

    def build(self, *, classes: int) -> keras.Model:
        """The model, not compiled.

        Args:
            classes: the number of classes, 3 or more.

        Returns:
            A functional model. Its input is float32 [batch, image_size, image_size, 1], pixel values in [0,
            255], which it scales to [0, 1] itself; its output float32 [batch, classes], probabilities that
            sum to 1.
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
        # float16 has no room for small probabilities, and the loss takes their logarithm.
        output = layers.Dense(
            classes, "softmax", kernel_initializer=self._normal(3), dtype="float32", name="output"
        )(x)
        return keras.Model(image, output, name="lenet5")

    def _normal(self, number: int) -> keras.initializers.Initializer:
        import keras

        return keras.initializers.RandomNormal(stddev=self.deviation)
