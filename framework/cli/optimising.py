"""Sweepers that search for the best values: the value of each job, and the direction of the search."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Mapping

from framework.cli.hydra_app import JobFailedError
from framework.config.run_config import parse
from framework.config.sections import RunConfig
from framework.config.sweep import Sweep
from framework.errors import ConfigError, Problem, ScenarioError
from framework.run.run_directory import RunDirectory

# The direction of known sweepers: its setting, and the values for "min" and "max".
_DIRECTIONS: dict[str, dict[str, object]] = {
    "direction": {"min": "minimize", "max": "maximize"},  # Optuna
    "optim.maximize": {"min": False, "max": True},  # Nevergrad
    "ax_config.experiment.minimize": {"min": True, "max": False},  # Ax
}


def tries_all(sweeper: Mapping[str, object]) -> bool:
    """Return whether a sweeper is Hydra's own, which tries all combinations and needs no values."""
    return str(sweeper.get("_target_")).endswith(".BasicSweeper")


def direction_overrides(sweep: Sweep) -> tuple[list[str], str | None]:
    """Return overrides that give a sweeper the direction by which the best epoch of a run is chosen.

    Returns:
        The overrides, and a sentence for the user; None if the direction of the sweeper is not known.

    Raises:
        ConfigError: if the sweeper has another direction, or several, or if the first job is wrong.
    """
    found = next(
        ((path, values) for path, values in _DIRECTIONS.items() if _get(sweep.sweeper, path) is not None),
        None,
    )
    if found is None:
        return [], None
    path, values = found
    set_to, key = _get(sweep.sweeper, path), f"hydra.sweeper.{path}"
    monitor, mode = _monitored(sweep.first_job())
    typed = any(override.key == key for override in sweep.read)
    # "min" that was not typed is the default of the sweeper; no known sweeper has "max" as its default.
    if set_to != values[mode] and (typed or set_to != values["min"]):
        raise ConfigError(
            Problem(
                key,
                f"contradicts the run: of {monitor} the {'highest' if mode == 'max' else 'lowest'} value is "
                "best",
                given=set_to,
                allowed=str(values[mode]).lower(),
                hint="leave it out; early_stopping.monitor and early_stopping.mode say what is best",
            ),
            subject="the command line",
        )
    told = [] if set_to == values[mode] else [f"{key}={str(values[mode]).lower()}"]
    return told, f"looking for the {'highest' if mode == 'max' else 'lowest'} {monitor}"


def value_of(run: RunDirectory) -> float:
    """Return the best monitored value of a run that has ended.

    Raises:
        JobFailedError: if it has none.
    """
    result = run.load_result() or {}
    value = _get(result, f"best.metrics.{result.get('monitor')}")
    if not isinstance(value, int | float):
        raise JobFailedError(f"{run.path} has no best value")
    return float(value)


def _get(node: object, path: str) -> object:
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _monitored(config: RunConfig) -> tuple[str, str]:
    """Return the value by which the best epoch of a run is chosen, and "min" or "max"."""
    # In a process of its own: the objective may need TensorFlow, which would keep its memory during the
    # sweep.
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        monitor, mode, fault = pool.submit(_ask_objective, config.to_plain()).result()
    if fault:
        raise ScenarioError(f"what the sweep is to look for cannot be told: {fault}")
    return monitor, mode


def _ask_objective(plain: Mapping[str, object]) -> tuple[str, str, str | None]:
    from framework.run.device import import_tensorflow
    from framework.scenario import scenario_of
    from framework.training.early_stopping import mode_of_name

    try:
        import_tensorflow()
        scenario = scenario_of(parse(plain))
        objective, own = scenario.objective(), scenario.config.early_stopping
        monitor = own.monitor or objective.monitor
        said = objective.mode if monitor == objective.monitor else None
        # As `framework.training.monitor` has it, but for the metrics, which there are none of before a model
        # is built.
        mode = own.mode or said or mode_of_name(monitor)
        return monitor, mode or "", None if mode else f"early_stopping.mode must be given for {monitor}"
    except Exception as error:  # an error of a scenario's own may not survive the way back
        return "", "", f"{type(error).__name__}: {error}"
