"""The weights used for evaluation: raw or averaged, with recalibrated BatchNorm statistics.

Validation, best, export and everything that reads them use the weights inside `with evaluation_weights(...)`.
When the context ends, the training state is bit for bit what it was before.

BatchNorm's moving averages lag behind weights that still move: they are statistics of earlier weights.
Recalibration ("precise BatchNorm", Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3) replaces
them by statistics over some training batches, computed with the current weights.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from framework.model.layers import all_layers
from framework.run.patching import patching

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from framework.data.structure import Tensors


def batch_norm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """List the trainable BatchNormalization layers of a model, those of models inside it too.

    Frozen ones are left out: they use their moving averages in training, too.
    """
    import keras

    return [
        layer
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


def ema_rate(rate: float, batch_size: int, samples_per_epoch: int) -> float:
    """Return the rate of the moving average, computed from the length of an epoch if `rate` is -1.

    Args:
        rate: a rate, which is returned as it is, or -1 for clip(0.75 ** (batch_size / samples_per_epoch),
            0.99, 0.99975). With that, an average spans about the same part of an epoch whatever its length.
        batch_size: samples in a step.
        samples_per_epoch: samples in an epoch.
    """
    if rate != -1:
        return rate
    return float(min(max(0.75 ** (batch_size / samples_per_epoch), 0.99), 0.99975))


def float_weights(model: keras.Model) -> list[keras.Variable]:
    """List the float weights of a model, which can be averaged, BatchNorm's moving statistics included."""
    import keras

    return [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)]


@contextlib.contextmanager
def restoring(model: keras.Model) -> Iterator[None]:
    """Restore all variables of a model and of its metrics, bit for bit, when the context ends."""
    variables = [*model.variables, *model.metrics_variables]
    before = [_copy(variable) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


class AveragedWeights:
    """A moving average of the weights of a model in training, BatchNorm's moving statistics included.

    The training is not affected. After each applied step the average moves by `move(step) * (weight -
    average)`.

    Args:
        model: built, its optimizer too.
        move: maps the number of steps done, a float64 scalar tensor >= 1, to the fraction of the way from the
            average to the weights that the average moves, in (0, 1].
    """

    def __init__(self, model: keras.Model, move: Callable[[tf.Tensor], tf.Tensor]) -> None:
        import keras

        self._move = move
        self._optimizer = model.optimizer
        self._weights = float_weights(model)
        self.variables = [
            keras.Variable(_copy(weight), dtype=weight.dtype, trainable=False, name=f"average_{i}")
            for i, weight in enumerate(self._weights)
        ]

    def update(self) -> None:
        """Update the average after a step. Called in the graph of the step."""
        import keras

        move = self._move(keras.ops.cast(self._optimizer.iterations, "float64"))
        for weight, average in zip(self._weights, self.variables, strict=True):
            average.assign_add(keras.ops.cast(move, average.dtype) * (weight - average))

    def reset(self) -> None:
        """Set the average to the current weights."""
        for weight, average in zip(self._weights, self.variables, strict=True):
            average.assign(weight)

    def put(self) -> None:
        """Assign the average to the weights of the model."""
        for weight, average in zip(self._weights, self.variables, strict=True):
            weight.assign(average)


def exponential(rate: float) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the move of an exponential moving average (EMA): 1 - min(rate, (1 + n) / (10 + n)) after step n.

    The second term gives the untrained weights of the first steps a smaller share than the rate alone would,
    as in `tf.train.ExponentialMovingAverage`.

    Args:
        rate: the decay of the average, in [0, 1).
    """

    def move(step: tf.Tensor) -> tf.Tensor:
        import keras

        return 1 - keras.ops.minimum(rate, (1 + step) / (10 + step))

    return move


class GivenWeights:
    """Weights from elsewhere to evaluate a model with.

    Args:
        model: the model that they are weights of.
        arrays: one for each of `float_weights(model)`.
    """

    def __init__(self, model: keras.Model, arrays: Sequence[np.ndarray]) -> None:
        self._weights, self._arrays = float_weights(model), arrays

    @classmethod
    def of(cls, model: keras.Model) -> GivenWeights:
        """Take the weights that a model has now, so that they are evaluated instead of an average."""
        return cls(model, [_copy(weight) for weight in float_weights(model)])

    def put(self) -> None:
        """Assign the arrays to the weights of the model."""
        for weight, array in zip(self._weights, self._arrays, strict=True):
            weight.assign(array)


class EvaluationWeights:
    """Context that gives a model in training its evaluation weights.

    Args:
        model: the model in training.
        recalibrate: whether to recompute BatchNorm statistics.
        average: averaged weights to use instead of the raw ones, or None.

    Attributes:
        seconds: how long it has taken to make them, all times together.
    """

    def __init__(
        self, model: keras.Model, *, recalibrate: bool, average: AveragedWeights | None = None
    ) -> None:
        self.seconds = 0.0
        self._model = model
        self._average = average
        self._layers = batch_norm_layers(model) if recalibrate else []
        self._forward: Callable[[Tensors], None] | None = None

    @property
    def recalibrates(self) -> bool:
        """Whether there are BatchNorm layers to recalibrate, so that batches are needed."""
        return bool(self._layers)

    def describe(self) -> dict[str, str]:
        """Describe these weights, for the record of an exported model."""
        return {
            "weights": "raw" if self._average is None else "ema",
            "batch_norm": "recalibrated" if self.recalibrates else "moving averages",
        }

    @contextlib.contextmanager
    def apply(self, batches: Iterable[Tensors] = (), given: GivenWeights | None = None) -> Iterator[None]:
        """Give the model its evaluation weights within the context; restore its state after it.

        Args:
            batches: training batches to compute BatchNorm statistics over, as Keras trains on them. Not read
                unless `recalibrates`.
            given: weights to evaluate instead of its own.
        """
        started = time.perf_counter()
        with restoring(self._model):
            weights = given or self._average
            if weights is not None:
                weights.put()
            if self._layers:
                self._recalibrate(batches)
            self.seconds += time.perf_counter() - started
            yield

    def _recalibrate(self, batches: Iterable[Tensors]) -> None:
        """Set population statistics over batches of equal size.

        mean = E[m] and variance = E[v + m^2] - E[m]^2, where m and v are the statistics of one batch. They
        are summed in float64, because the difference of the two squares would cancel in float32.

        Raises:
            ValueError: if there are no batches.
        """
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

    def _batch_statistics(self, inputs: Tensors) -> None:
        """Set the moving averages to the statistics of one batch.

        BatchNorm works as in training, so that each layer's input is normalised by the statistics of this
        batch. All other layers work as in inference: dropout is off.
        """
        if self._forward is None:
            self._forward = self._trace_forward()
        self._forward(inputs)

    def _trace_forward(self) -> Callable[[Tensors], None]:
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def forward(inputs: Tensors) -> None:
            with _normalising_by_batch(self._layers):
                self._model(inputs, training=False)

        return forward


@contextlib.contextmanager
def _normalising_by_batch(layers: list[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Trace BatchNorm layers so that they normalise by batch statistics and store them as moving averages."""
    momenta = [layer.momentum for layer in layers]

    def in_training(call: Callable[..., Tensors]) -> Callable[..., Tensors]:
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


def _copy(variable: keras.Variable) -> np.ndarray:
    import keras
    import numpy as np

    return np.array(keras.ops.convert_to_numpy(variable))
