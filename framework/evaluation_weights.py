"""The weights that a model is judged by: never the training state itself, and one and the same everywhere.

Validation, best, export and everything that reads them see the weights inside `with evaluation_weights(...)`; when it ends, the
training state is what it was, bit for bit.

BatchNorm's moving averages lag behind weights that still move, so they judge a model by statistics of weights that it no longer
has. Recalibration ("precise BatchNorm", Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3) replaces them by
statistics over some training batches, computed with the weights at hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np


def batch_norm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The BatchNormalization layers of a model and of the models inside it that normalise by batch statistics in training
    (frozen ones use their moving averages there, too)."""
    import keras

    layers = model._flatten_layers(include_self=False, recursive=True)
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable]


class EvaluationWeights:
    """Makes the evaluation weights of a model that is being trained.

    Args:
        model: the model in training.
        recalibrate: whether BatchNorm statistics are taken afresh.
    """

    def __init__(self, model: keras.Model, *, recalibrate: bool) -> None:
        self._model = model
        self._layers = batch_norm_layers(model) if recalibrate else []
        self._forward: Any = None

    @property
    def recalibrates(self) -> bool:
        """Whether there is anything to recalibrate, and so any need for batches."""
        return bool(self._layers)

    @contextlib.contextmanager
    def __call__(self, batches: Iterable[Any] = ()) -> Iterator[None]:
        """Within the context, the model holds its evaluation weights.

        Args:
            batches: training batches to take BatchNorm statistics over, as Keras trains on them; not read unless `recalibrates`.
        """
        variables = [*self._model.variables, *self._model.metrics_variables]
        before = [_copy(variable) for variable in variables]
        try:
            if self._layers:
                self._recalibrate(batches)
            yield
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)

    def _recalibrate(self, batches: Iterable[Any]) -> None:
        """Population statistics over batches of equal size: mean = E[m], variance = E[v + m^2] - E[m]^2, where m and v are those
        of one batch. Summed in float64, in which the difference of the two squares does not cancel."""
        import numpy as np

        sums = [
            [np.zeros(layer.moving_mean.shape, "float64"), np.zeros(layer.moving_mean.shape, "float64")] for layer in self._layers
        ]
        count = 0
        for batch in batches:
            self._batch_statistics(batch[0] if isinstance(batch, tuple) else batch)
            count += 1
            for (mean_sum, square_sum), layer in zip(sums, self._layers, strict=True):
                mean = _copy(layer.moving_mean).astype("float64")
                mean_sum += mean
                square_sum += _copy(layer.moving_variance) + mean**2
        if not count:
            raise ValueError("recalibration needs at least one batch")
        for (mean_sum, square_sum), layer in zip(sums, self._layers, strict=True):
            mean = mean_sum / count
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(np.maximum(square_sum / count - mean**2, 0))

    def _batch_statistics(self, inputs: Any) -> None:
        """Put the statistics of one batch into the moving averages. Every layer but BatchNorm works as in inference, so dropout is
        off; BatchNorm works as in training, so that each layer sees its input normalised by the statistics of this batch."""
        if self._forward is None:
            self._forward = self._trace_forward()
        self._forward(inputs)

    def _trace_forward(self) -> Any:
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def forward(inputs: Any) -> None:
            with _normalising_by_batch(self._layers):
                self._model(inputs, training=False)

        return forward


@contextlib.contextmanager
def _normalising_by_batch(layers: list[keras.layers.BatchNormalization]) -> Iterator[None]:
    """While the model is traced: its BatchNorm layers normalise by batch statistics, and these replace the moving averages."""
    momenta = [layer.momentum for layer in layers]

    def in_training(call: Any) -> Any:
        return lambda inputs, training=None, mask=None: call(inputs, training=True, mask=mask)

    for layer in layers:
        layer.momentum = 0.0
        # Into the instance's own dict, around Keras' attribute tracking; deleting it brings the class's method back.
        vars(layer)["call"] = in_training(layer.call)
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            del vars(layer)["call"]


def _copy(variable: Any) -> np.ndarray:
    import keras
    import numpy as np

    return np.array(keras.ops.convert_to_numpy(variable))
