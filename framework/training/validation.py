"""The evaluation of a model on all samples of a split."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from framework.data.source import Source, raise_unreadable
from framework.data.stream import in_order
from framework.errors import ScenarioError
from framework.evaluators import Evaluator, samples_of
from framework.loops.custom import Stepper
from framework.run.patching import patching
from framework.run.signals import Interruption

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from framework.data.structure import Tensors


class Validator:
    """The evaluation of a compiled model on all samples of a source.

    Args:
        model: compiled; its metrics are used, and reset.
        source: the samples.
        batch_size: samples in a batch; the last may hold fewer.
        strategy: the strategy that the model was made under.
        workers: samples loaded at the same time; None tunes it.
    """

    def __init__(
        self,
        model: keras.Model,
        source: Source,
        *,
        batch_size: int,
        strategy: tf.distribute.Strategy,
        workers: int | None = None,
    ) -> None:
        self.source = source
        self._model = model
        self._batch_size = batch_size
        self._strategy = strategy
        self._batches = in_order(source, batch_size=batch_size, workers=workers)
        self._stepper = Stepper(
            functools.partial(_test_step, model),
            strategy,
            jit_compile=bool(model.jit_compile),
            run_eagerly=bool(model.run_eagerly),
            max_steps_per_call=64,
        )
        self._outputs_of: Callable[[Tensors], Tensors] | None = None

    def evaluate(
        self, evaluators: Sequence[Evaluator] = (), interruption: Interruption | None = None
    ) -> dict[str, float]:
        """Find loss and metrics over all samples, and the values of the evaluators.

        Args:
            evaluators: fresh ones; each is shown all samples.
            interruption: asked between batches; ends the evaluation after a signal.

        Raises:
            Interrupted: after a signal.
            DataError: naming the samples that cannot be loaded.
            ScenarioError: where two values have one name.
        """
        import tensorflow as tf

        self._model.reset_metrics()
        left = -(-len(self.source) // self._batch_size)
        iterator = iter(self._strategy.experimental_distribute_dataset(self._batches))
        try:
            while left:
                if evaluators:
                    self._show_batch(next(iterator), evaluators)
                    left -= 1
                else:
                    left -= self._stepper.run(iterator, left)
                if interruption is not None:
                    interruption.check()
        except tf.errors.OpError as error:
            raise_unreadable(self.source, range(len(self.source)), error)
            raise
        values = metric_values(self._model)
        value_names(values, evaluators)
        for evaluator in evaluators:
            values |= {name: float(value) for name, value in evaluator.result().items()}
        return values

    def _show_batch(self, batch: Tensors, evaluators: Sequence[Evaluator]) -> None:
        """Evaluate a batch, and show the evaluators its samples."""
        import keras

        if self._outputs_of is None:
            self._outputs_of = self._trace_outputs()
        outputs = self._outputs_of(batch)
        local = self._strategy.experimental_local_results
        for part, given in zip(local(batch), local(outputs), strict=True):
            inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(part)
            for sample in samples_of(inputs, targets, given, weights):
                for evaluator in evaluators:
                    evaluator.update(sample)

    def _trace_outputs(self) -> Callable[[Tensors], Tensors]:
        import tensorflow as tf

        def outputs_of(batch: Tensors) -> Tensors:
            return self._strategy.run(_test_step_with_outputs(self._model), args=(batch,))

        return outputs_of if self._model.run_eagerly else tf.function(outputs_of, reduce_retracing=True)


def _test_step(model: keras.Model, batch: Tensors) -> Mapping[str, Tensors]:
    """Do the model's `test_step`, with the losses of several outputs as means over samples.

    Keras weighs them by the size that a batch is known to have while the graph is made. Where the last batch
    may be smaller, the size is not known then, and each batch counts alike: the mean would depend on the
    batch size.
    """
    import keras
    import tensorflow as tf

    def counted(
        update: Callable[..., object], value: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> object:
        return update(value, sample_weight=size if sample_weight is None else sample_weight)

    size = tf.shape(tf.nest.flatten(keras.utils.unpack_x_y_sample_weight(batch)[0])[0])[0]
    losses = model._compile_loss.metrics if model._compile_loss is not None else []
    with contextlib.ExitStack() as stack:
        for loss in losses:
            stack.enter_context(patching(loss, update_state=functools.partial(counted, loss.update_state)))
        return model.test_step(batch)


def _test_step_with_outputs(model: keras.Model) -> Callable[[Tensors], Tensors]:
    """Make the model's `test_step`, with the model's outputs in place of its logs."""

    def step(batch: Tensors) -> Tensors:
        import keras

        seen: list[Tensors] = []

        def compute_metrics(
            x: Tensors, y: Tensors, y_pred: Tensors, sample_weight: Tensors | None = None
        ) -> object:
            seen.append(y_pred)
            return type(model).compute_metrics(model, x, y, y_pred, sample_weight)

        # `test_step` hands them over there, so they are not computed twice.
        with patching(model, compute_metrics=compute_metrics):
            _test_step(model, batch)
        # A model's own test_step may not call it.
        return seen[0] if seen else model(keras.utils.unpack_x_y_sample_weight(batch)[0], training=False)

    return step


def value_names(metrics: Iterable[str], evaluators: Sequence[Evaluator]) -> list[str]:
    """List the names of all values that an evaluation gives.

    Args:
        metrics: the names of loss and metrics.

    Raises:
        ScenarioError: where two values have one name.
    """
    names = [*metrics, *(name for evaluator in evaluators for name in evaluator.names)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ScenarioError(
            f"two values of the scenario are called {', '.join(twice)}",
            hint="give the metrics in objective() and the evaluators names of their own",
        )
    return names


def metric_values(model: keras.Model) -> dict[str, float]:
    """Read loss and metrics of a compiled model as they stand, by name. A metric with several values has an
    entry for each."""
    values: dict[str, float] = {}
    for name, value in model.get_metrics_result().items():
        if isinstance(value, Mapping):
            values |= {f"{name}_{part}": float(v) for part, v in value.items()}
        else:
            values[name] = float(value)
    return values
