"""Generation of the reference of all settings, in Markdown, from the config dataclasses.

Sections come from `RunConfig`, options from the registries and from the files in `conf/`. What differs
between scenarios comes from the scenarios in `conf/scenario/`. Only the code and `conf/` are read, so the
text is the same on every machine. `scripts/reference` writes it to docs/reference.md.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from framework.config.compose import conf_directory
from framework.config.registry import Registry
from framework.config.schema import describe_type, type_hints
from framework.config.sections import PARTS, SECTIONS, SHORT_FORMS
from framework.config.targets import locate
from framework.config.trainer_config import TrainerConfig

_HEAD = """\
# Settings

Every setting of every section. This page is generated from the code by `scripts/reference`; do not edit it.

`group=option` chooses an option of a group, `path=value` sets a value:
`train-scenario scenario=NAME optimizer=sgd optimizer.momentum=0.9`. A default applies unless the scenario's
file in `conf/scenario/` or an experiment's file sets another value. `null` means no value; a list is typed as
`[1,2]`.
"""

# Descriptions of the groups that have neither a config class nor a registry of their own.
_ABOUT = {
    "scenario": "The task to learn, and its own settings.",
    "model": "The network. Each scenario has its own.",
    "data": "The samples. Each scenario has its own.",
    "experiment": "Values of several groups at once; an experiment can also choose the scenario.",
}


class Row(NamedTuple):
    """A setting: its path in the config, and as texts its allowed values, its default and its help."""

    path: str
    type: str
    default: str
    help: str


class Option(NamedTuple):
    """An option of a group, chosen by `group=name`.

    Args:
        name: the name of its file in `conf/`, or its registered name if it has no file.
        about: a description of a sentence or a few.
        config: its config dataclass.
        values: the values in its file, with references to other settings unresolved.
    """

    name: str
    about: str
    config: type
    values: Mapping[str, Any]


def reference(conf: Path | None = None) -> str:
    """Generate the whole page.

    Args:
        conf: the folder of groups and their options. None: the shipped one.

    Raises:
        ConfigError: if the class that a file in `conf/scenario/` names cannot be imported.
    """
    conf = conf_directory() if conf is None else conf
    sections = {section: "\n".join(_section(section, conf)) for section in SECTIONS}
    others = sorted(
        folder.name for folder in conf.iterdir() if folder.name not in SECTIONS and any(folder.glob("*.yaml"))
    )
    for group in others:
        files = sorted((conf / group).glob("*.yaml"))
        sections[group] = "\n".join(_bullets(group, ((path.stem, comment_of(path)) for path in files)))
    pages = [f"## `{name}`\n\n{_about(name, conf)}\n\n{text}" for name, text in sections.items()]
    return "\n".join([_HEAD, _short_forms(conf), *pages]).rstrip() + "\n"


def kinds_of(section: str, conf: Path) -> list[tuple[Registry | type, list[str]]]:
    """Return the types of a section of the config.

    Returns:
        Config dataclasses, or registries of them, each with the scenarios it belongs to. The list of
        scenarios is empty if the type is the same for all.
    """
    if section in PARTS:
        return [(locate(PARTS[section]), [])]
    if section == "trainer":
        return [(TrainerConfig, [])]
    found: dict[int, tuple[Registry | type, list[str]]] = {}
    for name, scenario in scenarios_of(conf).items():
        kind = scenario.Config if section == "scenario" else getattr(scenario, section + "s")
        found.setdefault(id(kind), (kind, []))[1].append(name)
    return list(found.values())


def scenarios_of(conf: Path) -> dict[str, Any]:
    """Return the classes of the scenarios in `conf/scenario/`, by the names of their files.

    A file that leaves the class to the user is skipped.
    """
    targets = {path: _load(path)["scenario"]["target"] for path in sorted((conf / "scenario").glob("*.yaml"))}
    return {
        path.stem: locate(target, f"{path.name}: scenario.target")
        for path, target in targets.items()
        if target
    }


def options_of(group: str, kind: Registry | type, conf: Path) -> list[Option]:
    """List the options of a group that fit `kind`: those in `conf/`, then other registered ones."""
    options = []
    for path in sorted((conf / group).glob("*.yaml")):
        values = _load(path)
        name = values.pop("name", None)
        values.pop("defaults", None)
        if isinstance(kind, Registry):
            if name in kind:
                about = summary_of(kind[name]) if name == path.stem else comment_of(path)
                options.append(Option(path.stem, about, kind[name], values))
        elif name is None and set(values) <= {field.name for field in dataclasses.fields(kind)}:
            options.append(Option(path.stem, comment_of(path), kind, values))
    known = {option.name for option in options}
    registered = kind.items() if isinstance(kind, Registry) else ()
    return options + [Option(name, summary_of(cls), cls, {}) for name, cls in registered if name not in known]


def rows_of(
    cls: type, path: str, values: Mapping[str, Any] | None = None, defaults: Any = None
) -> Iterator[Row]:
    """Yield the settings of a config dataclass, and of the dataclasses in it.

    Args:
        cls: the dataclass.
        path: its place in the config.
        values: the values in the option's file, because a default may refer to another setting there.
        defaults: an instance that holds the defaults; None: those of the class.
    """
    hints = type_hints(cls)
    for field in dataclasses.fields(cls):
        where, hint, value = f"{path}.{field.name}", hints[field.name], (values or {}).get(field.name)
        default = _default_of(field) if defaults is None else getattr(defaults, field.name)
        text = (
            f"as `{value[2:-1]}`"
            if isinstance(value, str) and value.startswith("${")
            else default_text(default)
        )
        metadata = field.metadata
        yield Row(where, describe_type(hint, metadata.get("bounds", {})), text, metadata.get("help", ""))
        for inner in (hint, *typing.get_args(hint)):
            if isinstance(inner, type) and dataclasses.is_dataclass(inner):
                own = default if isinstance(default, inner) else None
                yield from rows_of(inner, where, value if isinstance(value, Mapping) else None, own)


def default_text(value: Any) -> str:
    """Format a default as typed on the command line, as code; empty for a section, which has no default."""
    if value is dataclasses.MISSING:
        return "none: it must be set"
    return "" if dataclasses.is_dataclass(value) else f"`{_typed(value)}`"


def _typed(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_typed(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_typed, value)) + "]"
    return value if isinstance(value, str) and value else json.dumps(value)


def summary_of(thing: Any) -> str:
    """Return the first paragraph of the docstring of a class or a module, on one line."""
    return _one_line(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0])


def comment_of(path: Path) -> str:
    """Return the first paragraph of the comment at the top of a YAML file, on one line."""
    lines = [
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")
    ]
    paragraph = []
    for line in lines:
        if not line.startswith("# "):
            break
        paragraph.append(line[2:])
    return _one_line(" ".join(paragraph))


def _about(group: str, conf: Path) -> str:
    """Describe a group with the docstring of its config class, or of the module that its registry is in."""
    if group in _ABOUT or group not in SECTIONS:
        return _ABOUT.get(group, "")
    ((kind, _),) = kinds_of(group, conf)
    return summary_of(
        importlib.import_module(PARTS[group].partition(":")[0]) if isinstance(kind, Registry) else kind
    )


def _section(section: str, conf: Path) -> Iterator[str]:
    """Yield the lines of a section, below its heading."""
    if section == "scenario":
        known = scenarios_of(conf)
        files = sorted((conf / "scenario").glob("*.yaml"))
        yield from _bullets(
            section, ((path.stem, comment_of(path)) for path in files if path.stem not in known)
        )
    for kind, scenarios in kinds_of(section, conf):
        level = "###"
        if section == "scenario":
            options = _scenario_options(scenarios, conf)
        else:
            options = options_of(section, kind, conf)
            if scenarios:
                yield f"{level} With {', '.join(f'`scenario={name}`' for name in scenarios)}\n"
                level += "#"
        yield from _bullets(section, ((option.name, option.about) for option in options))
        if not isinstance(kind, Registry):
            values = {key: value for option in options for key, value in option.values.items()}
            yield from _table(list(rows_of(kind, section, values))) or ["It has no settings.\n"]
            continue
        rows = {option.name: list(rows_of(option.config, section, option.values)) for option in options}
        # A setting that is the same for all options is listed once.
        common = [
            row for row in next(iter(rows.values()), []) if all(row in others for others in rows.values())
        ]
        if len(rows) > 1 and common:
            yield "With each option:\n"
        yield from _table(common)
        for name, own in rows.items():
            if rest := [row for row in own if row not in common]:
                yield f"{level} `{section}={name}`\n"
                yield from _table(rest)


def _scenario_options(names: Sequence[str], conf: Path) -> list[Option]:
    options = []
    for name in names:
        path, cls = conf / "scenario" / f"{name}.yaml", scenarios_of(conf)[name]
        about = summary_of(cls) if name == cls.name else comment_of(path)
        options.append(Option(name, about, cls.Config, _load(path)["scenario"]))
    return options


def _short_forms(conf: Path) -> str:
    known = {
        row.path: row
        for section in {long.split(".")[0] for long in SHORT_FORMS.values()}
        for kind, _ in kinds_of(section, conf)
        for cls in (kind.values() if isinstance(kind, Registry) else [kind])
        for row in rows_of(cls, section)
    }
    head = "## Short forms\n\nShort names of the most used settings. Each stands for a setting below.\n\n"
    cells = [(short, known[long]) for short, long in SHORT_FORMS.items()]
    lines = [(f"`{short}`", f"`{row.path}`", row.type, row.default, row.help) for short, row in cells]
    return head + "\n".join(
        _markdown(("short form", "stands for", "type and bounds", "default", "what it does"), lines)
    )


def _bullets(group: str, options: Iterable[tuple[str, str]]) -> list[str]:
    lines = [f"- `{group}={name}`: {about}" for name, about in options]
    return [*lines, ""] if lines else []


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [(f"`{row.path}`", *row[1:]) for row in rows]
    return _markdown(("setting", "type and bounds", "default", "what it does"), lines) if lines else []


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    table = [
        head,
        ["---"] * len(head),
        *([_one_line(cell).replace("|", "\\|") for cell in line] for line in lines),
    ]
    return [*(f"| {' | '.join(line)} |" for line in table), ""]


def _default_of(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _load(path: Path) -> dict[str, Any]:
    """Load the plain values of a YAML file, with references unresolved."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}
