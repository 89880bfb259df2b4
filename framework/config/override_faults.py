"""Faults of overrides that show before composition. Each becomes a problem of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from framework.config.overrides import (
    REGISTERED,
    GroupOptions,
    TypedOverride,
    read_all,
)
from framework.config.sections import SECTIONS, SHORT_FORMS
from framework.errors import Problem, unknown_name

# Hydra's own settings that would have no effect, or would make a run write elsewhere.
_HYDRA_KEYS = {
    "hydra.run.dir": "output_dir=FOLDER says where a run goes",
    "hydra.sweep.dir": "output_dir=FOLDER says where the runs of a sweep go",
    "hydra.sweep.subdir": "output_dir=FOLDER says where the runs of a sweep go; they are numbered there",
    "hydra.output_subdir": "the run directory holds its own config.yaml; output_dir=FOLDER says where it "
    "goes",
    "hydra.job.chdir": "a command stays in the folder that it was typed in; output_dir=FOLDER says where a "
    "run goes",
    "hydra.mode": "--multirun (-m) makes a sweep",
}
_OF_A_SWEEP = ("hydra/sweeper", "hydra.sweeper", "hydra/launcher", "hydra.launcher")


def usable_overrides(
    overrides: Sequence[str], options: GroupOptions, problems: list[Problem], *, multirun: bool = False
) -> list[TypedOverride]:
    """Parse overrides, and return those that can be composed.

    Args:
        overrides: as they were typed.
        options: the options of the groups.
        problems: a problem is appended for each of the others.
        multirun: whether an override may have several values.
    """
    usable: list[TypedOverride] = []
    known: dict[str, TypedOverride] = {}
    for override in read_all(overrides, options, problems):
        problem = _fault_of(override, multirun) or _repeated(override, known)
        if problem is None:
            usable.append(override)
        else:
            problems.append(problem)
    return usable


def _repeated(override: TypedOverride, known: dict[str, TypedOverride]) -> Problem | None:
    """Return the problem of an override that sets what an earlier one sets: the last one would win silently.

    Args:
        known: the earlier overrides, by the paths that they set. The paths of this one are added.
    """
    for path in override.paths():
        for before, other in known.items():
            if _meets(path, before):
                short = next(
                    (
                        short
                        for short, long in SHORT_FORMS.items()
                        if long == path and {override.key, other.key} == {short, long}
                    ),
                    None,
                )
                return Problem(
                    path.removesuffix("="),
                    f"must be given once, and is given as {other.text!r} and as {override.text!r}",
                    hint=f"{short} is short for {path}" if short else "leave one of them out",
                )
    known.update(dict.fromkeys(override.paths(), override))
    return None


def _fault_of(override: TypedOverride, multirun: bool) -> Problem | None:
    """Return the problem of an override that cannot be composed, or None."""
    key, text = override.key, override.text
    if override.parsed.is_delete():
        return Problem(
            text,
            "must set a value: nothing can be taken out of a configuration",
            hint="set another value; an override that is left out has its default",
        )
    if override.sets_hydra:
        return _fault_of_hydras(override, multirun)
    if override.parsed.package is not None:
        return Problem(
            f"{key}@{override.parsed.package}",
            "must choose an option at its own place",
            given=text,
            hint=f"write {key}=NAME",
        )
    if override.swept:
        return _fault_of_values(override, multirun)
    value = override.parsed.value()
    if SHORT_FORMS.get(key, key) == "trainer.output_dir" and value == "":
        return Problem(
            key,
            "must name a folder",
            hint="name a folder, or leave the override out for a new one in outputs/",
        )
    return _fault_of_option(key, value, override.group) if override.group else None


def _fault_of_hydras(override: TypedOverride, multirun: bool) -> Problem | None:
    found = next((name for path in override.paths() for name in _HYDRA_KEYS if _meets(path, name)), None)
    if found:
        return Problem(found, "must be left out", given=override.text, hint=_HYDRA_KEYS[found])
    if not multirun and override.key.startswith(_OF_A_SWEEP):
        return Problem(
            override.key,
            "must be left out, since it has an effect in a sweep alone",
            given=override.text,
            hint="a sweep needs --multirun (-m)",
        )
    return None


def _meets(path: str, name: str) -> bool:
    return path == name or name.startswith(path + ".") or path.startswith(name + ".")


def _fault_of_values(override: TypedOverride, multirun: bool) -> Problem | None:
    key, group, given = override.key, override.group, override.text.partition("=")[2]
    if not multirun:
        return Problem(key, "must have one value", given=given, hint="a sweep needs --multirun (-m)")
    if override.parsed.is_interval_sweep():
        return None  # the sweeper checks it
    names = override.chosen()
    if names == [] or (names is None and next(iter(override.parsed.sweep_iterator()), None) is None):
        return Problem(key, "must have values", given=given, allowed=", ".join(group) or None)
    faults = (_fault_of_option(key, name, group) for name in names or ())
    return next((fault for fault in faults if fault), None)


def _fault_of_option(key: str, chosen: object, group: Sequence[str]) -> Problem | None:
    """Return the problem of a value that cannot be chosen in a group, or None."""
    if isinstance(chosen, list) and key not in (*SECTIONS, "experiment"):
        unknown = [name for name in chosen if str(name) not in group]  # a group of the user's own
        return unknown_name(key, "option", str(unknown[0]), group) if unknown else None
    if chosen is None or isinstance(chosen, Mapping | list):
        hint = "leave the override out for the default" if chosen is None and key != "scenario" else None
        if isinstance(chosen, Mapping):
            hint = f"choose one by its name, and set values with {key}.SETTING=VALUE"
        return Problem(
            key, "must be the name of one option", given=chosen, allowed=", ".join(group), hint=hint
        )
    if str(chosen) in group or (key in REGISTERED and str(chosen).isidentifier()):
        return None
    problem = unknown_name(key, "option", str(chosen), group)
    if problem.hint is None and key == "scenario":
        problem = dataclasses.replace(
            problem, hint="a scenario of your own is found with --config-dir FOLDER"
        )
    return problem


def offered(override: TypedOverride) -> list[str]:
    """Return the chosen options that have no file: the scenario must register their classes."""
    if override.key not in REGISTERED:
        return []
    return [str(name) for name in override.chosen() or () if str(name) not in override.group]
