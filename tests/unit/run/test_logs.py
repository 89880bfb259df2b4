"""What a run's log holds, and that an application's own logging is left as it was."""

from __future__ import annotations

import logging
import sysconfig
import warnings
from pathlib import Path

import pytest

from framework.run.logs import run_log
from tests.runs import compose_toy

pytestmark = pytest.mark.usefixtures("toy_on_the_path")


def lines_of(path: Path) -> list[str]:
    return [line.split(maxsplit=3)[3] for line in path.read_text().splitlines() if line[:2] == "20"]


def test_the_scenarios_own_records_are_in_the_log_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose_toy()
    root, own = logging.getLogger(), logging.getLogger("toy")
    # As in an application that has set up nothing; pytest has.
    monkeypatch.setattr(root, "handlers", [])
    levels = root.level, own.level
    with run_log() as log_to, warnings.catch_warnings():
        warnings.simplefilter("always")
        own.info("before the file")
        log_to(tmp_path / "train.log")
        logging.getLogger("toy.models").info("of a module")
        logging.getLogger("framework.training.session").info("of the framework")
        own.debug("a detail")
        logging.getLogger("somebody.else").info("a library's line")
        logging.getLogger("somebody.else").warning("a library's doubt")
        warnings.warn("a warning of Python", stacklevel=1)
    own.warning("afterwards")
    first, *others, last = lines_of(tmp_path / "train.log")
    assert (first, *others) == ("before the file", "of a module", "of the framework", "a library's doubt")
    assert last.endswith("UserWarning: a warning of Python")
    assert (root.level, own.level, root.handlers) == (*levels, [])


@pytest.mark.parametrize(
    ("name", "path", "kept"),
    [
        ("helpers", "/home/somebody/project/helpers.py", True),
        ("root", "/home/somebody/project/.venv/train.py", True),
        ("h5py", "/home/somebody/project/.venv/lib/python3.11/site-packages/h5py/__init__.py", False),
        ("toy.models", "/opt/site-packages/toy/models.py", True),
        ("asyncio", f"{sysconfig.get_path('stdlib')}/asyncio/base_events.py", False),
    ],
)
def test_code_of_libraries_is_told_from_the_users(name: str, path: str, kept: bool, tmp_path: Path) -> None:
    """By where it lies; a scenario is the user's wherever it is installed."""
    compose_toy()
    with run_log() as log_to:
        log_to(tmp_path / "train.log")
        for level in (logging.INFO, logging.WARNING):
            logging.getLogger().handle(logging.LogRecord(name, level, path, 1, "said", (), None))
    assert len(lines_of(tmp_path / "train.log")) == 1 + kept
