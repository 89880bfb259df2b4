"""The blocks that MesoNet is made of, and the network of the paper made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from scenarios.mesonet.generators import IMG_WIDTH

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    Tensor: TypeAlias = "keras.KerasTensor | tf.Tensor | np.ndarray | Sequence[float]"

_SLOPE = 0.1  # of lrelu, and alpha of elu, after a dense layer


def activation_layer(ip: Tensor, activation: str, *args: float) -> keras.KerasTensor | tf.Tensor:
    """Apply an activation layer.

    Args:
        ip: what it is applied to: the output of a layer, an array or a list.
        activation: `relu` (`keras.layers.ReLU`), `elu` (`ELU`) or `lrelu` (`LeakyReLU`).
        args: arguments of the class of the layer.

    Raises:
        KeyError: if the activation is not one of these.
    """
    import keras
    import numpy as np

    layers = {"relu": keras.layers.ReLU, "elu": keras.layers.ELU, "lrelu": keras.layers.LeakyReLU}
    if activation not in layers:
        raise KeyError(f"unknown activation {activation!r}; known are {', '.join(layers)}")
    return layers[activation](*args)(np.asarray(ip, "float32") if isinstance(ip, list | tuple) else ip)


def conv2D(  # noqa: N802 - the name is that of the documented function
    ip: Tensor,
    filters: int,
    kernel_size: int | Sequence[int],
    activation: str,
    padding: str = "same",
    pool_size: int | Sequence[int] = (2, 2),
) -> keras.KerasTensor:
    """Apply a convolution of stride 1, an activation layer, BatchNorm and max pooling, in this order.

    Args:
        ip: [batch, height, width, channels].
        filters: filters of the convolution.
        kernel_size: height and width of a filter: one number for both, or both.
        activation: as for `activation_layer`.
        padding: of convolution and pooling: `same` or `valid`.
        pool_size: height and width of the pooling window: one number for both, or both.

    Raises:
        KeyError: as for `activation_layer`.
    """
    import keras

    x = keras.layers.Conv2D(filters, kernel_size, padding=padding)(ip)
    x = keras.layers.BatchNormalization()(activation_layer(x, activation))
    return keras.layers.MaxPooling2D(pool_size, padding=padding)(x)


def fully_connected_layer(ip: Tensor, units: int, activation: str, dropout: float) -> keras.KerasTensor:
    """Apply a dense layer, an activation layer and dropout, in this order.

    Args:
        ip: [..., n].
        units: units of the dense layer.
        activation: as for `activation_layer`. The slope of `lrelu`, and alpha of `elu`, is 0.1.
        dropout: fraction of the activations that dropout sets to 0 in training.

    Raises:
        KeyError: as for `activation_layer`.
    """
    import keras

    x = keras.layers.Dense(units)(ip)
    x = activation_layer(x, activation, *(() if activation == "relu" else (_SLOPE,)))
    return keras.layers.Dropout(dropout)(x)


def build_model(
    ip: keras.KerasTensor | None = None,
    activation: str = "relu",
    dropout: float = 0.5,
    hidden_activation: str = "lrelu",
) -> keras.Model:
    """Build Meso-4, the network of the paper, not compiled.

    Args:
        ip: a `keras.Input` for images with values of 0 to 1; None: `keras.Input((256, 256, 3))`.
        activation: after each convolution; see `activation_layer`.
        dropout: rate of both dropout layers.
        hidden_activation: after the dense layer; see `fully_connected_layer`.

    Returns:
        A functional model. It gives the probability of the class 1, [batch, 1].

    Raises:
        KeyError: as for `activation_layer`.
    """
    import keras

    if ip is None:
        ip = keras.Input((IMG_WIDTH, IMG_WIDTH, 3))
    if not isinstance(ip, keras.KerasTensor):
        raise TypeError(f"ip must be a keras.Input, such as keras.Input((256, 256, 3)), not {ip!r}")
    x = conv2D(ip, 8, (3, 3), activation)
    x = conv2D(x, 8, (5, 5), activation)
    x = conv2D(x, 16, (5, 5), activation)
    x = conv2D(x, 16, (5, 5), activation, pool_size=(4, 4))
    x = keras.layers.Dropout(dropout)(keras.layers.Flatten()(x))
    x = fully_connected_layer(x, 16, hidden_activation, dropout)
    return keras.Model(ip, keras.layers.Dense(1, activation="sigmoid")(x))
