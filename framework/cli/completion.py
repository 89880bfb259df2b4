"""Shell completion of overrides, by Hydra, for all commands.

A shell runs `COMMAND -sc query=bash`, with the unfinished line in the variable COMP_LINE. Hydra completes
overrides after the name of a program, so it gets a line with nothing else. The shell itself completes names
of files.
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
    # An unfinished line may be wrong; the shell then gets no answer.
    with (
        contextlib.suppress(Exception, SystemExit),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        told_to_hydra(_defaults_of(line, config_dir)),
    ):
        run_hydra([*option, *argv], environment={_TYPED: line})


def _defaults_of(line: str, config_dir: str | None) -> Mapping[str, PlainValue]:
    """Return the defaults of the classes that the finished overrides of a line choose, as far as they are
    right."""
    overrides = line.split(" ")[1:-1]
    with composer(config_dir) as hydra:
        return class_defaults(
            hydra.compose_files([override.composed for override in hydra.read(overrides, [])])
        )


def shown_to_hydra(line: str) -> tuple[str, str | None]:
    """Prepare an unfinished line for Hydra.

    Args:
        line: the line, beginning with the name of the command.

    Returns:
        The line with only its overrides and the last, unfinished word; a run directory is replaced by the
        scenario of the run. The folder of `--config-dir`, or None.
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
    """Return the scenario of a run, if it is a shipped one."""
    text = ""
    with (
        contextlib.suppress(OSError, UnicodeDecodeError),
        open(run / "config.yaml", encoding="utf-8") as file,
    ):
        text = file.read(4096)
    _, _, section = text.partition("\nscenario:\n  name: ")
    name = section.partition("\n")[0]
    return name if name and (conf_directory() / "scenario" / f"{Path(name).name}.yaml").is_file() else None
