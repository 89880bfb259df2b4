"""Overrides, completed by the shell: Hydra's completion, for the commands that are not Hydra's, too.

A shell asks `COMMAND -sc query=bash`, with what was typed so far in the variable COMP_LINE. Hydra completes
overrides behind a name, so that is what it is shown; anything else, such as the name of a file, is left to the
shell.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from framework.cli.hydra_app import run_hydra
from framework.config.compose import composer, conf_directory
from framework.config.defaults import class_defaults, told_to_hydra
from framework.config.schema import PlainValue
from framework.errors import ConfigError, Problem

_TYPED = "COMP_LINE"


def complete(argv: Sequence[str]) -> None:
    """Answer `--shell-completion install=SHELL`, `uninstall=SHELL` or `query=SHELL`."""
    if len(argv) != 2 or not re.fullmatch("(install|uninstall|query)=(bash|zsh|fish)", argv[1]):
        raise ConfigError(
            Problem(
                argv[0],
                "must be told what to do",
                given=" ".join(argv[1:]),
                allowed="install=bash, zsh or fish; uninstall=...",
            ),
            subject="the command line",
        )
    if not (argv[1].startswith("query=") and _TYPED in os.environ):
        run_hydra(argv)
        return
    line, config_dir = shown_to_hydra(os.environ[_TYPED])
    option = ["--config-dir", config_dir] if config_dir else []
    # What is typed so far may be anything; a shell is told nothing then.
    with (
        contextlib.suppress(Exception, SystemExit),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        told_to_hydra(_defaults_of(line, config_dir)),
    ):
        run_hydra([*option, *argv], environment={_TYPED: line})


def _defaults_of(line: str, config_dir: str | None) -> Mapping[str, PlainValue]:
    """The defaults of the classes that the finished overrides of a line choose; one that is wrong counts for
    nothing."""
    overrides = line.split(" ")[1:-1]
    with composer(config_dir) as hydra:
        return class_defaults(
            hydra.compose_files([override.composed for override in hydra.read(overrides, [])])
        )


def shown_to_hydra(line: str) -> tuple[str, str | None]:
    """What Hydra is to complete, and the folder of options that it needs for that.

    Args:
        line: what was typed, the name of the command first.

    Returns:
        The line with its overrides alone, and the last, unfinished word. Behind a run directory stands the
        scenario of the run. And the folder of `--config-dir`, where it was typed.
    """
    command, *words = _split(line)
    last = words.pop() if words and not line.endswith(" ") else ""
    config_dir = None
    for option, value in itertools.pairwise(words):
        if option in ("--config-dir", "-cd"):
            config_dir = value
    shown = [word for word in words if "=" in word and not word.startswith("-")]
    runs = [word for word in words if (Path(word) / "config.yaml").is_file()]
    if runs and (name := _scenario_of(Path(runs[0]))):
        shown.insert(0, f"scenario={name}")
    return " ".join([Path(command).name, *shown, last]), config_dir


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is still open
        return line.split()


def _scenario_of(run: Path) -> str | None:
    """The scenario of a run, where its options are shipped."""
    text = ""
    with (
        contextlib.suppress(OSError, UnicodeDecodeError),
        open(run / "config.yaml", encoding="utf-8") as file,
    ):
        text = file.read(4096)
    _, _, section = text.partition("\nscenario:\n  name: ")
    name = section.partition("\n")[0]
    return name if name and (conf_directory() / "scenario" / f"{Path(name).name}.yaml").is_file() else None
