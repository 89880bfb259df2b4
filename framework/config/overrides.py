"""The words of a command line, one at a time: read by Hydra's grammar, and each wrong one told as a problem
of its own."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from framework.config.sections import SECTIONS, SHORT_FORMS
from framework.errors import Problem, unknown_name

# Settings of Hydra's own that would have no effect, or send a run elsewhere than it says.
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
# Groups whose options need no file: a class can be registered by the scenario, which is imported when all is
# composed.
_REGISTERED = ("optimizer", "learning_rate", "loop")
_OF_A_SWEEP = ("hydra/sweeper", "hydra.sweeper", "hydra/launcher", "hydra.launcher")


class GroupOptions:
    """The options of each group, read from the names of the files: Hydra takes a twentieth of a second to
    tell them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def of(self, group: str) -> list[str]:
        """The names of the options of a group; none where there is no such group."""
        return (
            sorted({path.stem for folder in self._folders for path in (folder / group).glob("*.yaml")})
            if group
            else []
        )


def usable_words(
    overrides: Sequence[str], options: GroupOptions, problems: list[Problem], *, multirun: bool = False
) -> list[str]:
    """The words that can be composed, as `forced` gives them; a problem for each of the others.

    Args:
        overrides: the words as they were typed.
        options: the options of the groups.
        problems: every problem found is appended to it.
        multirun: whether a word may have several values.
    """
    words: list[str] = []
    known: dict[str, str] = {}
    for word in overrides:
        override = _read(word, problems)
        if override is None:
            continue
        problem = _fault_of(word, override, options, multirun) or _repeated(word, override, options, known)
        if problem is None:
            words.append(forced(word, options))
        else:
            problems.append(problem)
    return words


def forced(word: str, options: GroupOptions) -> str:
    """The same word in the form in which it is composed: a value is forced in (`++`), an option of a group
    chosen.

    A value that is forced in may have any key, so that an unknown one is found by the typed config, beside
    all other problems.
    """
    key = word.lstrip("+~").partition("=")[0]
    if word.startswith("~") or _is_hydras(key):
        return word
    return word.lstrip("+") if options.of(key) else "++" + word.lstrip("+")


def swept_keys(overrides: Sequence[str]) -> set[str]:
    """The keys of the words that have several values."""
    from hydra.errors import HydraException

    keys = set()
    for word in overrides:
        with contextlib.suppress(HydraException):
            override = parse_word(word)
            if override.is_sweep_override():
                keys.add(override.key_or_group)
    return keys


def first_value(word: str, options: GroupOptions) -> str:
    """The word with the first of its values, where it has several; of an interval, its start."""
    override = parse_word(word)
    if not override.is_sweep_override():
        return word
    value = override.value()
    if override.is_interval_sweep():
        first = str(value.start)
    else:
        names = (
            value.filter(options.of(override.key_or_group))
            if hasattr(value, "filter")
            else override.sweep_string_iterator()
        )
        first = str(next(iter(names)))
    return f"{word.partition('=')[0]}={first}"


def parse_word(word: str) -> Any:
    """One word as Hydra reads it; a `HydraException` where it cannot."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_overrides([word])[0]
    except (
        ValueError,
        RecursionError,
    ) as error:  # a number of more digits, or more levels, than Python reads
        raise HydraException(str(error).partition(":")[0]) from error


def _read(word: str, problems: list[Problem]) -> Any:
    from hydra.errors import HydraException

    reason = "it has no key"
    try:
        override = parse_word(word)
        if override.key_or_group:
            return override
    except HydraException as error:
        reason = str(error).splitlines()[0]
    problems.append(
        Problem(word, "cannot be read", hint=f"write key=value, and quote special characters ({reason})")
    )
    return None


def _is_hydras(key: str) -> bool:
    """Whether a key sets something of Hydra's own, and not of ours."""
    return key == "hydra" or key.startswith(("hydra.", "hydra/"))


def _repeated(word: str, override: Any, options: GroupOptions, known: dict[str, str]) -> Problem | None:
    """The problem of a word that sets what a word before it sets: the last one would win in silence.

    Args:
        known: what the words before it set, to those words; what this one sets is added.
    """
    for path in _set_by(override, options):
        for before, other in known.items():
            if before == path or before.startswith(path + ".") or path.startswith(before + "."):
                key = override.key_or_group
                short = next(
                    (
                        s
                        for s, long in SHORT_FORMS.items()
                        if long == path and {key, _key(other)} == {s, long}
                    ),
                    None,
                )
                return Problem(
                    path.removesuffix("="),
                    f"is given twice, as {other!r} and as {word!r}",
                    hint=f"{short} is short for {path}" if short else "leave one of them out",
                )
    known.update(dict.fromkeys(_set_by(override, options), word))
    return None


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _set_by(override: Any, options: GroupOptions) -> list[str]:
    """The paths in the config that a word sets, in their long form; of an option of a group, its name with
    `=` behind it."""
    key = override.key_or_group
    if override.is_delete():
        return []
    if options.of(key) or "/" in key:
        return [f"{key}="]
    value = None if override.is_sweep_override() else override.value()
    return [SHORT_FORMS.get(path, path) for path in _leaves(key, value)]


def _leaves(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    else:
        yield path


def _fault_of(word: str, override: Any, options: GroupOptions, multirun: bool) -> Problem | None:
    """Why a word cannot be composed; None where it can."""
    key = override.key_or_group
    if override.is_delete():
        return Problem(
            word,
            "nothing can be taken out of a configuration",
            hint="set another value; a word that is left out has its default",
        )
    if _is_hydras(key):
        found = next(
            (name for path in _set_by(override, options) for name in _HYDRA_KEYS if _meets(path, name)), None
        )
        if found:
            return Problem(found, "is not supported", given=word, hint=_HYDRA_KEYS[found])
        if not multirun and key.startswith(_OF_A_SWEEP):
            return Problem(
                key, "has an effect in a sweep alone", given=word, hint="a sweep needs --multirun (-m)"
            )
        return None
    if override.package is not None:
        return Problem(
            f"{key}@{override.package}",
            "an option cannot be put at another place",
            given=word,
            hint=f"write {key}=NAME",
        )
    group = options.of(key)
    if override.is_sweep_override():
        return _fault_of_values(override, group, word.partition("=")[2], multirun)
    if SHORT_FORMS.get(key, key) == "trainer.output_dir" and override.value() == "":
        return Problem(key, "is empty", hint="name a folder, or leave the word out for a new one in outputs/")
    return _fault_of_option(key, override.value(), group) if group else None


def _meets(path: str, name: str) -> bool:
    return path == name or name.startswith(path + ".") or path.startswith(name + ".")


def _fault_of_values(override: Any, group: list[str], given: str, multirun: bool) -> Problem | None:
    key = override.key_or_group
    if not multirun:
        return Problem(key, "has several values", given=given, hint="a sweep needs --multirun (-m)")
    if override.is_interval_sweep():
        return None  # what can be done with it, the sweeper knows
    value = override.value()
    names: list[Any] | None = None
    if hasattr(value, "filter"):  # glob(...), which stands for options of a group
        names = value.filter(group)
    elif group:
        names = list(override.sweep_iterator())
    if names == [] or (names is None and next(iter(override.sweep_iterator()), None) is None):
        return Problem(key, "has no values", given=given, allowed=", ".join(group) or None)
    faults = (_fault_of_option(key, name, group) for name in names or ())
    return next((fault for fault in faults if fault), None)


def _fault_of_option(key: str, chosen: Any, group: list[str]) -> Problem | None:
    """Why a value cannot be chosen in a group; None where it can."""
    if isinstance(chosen, list) and key not in (*SECTIONS, "experiment"):
        unknown = [name for name in chosen if str(name) not in group]  # a group of the user's own
        return unknown_name(key, "option", str(unknown[0]), group) if unknown else None
    if chosen is None or isinstance(chosen, Mapping | list):
        hint = "leave the word out for the default" if chosen is None and key != "scenario" else None
        if isinstance(chosen, Mapping):
            hint = f"choose one by its name, and set values with {key}.SETTING=VALUE"
        return Problem(
            key, "must be the name of one option", given=chosen, allowed=", ".join(group), hint=hint
        )
    if str(chosen) in group:
        return None
    if key in _REGISTERED and str(chosen).isidentifier():
        _offer(key, str(chosen))
        return None
    problem = unknown_name(key, "option", str(chosen), group)
    if problem.hint is None and key == "scenario":
        problem = dataclasses.replace(
            problem, hint="a scenario of your own is found with --config-dir FOLDER"
        )
    return problem


def _offer(group: str, name: str) -> None:
    """Give Hydra an option that no file stands for: a section that has the name alone. Whether a class is
    registered under it is for `parse` to say."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group=group, name=name, node={"name": name})


def names_to_register(word: str, options: GroupOptions) -> list[str]:
    """Of a swept word, the options of a group that no file stands for: a scenario has to register them."""
    override = parse_word(word)
    group = override.key_or_group
    if group not in _REGISTERED or override.is_interval_sweep() or hasattr(override.value(), "filter"):
        return []
    return [str(name) for name in override.sweep_iterator() if str(name) not in options.of(group)]
