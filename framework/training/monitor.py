"""The value that decides what is best, and whether the lowest or the highest of it does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from framework.errors import ConfigError, Problem, did_you_mean
from framework.evaluators import Mode
from framework.scenario import Objective, Scenario
from framework.training.early_stopping import mode_of_name
from framework.training.lav import LavList
from framework.training.validation import metric_values, value_names

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


def find_monitor(
    scenario: Scenario,
    objective: Objective,
    model: keras.Model,
    *,
    validates: bool,
    lists: Sequence[LavList],
    section: str = "early_stopping",
) -> tuple[str, Mode]:
    """Find the monitored value and its mode, before the first step is done.

    The mode is the one that is set. Without one, it is the scenario's for the scenario's monitor; otherwise
    that of the Keras metric, where it knows its direction; otherwise what the name says.

    Args:
        objective: the scenario's.
        model: compiled, its metrics made.
        validates: whether there is validation.
        lists: what LAV validates on.
        section: the section of the config with the settings `monitor` and `mode`: `early_stopping`, or
            `learning_rate`.

    Raises:
        ConfigError: where the value does not exist, or nothing says its mode.
    """
    settings = getattr(scenario.config, section)
    own = settings.monitor
    known = _known_values(scenario, list(metric_values(model)), validates=validates, lists=lists)
    monitor = _present(own or objective.monitor, known, scenario, section, validates=validates, lists=lists)
    # The scenario's word counts for its value wherever that is measured: `val_score` is to `lav_score` what
    # it is to `score`.
    said = objective.mode if known[monitor] == objective.monitor.removeprefix("val_") else None
    mode = settings.mode or said or _mode_of_metric(model, known[monitor]) or mode_of_name(known[monitor])
    if mode is None:
        raise ConfigError(
            Problem(
                f"{section}.mode",
                f"must be given for {monitor}, since its name does not say whether the lowest or the "
                "highest is best",
                given=None,
                allowed="min, max",
                hint=f"set {section}.mode=max where more is better"
                if own
                else f"give objective() a mode, or set {section}.mode",
            )
        )
    return monitor, mode


def describe_monitor(monitor: str, mode: Mode) -> str:
    """Say what is best, in words.

    >>> describe_monitor("val_loss", "min")
    'lowest val_loss'
    """
    return f"{'lowest' if mode == 'min' else 'highest'} {monitor}"


def _known_values(
    scenario: Scenario, trained: Sequence[str], *, validates: bool, lists: Sequence[LavList]
) -> Mapping[str, str]:
    """Find all values that can be monitored, and the name of each without that of the data that it was
    measured on."""
    known = {name: name for name in trained}
    if validates:
        known |= {f"val_{name}": name for name in trained}
    for of in lists:
        known |= {of.prefix + name: name for name in value_names(trained, of.scenario.evaluators())}
    return known


def _present(
    monitor: str,
    known: Mapping[str, str],
    scenario: Scenario,
    section: str,
    *,
    validates: bool,
    lists: Sequence[LavList],
) -> str:
    if not validates and monitor.startswith("val_"):
        monitor = monitor.removeprefix("val_")
        why = "data.validation_split=0" if scenario.config.trainer.val_every_n else "trainer.val_every_n=0"
        what = (
            "the best epoch is the one with the best"
            if section == "early_stopping"
            else "the learning rate goes by the"
        )
        log.info("without validation (%s), %s training %s", why, what, monitor)
    if monitor not in known:
        hint = did_you_mean(monitor, known)
        if monitor.startswith("lav_") and not lists:
            hint = "set trainer.lav_every_n, to 1 say"
        raise ConfigError(
            Problem(
                f"{section}.monitor",
                "must be the name of a value of the run",
                given=monitor,
                allowed=", ".join(known),
                hint=hint,
            )
        )
    return monitor


def _mode_of_metric(model: keras.Model, name: str) -> Mode | None:
    """Find the mode of the Keras metric that gives a value, where it has one. With several outputs, the name
    of each stands before the metric's."""
    metrics = [metric for metric in _leaves(model.metrics) if getattr(metric, "_direction", None)]
    exact = {metric._direction for metric in metrics if name == metric.name}
    directions = exact or {metric._direction for metric in metrics if name.endswith(f"_{metric.name}")}
    modes: dict[str, Mode] = {"up": "max", "down": "min"}
    return modes.get(directions.pop()) if len(directions) == 1 else None


def _leaves(metrics: Sequence[keras.metrics.Metric]) -> Iterator[keras.metrics.Metric]:
    """Pass over metrics that only hold others."""
    for metric in metrics:
        inner = getattr(metric, "metrics", None)
        if inner:
            yield from _leaves(inner)
        else:
            yield metric
