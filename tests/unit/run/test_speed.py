"""The time of a run, by phase."""

from __future__ import annotations

import pytest

from framework.run import speed
from framework.run.speed import RunClock, sum_phases


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> RunClock:
    """A clock on which a second goes by each time that it is looked at."""
    ticks = iter(range(1000))
    monkeypatch.setattr(speed, "time", type("Time", (), {"perf_counter": lambda: float(next(ticks))}))
    return RunClock()


def test_each_moment_counts_for_the_innermost_phase(clock: RunClock) -> None:
    clock.begin_epochs()  # 1 s of start
    with clock.measure("train"), clock.measure("checkpoint"):  # 1 s of other, 1 s of train
        pass  # 1 s of checkpoint, 1 s of train
    assert clock.take_phases() == {"start": 1, "other": 2, "train": 2, "checkpoint": 1}
    assert clock.take_phases() == {"other": 1}


def test_what_a_phase_raises_is_counted_all_the_same(clock: RunClock) -> None:
    with pytest.raises(ValueError, match="no"), clock.measure("train"):
        raise ValueError("no")
    assert clock.take_phases() == {"start": 2, "train": 1}


def test_waiting_is_taken_from_the_steps_and_never_more_than_they_took(clock: RunClock) -> None:
    with clock.measure("train"):
        pass
    clock.move(0.25, source="train", to="input_wait")
    clock.move(9, source="validation", to="input_wait")
    found = clock.take_phases()
    assert (found["train"], found["input_wait"]) == (0.75, 0.25)


def test_phases_add_up_to_the_time_of_the_session(clock: RunClock) -> None:
    with clock.measure("train"), clock.measure("checkpoint"):
        pass
    assert sum(clock.take_phases().values()) == clock.session_seconds() - 1
    assert sum_phases([{"train": 1.5}, {"train": 1, "lav": 2}]) == {"train": 2.5, "lav": 2}
