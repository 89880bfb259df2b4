"""Errors of Hydra and OmegaConf as problems."""

from __future__ import annotations

import re
from collections.abc import Sequence

from framework.errors import Problem, did_you_mean

# The packages of Hydra's documented plugins, by the names of the options that they bring.
_PLUGINS = {
    "hydra/sweeper": {
        "optuna": "hydra-optuna-sweeper",
        "ax": "hydra-ax-sweeper",
        "nevergrad": "hydra-nevergrad-sweeper",
    },
    "hydra/launcher": {
        "joblib": "hydra-joblib-launcher",
        "ray": "hydra-ray-launcher",
        "rq": "hydra-rq-launcher",
        "submitit_local": "hydra-submitit-launcher",
        "submitit_slurm": "hydra-submitit-launcher",
    },
}


def problem_of(error: Exception) -> Problem:
    """Describe an error of Hydra or OmegaConf as a problem."""
    from hydra.errors import MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    message = " ".join(str(error).split())
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_option(str(error.missing_cfg_file), error.options or [])
    if "You must specify" in message:
        group = message.split("'")[1]
        return Problem(
            group, "nothing is chosen", hint=f"add {group}=NAME; `train-scenario --help` lists the names"
        )
    if "does not support sweep type" in message:
        return Problem(
            "hydra/sweeper",
            "the chosen sweeper tries each of several values, and cannot draw one of an interval",
            hint="choose one that can: pip install hydra-optuna-sweeper, then add hydra/sweeper=optuna",
        )
    path = str(getattr(error, "full_key", None) or "config")
    if found := re.fullmatch(r"(.*?)(?:,? set env var HYDRA_FULL_ERROR.*)? full_key: (\S+)", message):
        return Problem(found[2], found[1])
    if found := re.search(r"Environment variable '(\w+)' not found", message):
        name = found[1]
        return Problem(
            path,
            f"the environment variable {name!r} is not set",
            hint=f"export {name}=VALUE, or write ${{oc.env:{name},DEFAULT}} where it is asked for",
        )
    # The lines behind the first name keys and types of OmegaConf's own.
    return Problem(
        path,
        str(error).splitlines()[0] if isinstance(error, OmegaConfBaseException) and str(error) else message,
    )


def _missing_option(path: str, options: Sequence[str]) -> Problem:
    group, _, option = path.rpartition("/")
    hint = did_you_mean(option, options)
    if group in _PLUGINS:
        package = _PLUGINS[group].get(option)
        hint = (
            f"pip install {package}"
            if package
            else hint or "install the package that it is in: it is a plugin of Hydra"
        )
    return Problem(
        group or "config",
        "there is no such option",
        given=option,
        allowed=", ".join(options) or None,
        hint=hint,
    )
