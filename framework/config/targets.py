"""Targets: texts that name a class, or a module with one scenario."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from framework.config.registry import Registry
from framework.errors import ConfigError, Problem, did_you_mean

SCENARIOS = Registry("scenario")


def locate(target: str, path: str = "target") -> Any:
    """Import the object that `package.module:Name` names.

    Raises:
        ConfigError: if there is no such module, it cannot be imported, or it has no such name.
    """
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise ConfigError(Problem(path, "must name a class", given=target, allowed="package.module:Class"))
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
    """Complete the name of a module with one scenario to `package.module:Class`.

    Raises:
        ConfigError: if the module cannot be imported, or does not have exactly one scenario.
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
            Problem(
                path, "must name one of the scenarios that the module holds", given=target, allowed=allowed
            )
        )
    raise ConfigError(
        Problem(
            path,
            "must name a module that holds a scenario",
            given=target,
            allowed="package.module:Class",
            hint="a scenario is a class derived from framework.Scenario and decorated with "
            '@register_scenario("name")',
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
    """Return a hint for a module that is not found: often, another package of the same name hides it."""
    package = module_name.partition(".")[0]
    places = list(getattr(sys.modules.get(package), "__path__", ()))
    if package == module_name or not places:
        return "install the package that holds it, or set PYTHONPATH to the folder that the package is in"
    hint = f"Python finds the package {package!r} in {places[0]}, which hides any other of that name"
    if package in ("framework", "scenarios"):
        hint += f"; tf-scenarios has a package {package!r} of its own, so give yours another name"
    return hint
