"""Overrides for the config of an existing run."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

from framework.config.compose import Composer, composer, resolved
from framework.config.defaults import add_defaults, class_defaults
from framework.config.overrides import TypedOverride
from framework.config.sections import SECTIONS, SHORT_FORMS
from framework.errors import ConfigError, Problem


def apply_overrides(
    plain: Mapping[str, object], overrides: Sequence[str], *, config_dir: str | Path | None = None
) -> dict[str, object]:
    """Apply overrides such as `epochs=60` or `optimizer=sgd` to the plain values of a run.

    Another option of a group replaces its section. Its references are to the values of the run: short forms
    such as `lr`, and the other sections.

    Raises:
        ConfigError: with each override that cannot be used. `parse` checks keys, types and ranges.
    """
    result: dict[str, object] = copy.deepcopy(dict(plain))
    if not overrides:
        return result
    problems: list[Problem] = []
    with composer(config_dir) as hydra:
        read = hydra.read(overrides, problems)
        chosen = [override for override in read if not override.sets_value]
        problems.extend(
            Problem(
                override.key,
                "cannot be changed in a run that exists",
                given=override.composed,
                hint="start a new run",
            )
            for override in chosen
            if override.key not in SECTIONS or override.key == "scenario"
        )
        if problems:
            raise ConfigError(problems, subject="the command line")
        if chosen:
            result |= _sections_of(chosen, result, hydra)
    for override in read:
        if override.sets_value:
            _set(result, SHORT_FORMS.get(override.key, override.key), override.parsed.value())
    return result


def _sections_of(
    chosen: Sequence[TypedOverride], plain: Mapping[str, object], hydra: Composer
) -> dict[str, object]:
    """Compose the sections that have another option now. Everything else is as in the run."""
    from omegaconf import open_dict

    groups = {override.key for override in chosen}
    composed = hydra.compose_files([override.composed for override in chosen])
    own = {section: plain[section] for section in SECTIONS if section in plain and section not in groups}
    own |= {short: _get(plain, long) for short, long in SHORT_FORMS.items()}
    with open_dict(composed):
        for key, value in own.items():
            composed[key] = value
    add_defaults(composed, class_defaults(composed))
    broken: dict[str, Problem] = {}
    values = resolved(composed, broken)
    if found := [problem for group, problem in broken.items() if group in groups]:
        raise ConfigError(found, subject="the command line")
    return {group: values[group] for group in groups}


def _get(plain: Mapping[str, object], path: str) -> object:
    node: object = plain
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _set(plain: dict[str, object], path: str, value: object) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        inner = plain.get(parent)
        if not isinstance(inner, dict):
            inner = plain[parent] = {}
        plain = inner
    section = plain.get(last)
    if isinstance(value, Mapping) and isinstance(section, dict):
        for key, setting in value.items():  # as in a new run: what is not named stays
            _set(section, str(key), setting)
    else:
        plain[last] = value
