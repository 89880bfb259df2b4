"""Sweeps: overrides with several values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from framework.config.compose import CONFIG_NAME, as_config_errors, composer, resolved
from framework.config.defaults import add_defaults, class_defaults
from framework.config.override_faults import offered
from framework.config.overrides import GroupOptions, TypedOverride, read_override
from framework.config.run_config import parse
from framework.config.schema import PlainValue
from framework.config.sections import RunConfig
from framework.errors import ConfigError, Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

# The sections whose class a scenario chooses.
_OF_SCENARIO = ("scenario", "model", "data", "optimizer", "learning_rate", "loop")


@dataclass(frozen=True)
class Sweep:
    """A sweep, ready for Hydra.

    Args:
        read: its overrides.
        overrides: in the form for the sweeper.
        sweeper: the settings of the chosen sweeper, `hydra.sweeper`.
        output_dir: the folder for the runs; None if no override sets it, or it has several values.
        defaults: the defaults for Hydra's composition of the jobs, without those that may differ from job to
            job.
        first: the plain values of the first job.
        broken: the problem of each section that is missing in `first`.
    """

    read: Sequence[TypedOverride]
    overrides: Sequence[str]
    sweeper: Mapping[str, object]
    output_dir: str | None
    defaults: Mapping[str, PlainValue]
    first: Mapping[str, object]
    broken: Mapping[str, Problem]

    def first_job(self) -> RunConfig:
        """Return the config of the first job.

        Raises:
            ConfigError: with all its problems.
        """
        if self.broken:
            raise ConfigError(list(self.broken.values()))
        return parse(self.first)


def compose_sweep(
    overrides: Sequence[str], *, config_dir: str | Path | None = None, config_name: str = CONFIG_NAME
) -> Sweep:
    """Read the overrides of a sweep, and compose its first job.

    Args:
        overrides: as they were typed.
        config_dir, config_name: as for `compose_config`.

    Raises:
        ConfigError: with each override that cannot be used, or with what Hydra cannot compose, such as a
            sweeper that is not installed.
    """
    problems: list[Problem] = []
    with composer(config_dir, config_name) as hydra:
        read = hydra.read(overrides, problems, multirun=True)
        hydra.check_scenario(overrides, problems)
        if problems:
            raise ConfigError(problems, subject="the command line")
        swept = [override for override in read if override.swept]
        try:
            # Swept values are set afterwards: until then, the keys are those that Hydra knows.
            composed = hydra.compose_files([o.first() for o in read if not (o.swept and o.sets_value)])
            all_defaults = class_defaults(composed)
            defaults = {key: all_defaults[key] for key in all_defaults if key not in _differing(swept)}
            add_defaults(composed, defaults)
            known = {override.key for override in swept if _has(composed, override.key)}
            add_defaults(composed, all_defaults)
            sweeper, output_dir = _of_hydra(composed)
        except ConfigError as error:
            raise ConfigError(error.problems, subject="the command line") from error
        _set_first(composed, [o for o in swept if o.sets_value], hydra.options)
        broken: dict[str, Problem] = {}
        first = resolved(composed, broken)
    for override in swept:
        for name in offered(override):  # the class must be registered once the scenario is imported
            parse(first | {override.key: {"name": name}})
    # Sweepers show the keys that they get, so `++` is left out if Hydra knows the key.
    told = [o.composed.removeprefix("++") if o.key in known else o.composed for o in read]
    return Sweep(read, told, sweeper, output_dir, defaults, first, broken)


def _differing(swept: Sequence[TypedOverride]) -> set[str]:
    """Return the sections with a class that may differ from job to job."""
    chosen = {o.key.partition(".")[0] for o in swept if o.group or o.key.endswith((".name", ".target"))}
    return chosen | set(_OF_SCENARIO) if chosen & {"scenario", "experiment"} else chosen


def _has(composed: DictConfig, key: str) -> bool:
    """Return whether a config has a key, with any value."""
    from omegaconf import DictConfig, OmegaConf

    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(composed, parent, throw_on_resolution_failure=False) if parent else composed
    return isinstance(node, DictConfig) and last in node.keys()  # noqa: SIM118 - `in` resolves references


def _of_hydra(composed: DictConfig) -> tuple[Mapping[str, object], str | None]:
    """Return the settings of the sweeper, and the folder for the runs."""
    from omegaconf import OmegaConf

    sweeper = OmegaConf.to_container(composed.hydra.sweeper, resolve=False, enum_to_str=True)
    assert isinstance(sweeper, dict)
    with as_config_errors():
        return {str(key): value for key, value in sweeper.items()}, OmegaConf.select(
            composed, "trainer.output_dir"
        )


def _set_first(composed: DictConfig, swept: Sequence[TypedOverride], options: GroupOptions) -> None:
    """Set the first of several values each, as Hydra would."""
    from omegaconf import OmegaConf

    for override in swept:
        value = read_override(override.first(), options).parsed.value()
        OmegaConf.update(composed, override.key, value, merge=True, force_add=True)
