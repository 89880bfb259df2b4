"""Fixtures and helpers of the tests: the place of real data, and running of commands."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folder of the longest files, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: "tests/unit/training/" not in item.nodeid)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets, `$SCENARIO_DATA` or `../shared/data`.

    A test that needs it is skipped if it is absent.
    """
    folder = Path(os.environ.get("SCENARIO_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets, and {folder} is absent; set SCENARIO_DATA to their folder")
    return folder


@pytest.fixture(autouse=True)
def streams_and_logging_as_they_were() -> Iterator[None]:
    """Restore after a test what a command changes in this process: log handlers and output streams."""
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
    """Return the environment of a command: it finds the toy scenario, and logs at level INFO."""
    return os.environ | {"PYTHONPATH": str(TOY), "SCENARIO_LOG_LEVEL": "INFO"}


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run an installed command in a temporary folder: `command("train-scenario", "scenario=mesonet")`."""

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


@pytest.fixture
def command_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command as `command` does, by its `main` and in this process, which has TensorFlow already:
    `command_here(resume.main, "run", "epochs=3")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TOY))

    def run(main: Callable[[], None], *words: str) -> subprocess.CompletedProcess[str]:
        import keras

        keras.utils.clear_session()  # Keras numbers the layers of a process, and a new one begins anew
        monkeypatch.setattr(sys, "argv", [main.__module__, *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(words, ended.value.code, shown.out, shown.err)

    return run


TOY_WORDS = ("--config-dir", str(TOY / "conf"), "scenario=toy")


@pytest.fixture(scope="module")
def toy_on_the_path() -> Iterator[None]:
    """Let this process import the toy scenario, like a package of a user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOY))
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Puts an undisturbed, finished run of the toy scenario at a path: `finished(tmp_path / "run",
    "epochs=1")`.

    A run is trained once in all processes of a session, and copied for each test that asks for it.
    """
    base = tmp_path_factory.getbasetemp()
    # With xdist, each process has a session and a folder of its own, in one that is shared.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"

    def put(path: Path, *words: str) -> Path:
        import keras

        from tests.runs import train

        shared.mkdir(exist_ok=True)
        name = hashlib.sha256(repr(words).encode()).hexdigest()[:16]
        with open(shared / f"{name}.lock", "w") as lock, pytest.MonkeyPatch.context() as patch:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / name).exists():
                patch.syspath_prepend(str(TOY))
                keras.utils.clear_session()  # Keras numbers the layers of a process
                draft = Path(tempfile.mkdtemp(dir=shared)) / "run"
                train(draft, *words)
                draft.rename(shared / name)
            shutil.copytree(shared / name, path)
        return path

    return put
