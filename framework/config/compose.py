"""From the words of a command line to the plain values of a config, by Hydra, with every wrong word reported
at once.

Hydra stops at the first word it cannot use, and lets a wrong type pass. Here a word that fails is noted and
left out, the rest is composed and typed, and one message names them all.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from framework.config.hydra_errors import problem_of
from framework.config.overrides import GroupOptions, first_value, names_to_register, parse_word, usable_words
from framework.config.run_config import parse
from framework.config.sections import SECTIONS, SHORT_FORMS, RunConfig
from framework.errors import ConfigError, Problem

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
    """The config that the words of a command line stand for.

    Args:
        overrides: words such as `scenario=mesonet`, `optimizer=adam`, `lr=1e-3`.
        config_dir: a further folder of group options, searched before the shipped ones.
        config_name: the primary config.

    Raises:
        ConfigError: naming all problems, with group options, keys, types and ranges in one message.
    """
    problems: list[Problem] = []
    # Composing makes many small objects at once; looking for garbage among them takes a tenth of the time,
    # and finds none.
    collects = gc.isenabled()
    gc.disable()
    try:
        config = _compose_and_parse(overrides, problems, config_dir, config_name)
    finally:
        if collects:
            gc.enable()
    if problems:
        raise ConfigError(problems)
    assert config is not None
    return config


def _compose_and_parse(
    overrides: Sequence[str], problems: list[Problem], config_dir: str | Path | None, config_name: str
) -> RunConfig | None:
    plain = compose_plain(overrides, problems, config_dir=config_dir, config_name=config_name)
    try:
        return parse(plain) if plain is not None else None
    except ConfigError as error:
        # A word that was left out must not be reported a second time, as a section that is missing.
        reported = {problem.path for problem in problems}
        problems.extend(
            _as_typed(p, overrides) for p in error.problems if p.path.split(".")[0] not in reported
        )
        return None


def _as_typed(problem: Problem, overrides: Sequence[str]) -> Problem:
    """A problem of a long form, with the short form that was typed."""
    for short, long in SHORT_FORMS.items():
        if problem.path == long and any(word.lstrip("+").startswith(short + "=") for word in overrides):
            return dataclasses.replace(problem, path=f"{short} ({long})")
    return problem


def compose_plain(
    overrides: Sequence[str],
    problems: list[Problem],
    *,
    config_dir: str | Path | None = None,
    config_name: str = CONFIG_NAME,
) -> dict[str, Any] | None:
    """The plain values that Hydra composes of the words that can be used; a problem for each word that
    cannot.

    Returns:
        The values with all references resolved, or None where nothing could be composed.
    """
    from hydra import compose
    from omegaconf import OmegaConf

    with _hydra(config_dir) as (options, searchpath):
        words = usable_words(overrides, options, problems)
        if config_name == CONFIG_NAME:
            _check_scenario(overrides, options, problems)
        try:
            composed = compose(config_name, overrides=[*words, *searchpath])
            plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=False)
        except Exception as error:  # Hydra has no common type for what is wrong with words
            problems.append(problem_of(error))
            return None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _check_scenario(overrides: Sequence[str], options: GroupOptions, problems: list[Problem]) -> None:
    if not chooses_scenario(overrides):
        allowed = ", ".join(options.of("scenario"))
        problems.append(Problem("scenario", "none is chosen", allowed=allowed, hint="add scenario=NAME"))


def chooses_scenario(overrides: Sequence[str]) -> bool:
    """Whether one of the words says which scenario it is."""
    return any(word.lstrip("+").partition("=")[0] in _SCENARIO_KEYS for word in overrides)


def forced_words(overrides: Sequence[str], config_dir: str | Path | None = None) -> list[str]:
    """The same words in the form in which `compose_config` composes them: values are forced in, group options
    chosen.

    Args:
        overrides: words as they were typed.
        config_dir: a further folder of group options.

    Raises:
        ConfigError: naming each word that cannot be used. Keys, types and ranges are for `compose_config` to
            check.
    """
    problems: list[Problem] = []
    with _hydra(config_dir) as (options, _):
        words = usable_words(overrides, options, problems)
    if problems:
        raise ConfigError(problems, subject="the command line")
    return words


class SweepWords(NamedTuple):
    """The words of a sweep, made ready for Hydra.

    Args:
        words: as the sweeper is to have them.
        first: those of the first combination of values, for a run.
        sweeper: the settings of the chosen sweeper, `hydra.sweeper`.
        output_dir: where the runs are to go; None where no word says so, or several values are given for it.
    """

    words: list[str]
    first: list[str]
    sweeper: dict[str, Any]
    output_dir: str | None


def compose_sweep(
    overrides: Sequence[str], *, config_dir: str | Path | None = None, config_name: str = CONFIG_NAME
) -> SweepWords:
    """Read the words of a sweep, some with several values.

    Args:
        overrides: words as they were typed.
        config_dir, config_name: as for `compose_config`.

    Raises:
        ConfigError: naming each word that cannot be used, or what Hydra cannot compose, such as a sweeper
            that is not installed.
    """
    from hydra import compose
    from omegaconf import OmegaConf

    problems: list[Problem] = []
    with _hydra(config_dir) as (options, searchpath):
        words = usable_words(overrides, options, problems, multirun=True)
        if config_name == CONFIG_NAME:
            _check_scenario(overrides, options, problems)
        if problems:
            raise ConfigError(problems, subject="the command line")
        first = [first_value(word, options) for word in words]
        swept = [word for word, single in zip(words, first, strict=True) if word != single]
        known = [
            single
            for word, single in zip(words, first, strict=True)
            if word not in swept or not word.startswith("++")
        ]
        try:
            composed = compose(config_name, overrides=[*known, *searchpath], return_hydra_config=True)
            output_dir = OmegaConf.select(composed, "trainer.output_dir")
        except Exception as error:  # as in compose_plain
            raise ConfigError(problem_of(error), subject="the command line") from error
        plain: Any = OmegaConf.to_container(composed, resolve=False, enum_to_str=True)
        registered = {word: names for word in swept if (names := names_to_register(word, options))}
    for (
        word,
        names,
    ) in registered.items():  # whether there are such classes is known when a scenario is imported alone
        others = [
            single
            for other, single in zip(words, first, strict=True)
            if other != word and not single.startswith("hydra")
        ]
        for name in names:
            compose_config(
                [*others, f"{word.partition('=')[0]}={name}"], config_dir=config_dir, config_name=config_name
            )
    sweeper = plain.pop("hydra")["sweeper"]
    # A sweeper shows the keys as they are typed, where Hydra does not insist that they are forced in.
    typed = [word.removeprefix("++") if word in swept and _has(plain, word) else word for word in words]
    return SweepWords(
        typed, [word for word in first if not word.startswith(("hydra.", "hydra/"))], sweeper, output_dir
    )


def _has(plain: Mapping[str, Any], word: str) -> bool:
    parent, _, last = word.lstrip("+").partition("=")[0].rpartition(".")
    node = _get(plain, parent) if parent else plain
    return isinstance(node, Mapping) and last in node


def apply_overrides(
    plain: Mapping[str, Any], overrides: Sequence[str], *, config_dir: str | Path | None = None
) -> dict[str, Any]:
    """The plain values of a run with further words applied: `epochs=60`, `trainer.val_every_n=2`,
    `optimizer=sgd`.

    A word that chooses another option of a group brings that option's section in, with the run's own short
    forms (`lr`, ...).

    Raises:
        ConfigError: naming every word that cannot be used. Keys, types and ranges are for `parse` to check.
    """
    result: dict[str, Any] = copy.deepcopy(dict(plain))
    if not overrides:
        return result
    problems: list[Problem] = []
    with _hydra(config_dir) as (options, searchpath):
        words = usable_words(overrides, options, problems)
        for word in words:
            group = word.partition("=")[0]
            if word.startswith("++"):
                continue
            if group in ("scenario", "experiment") or group not in SECTIONS:
                problems.append(
                    Problem(
                        group, "cannot be changed in a run that exists", given=word, hint="start a new run"
                    )
                )
                continue
            result[group] = _compose_group(group, word, result, searchpath, problems)
    for word in words:
        if word.startswith("++"):
            override = parse_word(word)
            _set(result, SHORT_FORMS.get(override.key_or_group, override.key_or_group), override.value())
    if problems:
        raise ConfigError(problems, subject="the command line")
    return result


def _compose_group(
    group: str, word: str, plain: Mapping[str, Any], searchpath: list[str], problems: list[Problem]
) -> Any:
    from hydra import compose
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    short = {name: _get(plain, long) for name, long in SHORT_FORMS.items()}
    try:
        composed = compose(CONFIG_NAME, overrides=[word, *searchpath])
        for name, value in short.items():
            composed[name] = value
        return OmegaConf.to_container(composed[group], resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        problems.append(problem_of(error))
        return None


def _get(plain: Mapping[str, Any], path: str) -> Any:
    node: Any = plain
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _set(plain: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        if not isinstance(plain.get(key), dict):
            plain[key] = {}
        plain = plain[key]
    if isinstance(value, Mapping) and isinstance(plain.get(last), dict):
        for key, inner in value.items():  # as Hydra does in a new run: what is not named stays
            _set(plain[last], str(key), inner)
    else:
        plain[last] = value


@contextlib.contextmanager
def _hydra(config_dir: str | Path | None) -> Iterator[tuple[GroupOptions, list[str]]]:
    """Hydra, initialised on the shipped conf and `config_dir`: the options of its groups, and the words that
    put `config_dir` on its path."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    searchpath: list[str] = []
    folders = [conf_directory()]
    if config_dir is not None:
        folder = Path(config_dir).resolve()
        if not folder.is_dir():
            raise ConfigError(
                Problem("--config-dir", "is no folder", given=str(config_dir)), subject="the command line"
            )
        folders.append(folder)
        searchpath = [f"hydra.searchpath=['file://{folder}']"]
    previous = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_directory()), job_name="tf-scenarios", version_base="1.3"):
            yield GroupOptions(folders), searchpath
    finally:
        GlobalHydra.instance().hydra = previous
