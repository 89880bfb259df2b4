"""Freezing of layers that a pattern selects by their paths, before the model is compiled.

The path of a layer is the names of the layers and models around it, from the outside in, and its own name,
joined by `/`. The name of the outermost model is left out: `backbone/conv1`.
`model.summary(expand_nested=True)` shows these names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from framework.config.schema import regex_fault
from framework.errors import ConfigError, Problem, did_you_mean, listing
from framework.model.layers import inner_layers

if TYPE_CHECKING:
    import keras

SETTING = "trainer.no_train_scope"


def freeze(model: keras.Model, pattern: str) -> list[str]:
    """Freeze the layers that a pattern matches, with everything inside them.

    The weights of a frozen layer stay as they are. It gets `trainable=False`, so freeze before the model is
    compiled and its optimizer built. A frozen BatchNormalization normalises by its moving averages in
    training, too, and these stay as they are (Keras, "Transfer learning & fine-tuning").

    Args:
        model: a built model, not compiled: functional, sequential or subclassed, with or without models
            inside.
        pattern: a regular expression that matches the whole path of a layer. `conv1` matches neither `conv10`
            nor `backbone/conv1`; `.*/conv1` and `backbone` freeze the latter.

    Returns:
        The paths of the frozen layers, in the model's order. Layers inside a frozen layer are frozen and not
        listed.

    Raises:
        ConfigError: at `trainer.no_train_scope`, if the pattern is not a regular expression, matches no layer
            with weights, or leaves nothing to train.
        ValueError: if the model is not built.
    """
    if reason := regex_fault(pattern):
        raise ConfigError(Problem(SETTING, f"must be a regular expression: {reason}", given=pattern))
    if not model.weights:
        raise ValueError(f"the model {model.name!r} has no weights yet: build it, then freeze its layers")
    expression = re.compile(pattern)
    frozen = [(path, layer) for path, layer in _outermost(model, expression) if layer.weights]
    if not frozen:
        raise ConfigError(_matches_nothing(model, pattern))
    for _, layer in frozen:
        layer.trainable = False
    if not model.trainable_variables:
        raise ConfigError(
            Problem(
                SETTING,
                "leaves nothing to train",
                given=pattern,
                hint="leave out the layers that are to learn, as the last one",
            )
        )
    return [path for path, _ in frozen]


def layers_of(layer: keras.Layer, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """Yield each layer inside a model or a layer, with its path; a layer comes before those inside it."""
    for child in inner_layers(layer):
        path = prefix + child.name
        yield path, child
        yield from layers_of(child, f"{path}/")


def _outermost(model: keras.Model, expression: re.Pattern[str]) -> Iterator[tuple[str, keras.Layer]]:
    """Yield the layers with a matching path, except those inside another one."""
    inside = None
    for path, layer in layers_of(model):
        if inside is not None and path.startswith(inside):
            continue
        inside = None
        if expression.fullmatch(path):
            inside = f"{path}/"
            yield path, layer


def _matches_nothing(model: keras.Model, pattern: str) -> Problem:
    paths = [path for path, layer in layers_of(model) if layer.weights]
    return Problem(
        SETTING,
        f"is the path of no layer that has weights; these have:{listing(paths)}",
        given=pattern,
        allowed="a regular expression that is a layer's whole path",
        hint=did_you_mean(pattern, paths) or "`.*` stands for any part of a path: `.*conv.*`",
    )
