"""Composition: from the overrides of a command line to the typed config of a run.

Hydra stops at the first override that it cannot use, and accepts wrong types. Here an override that fails
becomes a problem and is left out, the rest is composed and typed, and one message has all problems.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from framework.config.defaults import add_defaults, class_defaults, told_to_hydra
from framework.config.hydra_errors import problem_of
from framework.config.override_faults import offered, usable_overrides
from framework.config.overrides import GroupOptions, TypedOverride, key_of
from framework.config.run_config import parse
from framework.config.sections import SHORT_FORMS, RunConfig
from framework.errors import ConfigError, Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONFIG_NAME = "config"
_SCENARIO_KEYS = ("scenario", "scenario.target", "experiment")


def conf_directory() -> Path:
    """Return the shipped `conf/`: inside the package of an installed wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def compose_config(
    overrides: Sequence[str], *, config_dir: str | Path | None = None, config_name: str = CONFIG_NAME
) -> RunConfig:
    """Compose and type the config of a run.

    Args:
        overrides: as they are typed, such as `scenario=mesonet`, `optimizer=adam`, `lr=1e-3`.
        config_dir: another folder of group options, searched after the shipped ones.
        config_name: the primary config.

    Raises:
        ConfigError: with all problems of overrides, keys, types and ranges.
    """
    with composer(config_dir, config_name) as hydra:
        return hydra.compose_run(overrides).run


@dataclass(frozen=True)
class ComposedRun:
    """The result of one composition.

    Args:
        config: what Hydra composed, with its own node `hydra`, and with all defaults. References are not
            resolved.
        run: the typed config.
    """

    config: DictConfig
    run: RunConfig


@dataclass(frozen=True)
class Composer:
    """Hydra with the shipped `conf/` and another folder of options.

    Args:
        options: the options of each group.
        config_name: the primary config.
        searchpath: the overrides that add the other folder to Hydra's search path.
    """

    options: GroupOptions
    config_name: str
    searchpath: Sequence[str]

    def read(
        self, overrides: Sequence[str], problems: list[Problem], *, multirun: bool = False
    ) -> list[TypedOverride]:
        """Read overrides, and return those that can be used.

        Args:
            overrides: as they were typed.
            problems: a problem is appended for each of the others.
            multirun: whether an override may have several values.
        """
        from hydra.core.config_store import ConfigStore

        read = usable_overrides(overrides, self.options, problems, multirun=multirun)
        for override in read:
            for name in offered(override):  # `parse` checks that a class has the name
                ConfigStore.instance().store(group=override.key, name=name, node={"name": name})
        return read

    def check_scenario(self, overrides: Sequence[str], problems: list[Problem]) -> None:
        """Append a problem if no override chooses a scenario, and the primary config does not either."""
        if self.config_name == CONFIG_NAME and not chooses_scenario(overrides):
            allowed = ", ".join(self.options.of("scenario"))
            problems.append(Problem("scenario", "must be chosen", allowed=allowed, hint="add scenario=NAME"))

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose overrides, and add the defaults of the classes. References are not resolved.

        Args:
            overrides: in the form of `TypedOverride.composed`.

        Raises:
            ConfigError: if Hydra cannot compose them.
        """
        composed = self.compose_files(overrides)
        add_defaults(composed, class_defaults(composed))
        return composed

    def compose_files(self, overrides: Sequence[str]) -> DictConfig:
        """Compose overrides without the defaults of the classes; see `compose`."""
        from hydra import compose

        with as_config_errors():
            return compose(
                self.config_name, overrides=[*overrides, *self.searchpath], return_hydra_config=True
            )

    def compose_run(self, overrides: Sequence[str]) -> ComposedRun:
        """Compose and type a run.

        Args:
            overrides: as they were typed.

        Raises:
            ConfigError: with all problems.
        """
        problems: list[Problem] = []
        with _without_garbage_collection():
            read = self.read(overrides, problems)
            self.check_scenario(overrides, problems)
            return self._compose_and_parse(read, problems)

    def compose_shown(self, overrides: Sequence[str]) -> tuple[DictConfig, list[TypedOverride]]:
        """Compose a config to show. If a scenario is chosen, it is checked as that of a run.

        Args:
            overrides: as they were typed.

        Returns:
            `config` of `ComposedRun`, and the overrides.

        Raises:
            ConfigError: with all problems.
        """
        problems: list[Problem] = []
        read = self.read(overrides, problems)
        if chooses_scenario(overrides):
            return self._compose_and_parse(read, problems).config, read
        if problems:
            raise ConfigError(problems, subject="the command line")
        return self.compose([override.composed for override in read]), read

    def _compose_and_parse(self, read: Sequence[TypedOverride], problems: list[Problem]) -> ComposedRun:
        """Compose and type a run.

        Args:
            read: the overrides that can be used.
            problems: the problems of the others.
        """
        broken: dict[str, Problem] = {}
        try:
            config = self.compose([override.composed for override in read])
            run = parse(resolved(config, broken))
            found: Sequence[Problem] = ()
        except ConfigError as error:
            found = error.problems
        # What was left out is a problem already, and must not be reported as missing.
        left_out = {problem.path for problem in problems} | set(broken)
        found = [_as_typed(problem, read) for problem in found if problem.path.split(".")[0] not in left_out]
        for problem in broken.values():
            # A reference is reported once, and not if the section that it refers to is a problem itself.
            if not any(
                known.message == problem.message or f"'{known.path}." in problem.message for known in found
            ):
                found.append(problem)
        if problems or found:
            raise ConfigError([*problems, *found])
        return ComposedRun(config, run)


@contextlib.contextmanager
def composer(config_dir: str | Path | None = None, config_name: str = CONFIG_NAME) -> Iterator[Composer]:
    """Initialise Hydra for the time of a context.

    Args:
        config_dir, config_name: as for `compose_config`.

    Raises:
        ConfigError: if there is no such folder.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    folders, searchpath = [conf_directory()], []
    if config_dir is not None:
        folder = Path(config_dir).resolve()
        if not folder.is_dir():
            raise ConfigError(
                Problem("--config-dir", "must be a folder", given=str(config_dir)), subject="the command line"
            )
        folders.append(folder)
        searchpath.append(f"hydra.searchpath=['file://{folder}']")
    previous = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with (
            told_to_hydra({}),
            initialize_config_dir(str(conf_directory()), job_name="train-scenario", version_base="1.3"),
        ):
            yield Composer(GroupOptions(folders), config_name, searchpath)
    finally:
        GlobalHydra.instance().hydra = previous


def resolved(composed: DictConfig, broken: dict[str, Problem]) -> dict[str, object]:
    """Resolve all references, and return the plain values of all sections and short forms.

    A value without a default that nothing sets is left out.

    Args:
        composed: the result of `Composer.compose`.
        broken: a problem is added for each section or short form with a reference that cannot be resolved; it
            is left out.
    """
    from omegaconf import OmegaConf

    plain: dict[str, object] = {}
    # Short forms first: if one is a broken reference, the message names it and not what refers to it.
    for key in sorted(map(str, composed), key=lambda key: key not in SHORT_FORMS):
        if key == "hydra" or OmegaConf.is_missing(composed, key):
            continue
        try:
            with as_config_errors():
                value = composed[key]
                if OmegaConf.is_config(value):
                    value = OmegaConf.to_container(value, resolve=True, throw_on_missing=False)
        except ConfigError as error:
            (broken[key],) = error.problems
        else:
            plain[key] = _without_missing(value)
    return plain


def _without_missing(node: object) -> object:
    if not isinstance(node, dict):
        return node
    return {str(key): _without_missing(value) for key, value in node.items() if value != "???"}


def chooses_scenario(overrides: Sequence[str]) -> bool:
    """Return whether one of the overrides chooses the scenario."""
    return any(key_of(override) in _SCENARIO_KEYS for override in overrides)


def _as_typed(problem: Problem, overrides: Sequence[TypedOverride]) -> Problem:
    """Return the problem with the short form in its path, if that was typed."""
    for short, long in SHORT_FORMS.items():
        if problem.path == long and any(override.key == short for override in overrides):
            return dataclasses.replace(problem, path=f"{short} ({long})")
    return problem


@contextlib.contextmanager
def as_config_errors() -> Iterator[None]:
    """Turn errors of Hydra and OmegaConf into a `ConfigError`."""
    try:
        yield
    except Exception as error:  # their errors have no common type
        raise ConfigError(problem_of(error)) from error


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Switch off garbage collection, which would take a tenth of the time of a composition."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
