"""Hydra as an application: one job with a config that is already composed, and Hydra's own command line."""

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
    """A job of a sweep has no value. The sweeper handles it."""


def run_composed(composed: DictConfig, config_name: str, task: Callable[[], None]) -> None:
    """Run a task as Hydra runs an application: with callbacks, logging and environment of the node `hydra`.

    `hydra.main` does the same, but composes the config two times.

    Args:
        composed: the config, inside the context of its `Composer`.
        config_name: the primary config.
        task: the application.

    Raises:
        ConfigError: if the node `hydra` is wrong. What `task` raises passes through.
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
            raise  # the callbacks see a failed job
        except BaseException as error:
            raised.append(error)

    with _reporting(raised):
        composed.hydra.mode = RunMode.RUN
        configure_log(composed.hydra.hydra_logging, composed.hydra.verbose)
        loader, callbacks = GlobalHydra.instance().config_loader(), _Callbacks(composed)
        callbacks.on_run_start(composed, config_name=config_name)
        ended = run_job(
            task_function=application,
            config=composed,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
            hydra_context=HydraContext(loader, callbacks),  # type: ignore[arg-type]
        )
        callbacks.on_run_end(composed, config_name=config_name, job_return=ended)


@contextmanager
def _reporting(raised: Sequence[BaseException]) -> Iterator[None]:
    """Raise what the application raised, and errors of Hydra as a `ConfigError`.

    Args:
        raised: the error of the application, if there is one at the end of the context.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except Exception as error:
        if not raised and isinstance(error, HydraException | OmegaConfBaseException):
            raise ConfigError(problem_of(error)) from error
        if not raised:
            raise
    if raised:
        raise raised[0] from None


class _Callbacks:
    """Hydra's callbacks that a config names. What they raise becomes a warning, as in Hydra."""

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
    """Run Hydra's own command line: for sweeps, completion, and what Hydra shows of itself.

    Args:
        argv: options and overrides.
        task: the application, run for each job of a sweep. Its result is for the sweeper.
        environment: variables for Hydra.

    Raises:
        ConfigError: if Hydra refuses them. What `task` raises passes through, except for a `JobFailedError`:
            that is for the sweeper.
    """
    import hydra

    raised: list[BaseException] = []

    def application(_: DictConfig) -> float | None:
        # Hydra would print a line about an error of the application, so it does not get to see one.
        try:
            return task()
        except JobFailedError:
            raise
        except BaseException as error:
            raised.append(error)
            return None

    main = hydra.main(config_path=str(conf_directory()), config_name=CONFIG_NAME, version_base="1.3")
    # With this variable, Hydra raises its errors instead of printing them.
    with _reporting(raised), _started_with(argv, {"HYDRA_FULL_ERROR": "1", **(environment or {})}):
        main(application)()


@contextmanager
def _started_with(argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Set arguments and variables of the process for the time of a context: `hydra.main` takes neither."""
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
