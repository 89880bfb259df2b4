"""The probability above which a sample is taken for the positive one of two classes, where it is not 0.5."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from framework.classification import Classification
from framework.errors import ConfigError, Problem
from framework.scenario import Objective, Scenario

_STRINGS = ("accuracy", "acc", "binary_accuracy")


def decide_at(scenario: Scenario, threshold: float) -> None:
    """Set the threshold of a scenario, for its reports and the labels that it predicts.

    Args:
        scenario: of two classes that are told apart by one probability.
        threshold: in [0, 1]. A sample is positive where its probability is above.

    Raises:
        ConfigError: where the scenario has no threshold, or the number is out of range.
    """
    if not isinstance(scenario, Classification) or len(scenario.classes) != 2:
        what = (
            f"must not be given for {scenario.name}, which does not tell two classes apart by one probability"
        )
        raise ConfigError(Problem("--threshold", what, given=threshold), subject="what was asked for")
    if not 0 <= threshold <= 1:
        raise ConfigError(
            Problem("--threshold", "must be a probability", given=threshold, allowed="a number from 0 to 1"),
            subject="what was asked for",
        )
    scenario.threshold = threshold


def at_threshold(objective: Objective, threshold: float) -> Objective:
    """Copy an objective, with another threshold for the metrics that decide at 0.5: accuracy, precision,
    recall, F1."""
    return dataclasses.replace(
        objective,
        metrics=_changed(objective.metrics, threshold),
        weighted_metrics=_changed(objective.weighted_metrics, threshold),
    )


def _changed(metrics: object, threshold: float) -> Any:
    import keras

    if isinstance(metrics, Mapping):
        return {name: _changed(inner, threshold) for name, inner in metrics.items()}
    if isinstance(metrics, list | tuple):
        return [_changed(inner, threshold) for inner in metrics]
    if isinstance(metrics, str) and metrics in _STRINGS:
        return keras.metrics.BinaryAccuracy(name=metrics, threshold=threshold)
    if isinstance(metrics, keras.metrics.Metric):
        config = metrics.get_config()
        if config.get("threshold", ...) in (0.5, None):
            return type(metrics).from_config(config | {"threshold": threshold})
        if config.get("thresholds", ...) is None:
            return type(metrics).from_config(config | {"thresholds": threshold})
    return metrics
