"""Options of train-scenario: those of Hydra, as its documentation lists them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from framework.config.compose import CONFIG_NAME
from framework.errors import ConfigError, Problem

Shown = Literal["job", "hydra", "all"]
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
# Options that exclude each other. Without any of them, a run is trained.
_ACTIONS = ("cfg", "info", "multirun", "run", "shell_completion")
_REFUSED = {
    "experimental_rerun": ("it unpickles a file", "resume-training RUN continues a run"),
    "config_path": (
        "the shipped options are always there",
        "--config-dir FOLDER adds a folder of options, and --config-name NAME names another primary config",
    ),
}


@dataclass(frozen=True)
class HydraOptions:
    """The arguments of train-scenario.

    Args:
        overrides: all that is not an option.
        cfg: the part of the config to show, or None.
        package: the section to show, or None for all.
        resolve: whether to resolve references in what is shown.
        info: what Hydra shows of itself, or None.
        help, hydra_help: whether to show the help of train-scenario, or that of Hydra.
        multirun: whether to run a sweep.
        shell_completion: whether to install or remove completion.
        config_dir: another folder of options, or None.
        config_name: the primary config.
    """

    overrides: list[str]
    cfg: Shown | None
    package: str | None
    resolve: bool
    info: str | None
    help: bool
    hydra_help: bool
    multirun: bool
    shell_completion: bool
    config_dir: str | None
    config_name: str

    def typed(self) -> list[str]:
        """Return the options for Hydra's own command line."""
        flags = {"--help": self.help, "--hydra-help": self.hydra_help, "-m": self.multirun}
        values = {"--info": self.info, **self.of_config()}
        return [
            *(flag for flag, given in flags.items() if given),
            *(text for option, value in values.items() if value is not None for text in (option, value)),
        ]

    def of_config(self) -> dict[str, str]:
        """Return the options that say where the config is, if they are not the defaults."""
        name = {"--config-name": self.config_name} if self.config_name != CONFIG_NAME else {}
        return name | ({"--config-dir": self.config_dir} if self.config_dir is not None else {})


def parse_options(argv: Sequence[str]) -> HydraOptions:
    """Parse the arguments of train-scenario. Unlike with Hydra, options may stand among the overrides.

    Raises:
        ConfigError: if options exclude each other, or are not supported.
        SystemExit: if there is no such option.
    """
    given = _parser().parse_intermixed_args(argv)
    for name, (reason, hint) in _REFUSED.items():
        if getattr(given, name) is not None:
            raise _fault(_option(name), f"must be left out: {reason}", hint)
    if given.resolve and not given.cfg:
        raise _fault("--resolve", "must stand with --cfg", "`--cfg job --resolve` prints the configuration")
    asked = [name for name in _ACTIONS if getattr(given, name)]
    if len(asked) > 1:
        first, second = map(_option, asked[:2])
        raise _fault(first, f"must stand without {second}")
    return HydraOptions(
        overrides=given.overrides,
        cfg=given.cfg,
        package=given.package,
        resolve=given.resolve,
        info=given.info,
        help=given.help,
        hydra_help=given.hydra_help,
        multirun=given.multirun,
        shell_completion=given.shell_completion,
        config_dir=given.config_dir,
        config_name=given.config_name,
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _fault(option: str, message: str, hint: str | None = None) -> ConfigError:
    return ConfigError(Problem(option, message, hint=hint), subject="the command line")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train-scenario", add_help=False)
    parser.add_argument("overrides", nargs="*")
    for flags in (("--help", "-h"), ("--run", "-r"), ("--multirun", "-m"), ("--shell-completion", "-sc")):
        parser.add_argument(*flags, action="store_true")
    for flag in ("--hydra-help", "--version", "--resolve"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--cfg", "-c", choices=get_args(Shown))
    parser.add_argument("--info", "-i", choices=_INFO, const="all", nargs="?")
    parser.add_argument("--package", "-p")
    parser.add_argument("--config-name", "-cn", default=CONFIG_NAME)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-path", "-cp")
    parser.add_argument("--experimental-rerun")
    return parser
