"""The AdaBelief optimizer, which Keras does not have.

Importing this module imports Keras; it is imported only when such an optimizer is built.
"""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="framework")
class AdaBelief(keras.optimizers.Optimizer):
    """Adam with steps scaled by the deviation of the gradient from its moving mean.

    Steps are long where the gradient is as the moving mean predicts it, and short where it deviates.

        m = beta_1 * m + (1 - beta_1) * g
        s = beta_2 * s + (1 - beta_2) * (g - m)^2 + epsilon
        w = w - learning_rate * (m / (1 - beta_1^t)) / (sqrt(s / (1 - beta_2^t)) + epsilon)

    for the gradient g of the weight w at step t, which counts from 1; m and s begin at 0. From Zhuang et al.
    2020, AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients, the algorithm of
    section 2 with its bias correction.

    Args:
        learning_rate: a float or a schedule.
        beta_1: decay of the mean of the gradient, in [0, 1).
        beta_2: decay of the mean squared deviation, in [0, 1).
        epsilon: added to the squared deviation at each step, and to its root, > 0.
        **kwargs: what every Keras optimizer takes: `weight_decay`, `clipnorm`, `name`, ...
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-14,
        **kwargs: object,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: list[keras.Variable]) -> None:
        """Create a mean and a deviation for each variable, both zero, of its shape and dtype."""
        if self.built:
            return
        super().build(variables)
        self._means, self._deviations = self.add_optimizer_variables(variables, ["mean", "deviation"])

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Update one variable by one step; the formulas are in the docstring of the class."""
        dtype = variable.dtype
        # Dense, because the gradient of an embedding has only the rows of the batch, and the means of all
        # rows decay.
        gradient = tf.cast(tf.convert_to_tensor(gradient), dtype)
        step = tf.cast(self.iterations + 1, dtype)
        index = self._get_variable_index(variable)
        mean, deviation = self._means[index], self._deviations[index]

        self.assign(mean, self.beta_1 * mean + (1 - self.beta_1) * gradient)
        squared = tf.square(gradient - mean)
        self.assign(deviation, self.beta_2 * deviation + (1 - self.beta_2) * squared + self.epsilon)

        corrected_mean = mean / (1 - tf.pow(tf.cast(self.beta_1, dtype), step))
        corrected_deviation = deviation / (1 - tf.pow(tf.cast(self.beta_2, dtype), step))
        step_size = tf.cast(learning_rate, dtype)
        self.assign_sub(variable, step_size * corrected_mean / (tf.sqrt(corrected_deviation) + self.epsilon))

    def get_config(self) -> dict[str, object]:
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
