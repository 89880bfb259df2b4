"""Defaults of the settings, which are in their config classes and nowhere else.

A file in conf/ has the name of a class, and the values that differ from it. The other values are added after
Hydra has composed files and overrides, because the class of each section is known only then: a scenario
chooses the other groups, and an override can name a class. References (`${data.image_size}`) are resolved
afterwards.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from framework.config.run_config import class_of, find_scenario, section_kinds
from framework.config.schema import PlainValue, Section, plain_value
from framework.config.sections import SHORT_FORMS
from framework.config.targets import locate

if TYPE_CHECKING:
    from omegaconf import DictConfig

# The node of the ConfigStore at the beginning of the defaults list of conf/config.yaml.
_NODE = "class_defaults"

# The settings that all classes of a group have. Their defaults hold if the class is not known.
_BASES = {
    "data": "framework.data.source:DataConfig",
    "learning_rate": "framework.optim.learning_rates:LearningRate",
}


def defaults_of(cls: type[Section]) -> dict[str, PlainValue]:
    """Return the plain default of each setting of a config class; `???`, as in OmegaConf, if it has none."""
    found: dict[str, PlainValue] = {}
    for field in dataclasses.fields(cls):
        if field.default_factory is not dataclasses.MISSING:
            found[field.name] = plain_value(field.default_factory())
        else:
            found[field.name] = "???" if field.default is dataclasses.MISSING else plain_value(field.default)
    return found


def class_defaults(composed: DictConfig) -> dict[str, PlainValue]:
    """Return the defaults of the classes that a composed config names: of short forms, and by sections."""
    from omegaconf import OmegaConf

    def select(path: str) -> object:
        return OmegaConf.select(composed, path, throw_on_resolution_failure=False)

    scenario, _ = find_scenario({"target": select("scenario.target")}, [])
    sections: dict[str, dict[str, PlainValue]] = {}
    for section, target in _BASES.items():
        sections[section] = defaults_of(locate(target))
    if scenario is not None:
        sections["scenario"] = {"name": scenario.name} | defaults_of(scenario.Config)
    # After the scenario, whose module registers classes.
    for section, kind in section_kinds(scenario).items():
        if cls := class_of(kind, select(f"{section}.name")):
            name = getattr(cls, "name", None)
            sections[section] = ({"name": name} if name else {}) | defaults_of(cls)
    short_forms: dict[str, PlainValue] = {}
    for short, long in SHORT_FORMS.items():
        section, _, name = long.partition(".")
        short_forms[short] = sections[section].get(name)
    return short_forms | sections


def add_defaults(composed: DictConfig, defaults: Mapping[str, PlainValue]) -> None:
    """Add defaults to a composed config, for the settings that it does not have."""
    from omegaconf import open_dict

    with open_dict(composed):
        _add(composed, defaults)


def _add(node: DictConfig, defaults: Mapping[str, PlainValue]) -> None:
    from omegaconf import DictConfig, OmegaConf

    present = set(node.keys())
    for key, value in defaults.items():
        if key not in present:
            node[key] = value
        elif isinstance(value, Mapping) and not OmegaConf.is_interpolation(node, key):
            inner = OmegaConf.select(node, key)
            if isinstance(inner, DictConfig):
                _add(inner, value)


@contextlib.contextmanager
def told_to_hydra(defaults: Mapping[str, PlainValue]) -> Iterator[None]:
    """Put defaults into Hydra's ConfigStore for the time of a context: Hydra then shows all settings."""
    _store(defaults)
    try:
        yield
    finally:
        _store({})


def _store(defaults: Mapping[str, PlainValue]) -> None:
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name=_NODE, node=dict(defaults))
