"""What the tests share: where real data are, and how a command is run."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, `$SCENARIO_DATA` or `../shared/data`; a test that needs it is skipped
    where it is absent."""
    folder = Path(os.environ.get("SCENARIO_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets, and {folder} is absent; set SCENARIO_DATA to their folder")
    return folder


@pytest.fixture(autouse=True)
def streams_and_logging_as_they_were() -> Iterator[None]:
    """What a command sets up in this process is gone after the test: the handlers of its log, and the guard
    of its output."""
    streams = sys.stdout, sys.stderr
    loggers = [logging.getLogger(), logging.getLogger("framework")]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    sys.stdout, sys.stderr = streams
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate, logger.handlers[:] = propagate, handlers


TOY = REPOSITORY / "tests" / "toy"


def environment() -> dict[str, str]:
    """The environment of a command: the toy scenario is on the path, and Python's own warnings are not
    shown."""
    return os.environ | {"PYTHONPATH": str(TOY), "SCENARIO_LOG_LEVEL": "INFO"}


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs an installed command to its end in a folder of its own: `command("train-scenario",
    "scenario=mesonet", ...)`."""

    def run(name: str, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        script = Path(sys.executable).parent / name
        return subprocess.run(
            [str(script), *words],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


TOY_WORDS = ("--config-dir", str(TOY / "conf"), "scenario=toy")


@pytest.fixture(scope="module")
def toy_on_the_path() -> Iterator[None]:
    """Lets this process import the toy scenario, as it would a package of the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOY))
        yield
