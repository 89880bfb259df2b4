"""From the overrides of a command line to the typed config of a run, by one composition of Hydra's.

Hydra stops at the first override it cannot use, and lets a wrong type pass. Here an override that fails is noted
and left out, the rest is composed and typed, and one message names them all.
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
    """The shipped `conf/`: inside the package where that was installed as a wheel, beside it in a
    checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def compose_config(
    overrides: Sequence[str], *, config_dir: str | Path | None = None, config_name: str = CONFIG_NAME
) -> RunConfig:
    """The config that the overrides of a command line stand for.

    Args:
        overrides: as they are typed, such as `scenario=mesonet`, `optimizer=adam`, `lr=1e-3`.
        config_dir: a further folder of group options, searched behind the shipped ones.
        config_name: the primary config.

    Raises:
        ConfigError: naming all problems, with group options, keys, types and ranges in one message.
    """
    with composer(config_dir, config_name) as hydra:
        return hydra.compose_run(overrides).run


@dataclass(frozen=True)
class ComposedRun:
    """What one composition gives.

    Args:
        config: as Hydra composed it, its own node `hydra` too, with every default filled in; references are not
            resolved.
        run: the typed config.
    """

    config: DictConfig
    run: RunConfig


@dataclass(frozen=True)
class Composer:
    """Hydra, on the shipped `conf/` and a further folder.

    Args:
        options: the options of its groups.
        config_name: the primary config.
        searchpath: the overrides that put the further folder on Hydra's path.
    """

    options: GroupOptions
    config_name: str
    searchpath: Sequence[str]

    def read(
        self, overrides: Sequence[str], problems: list[Problem], *, multirun: bool = False
    ) -> list[TypedOverride]:
        """Read overrides, and keep those that can be used; a problem for each of the others.

        Args:
            overrides: as they were typed.
            problems: every problem found is appended to it.
            multirun: whether an override may have several values.
        """
        from hydra.core.config_store import ConfigStore

        read = usable_overrides(overrides, self.options, problems, multirun=multirun)
        for override in read:
            for name in offered(override):  # whether a class is registered under it is for `parse` to say
                ConfigStore.instance().store(group=override.key, name=name, node={"name": name})
        return read

    def check_scenario(self, overrides: Sequence[str], problems: list[Problem]) -> None:
        """Note the problem of overrides that choose no scenario, where the primary config chooses none."""
        if self.config_name == CONFIG_NAME and not chooses_scenario(overrides):
            allowed = ", ".join(self.options.of("scenario"))
            problems.append(Problem("scenario", "must be chosen", allowed=allowed, hint="add scenario=NAME"))

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Have Hydra compose, and fill in the defaults of the classes. References are not resolved.

        Args:
            overrides: in the form in which they are composed.

        Raises:
            ConfigError: with what Hydra says.
        """
        composed = self.compose_files(overrides)
        add_defaults(composed, class_defaults(composed))
        return composed

    def compose_files(self, overrides: Sequence[str]) -> DictConfig:
        """Have Hydra compose, and fill in nothing; see `compose`."""
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
            ConfigError: naming all problems.
        """
        problems: list[Problem] = []
        with _without_garbage_collection():
            read = self.read(overrides, problems)
            self.check_scenario(overrides, problems)
            return self._compose_and_parse(read, problems)

    def compose_shown(self, overrides: Sequence[str]) -> tuple[DictConfig, list[TypedOverride]]:
        """Compose what is to be shown: typed as a run is, where a scenario is chosen, or what there is of one.

        Args:
            overrides: as they were typed.

        Returns:
            The config, as of `ComposedRun`, and the overrides.

        Raises:
            ConfigError: naming all problems.
        """
        problems: list[Problem] = []
        read = self.read(overrides, problems)
        if chooses_scenario(overrides):
            return self._compose_and_parse(read, problems).config, read
        if problems:
            raise ConfigError(problems, subject="the command line")
        return self.compose([override.composed for override in read]), read

    def _compose_and_parse(self, read: Sequence[TypedOverride], problems: list[Problem]) -> ComposedRun:
        """Compose and type what was read.

        Args:
            read: the overrides that can be used.
            problems: those of the others.
        """
        broken: dict[str, Problem] = {}
        try:
            config = self.compose([override.composed for override in read])
            run = parse(resolved(config, broken))
            found: Sequence[Problem] = ()
        except ConfigError as error:
            found = error.problems
        # An override or a section that was left out must not be reported a second time, as missing.
        left_out = {problem.path for problem in problems} | set(broken)
        found = [_as_typed(problem, read) for problem in found if problem.path.split(".")[0] not in left_out]
        for problem in broken.values():
            # Nor a reference twice, nor one into a section that is itself a problem.
            if not any(
                known.message == problem.message or f"'{known.path}." in problem.message for known in found
            ):
                found.append(problem)
        if problems or found:
            raise ConfigError([*problems, *found])
        return ComposedRun(config, run)


@contextlib.contextmanager
def composer(config_dir: str | Path | None = None, config_name: str = CONFIG_NAME) -> Iterator[Composer]:
    """Hydra, initialised for as long as the context lasts.

    Args:
        config_dir, config_name: as for `compose_config`.

    Raises:
        ConfigError: where there is no such folder.
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
    """The plain values of a composed config but for Hydra's own, with all references resolved. A value that must
    be given, and is not, is left out.

    Args:
        composed: as `Composer.compose` gives it.
        broken: the problem of each section and short form in which a reference cannot be resolved is added to it;
            they are left out.
    """
    from omegaconf import OmegaConf

    plain: dict[str, object] = {}
    # Short forms first: where one is a broken reference, it is the one to be named.
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
    """Whether one of the overrides says which scenario it is."""
    return any(key_of(override) in _SCENARIO_KEYS for override in overrides)


def _as_typed(problem: Problem, overrides: Sequence[TypedOverride]) -> Problem:
    """A problem of a long form, with the short form that was typed."""
    for short, long in SHORT_FORMS.items():
        if problem.path == long and any(override.key == short for override in overrides):
            return dataclasses.replace(problem, path=f"{short} ({long})")
    return problem


@contextlib.contextmanager
def as_config_errors() -> Iterator[None]:
    """Raise what Hydra and OmegaConf raise as a `ConfigError`."""
    try:
        yield
    except Exception as error:  # they have no common type for what is wrong with overrides
        raise ConfigError(problem_of(error)) from error


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Composing makes many small objects at once; looking for garbage among them takes a tenth of the time, and
    finds none."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
