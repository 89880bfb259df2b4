"""A profile of chosen steps where the session ends before they do."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from framework.config.trainer_config import TrainerConfig
from framework.run.profiler import Profiler
from framework.training.due import Due


def end_session(folder: Path, chosen: tuple[int, int], *, at: int) -> None:
    """A session of one call of the loop, which ends within the epoch or before the chosen steps."""
    due = Due(TrainerConfig(profile_steps=chosen), steps_per_epoch=100)
    profiler = Profiler(folder, due, chosen)
    profiler.before_call(at - 2)
    assert profiler.after_call(at) is None
    profiler.close()
    profiler.close()


def test_a_profile_ends_with_the_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        end_session(tmp_path, (23, 40), at=24)
    assert caplog.messages == ["the profile ends with the session, at step 24 of 40"]
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1


def test_steps_that_the_session_does_not_come_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        end_session(tmp_path, (90, 95), at=24)
    assert caplog.messages == ["no profile: the session ended at step 24, before step 90"]
    assert list(tmp_path.rglob("*.pb")) == []
