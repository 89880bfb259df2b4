"""What a run has recorded, read from its folder: by a report of a run in training, too, and of an old one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from framework.config.compose import CONFIG_NAME, compose_config, conf_directory
from framework.config.defaults import defaults_of
from framework.config.schema import to_plain
from framework.config.sections import RunConfig
from framework.errors import ConfigError, RunDirectoryError
from framework.model.export import load_facts
from framework.run.run_directory import RunDirectory
from framework.run.run_files import UnusableFileError, read_json_lines
from framework.run.run_records import MetricsRecord
from framework.run.speed import sum_phases

# Where a run goes and how it is shown: it learns the same with any of them.
_NOT_OF_THE_RESULT = ("trainer.output_dir",)
# What is filled in where it was left to the machine and to the data.
_FILLED_IN = ("device.threads", "data.classes", "data.positive_class")


@dataclass(frozen=True)
class Change:
    """A setting that is not as it is by default.

    Args:
        path: the setting, such as `trainer.epochs`.
        value, default: plain values, as YAML has them.
    """

    path: str
    value: Any
    default: Any


@dataclass(frozen=True)
class Recorded:
    """What a run has recorded.

    Args:
        run: the run directory.
        config: what it was configured with.
        history: the lines of metrics.jsonl.
        result: result.json; None where the run has not ended yet, or was killed.
        sessions: the starts and resumes in provenance.json, first to last.
        status: `finished`, `stopped early`, `interrupted`, `failed`, `in training`, or `not ended` (it was killed).
        best: the best epoch, `{"epoch": 3, "step": 84, "metrics": {...}}`; None where the run does not say one.
        monitor: the value that decides which epoch is best; None where the run does not say it.
    """

    run: RunDirectory
    config: RunConfig
    history: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any] | None
    sessions: Sequence[Mapping[str, Any]]
    status: str
    best: Mapping[str, Any] | None = None
    monitor: str | None = None

    @classmethod
    def of(cls, run: RunDirectory) -> Recorded:
        """Read what is there; what is missing or damaged is as if nothing had been recorded.

        Raises:
            RunDirectoryError: where the config cannot be read.
        """
        try:
            history = read_json_lines(run.metrics_file, MetricsRecord)
        except UnusableFileError:
            history = []
        sessions = run.provenance.load().get("sessions") or []
        config, result = run.load_config(), run.load_result()
        status = _status(run, result)
        monitor = (result or {}).get("monitor") or config.early_stopping.monitor
        best = _best(run, result, ended=status not in ("in training", "not ended"))
        return cls(run, config, history, result, sessions, status, best, monitor)

    @property
    def phases(self) -> list[str]:
        """The phases that have records, training first."""
        found = dict.fromkeys(record["phase"] for record in self.history)
        return sorted(found, key=lambda phase: phase != "train")

    @property
    def validation_data(self) -> str | None:
        """The fingerprint of the validation samples of the best model; None where it is not known."""
        try:
            return load_facts(self.run.best).get("validation_data")
        except RunDirectoryError:
            return None

    @property
    def averages(self) -> bool:
        """Whether what is validated are averaged weights (EMA)."""
        return self.config.trainer.calc_ema is not None

    def values(self) -> list[str]:
        """The names of all headline values, the loss first, in the order in which they appear."""
        names = dict.fromkeys(
            name for record in self.history for name in record["metrics"] if "/" not in name
        )
        return sorted(names, key=lambda name: name != "loss")

    def series(self, value: str) -> dict[str, tuple[list[float], list[float]]]:
        """A value over epochs, by phase: epochs, and values; nan where it was not finite."""
        found: dict[str, tuple[list[float], list[float]]] = {}
        for phase in self.phases:
            records = [r for r in self.history if r["phase"] == phase and value in r["metrics"]]
            if records:
                values = [_number(record["metrics"][value]) for record in records]
                found[phase] = ([record["epoch"] for record in records], values)
        return found

    def of_training(self, *keys: str) -> tuple[list[float], list[float]]:
        """What each record of training says beside its metrics, such as `learning_rate`, or `speed`,
        `input_wait`: epochs, and values."""
        epochs, values = [], []
        for record in self.history:
            node: Any = record if record["phase"] == "train" else None
            for key in keys:
                node = node.get(key) if isinstance(node, Mapping) else None
            if isinstance(node, int | float) and not isinstance(node, bool):
                epochs.append(record["epoch"])
                values.append(float(node))
        return epochs, values

    def phase_seconds(self) -> dict[str, float]:
        """Seconds of each phase, as `framework.training.trainer.Result.phases`; empty for a run of an earlier
        version."""
        ended = self.status not in ("in training", "not ended")
        found = (self.result or {}).get("phases") if ended else None
        return found or sum_phases(record.get("seconds", {}) for record in self.history)

    def resumed_at(self) -> list[float]:
        """The epochs at which the run was resumed, with the part that was done of the next one."""
        last = next((record for record in reversed(self.history) if record["phase"] == "train"), None)
        if not last or not last["step"]:
            return []
        epochs_per_step = last["epoch"] / last["step"]
        steps = (session.get("started_at_step") for session in self.sessions[1:])
        return [step * epochs_per_step for step in steps if isinstance(step, int)]

    def times(self) -> list[datetime]:
        """When the run was started, when its records were made, first to last."""
        given = [
            *(session.get("time") for session in self.sessions[:1]),
            *(r.get("time") for r in self.history),
        ]
        found = []
        for text in given:
            try:
                found.append(datetime.fromisoformat(str(text)))
            except ValueError:
                continue
        return found

    def settings(self) -> dict[str, Any]:
        """All settings by their paths, such as `trainer.epochs`, with plain values."""
        return {
            path: value for path, value in _leaves(self.config.to_plain()) if path not in _NOT_OF_THE_RESULT
        }

    def changes(self) -> list[Change]:
        """The settings that are not as `scenario=NAME` alone has them, in the order of the config.

        What the run filled in itself, such as the number of threads, is left out. Where the scenario is in a folder of
        options that is not known any more, the defaults are those of the classes.
        """
        typed = {
            str(word).lstrip("+").partition("=")[0]
            for one in self.sessions
            for word in one.get("command") or ()
        }
        left_out = {*_NOT_OF_THE_RESULT, *(path for path in _FILLED_IN if path not in typed)}
        return [change for change in _changes(self.config) if change.path not in left_out]


def _status(run: RunDirectory, result: Mapping[str, Any] | None) -> str:
    """How the run ended, or that it goes on: a resumed one has the result of the session before until it ends."""
    found = str((result or {}).get("status", "not ended"))
    if found not in ("finished", "stopped_early"):
        try:
            run.check_not_in_use()
        except RunDirectoryError:
            return "in training"
    return found.replace("_", " ")


def _best(run: RunDirectory, result: Mapping[str, Any] | None, *, ended: bool) -> Mapping[str, Any] | None:
    if result is not None and ended:
        return result.get("best")
    try:
        facts = load_facts(run.best)
    except RunDirectoryError:
        return None
    return facts if facts.get("epoch") and facts.get("metrics") else None


def _leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _changes(config: RunConfig) -> Iterator[Change]:
    scenario = _composed(config.scenario.name)
    for section in dataclasses.fields(config):
        part, plain = (
            getattr(config, section.name),
            None if scenario is None else getattr(scenario, section.name),
        )
        if section.name == "scenario":
            part, plain = part.settings, plain and plain.settings
        if plain is not None and type(plain) is type(part):
            defaults = to_plain(plain)
        else:
            defaults = {name: value for name, value in defaults_of(type(part)).items() if value != "???"}
            defaults["name"] = (
                _choices().get(section.name) if scenario is None else getattr(plain, "name", None)
            )
        yield from _differences(section.name, to_plain(part), defaults)


@functools.cache
def _choices() -> Mapping[str, str | None]:
    """The options of the groups that the primary config chooses, by their groups."""
    primary = yaml.safe_load((conf_directory() / f"{CONFIG_NAME}.yaml").read_text(encoding="utf-8"))
    return {
        group: name for one in primary["defaults"] if isinstance(one, Mapping) for group, name in one.items()
    }


@functools.cache
def _composed(scenario: str) -> RunConfig | None:
    """What a shipped scenario is by default; None where its name alone makes no run."""
    try:
        return compose_config([f"scenario={scenario}"])
    except ConfigError:
        return None


def _differences(path: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Change]:
    for name, value in values.items():
        here = f"{path}.{name}"
        if name == "name":
            if value != defaults.get(name):
                yield Change(path, value, defaults.get(name))
        elif isinstance(value, Mapping) and isinstance(defaults.get(name), Mapping) and defaults[name]:
            yield from _differences(here, value, defaults[name])
        elif value != defaults.get(name):
            yield Change(here, value, defaults.get(name))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
