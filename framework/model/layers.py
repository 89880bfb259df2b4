"""The layers inside a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def inner_layers(layer: keras.Layer) -> list[keras.Layer]:
    """List the layers directly inside a model or a layer."""
    layers: list[keras.Layer] = layer._flatten_layers(include_self=False, recursive=False)
    return layers


def all_layers(layer: keras.Layer) -> list[keras.Layer]:
    """List the layers inside a model or a layer, at any depth."""
    layers: list[keras.Layer] = layer._flatten_layers(include_self=False, recursive=True)
    return layers
