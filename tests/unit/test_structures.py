"""Models of several inputs and outputs, and samples with weights: what is measured of them is what it is
called."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from framework.scenario import Scenario, compose
from framework.training.validation import Validator

pytestmark = pytest.mark.usefixtures("toy_on_the_path")


def values_of(
    scenario: Scenario, *, batch_size: int = 7, **objective: Any
) -> tuple[Mapping[str, float], keras.Model]:
    """Loss and metrics of a new model over the training samples."""
    from framework.data.source import Split

    keras.utils.set_random_seed(0)
    model = scenario.build_model()
    model.compile(**dataclasses.replace(scenario.objective(), **objective).compile_arguments())
    validator = Validator(
        model, scenario.source(Split.TRAIN), batch_size=batch_size, strategy=tf.distribute.get_strategy()
    )
    return validator.evaluate(), model


@pytest.mark.parametrize("batch_size", [1, 7, 90])
def test_the_losses_of_several_outputs_are_means_over_samples(batch_size: int) -> None:
    from framework.data.source import Split

    scenario = compose("scenario=module", "scenario.target=structures:TwoByTwo")
    values, model = values_of(scenario, batch_size=batch_size)
    source: Any = scenario.source(Split.TRAIN)
    inputs, targets = source.numpy()
    outputs = {name: np.asarray(output) for name, output in model(inputs).items()}
    pattern = -np.log(outputs["pattern"][np.arange(90), targets["pattern"]]).mean()
    brightness = ((outputs["brightness"] - targets["brightness"]) ** 2).mean()
    assert values["pattern_loss"] == pytest.approx(pattern, rel=1e-5)
    assert values["brightness_loss"] == pytest.approx(brightness, rel=1e-5)
    assert values["loss"] == pytest.approx(pattern + brightness, rel=1e-5)


def test_losses_are_weighed() -> None:
    scenario = compose("scenario=module", "scenario.target=structures:TwoByTwo")
    values, _ = values_of(scenario, loss_weights={"pattern": 0.0, "brightness": 2.0})
    assert values["loss"] == pytest.approx(2 * values["brightness_loss"], rel=1e-6)


def test_weighted_metrics_go_by_the_weights_of_samples() -> None:
    from framework.data.source import Split

    scenario = compose("scenario=module", "scenario.target=structures:Line")
    values, model = values_of(scenario, weighted_metrics=[keras.metrics.MeanAbsoluteError(name="weighted")])
    source: Any = scenario.source(Split.TRAIN)
    points, targets, weights = source.numpy()
    mistakes = np.abs(np.asarray(model(points)) - targets)[:, 0]
    assert values["mae"] == pytest.approx(mistakes.mean(), rel=1e-5)
    assert values["weighted"] == pytest.approx(np.average(mistakes, weights=weights), rel=1e-5)


def test_the_columns_of_a_prediction_are_called_after_the_outputs(tmp_path: Path) -> None:
    scenario = compose("scenario=module", "scenario.target=structures:Line")
    assert scenario.describe_prediction(np.array([2], np.float32)) == {"output": 2.0}
    assert scenario.describe_prediction(np.array([[1, 2]], np.float32)) == {"output_0": 1.0, "output_1": 2.0}
    assert scenario.describe_prediction({"a": np.float32(1), "b": np.array([2, 3], np.float32)}) == {
        "a": 1.0,
        "b_0": 2.0,
        "b_1": 3.0,
    }
    assert scenario.describe_prediction([np.float32(1), np.array([2], np.float32)]) == {
        "output_0": 1.0,
        "output_1": 2.0,
    }
