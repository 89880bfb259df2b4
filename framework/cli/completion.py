"""Words of a command line, completed by the shell: Hydra's completion, for the commands that are not Hydra's,
too.

A shell asks `COMMAND -sc query=bash`, with what was typed so far in the variable COMP_LINE. Hydra completes
`key=value` words behind a name, so that is what it is shown; anything else, such as the name of a file, is
left to the shell.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from framework.cli.hydra_app import run_hydra
from framework.config.compose import conf_directory
from framework.errors import ConfigError, Problem

_TYPED = "COMP_LINE"


def complete(words: Sequence[str]) -> None:
    """Answer `--shell-completion install=SHELL`, `uninstall=SHELL` or `query=SHELL`."""
    if len(words) != 2 or not re.fullmatch("(install|uninstall|query)=(bash|zsh|fish)", words[1]):
        raise ConfigError(
            Problem(
                words[0],
                "must be told what to do",
                given=" ".join(words[1:]),
                allowed="install=bash, zsh or fish; uninstall=...",
            ),
            subject="the command line",
        )
    options: list[str] = []
    if words[1].startswith("query=") and _TYPED in os.environ:
        os.environ[_TYPED], options = shown_to_hydra(os.environ[_TYPED])
        # What is typed so far may be anything; a shell is told nothing then.
        with (
            contextlib.suppress(Exception, SystemExit),
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stderr(nowhere),
        ):
            run_hydra([*options, *words], lambda composed: None)
        return
    run_hydra(words, lambda composed: None)


def shown_to_hydra(line: str) -> tuple[str, list[str]]:
    """What Hydra is to complete, and the options that it needs for that.

    Args:
        line: what was typed, the name of the command first.

    Returns:
        The line with its `key=value` words alone, and the last, unfinished one. Behind a run directory stands
        the scenario of the run. And `--config-dir`, where it was typed.
    """
    command, *words = _split(line)
    last = words.pop() if words and not line.endswith(" ") else ""
    options: list[str] = []
    for option, value in itertools.pairwise(words):
        if option in ("--config-dir", "-cd"):
            options = ["--config-dir", value]
    shown = [word for word in words if "=" in word and not word.startswith("-")]
    runs = [word for word in words if (Path(word) / "config.yaml").is_file()]
    if runs and (name := _scenario_of(Path(runs[0]))):
        shown.insert(0, f"scenario={name}")
    return " ".join([Path(command).name, *shown, last]), options


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
