"""Gradient accumulation over batches, and the sum of gradients over replicas, before clipping.

Importing this module imports Keras; it is imported only when an optimizer is built.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from framework.run.patching import patch

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices | None
"""Of a variable; None where it has no part in the loss."""


class WholeSteps:
    """Gradient accumulation for an optimizer: each step uses the gradient of all its samples at once.

    Keras clips the gradients of each replica before it sums them, and with accumulation it counts batches
    instead of steps for iterations, schedules and averages. Here, a gradient is first summed over the batches
    of the step, then over the replicas. Clipping, weight decay, the update itself and the count of steps that
    a schedule uses come after that, once a step.

    The sum over batches is zero between two steps, so it is not part of the state of a run. The class of the
    optimizer does not change, and it is saved and loaded as usual.

    Args:
        optimizer: not built yet. Its methods `build`, `apply` and `_all_reduce_sum_gradients` are patched, on
            this object alone.
        batches: batches in a step, >= 1.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, batches: int) -> None:
        self.batches = batches
        self.gathers = False
        self._optimizer = optimizer
        self._keras_build, self._keras_apply = optimizer.build, optimizer.apply
        self._sums: _GradientSums | None = None
        # Keras sums over the replicas in `_all_reduce_sum_gradients`, which it calls after clipping. `_apply`
        # has summed them before that, so this must not sum them again.
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
        self, grads: Sequence[Gradient], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """Add the gradients of a batch, in the graph of a replica; apply the step with its last batch."""
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
    """Return the number of batches in a step: 1 unless the optimizer accumulates gradients."""
    steps = _whole_steps(optimizer)
    return steps.batches if steps else 1


@contextlib.contextmanager
def gathering(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Trace, within the context, batches that only add their gradients to the sums of the optimizer."""
    steps = _whole_steps(optimizer)
    assert steps is not None
    steps.gathers = True
    try:
        yield
    finally:
        steps.gathers = False


def _whole_steps(optimizer: keras.optimizers.Optimizer) -> WholeSteps | None:
    # Under mixed_float16, Keras wraps the optimizer in a LossScaleOptimizer.
    return getattr(getattr(optimizer, "inner_optimizer", optimizer), "whole_steps", None)


def _sum_over_replicas(gradients: Sequence[Gradient]) -> list[Gradient]:
    """Return the gradients summed over the replicas, the same on each; None (no gradient) stays None."""
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
    """Sums of the gradients over the batches of a step, separate for each replica."""

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

    def add(self, gradients: Sequence[Gradient], variables: Sequence[keras.Variable]) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            if gradient is not None:
                self._of[id(variable)].assign_add(tf.convert_to_tensor(gradient))

    def take_mean(
        self, gradients: Sequence[Gradient], variables: Sequence[keras.Variable], count: int
    ) -> list[Gradient]:
        """Return the mean of `count` gradients, given the last of them, and reset the sums to zero."""
        return [
            None if gradient is None else self._take(self._of[id(variable)], gradient) / count
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    def _take(self, total: tf.Variable, gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
        value = total.read_value() + tf.convert_to_tensor(gradient)
        total.assign(tf.zeros_like(value))
        return value
