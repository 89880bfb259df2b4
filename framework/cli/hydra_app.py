"""What runs Hydra: a job on a config that is composed already, and Hydra's own command line for the rest."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from framework.config.compose import CONFIG_NAME, conf_directory
from framework.config.hydra_errors import problem_of
from framework.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig


class JobFailedError(Exception):
    """A job of a sweep gives no value. It is for the sweeper, which knows what to do then."""


def run_composed(composed: DictConfig, config_name: str, task: Callable[[], None]) -> None:
    """Run a task as Hydra runs an application: with the callbacks, the logging and the environment that the node
    `hydra` of its config names.

    `hydra.main` does the same, and composes twice for it.

    Args:
        composed: as a `Composer` gives it, which is still open.
        config_name: the primary config.
        task: what it raises passes through.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import configure_log, run_job
    from hydra.types import HydraContext, RunMode

    raised: list[BaseException] = []

    def application(_: DictConfig) -> None:
        try:
            task()
        except Exception as error:
            raised.append(error)
            raise  # so that the callbacks see a job that failed
        except BaseException as error:
            raised.append(error)

    composed.hydra.mode = RunMode.RUN
    configure_log(composed.hydra.hydra_logging, composed.hydra.verbose)
    callbacks = _Callbacks(composed)
    callbacks.on_run_start(composed, config_name=config_name)
    ended = run_job(
        task_function=application,
        config=composed,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
        hydra_context=HydraContext(GlobalHydra.instance().config_loader(), callbacks),  # type: ignore[arg-type]
    )
    callbacks.on_run_end(composed, config_name=config_name, job_return=ended)
    if raised:
        raise raised[0]


class _Callbacks:
    """The callbacks of Hydra's that a config names. What they raise is a warning, as with Hydra."""

    def __init__(self, composed: DictConfig) -> None:
        self._callbacks: list[object] = []
        if named := composed.hydra.callbacks:
            from hydra.utils import instantiate

            self._callbacks = [instantiate(callback) for callback in named.values()]

    def on_run_start(self, config: DictConfig, **arguments: object) -> None:
        self._tell("on_run_start", {"config": config, **arguments})

    def on_run_end(self, config: DictConfig, **arguments: object) -> None:
        self._tell("on_run_end", {"config": config, **arguments}, reverse=True)

    def on_job_start(self, config: DictConfig, **arguments: object) -> None:
        self._tell("on_job_start", {"config": config, **arguments})

    def on_job_end(self, config: DictConfig, **arguments: object) -> None:
        self._tell("on_job_end", {"config": config, **arguments}, reverse=True)

    def _tell(self, event: str, arguments: Mapping[str, object], *, reverse: bool = False) -> None:
        for callback in reversed(self._callbacks) if reverse else self._callbacks:
            try:
                getattr(callback, event)(**arguments)
            except Exception as error:
                warnings.warn(
                    f"Callback {type(callback).__name__}.{event} raised {type(error).__name__}: {error}",
                    stacklevel=2,
                )


def run_hydra(
    argv: Sequence[str],
    task: Callable[[], float | None] = lambda: None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run Hydra's own command line: for a sweep, for completion, and for what Hydra tells of itself.

    Args:
        argv: options and overrides.
        task: the application, which each job of a sweep is; what it gives is for the sweeper.
        environment: variables that Hydra is to find.

    Raises:
        ConfigError: where Hydra refuses them. What `task` raises passes through; of a `JobFailedError`
            the sweeper is told.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    raised: list[BaseException] = []

    def application(_: DictConfig) -> float | None:
        # Hydra prints a line of its own about what an application raises; so it is not shown it.
        try:
            return task()
        except JobFailedError:
            raise
        except BaseException as error:
            raised.append(error)
            return None

    main = hydra.main(config_path=str(conf_directory()), config_name=CONFIG_NAME, version_base="1.3")
    try:
        # Hydra then raises what it would print, and we print it.
        with _started_with(argv, {"HYDRA_FULL_ERROR": "1", **(environment or {})}):
            main(application)()
    except Exception as error:
        if raised:
            raise raised[0] from None
        if isinstance(error, HydraException | OmegaConfBaseException):
            raise ConfigError(problem_of(error)) from error
        raise
    if raised:
        raise raised[0]


@contextmanager
def _started_with(argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Have the process look as if it was started with these arguments and variables: `hydra.main` takes neither as
    its own argument."""
    started = sys.argv
    before = {name: os.environ.get(name) for name in environment}
    sys.argv = [started[0], *argv]
    os.environ.update(environment)
    try:
        yield
    finally:
        sys.argv = started
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
