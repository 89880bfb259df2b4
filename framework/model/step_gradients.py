"""The gradients of a training step that is not done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from framework.run.patching import patching

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from framework.data.structure import Tensors


class StepGradients:
    """The gradients that the optimizer would get, by the names of the weights.

    They come from the model's own `train_step`, before the optimizer clips them. The weights and the optimizer stay
    as they are. What else a step changes (seeds of dropout, BatchNorm's statistics, metrics) is to be restored:
    `framework.model.evaluation_weights.restoring`.

    Args:
        model: compiled.
        strategy: the strategy that it was made under.
    """

    def __init__(self, model: keras.Model, strategy: tf.distribute.Strategy) -> None:
        self._model, self._strategy = model, strategy
        self._names: list[str] = []
        self._compute: Callable[[Tensors], list[tf.Tensor]] | None = None

    def of(self, batch: Tensors) -> dict[str, np.ndarray]:
        """Compute them for a batch, as an iterator of the strategy gives it."""
        import tensorflow as tf

        if self._compute is None:
            # A function of its own: the one that trains was traced without what is patched here.
            self._compute = (
                self._sum_over_replicas if self._model.run_eagerly else tf.function(self._sum_over_replicas)
            )
        gradients = self._compute(batch)
        return {name: gradient.numpy() for name, gradient in zip(self._names, gradients, strict=True)}

    def _sum_over_replicas(self, batch: Tensors) -> list[tf.Tensor]:
        import tensorflow as tf

        found: dict[int, dict[str, tf.Tensor]] = {}

        def keep(
            gradients: Sequence[tf.Tensor | tf.IndexedSlices | None],
            variables: Sequence[keras.Variable] | None = None,
        ) -> None:
            variables = self._model.trainable_variables if variables is None else variables
            found[threading.get_ident()] = {
                variable.path: tf.convert_to_tensor(gradient)
                for gradient, variable in zip(gradients, variables, strict=True)
                if gradient is not None
            }

        def step(batch: Tensors) -> dict[str, tf.Tensor]:
            self._model.train_step(batch)
            return found.pop(threading.get_ident(), {})

        # Around all replicas: each is traced in a thread of its own, and they take turns within a step. Under
        # mixed_float16 the loss would be scaled, and its gradients with it.
        with patching(self._model.optimizer, apply=keep, scale_loss=lambda loss: loss):
            of_replicas = self._strategy.run(step, args=(batch,))
        self._names = list(of_replicas)
        # The loss of each replica is its part of the whole.
        add = tf.distribute.ReduceOp.SUM
        return [self._strategy.reduce(add, gradient, axis=None) for gradient in of_replicas.values()]
