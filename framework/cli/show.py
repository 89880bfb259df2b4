"""Output of train-scenario without training: the config of a run, and what Hydra shows of itself."""

from __future__ import annotations

import sys

from framework.cli.hydra_app import run_hydra
from framework.cli.hydra_options import HydraOptions
from framework.config.compose import composer
from framework.config.defaults import class_defaults, told_to_hydra
from framework.config.sections import SHORT_FORMS
from framework.errors import ConfigError, Problem


def show_config(options: HydraOptions) -> None:
    """Print the config of a run (`--cfg`) as YAML, in Hydra's format.

    Raises:
        ConfigError: if a run would refuse it, or there is no such section.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, open_dict

    with composer(options.config_dir, options.config_name) as hydra:
        config, _ = hydra.compose_shown(options.overrides)
    HydraConfig.instance().set_config(config)  # values may refer to it
    names = [str(key) for key in config if key != "hydra"]
    ours = [*SHORT_FORMS, *(name for name in names if name not in SHORT_FORMS)]
    keys = {"job": ours, "hydra": ["hydra"], "all": ["hydra", *ours]}
    shown = OmegaConf.masked_copy(config, keys[options.cfg or "job"])
    if options.cfg == "hydra":
        OmegaConf.set_readonly(shown.hydra, False)
        with open_dict(shown.hydra):
            del shown.hydra["help"], shown.hydra["hydra_help"]
    if options.package not in (None, "_global_"):
        shown = OmegaConf.select(shown, str(options.package))
        if shown is None:
            raise ConfigError(
                Problem("--package", "must be a section of the config", given=options.package),
                subject="the command line",
            )
        if not OmegaConf.is_config(shown):
            print(shown)
            return
        print(f"# @package {options.package}")
    if options.resolve:
        OmegaConf.resolve(shown)
    sys.stdout.write(OmegaConf.to_yaml(shown))


def show_by_hydra(options: HydraOptions) -> None:
    """Let Hydra print `--help`, `--hydra-help` or `--info`.

    Raises:
        ConfigError: if a run would refuse the overrides.
    """
    if options.hydra_help:
        run_hydra([*options.typed(), *options.overrides])
        return
    with composer(options.config_dir, options.config_name) as hydra:
        config, read = hydra.compose_shown(options.overrides)
    with told_to_hydra(class_defaults(config)):
        run_hydra([*options.typed(), *(override.composed for override in read)])
