"""What a Keras model is compiled with, as settings of a run, and back.

It imports Keras, so it is imported only when a model is trained.
"""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np

from framework import ConfigError, Problem
from framework.model.export import load_model
from framework.optim.learning_rates import DecayToLimit
from framework.optim.optimizer import SHARED
from framework.run.run_directory import RunDirectory
from framework.training.components import Components
from scenarios.mesonet.given_model import GivenModel, copy_state

# Arguments of all optimizers of Keras that do nothing as they are by default.
_IDLE = {
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


def name_of_loss(loss: object) -> str:
    """Return the whole name of a loss: `mse` is `mean_squared_error`.

    Raises:
        ConfigError: if it is not a text.
    """
    if not isinstance(loss, str):
        problem = Problem(
            "loss", "must be the name of a loss", given=loss, allowed="such as binary_crossentropy"
        )
        raise ConfigError(problem, subject="the arguments")
    try:
        found = keras.losses.get(loss)
    except ValueError:
        return loss  # the config says which there are
    return str(found.name if isinstance(found, keras.losses.Loss) else found.__name__)


def settings_as_compiled(model: keras.Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sections `optimizer` and `learning_rate` of a model that is compiled, and the setting `compiled`,
    as plain values.

    Raises:
        ConfigError: if it is not compiled.
    """
    if not model.compiled or model.optimizer is None:
        problem = Problem(
            "compile",
            "needs a model that is compiled",
            given=False,
            hint="compile=True compiles it; a model that was saved after its training is compiled when it is loaded",
        )
        raise ConfigError(problem, subject="the arguments")
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    described = _plain(keras.optimizers.serialize(optimizer))
    arguments = {
        name: value
        for name, value in described["config"].items()
        if name != "name" and not (name in _IDLE and value == _IDLE[name])
    }
    rate = arguments.pop("learning_rate")
    shared = {ours: arguments.pop(theirs) for ours, theirs in SHARED.items() if theirs in arguments}
    schedule = (
        {"name": "keras", "lr": 1.0, "class_name": rate["class_name"], "arguments": rate["config"]}
        if isinstance(rate, dict)
        # By way of its shortest decimal: 0.001, and not 0.0010000000474974513.
        else {"name": "constant", "lr": float(str(np.float32(optimizer.learning_rate)))}
    )
    learning = {
        "optimizer": {
            "name": "keras",
            "class_name": described["class_name"],
            "arguments": arguments,
            **shared,
        },
        "learning_rate": schedule,
    }
    compiled = _plain(model.get_compile_config())
    return learning, {"compiled": {part: compiled[part] for part in ("loss", "metrics", "weighted_metrics")}}


def _plain(described: object) -> Any:
    return json.loads(json.dumps(described))


def hand_over(
    components: Components, run: RunDirectory, scenario: GivenModel, model: keras.Model, *, compile: bool
) -> None:
    """Leave a model as the run ended with it: with its evaluation weights, compiled, and with the state of its
    optimizer.

    Args:
        components: what was trained; its model has the layers of `model`.
        run, scenario: the run.
        model: the model that was given.
        compile: whether it gets a new optimizer of Keras; otherwise it has one.
    """
    components.model.set_weights(load_model(run.export, scenario.build_model).get_weights())
    if compile:
        objective = scenario.objective()
        optimizer = keras.optimizers.Adam(_rate_of(components))
        model.compile(optimizer=optimizer, loss=objective.loss, metrics=list(objective.metrics))
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    copy_state(components.model.optimizer, model.optimizer)


def _rate_of(components: Components) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate of a run as Keras has it, so that a saved model is loaded without this package."""
    settings, trainer = components.scenario.config.learning_rate, components.scenario.config.trainer
    if not isinstance(settings, DecayToLimit) or settings.lr == 0:
        return settings.lr
    decays = settings.decays()
    steps = components.steps_per_epoch * (trainer.epochs // decays)
    # Keras includes a boundary in what is before it.
    boundaries = [steps * number - 1 for number in range(1, decays + 1)]
    values = [settings.lr * settings.decay_rate**number for number in range(decays + 1)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
