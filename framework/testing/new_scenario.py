"""Creation of a new scenario: a small package of its own, which can be trained at once."""

from __future__ import annotations

import importlib.util
import keyword
import os
import string
import tempfile
from pathlib import Path

from framework.config.compose import conf_directory
from framework.errors import ConfigError, Problem, ScenarioError, reason_of

_TEMPLATE = Path(__file__).parent / "template"
_SUFFIX = ".txt"  # so that no tool mistakes a file of the template for code or a project


def new_scenario(name: str, folder: str | Path = ".") -> Path:
    """Write the package of a new scenario.

        NAME/NAME/scenario.py           data, model, objective; with the test 40 lines of Python
        NAME/conf/scenario/NAME.yaml    default values of a run
        NAME/tests/test_contract.py     `framework.testing.check_scenario`
        NAME/pyproject.toml, README.md

    Args:
        name: the name of package and scenario, in lower case.
        folder: the folder in which the folder `name` is created.

    Returns:
        The folder that was created. It appears only when it is complete.

    Raises:
        ConfigError: if the name cannot be used.
        ScenarioError: if the folder exists already, or cannot be written.
    """
    _check_name(name)
    place = Path(folder) / name
    if place.exists():
        raise ScenarioError(
            f"{place} is there already", hint="choose another name, or another folder with --dir"
        )
    values = {"name": name, "class_name": "".join(part.capitalize() for part in name.split("_"))}
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as draft:
            whole = Path(draft, "whole")
            for template in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
                relative = str(template.relative_to(_TEMPLATE)).removesuffix(_SUFFIX)
                path = Path(whole, relative.replace("package", name).replace("scenario.yaml", f"{name}.yaml"))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(string.Template(template.read_text()).substitute(values))
            os.rename(whole, place)
    except OSError as error:
        raise ScenarioError(f"{place} cannot be written: {reason_of(error)}") from error
    return place


def _check_name(name: str) -> None:
    shipped = sorted(path.stem for path in (conf_directory() / "scenario").glob("*.yaml"))
    taken = None
    if (
        not name.isidentifier()
        or not name.isascii()
        or name != name.lower()
        or name.startswith("_")
        or keyword.iskeyword(name)
    ):
        problem = Problem(
            "NAME",
            "must be a name for a Python package",
            given=name,
            allowed="lower-case letters, digits and _",
        )
        raise ConfigError(problem, subject="the command line")
    if name in shipped:
        taken = "a scenario"
    elif importlib.util.find_spec(name) is not None:
        taken = "a Python module"
    if taken:
        problem = Problem(
            "NAME", f"is the name of {taken} that is there already", given=name, hint=f"my_{name}, say"
        )
        raise ConfigError(problem, subject="the command line")
