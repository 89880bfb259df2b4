"""When a run stops, and what is better."""

from __future__ import annotations

import math

import pytest

from framework.config.early_stopping_config import EarlyStoppingConfig
from framework.config.schema import read
from framework.errors import Problem
from framework.evaluators import Mode
from framework.training.early_stopping import (
    EarlyStopping,
    is_best,
    is_better,
    mode_of_name,
)


def stops_after(config: EarlyStoppingConfig, mode: Mode, values: list[float]) -> int | None:
    """How many values it takes to stop."""
    state = EarlyStopping(config, mode)
    for i, value in enumerate(values):
        if state.update(value):
            return i + 1
        # A state that went through a checkpoint goes on the same.
        again = EarlyStopping(config, mode)
        again.restore(state.state())
        state = again
    return None


@pytest.mark.parametrize(
    ("value", "best", "mode", "expected"),
    [
        (0.5, None, "max", True),
        (0.5, 0.4, "max", True),
        (0.5, 0.5, "max", False),
        (0.5, 0.6, "min", True),
        (math.nan, None, "max", False),
        (math.nan, 0.5, "min", False),
    ],
)
def test_better(value: float, best: float | None, mode: Mode, expected: bool) -> None:
    assert is_better(value, best, mode) is expected


def test_a_change_below_min_delta_is_no_improvement() -> None:
    assert not is_better(0.54, 0.5, "max", min_delta=0.05)
    assert is_better(0.56, 0.5, "max", min_delta=0.05)
    assert stops_after(EarlyStoppingConfig(n_to_go=2, min_delta=0.1), "max", [0.5, 0.55, 0.58]) == 3


def test_patience_is_n_to_go() -> None:
    for patience in (1, 4):
        assert stops_after(EarlyStoppingConfig(patience=patience), "max", [0.5] * 10) == patience + 1
    (problem,) = EarlyStoppingConfig(n_to_go=2, patience=3).check()
    assert (problem.path, problem.hint) == ("patience", "set n_to_go=null")


@pytest.mark.parametrize(("n_to_go", "expected"), [(None, None), (1, 2), (4, 5)])
def test_n_to_go_counts_epochs_without_improvement(n_to_go: int | None, expected: int | None) -> None:
    assert stops_after(EarlyStoppingConfig(n_to_go=n_to_go), "max", [0.5] * 10) == expected


def test_improvement_starts_the_count_anew() -> None:
    assert stops_after(EarlyStoppingConfig(n_to_go=2), "min", [3, 3, 2, 2, 1, 1, 1]) == 7


def test_frequency_checks_each_nth_value() -> None:
    # Checked are the 1st, 3rd and 5th.
    assert stops_after(EarlyStoppingConfig(n_to_go=2, frequency=2), "max", [0.5] * 10) == 5


def test_between_two_checks_best_and_thresholds_are_looked_at() -> None:
    # Checked are the 1st, 6th, 11th and 16th; the best is the 3rd, and counts at the 6th.
    values = [0.5, 0.5, 0.9, *[0.6] * 20]
    assert stops_after(EarlyStoppingConfig(n_to_go=2, frequency=5), "max", values) == 16
    assert stops_after(EarlyStoppingConfig(frequency=5, upper_threshold=6), "max", [1, 2, 6, 7, 8, 9]) == 3
    assert stops_after(EarlyStoppingConfig(n_to_go=1, frequency=3, lower_threshold=0.9), "max", values) == 7


def test_a_state_that_an_earlier_version_saved() -> None:
    state = EarlyStopping(EarlyStoppingConfig(n_to_go=2), "min", "max")
    state.restore({"best": 0.5, "checked": 3, "without_improvement": 1})
    assert state.mode == "max", "the mode of the scenario, whatever was monitored"
    assert state.update(0.4), "lower is no improvement for a run that was begun like that"


@pytest.mark.parametrize(
    ("metrics", "best", "mode", "expected"),
    [
        ({"m": 0.9, "val_loss": 0.2}, None, "max", True),
        ({"m": 0.9, "val_loss": 0.2}, {"m": 0.9, "val_loss": 0.3}, "max", True),
        ({"m": 0.9, "val_loss": 0.2}, {"m": 0.9, "val_loss": 0.3}, "min", True),
        ({"m": 0.9, "val_loss": 0.3}, {"m": 0.9, "val_loss": 0.3}, "max", False),
        ({"m": 0.8, "val_loss": 0.2}, {"m": 0.9, "val_loss": 0.3}, "max", False),
        ({"m": 0.9, "val_loss": math.nan}, {"m": 0.9, "val_loss": 0.3}, "max", False),
        ({"m": 0.9}, {"m": 0.9, "val_loss": 0.3}, "max", False),
        ({"val_loss": 0.1}, {"m": 0.9, "val_loss": 0.3}, "max", False),
        ({"m": math.nan, "val_loss": 0.2}, {"m": math.nan, "val_loss": 0.3}, "max", False),
        ({"m": 0.5, "val_loss": 0.2}, {"val_loss": 0.1}, "max", True),
    ],
)
def test_of_equal_values_the_lower_loss_is_best(
    metrics: dict[str, float], best: dict[str, float] | None, mode: Mode, expected: bool
) -> None:
    assert is_best(metrics, best, "m", mode, "val_loss") is expected


def test_a_tie_is_no_improvement_for_patience() -> None:
    assert stops_after(EarlyStoppingConfig(n_to_go=2), "max", [0.9, 0.9, 0.9]) == 3


@pytest.mark.parametrize(
    ("names", "mode"),
    [
        (
            [
                "loss",
                "topic_loss",
                "eer",
                "mean_absolute_error",
                "mae",
                "root_mse",
                "errorRate",
                "false_positives",
                "wer",
            ],
            "min",
        ),
        (
            [
                "accuracy",
                "top_accuracy",
                "auc",
                "f1",
                "f1_score",
                "fake/recall",
                "a loss/precision",
                "balanced_accuracy",
            ],
            "max",
        ),
        (["average_precision", "macroF1", "true_positives"], "max"),
        (["mean_output", "fake/samples", "score", "accuracy_loss", "glossary", "output", ""], None),
    ],
)
def test_a_name_says_which_is_best(names: list[str], mode: Mode | None) -> None:
    assert {name: mode_of_name(name) for name in names} == dict.fromkeys(names, mode)


def test_thresholds_with_max() -> None:
    assert stops_after(EarlyStoppingConfig(upper_threshold=0.9), "max", [0.5, 0.8, 0.9, 1]) == 3
    assert stops_after(EarlyStoppingConfig(n_to_go=1, lower_threshold=0.9), "max", [0.5] * 10) is None
    assert stops_after(EarlyStoppingConfig(n_to_go=1, lower_threshold=0.5), "max", [0.5] * 10) == 2


def test_thresholds_are_mirrored_with_min() -> None:
    assert stops_after(EarlyStoppingConfig(lower_threshold=0.1), "min", [0.5, 0.2, 0.1, 0]) == 3
    assert stops_after(EarlyStoppingConfig(n_to_go=1, upper_threshold=0.4), "min", [0.5] * 10) is None
    assert stops_after(EarlyStoppingConfig(n_to_go=1, upper_threshold=0.5), "min", [0.5] * 10) == 2


def test_nan_is_no_improvement_and_does_not_lock_the_best() -> None:
    assert stops_after(EarlyStoppingConfig(n_to_go=2), "max", [math.nan, 0.1, 0.2, 0.2, 0.2]) == 5
    assert stops_after(EarlyStoppingConfig(n_to_go=2), "max", [math.nan] * 5) == 2


def test_thresholds_in_the_wrong_order_are_answered() -> None:
    problems: list[Problem] = []
    read(EarlyStoppingConfig, {"lower_threshold": 0.9, "upper_threshold": 0.5}, "early_stopping", problems)
    assert [p.path for p in problems] == ["early_stopping.lower_threshold"]
