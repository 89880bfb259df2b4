"""The weights that a model is judged by: never the training state itself, and one and the same everywhere.

Validation, best, export and everything that reads them see the weights inside `with evaluation_weights(...)`;
when it ends, the training state is what it was, bit for bit.

BatchNorm's moving averages lag behind weights that still move, so they judge a model by statistics of weights
that it no longer has. Recalibration ("precise BatchNorm", Wu & Johnson 2021, "Rethinking 'Batch' in
BatchNorm", section 3) replaces them by statistics over some training batches, computed with the weights at
hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from framework.model.layers import all_layers
from framework.run.patching import patching

if TYPE_CHECKING:
    import keras
    import numpy as np


def batch_norm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The BatchNormalization layers of a model and of the models inside it that normalise by batch statistics
    in training (frozen ones use their moving averages there, too)."""
    import keras

    return [
        layer
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


def ema_rate(rate: float, batch_size: int, samples_per_epoch: int) -> float:
    """The rate of the moving average: `rate` itself, or for -1 clip(0.75 ** (batch_size / samples_per_epoch),
    0.99, 0.99975), so that an average spans about the same part of an epoch whatever its length."""
    if rate != -1:
        return rate
    return float(min(max(0.75 ** (batch_size / samples_per_epoch), 0.99), 0.99975))


def float_weights(model: keras.Model) -> list[keras.Variable]:
    """The weights of a model that an average can be taken of, BatchNorm's moving statistics among them."""
    import keras

    return [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)]


class AveragedWeights:
    """A moving average of the weights of a model in training, BatchNorm's moving statistics among them. The
    training is not touched.

    After each applied step the average moves by `move(step) * (weight - average)`.

    Args:
        model: built, its optimizer too.
        move: from the number of steps done, a float64 scalar tensor, >= 1, to the part of the way that the
            average goes, in (0, 1].
    """

    def __init__(self, model: keras.Model, move: Callable[[Any], Any]) -> None:
        import keras

        self._move = move
        self._optimizer = model.optimizer
        self._weights = float_weights(model)
        self.variables = [
            keras.Variable(_copy(weight), dtype=weight.dtype, trainable=False, name=f"average_{i}")
            for i, weight in enumerate(self._weights)
        ]

    def update(self) -> None:
        """Take in the weights after a step; called in the graph of the step."""
        import keras

        move = self._move(keras.ops.cast(self._optimizer.iterations, "float64"))
        for weight, average in zip(self._weights, self.variables, strict=True):
            average.assign_add(keras.ops.cast(move, average.dtype) * (weight - average))

    def reset(self) -> None:
        """Start from the weights as they are."""
        for weight, average in zip(self._weights, self.variables, strict=True):
            average.assign(weight)

    def put(self) -> None:
        """Put the average into the model."""
        for weight, average in zip(self._weights, self.variables, strict=True):
            weight.assign(average)


def exponential(rate: float) -> Callable[[Any], Any]:
    """The move of an exponential moving average (EMA): after step n, 1 - min(rate, (1 + n) / (10 + n)). The
    second term lets the first steps count for less than the rate alone would, since they start from weights
    that nothing has been learned in (as `tf.train.ExponentialMovingAverage` has it).

    Args:
        rate: the part of the average that stays, in [0, 1).
    """

    def move(step: Any) -> Any:
        import keras

        return 1 - keras.ops.minimum(rate, (1 + step) / (10 + step))

    return move


class GivenWeights:
    """Weights to judge a model by that come from elsewhere.

    Args:
        model: whose they are.
        arrays: one for each of `float_weights(model)`.
    """

    def __init__(self, model: keras.Model, arrays: Sequence[np.ndarray]) -> None:
        self._weights, self._arrays = float_weights(model), arrays

    def put(self) -> None:
        """Put them into the model."""
        for weight, array in zip(self._weights, self._arrays, strict=True):
            weight.assign(array)


class EvaluationWeights:
    """Makes the evaluation weights of a model that is being trained.

    Args:
        model: the model in training.
        recalibrate: whether BatchNorm statistics are taken afresh.
        average: where averaged weights are used in place of the raw ones.
    """

    def __init__(
        self, model: keras.Model, *, recalibrate: bool, average: AveragedWeights | None = None
    ) -> None:
        self._model = model
        self._average = average
        self._layers = batch_norm_layers(model) if recalibrate else []
        self._forward: Any = None

    @property
    def recalibrates(self) -> bool:
        """Whether there is anything to recalibrate, and so any need for batches."""
        return bool(self._layers)

    def describe(self) -> dict[str, str]:
        """Which weights these are, for the record of an exported model."""
        return {
            "weights": "raw" if self._average is None else "ema",
            "batch_norm": "recalibrated" if self.recalibrates else "moving averages",
        }

    @contextlib.contextmanager
    def __call__(self, batches: Iterable[Any] = (), given: GivenWeights | None = None) -> Iterator[None]:
        """Within the context, the model holds its evaluation weights.

        Args:
            batches: training batches to take BatchNorm statistics over, as Keras trains on them; not read
                unless `recalibrates`.
            given: weights to judge it by in place of its own.
        """
        variables = [*self._model.variables, *self._model.metrics_variables]
        before = [_copy(variable) for variable in variables]
        try:
            weights = given or self._average
            if weights is not None:
                weights.put()
            if self._layers:
                self._recalibrate(batches)
            yield
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)

    def _recalibrate(self, batches: Iterable[Any]) -> None:
        """Population statistics over batches of equal size: mean = E[m], variance = E[v + m^2] - E[m]^2,
        where m and v are those of one batch. Summed in float64, in which the difference of the two squares
        does not cancel."""
        import numpy as np

        sums = [
            [np.zeros(layer.moving_mean.shape, "float64"), np.zeros(layer.moving_mean.shape, "float64")]
            for layer in self._layers
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
        """Put the statistics of one batch into the moving averages. Every layer but BatchNorm works as in
        inference, so dropout is off; BatchNorm works as in training, so that each layer sees its input
        normalised by the statistics of this batch."""
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
    """While the model is traced: its BatchNorm layers normalise by batch statistics, and these replace the
    moving averages."""
    momenta = [layer.momentum for layer in layers]

    def in_training(call: Any) -> Any:
        return lambda inputs, training=None, mask=None: call(inputs, training=True, mask=mask)

    with contextlib.ExitStack() as stack:
        for layer in layers:
            layer.momentum = 0.0
            stack.enter_context(patching(layer, call=in_training(layer.call)))
        try:
            yield
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum


def _copy(variable: Any) -> np.ndarray:
    import keras
    import numpy as np

    return np.array(keras.ops.convert_to_numpy(variable))
