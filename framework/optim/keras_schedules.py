"""The schedules of Keras by the names of their classes. It imports Keras, so it is imported only when one is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import keras

from framework.errors import ConfigError, Problem, reason_of, unknown_name

_CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(keras.optimizers.schedules, inspect.isclass)
    if kind is not keras.optimizers.schedules.LearningRateSchedule
}


def keras_schedule(
    class_name: str, arguments: Mapping[str, object], *, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Make a schedule of `keras.optimizers.schedules`.

    Args:
        class_name: the name of its class.
        arguments: arguments of the class.
        steps: the default of its argument `decay_steps`; that of `initial_learning_rate` is 1.

    Raises:
        ConfigError: if there is no such class, or it does not accept the arguments.
    """
    if class_name not in _CLASSES:
        raise ConfigError(
            unknown_name("learning_rate.class_name", "schedule of Keras", class_name, sorted(_CLASSES))
        )
    taken = inspect.signature(_CLASSES[class_name]).parameters
    defaults = {"initial_learning_rate": 1.0, "decay_steps": steps}
    own = {name: value for name, value in defaults.items() if name in taken}
    try:
        return _CLASSES[class_name](**{**own, **arguments})
    except (TypeError, ValueError) as error:
        message = f"{class_name} refuses them: {reason_of(error)}"
        raise ConfigError(
            Problem("learning_rate.arguments", message, given=dict(arguments), allowed=", ".join(taken))
        ) from error
