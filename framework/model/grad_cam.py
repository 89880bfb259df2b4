"""What a network looks at: class activation maps by gradients, activations and filters of its layers."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from framework.errors import ConfigError, Problem, ScenarioError, nearest
from framework.run.patching import patching

if TYPE_CHECKING:
    import keras
    import numpy as np

    from framework.data.structure import Tensors


class GradCam:
    """Finds where in an image a network sees what speaks for a class.

    The map of a class is the sum of the activations of a convolutional layer, each weighted by the mean of the
    gradient of the class' score with respect to it, where that sum is positive (Selvaraju et al., Grad-CAM, 2017,
    equations 1 and 2). The score is the logit: the output before its sigmoid or softmax, which would flatten the
    gradient of a certain answer.

    Args:
        model: a functional or sequential model with one output: [batch, classes], or [batch, 1] for the positive one
            of two classes.
        layer: the name of the layer; None: the last one whose output has a height and a width above 1.

    Attributes:
        layer: the name of the layer.

    Raises:
        ScenarioError: if the model cannot be observed: a subclassed one, one of several outputs, one without such a
            layer.
        ConfigError: if there is no layer of this name, or its output has no height and width.

    >>> GradCam(model).maps(images, [1] * len(images)).shape
    (8, 16, 16)
    """

    def __init__(self, model: keras.Model, layer: str | None = None) -> None:
        import keras

        check_observable(model)
        if len(model.outputs) != 1:
            raise ScenarioError("a model of several outputs has no map for one of them")
        spatial = [one.name for one in model.layers if _is_spatial(one)]
        if layer is None:
            if not spatial:
                raise ScenarioError(
                    "the model has no layer whose output has a height and a width",
                    hint="there are maps of what a model looks at in images, and not in texts or numbers",
                )
            layer = spatial[-1]
        find_layer(model, layer)
        if layer not in spatial:
            raise ConfigError(
                Problem("--layer", "has no height and width", given=layer, allowed=", ".join(spatial)),
                subject="the command line",
            )
        self.layer = layer
        self._model = model
        self._observed = keras.Model(
            _single(model.inputs), [_output_of(model.get_layer(layer)), model.outputs[0]]
        )

    def maps(self, inputs: Tensors, classes: Sequence[int]) -> np.ndarray:
        """Return the map of a class for each sample.

        Args:
            inputs: what the model gets, with a batch dimension.
            classes: for each sample the index of the class; where the model has one output, 1 for the positive
                class and 0 for the other.

        Returns:
            float32 [batch, height, width] of the layer, >= 0; 0 where nothing speaks for the class.
        """
        import keras
        import tensorflow as tf

        last = self._model.layers[-1]
        with contextlib.ExitStack() as stack:
            if getattr(last, "activation", None) in (keras.activations.sigmoid, keras.activations.softmax):
                stack.enter_context(patching(last, activation=keras.activations.linear))
            tape = stack.enter_context(tf.GradientTape(watch_accessed_variables=False))
            # Frozen or not: what depends on a variable is on the tape.
            tape.watch(
                [variable.value for variable in self._model.variables if variable.dtype.startswith("f")]
            )
            activations, outputs = self._observed(inputs, training=False)
            if outputs.shape[-1] == 1:
                signs = tf.constant([1.0 if chosen else -1.0 for chosen in classes])
                scores = tf.cast(outputs[:, 0], tf.float32) * signs
            else:
                scores = tf.gather(outputs, tf.constant(list(classes)), batch_dims=1)
        gradients = tape.gradient(scores, activations)
        weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
        found: np.ndarray = tf.cast(tf.nn.relu(tf.reduce_sum(weights * activations, -1)), tf.float32).numpy()
        return found


class Activations:
    """Observes what layers of a model give.

    Args:
        model: a functional or sequential model.
        layers: their names.

    Raises:
        ScenarioError: if the model cannot be observed.
        ConfigError: if there is no layer of a name.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str]) -> None:
        import keras

        check_observable(model)
        outputs = {name: _output_of(find_layer(model, name)) for name in layers}
        self._observed = keras.Model(_single(model.inputs), outputs) if outputs else None
        self._layers = tuple(layers)

    def of(self, inputs: Tensors) -> dict[str, np.ndarray]:
        """Return the outputs by layer, [batch, ...], in the order of the layers.

        Args:
            inputs: what the model gets, with a batch dimension.
        """
        import numpy as np

        if self._observed is None:
            return {}
        found = self._observed(inputs, training=False)
        return {name: np.asarray(found[name]) for name in self._layers}


def activations(model: keras.Model, layers: Sequence[str], inputs: Tensors) -> dict[str, np.ndarray]:
    """Return what layers of a model give for some inputs; see `Activations`."""
    return Activations(model, layers).of(inputs)


def filters(model: keras.Model, layer: str) -> np.ndarray:
    """Return the kernel of a convolutional layer, float [height, width, channels in, channels out].

    Raises:
        ConfigError: if there is no layer of this name, or it has no such kernel.
    """
    import keras
    import numpy as np

    kernel = getattr(find_layer(model, layer), "kernel", None)
    if kernel is None or len(kernel.shape) != 4:
        having = [
            one.name for one in model.layers if len(getattr(getattr(one, "kernel", None), "shape", ())) == 4
        ]
        raise ConfigError(
            Problem("--filters", "must be a convolutional layer", given=layer, allowed=", ".join(having)),
            subject="the command line",
        )
    return np.asarray(keras.ops.convert_to_numpy(kernel))


def check_observable(model: keras.Model) -> None:
    """Raise a `ScenarioError` for a model whose layers cannot be observed: a subclassed one."""
    if not getattr(model, "inputs", None):
        raise ScenarioError(
            f"the layers of a {type(model).__name__} cannot be observed",
            hint="a functional or a sequential model knows how its layers are connected",
        )


def find_layer(model: keras.Model, name: str) -> keras.Layer:
    """Find a layer of a model.

    Raises:
        ConfigError: with the names of all, if there is none of this name.
    """
    names = [layer.name for layer in model.layers]
    if name in names:
        return model.get_layer(name)
    near = nearest(name, names)
    raise ConfigError(
        Problem(
            "layer",
            "is not in the model",
            given=name,
            allowed=", ".join(names),
            hint=near and f"did you mean {near!r}?",
        ),
        subject="the command line",
    )


def _output_of(layer: keras.Layer) -> keras.KerasTensor:
    """What a layer gives in its model. A model within a model has an output of its own, too, outside of it."""
    import keras

    if isinstance(layer, keras.Model) and layer._inbound_nodes:
        return layer._inbound_nodes[-1].outputs[0]
    return layer.output


def _single(inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor | Sequence[keras.KerasTensor]:
    """The inputs of a model as it is called with them: one of them without a list around it."""
    return inputs[0] if len(inputs) == 1 else inputs


def _is_spatial(layer: keras.Layer) -> bool:
    """Whether the output of a layer is [batch, height, width, channels], with more than one place."""
    try:
        shape = _output_of(layer).shape
    except (AttributeError, ValueError):  # several outputs, or none yet
        return False
    return len(shape) == 4 and all(side is None or side > 1 for side in shape[1:3])
