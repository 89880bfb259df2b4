"""The defaults of the settings, which stand in their config classes and nowhere else.

A file in conf/ holds the name of a class, and what differs from it. The rest is filled in when Hydra has composed
the files and the overrides: which class a section has is known then, since a scenario chooses the others, and a
name can be typed. References (`${data.image_size}`) are resolved after that.
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

# The node of the ConfigStore that the defaults list of conf/config.yaml begins with.
_NODE = "class_defaults"

# What the sections have in common that differ from scenario to scenario, or from option to option.
_BASES = {
    "data": "framework.data.source:DataConfig",
    "learning_rate": "framework.optim.learning_rates:LearningRate",
}


def defaults_of(cls: type[Section]) -> dict[str, PlainValue]:
    """The default of each setting of a config class, as plain values; `???` where it has none, as OmegaConf has
    it of a value that must be given."""
    found: dict[str, PlainValue] = {}
    for field in dataclasses.fields(cls):
        if field.default_factory is not dataclasses.MISSING:
            found[field.name] = plain_value(field.default_factory())
        else:
            found[field.name] = "???" if field.default is dataclasses.MISSING else plain_value(field.default)
    return found


def class_defaults(composed: DictConfig) -> dict[str, PlainValue]:
    """The defaults of the classes that a composed config names: those of the short forms, and by sections.

    A section of which the class is not known has the defaults that all classes of its group share, if any.
    """
    from omegaconf import OmegaConf

    def select(path: str) -> object:
        return OmegaConf.select(composed, path, throw_on_resolution_failure=False)

    scenario, _ = find_scenario({"target": select("scenario.target")}, [])
    sections: dict[str, dict[str, PlainValue]] = {}
    for section, target in _BASES.items():
        sections[section] = defaults_of(locate(target))
    if scenario is not None:
        sections["scenario"] = {"name": scenario.name} | defaults_of(scenario.Config)
    # After the scenario, which registers classes.
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
    """Add defaults to a composed config, where nothing sets another value."""
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
    """While the context lasts, Hydra knows the defaults of the classes by its ConfigStore, so that what it shows
    and completes has every setting in it."""
    _store(defaults)
    try:
        yield
    finally:
        _store({})


def _store(defaults: Mapping[str, PlainValue]) -> None:
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name=_NODE, node=dict(defaults))
