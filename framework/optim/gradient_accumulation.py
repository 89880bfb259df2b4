"""How the gradients of several batches and replicas become one step of an optimizer. It imports Keras, so it
is imported only when an optimizer is built."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from framework.run.patching import patch


class WholeSteps:
    """Makes the steps of an optimizer whole: each sees the gradient of all its samples at once, whatever they
    were divided into.

    Keras sums the gradients of the replicas after it has clipped those of each, and counts, schedules and
    averages by the batch where several make a step. Here a gradient is first summed over the batches of the
    step, then over the replicas; what comes after that (clipping, weight decay, the step itself, the count of
    steps that a schedule goes by) happens once a step.

    The sum over batches is zero between two steps, so it is no part of the state of a run. The optimizer
    stays of its class, and is saved and loaded as one.

    Args:
        optimizer: not built yet. Its methods `build` and `apply` are replaced, for this object alone.
        batches: batches that make a step, >= 1.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, batches: int) -> None:
        self.batches = batches
        self.gathers = False
        self._optimizer = optimizer
        self._keras_build, self._keras_apply = optimizer.build, optimizer.apply
        self._sums: _GradientSums | None = None
        # Keras sums over the replicas in the last of them, which is too late for clipping; `_apply` has done
        # it by then.
        patch(
            optimizer,
            whole_steps=self,
            build=self._build,
            apply=self._apply,
            _all_reduce_sum_gradients=lambda grads_and_vars: grads_and_vars,
        )

    def _build(self, variables: Sequence[keras.Variable]) -> None:
        self._keras_build(variables)
        if self.batches > 1:
            self._sums = _GradientSums(variables)

    def _apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """Take in the gradients of a batch, in the graph of a replica; the last batch of a step makes the
        step."""
        variables = (
            self._optimizer._trainable_variables if trainable_variables is None else trainable_variables
        )
        if self._sums is not None:
            if self.gathers:
                self._sums.add(grads, variables)
                return
            grads = self._sums.take_mean(grads, variables, self.batches)
        self._keras_apply(_sum_over_replicas(grads), variables)


def batches_per_step(optimizer: keras.optimizers.Optimizer) -> int:
    """The number of batches that make a step: 1 but for an optimizer whose whole steps take more."""
    steps = _whole_steps(optimizer)
    return steps.batches if steps else 1


@contextlib.contextmanager
def gathering(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """What is traced within the context only gathers gradients of an optimizer with whole steps."""
    steps = _whole_steps(optimizer)
    assert steps is not None
    steps.gathers = True
    try:
        yield
    finally:
        steps.gathers = False


def _whole_steps(optimizer: Any) -> WholeSteps | None:
    # Under mixed_float16 Keras puts one around it that scales the loss.
    return getattr(getattr(optimizer, "inner_optimizer", optimizer), "whole_steps", None)


def _sum_over_replicas(gradients: Sequence[Any]) -> list[Any]:
    """Sums, the same on each replica. None, where a variable has no part in the loss, stays None."""
    replica = tf.distribute.get_replica_context()
    if replica is None:
        return list(gradients)
    sums = iter(
        replica.all_reduce(
            tf.distribute.ReduceOp.SUM, [gradient for gradient in gradients if gradient is not None]
        )
    )
    return [None if gradient is None else next(sums) for gradient in gradients]


class _GradientSums:
    """The sums of gradients over the batches of a step; each replica has its own."""

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        self._of = {
            id(variable): tf.Variable(
                tf.zeros(variable.shape, variable.dtype),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for variable in variables
        }

    def add(self, gradients: Sequence[Any], variables: Sequence[keras.Variable]) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            if gradient is not None:
                self._of[id(variable)].assign_add(tf.convert_to_tensor(gradient))

    def take_mean(
        self, gradients: Sequence[Any], variables: Sequence[keras.Variable], count: int
    ) -> list[Any]:
        """The mean of `count` gradients, the last of which are given; the sums are zero then."""
        return [
            None if gradient is None else self._take(self._of[id(variable)], gradient) / count
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    def _take(self, total: tf.Variable, gradient: Any) -> tf.Tensor:
        value = total.read_value() + tf.convert_to_tensor(gradient)
        total.assign(tf.zeros_like(value))
        return value
