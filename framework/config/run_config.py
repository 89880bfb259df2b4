"""The typed, frozen configuration of a run.

`parse` makes a `RunConfig` of the plain values that Hydra composed, or reports every problem in them at once.
TensorFlow is not imported on the way, which is why a config error takes a fraction of a second: every module
that holds a config dataclass, a scenario's modules too, imports TensorFlow inside the functions that build.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Literal, Protocol

from framework.config.registry import Registry
from framework.config.rules import cross_section_problems
from framework.config.schema import Section, read, read_value, to_plain
from framework.config.sections import PARTS, SECTIONS, SHORT_FORMS, RunConfig, ScenarioSection
from framework.config.trainer_config import TrainerConfig
from framework.errors import ConfigError, Problem, did_you_mean, unknown_name

SCENARIOS = Registry("scenario")

_LAV_SPLIT = Literal["train", "validation", "test"]


class ScenarioClass(Protocol):
    """What a config needs of the class of a scenario; see `framework.scenario.Scenario`."""

    name: str
    Config: type[Section]
    models: Registry | type[Section]
    datas: Registry | type[Section]

    def check_config(self, config: RunConfig) -> Iterable[Problem]:
        """Find problems that only show when the sections are seen together."""


def locate(target: str, path: str = "target") -> Any:
    """The object that `package.module:Name` names.

    Raises:
        ConfigError: where there is no such module, it cannot be imported, or it has no such name.
    """
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise ConfigError(Problem(path, "names no class", given=target, allowed="package.module:Class"))
    module = _import(module_name, target, path)
    if not hasattr(module, name):
        raise ConfigError(
            Problem(
                path,
                f"module {module_name!r} has no {name!r}",
                given=target,
                hint=did_you_mean(name, vars(module)),
            )
        )
    return getattr(module, name)


def complete_target(target: str, path: str) -> str:
    """The target `package.module:Class` of a module that holds one scenario; a target that names its class as
    it is.

    Raises:
        ConfigError: where the module cannot be imported, or holds no scenario, or several.
    """
    if not target or ":" in target:
        return target
    module = _import(target, target, path)
    found = sorted(
        name
        for name, value in vars(module).items()
        if value in SCENARIOS.values() and value.__module__ == target
    )
    if len(found) == 1:
        return f"{target}:{found[0]}"
    if found:
        allowed = ", ".join(f"{target}:{name}" for name in found)
        raise ConfigError(
            Problem(path, "is a module that holds several scenarios", given=target, allowed=allowed)
        )
    raise ConfigError(
        Problem(
            path,
            "is a module that holds no scenario",
            given=target,
            allowed="package.module:Class",
            hint='a scenario is a class derived from framework.Scenario and decorated with @register_scenario("name")',
        )
    )


def _import(module_name: str, target: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ConfigError(
                Problem(
                    path, f"there is no module {error.name!r}", given=target, hint=_where_to_put(error.name)
                )
            ) from error
        raise ConfigError(Problem(path, f"importing it failed: {error}", given=target)) from error
    except Exception as error:  # whatever a user's module raises while it is imported is theirs to read
        raise ConfigError(
            Problem(path, f"importing it failed: {type(error).__name__}: {error}", given=target)
        ) from error


def _where_to_put(module_name: str) -> str:
    """What to do for a module to be found: often another package of the same name is found in place of the
    one that has it."""
    package = module_name.partition(".")[0]
    places = list(getattr(sys.modules.get(package), "__path__", ()))
    if package == module_name or not places:
        return "install the package that holds it, or set PYTHONPATH to the folder that the package is in"
    hint = f"Python finds the package {package!r} in {places[0]}, which hides any other of that name"
    if package in ("framework", "scenarios"):
        hint += f"; tf-scenarios has a package {package!r} of its own, so give yours another name"
    return hint


def parse(plain: Mapping[str, object]) -> RunConfig:
    """Type and check the plain values of a composed config.

    Args:
        plain: sections as mappings. The short forms (`SHORT_FORMS`) may stand in it; they are not read, since
            conf/config.yaml has the long forms refer to them.

    Returns:
        The config of a run, every value in its range.

    Raises:
        ConfigError: naming all problems, each with its path.
    """
    problems: list[Problem] = []
    _check_sections(plain, problems)
    scenario_class, target = _find_scenario(plain.get("scenario"), problems)
    sections: dict[str, Any] = {"trainer": read(TrainerConfig, plain.get("trainer", {}), "trainer", problems)}
    if scenario_class is not None:
        node = plain["scenario"]
        assert isinstance(node, Mapping)
        own = {k: v for k, v in node.items() if k not in ("name", "target")}
        settings = read(scenario_class.Config, own, "scenario", problems)
        if settings is not None:
            sections["scenario"] = ScenarioSection(name=scenario_class.name, target=target, settings=settings)
        for group, kind in (("model", scenario_class.models), ("data", scenario_class.datas)):
            sections[group] = read_variant(kind, plain.get(group, {}), group, problems)
    # After the scenario: what is registered where its class is, or imported from there, can be chosen by
    # name.
    for group, target in PARTS.items():
        kind, node = locate(target), plain.get(group, {})
        if scenario_class is None and _may_be_registered_by(plain.get("scenario"), kind, node):
            continue
        sections[group] = read_variant(kind, node, group, problems)
    if scenario_class is not None and not problems:
        config = RunConfig(**sections)
        problems.extend(scenario_class.check_config(config))
        problems.extend(cross_section_problems(config))
        problems.extend(_check_lav_lists(config))
        if not problems:
            return config
    raise ConfigError(problems)


def lav_config(config: RunConfig, name: str) -> tuple[RunConfig, str]:
    """The config of a run with the data of one of its LAV lists, and the split of these data that the list
    is.

    Args:
        config: the config of the run.
        name: a name in `trainer.lav_lists`.

    Raises:
        ConfigError: where there is no such list, or its settings are wrong; the paths begin with
            `trainer.lav_lists.NAME`.
    """
    lists = config.trainer.lav_lists
    if name not in lists:
        raise ConfigError(unknown_name("trainer.lav_lists", "list", name, list(lists)))
    path = f"trainer.lav_lists.{name}"
    scenario_class: ScenarioClass = locate(config.scenario.target, "scenario.target")
    changes = dict(lists[name])
    problems: list[Problem] = []
    split = read_value(_LAV_SPLIT, changes.pop("split", "validation"), f"{path}.split", problems, {})
    plain = to_plain(config.data)
    if changes.get("name", plain.get("name")) != plain.get("name"):
        problems.append(
            Problem(
                f"{path}.name", "is another kind of data", given=changes["name"], allowed=f"{plain['name']}"
            )
        )
    data = None if problems else read_variant(scenario_class.datas, plain | changes, path, problems)
    if data is None:
        raise ConfigError(problems)
    changed = dataclasses.replace(config, data=data)
    if found := list(scenario_class.check_config(changed)):
        raise ConfigError(
            [dataclasses.replace(problem, path=f"{path} ({problem.path})") for problem in found]
        )
    return changed, split


def _check_lav_lists(config: RunConfig) -> Iterator[Problem]:
    for name in config.trainer.lav_lists:
        try:
            lav_config(config, name)
        except ConfigError as error:
            yield from error.problems


def read_variant(kind: Registry | type[Section], node: object, path: str, problems: list[Problem]) -> Any:
    """Read the section of a group.

    Args:
        kind: the config dataclass of the group, or a `Registry` of them: the key `name` then says which.
        node, path, problems: as for `schema.read`.
    """
    if not isinstance(kind, Registry):
        # An option that is shipped for several scenarios names its class, where one of them has no other.
        if isinstance(node, Mapping) and "name" in node and node["name"] == getattr(kind, "name", None):
            node = {key: value for key, value in node.items() if key != "name"}
        return read(kind, node, path, problems)
    if not isinstance(node, Mapping) or not isinstance(name := node.get("name"), str):
        problems.append(
            Problem(path, f"no {kind.kind} is chosen", allowed=", ".join(kind), hint=f"add {path}=NAME")
        )
        return None
    try:
        cls = kind.find(name, path)
    except ConfigError as error:
        own = "one of your own is registered by the module of the scenario, or by what that imports"
        problems.extend(dataclasses.replace(problem, hint=problem.hint or own) for problem in error.problems)
        return None
    if fault := _fault_of_class(cls):
        hint = "decorate it: @dataclass(frozen=True, kw_only=True); docs/extending.md has an example"
        problems.append(Problem(f"{path}.name", fault, given=name, hint=hint))
        return None
    return read(cls, {key: value for key, value in node.items() if key != "name"}, path, problems)


def _may_be_registered_by(scenario: object, kind: object, node: object) -> bool:
    """Whether a name that is unknown may be one of those that a scenario registers that cannot be
    imported."""
    named = isinstance(scenario, Mapping) and isinstance(scenario.get("target"), str)
    return named and isinstance(kind, Registry) and isinstance(node, Mapping) and node.get("name") not in kind


def _fault_of_class(cls: type) -> str | None:
    """Why a registered class cannot be the config of a section; None where it can."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    # A class without the decorator has the fields of the class that it is derived from, and ignores its own.
    own = "__dataclass_fields__" in vars(cls) or not inspect.get_annotations(cls)
    return (
        None
        if dataclasses.is_dataclass(cls) and own
        else f"{name} is registered, but is not a config dataclass"
    )


def _check_sections(plain: Mapping[str, object], problems: list[Problem]) -> None:
    known = [*SECTIONS, *SHORT_FORMS]
    for key, value in plain.items():
        if key not in known:
            problems.append(
                Problem(
                    str(key),
                    "unknown key",
                    given=value,
                    allowed=", ".join(known),
                    hint=did_you_mean(key, known),
                )
            )


def _find_scenario(node: object, problems: list[Problem]) -> tuple[ScenarioClass | None, str]:
    if not isinstance(node, Mapping) or not isinstance(node.get("target"), str):
        problems.append(
            Problem(
                "scenario.target",
                "no scenario class is named",
                allowed="package.module:Class",
                hint="choose a scenario with scenario=NAME; `train-scenario --help` lists them",
            )
        )
        return None, ""
    try:
        target = complete_target(node["target"], "scenario.target")
        found = locate(target, "scenario.target")
    except ConfigError as error:
        problems.extend(error.problems)
        return None, ""
    if found not in SCENARIOS.values():
        problems.append(
            Problem(
                "scenario.target",
                "is not a scenario",
                given=node["target"],
                allowed='a class derived from framework.Scenario and decorated with @register_scenario("name")',
            )
        )
        return None, ""
    if node.get("name", found.name) != found.name:
        problems.append(
            Problem("scenario.name", "is not the name of its target", given=node["name"], allowed=found.name)
        )
        return None, ""
    return found, target
