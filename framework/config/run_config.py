"""The typed, frozen configuration of a run.

`parse` makes a `RunConfig` of the plain values that Hydra composed, or reports every problem in them at once.
TensorFlow is not imported on the way, which is why a config error takes a fraction of a second: every module
that holds a config dataclass, a scenario's modules too, imports TensorFlow inside the functions that build.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol, TypeAlias

from framework.config.registry import Registry
from framework.config.rules import cross_section_problems
from framework.config.schema import Section, read, read_value, to_plain
from framework.config.sections import PARTS, SECTIONS, SHORT_FORMS, RunConfig, ScenarioSection
from framework.config.targets import SCENARIOS, complete_target, locate
from framework.config.trainer_config import TrainerConfig
from framework.errors import ConfigError, Problem, did_you_mean, unknown_name

Kind: TypeAlias = Registry | type[Section]
"""The class of a section: a config dataclass, or a registry of which the key `name` selects one."""

_LAV_SPLIT = Literal["train", "validation", "test"]


class ScenarioClass(Protocol):
    """What a config needs of the class of a scenario; see `framework.scenario.Scenario`."""

    name: str
    Config: type[Section]
    models: Kind
    datas: Kind

    def check_config(self, config: RunConfig) -> Iterable[Problem]:
        """Find problems that only show when the sections are seen together."""


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
    # First, since what is registered where its class is, or imported from there, can be chosen by name.
    scenario_class, target = find_scenario(plain.get("scenario"), problems)
    sections: dict[str, Any] = {}
    if scenario_class is not None:
        node = plain["scenario"]
        assert isinstance(node, Mapping)
        own = {k: v for k, v in node.items() if k not in ("name", "target")}
        settings = read(scenario_class.Config, own, "scenario", problems)
        if settings is not None:
            sections["scenario"] = ScenarioSection(name=scenario_class.name, target=target, settings=settings)
    for section, kind in section_kinds(scenario_class).items():
        section_node = plain.get(section, {})
        if scenario_class is None and _may_be_registered_by(plain.get("scenario"), kind, section_node):
            continue
        sections[section] = read_variant(kind, section_node, section, problems)
    if scenario_class is not None and not problems:
        config = RunConfig(**sections)
        problems.extend(scenario_class.check_config(config))
        problems.extend(cross_section_problems(config))
        problems.extend(_check_lav_lists(config))
        if not problems:
            return config
    raise ConfigError(problems)


def lav_config(config: RunConfig, name: str) -> tuple[RunConfig, str]:
    """Return the config of a run with the data of one of its LAV lists, and the split of the list.

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
                f"{path}.name",
                "must be the kind of data of the run",
                given=changes["name"],
                allowed=f"{plain['name']}",
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


def section_kinds(scenario_class: ScenarioClass | None) -> dict[str, Kind]:
    """Return the classes of each section except `scenario`.

    Args:
        scenario_class: the scenario, which has its own models and data; None: only the sections of all
            scenarios.
    """
    kinds: dict[str, Kind] = {"trainer": TrainerConfig}
    if scenario_class is not None:
        kinds |= {"model": scenario_class.models, "data": scenario_class.datas}
    return kinds | {section: locate(target) for section, target in PARTS.items()}


def class_of(kind: Kind, name: object) -> type[Section] | None:
    """Return the config dataclass of a section; None if no usable class has its name.

    Args:
        kind: its value in `section_kinds`.
        name: the key `name` of the section, if it has one.
    """
    cls = kind.get(str(name)) if isinstance(kind, Registry) else kind
    return None if cls is None or _fault_of_class(cls) else cls


def read_variant(kind: Kind, node: object, path: str, problems: list[Problem]) -> Any:
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
    """Return whether a scenario that cannot be imported may register an unknown name."""
    named = isinstance(scenario, Mapping) and isinstance(scenario.get("target"), str)
    return named and isinstance(kind, Registry) and isinstance(node, Mapping) and node.get("name") not in kind


def _fault_of_class(cls: type) -> str | None:
    """Return why a registered class cannot be the config of a section, or None."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    # A class without the decorator has the fields of the class that it is derived from, and ignores its own.
    own = "__dataclass_fields__" in vars(cls) or not inspect.get_annotations(cls)
    return (
        None
        if dataclasses.is_dataclass(cls) and own
        else f"{name} is registered, and must be a config dataclass"
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


def find_scenario(node: object, problems: list[Problem]) -> tuple[ScenarioClass | None, str]:
    """Return the class that a section `scenario` names, and its full target; None if there is a problem."""
    if not isinstance(node, Mapping) or not isinstance(node.get("target"), str):
        problems.append(
            Problem(
                "scenario.target",
                "must name the class of a scenario",
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
                "must name a scenario",
                given=node["target"],
                allowed="a class derived from framework.Scenario and decorated with "
                '@register_scenario("name")',
            )
        )
        return None, ""
    if node.get("name", found.name) != found.name:
        problems.append(
            Problem("scenario.name", "must be the name of its target", given=node["name"], allowed=found.name)
        )
        return None, ""
    return found, target
