"""Hydra's own command line, run on words that are ours, with our messages in place of its."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from framework.config.compose import CONFIG_NAME, conf_directory
from framework.config.hydra_errors import problem_of
from framework.errors import ConfigError


class JobFailedError(Exception):
    """A job of a sweep gives no value. It is for the sweeper, which knows what to do then."""


def run_hydra(words: Sequence[str], task: Callable[[Any], Any]) -> None:
    """Run Hydra's own command line on `words`, with `task` as the application.

    Raises:
        ConfigError: where Hydra refuses the words. What `task` raises passes through; of a `JobFailedError`
            the sweeper is told.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    raised: list[BaseException] = []

    def application(composed: Any) -> Any:
        # Hydra prints a line of its own about what an application raises; so it is not shown it.
        try:
            return task(composed)
        except JobFailedError:
            raise
        except BaseException as error:
            raised.append(error)
            return None

    argv, sys.argv = sys.argv, [sys.argv[0], *words]
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    # Hydra then raises what it would print, and we print it.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(config_path=str(conf_directory()), config_name=CONFIG_NAME, version_base="1.3")(
            application
        )()
    except Exception as error:
        if raised:
            raise raised[0] from None
        if isinstance(error, HydraException | OmegaConfBaseException):
            raise ConfigError(problem_of(error)) from error
        raise
    finally:
        sys.argv = argv
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error
    if raised:
        raise raised[0]
