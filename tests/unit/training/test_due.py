"""When what is due, told by the settings alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.config.trainer_config import TrainerConfig
from framework.training.due import Due, is_nth

FOREVER = 1e9


def due(steps_per_epoch: int = 12, **settings: Any) -> Due:
    return Due(TrainerConfig(**{"scalars_every_n_steps": 0} | settings), steps_per_epoch)


def epochs(says: Callable[..., bool], last: int = 7) -> list[int]:
    """The epochs of a run of `last` epochs after which something is due."""
    return [epoch for epoch in range(1, last + 1) if says(epoch, last=epoch == last)]


@pytest.mark.parametrize(
    ("every", "validation", "lav", "checkpoint"),
    [
        (0, [], [], [7]),
        (1, [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]),
        (2, [2, 4, 6, 7], [1, 2, 4, 6, 7], [2, 4, 6, 7]),
        (3, [3, 6, 7], [1, 3, 6, 7], [3, 6, 7]),
        (7, [7], [1, 7], [7]),
        (100, [7], [1, 7], [7]),
    ],
)
def test_what_comes_after_each_nth_epoch_and_the_last(
    every: int, validation: Sequence[int], lav: Sequence[int], checkpoint: Sequence[int]
) -> None:
    assert epochs(due(val_every_n=every).validation) == validation
    assert epochs(due(lav_every_n=every).lav) == lav
    assert epochs(due(checkpoint_every_n_epochs=every).checkpoint_of_epoch) == checkpoint


def test_averages_come_after_each_nth_epoch_where_there_are_any() -> None:
    kept = due(post_hoc_ema=(0.1,), post_hoc_every_n_epochs=2)
    assert [epoch for epoch in range(1, 8) if kept.averages(epoch)] == [2, 4, 6]
    assert not any(due(post_hoc_every_n_epochs=2).averages(epoch) for epoch in range(1, 8))


@pytest.mark.parametrize(
    ("epoch", "stopped", "last"),
    [(1, None, False), (3, None, False), (4, None, True), (5, None, True), (1, "no improvement", True)],
)
def test_the_last_epoch(epoch: int, stopped: str | None, last: bool) -> None:
    """A run that got fewer epochs than it has done is at its end, too."""
    assert due(epochs=4).is_last(epoch, stopped) == last


@pytest.mark.parametrize(
    ("every", "minutes", "passed", "steps"),
    [
        (None, None, FOREVER, []),
        (4, None, FOREVER, [4, 8, 16, 20]),
        (5, None, FOREVER, [5, 10, 15, 20]),
        (24, None, FOREVER, []),
        (None, 10, 9.99, []),
        (None, 10, 10, [*range(1, 12), *range(13, 24)]),
        (4, 10, 9.99, [4, 8, 16, 20]),
    ],
)
def test_checkpoints_within_an_epoch(
    every: int | None, minutes: float | None, passed: float, steps: Sequence[int]
) -> None:
    """The last step of an epoch has none: the epoch is not done before it is judged."""
    says = due(checkpoint_every_n_steps=every, checkpoint_every_n_minutes=minutes)
    assert [step for step in range(1, 25) if says.checkpoint(step, minutes=passed)] == steps


@pytest.mark.parametrize(
    ("settings", "edges"),
    [
        ({}, [12, 24, 36]),
        ({"checkpoint_every_n_steps": 5}, [5, 10, 12, 15, 20, 24, 25, 30, 35, 36]),
        ({"checkpoint_every_n_steps": 100}, [12, 24, 36]),
        ({"profile_steps": (11, 15)}, [10, 12, 15, 24, 36]),
        ({"profile_steps": (1, 1)}, [1, 12, 24, 36]),
        ({"profile_steps": (90, 95)}, [12, 24, 36]),
        ({"scalars_every_n_steps": 5}, [5, 10, 12, 15, 20, 24, 25, 30, 35, 36]),
        ({"scalars_every_n_steps": None}, list(range(1, 37))),
        ({"scalars_every_n_steps": None, "tensorboard": False}, [12, 24, 36]),
    ],
)
def test_how_many_steps_may_be_done_in_one_call(settings: dict[str, Any], edges: list[int]) -> None:
    says, found = due(**settings), [0]
    while found[-1] < 36:
        found.append(says.next_edge(found[-1]))
    assert found[1:] == edges


@pytest.mark.parametrize(
    ("steps_per_epoch", "every", "points"),
    [
        (1, None, 1),
        (9, None, 9),
        (28, None, 14),
        (100, None, 10),
        (1000, None, 10),
        (12_800, None, 100),
        (128_000, None, 1000),
        (1000, 7, 142),
        (1000, 0, 0),
    ],
)
def test_how_many_points_a_curve_has_in_the_first_epoch(
    steps_per_epoch: int, every: int | None, points: int
) -> None:
    says = due(steps_per_epoch, scalars_every_n_steps=every)
    assert sum(says.scalars(step) for step in range(1, steps_per_epoch + 1)) == points


def profiled(says: Due, calls: Sequence[int], first: int = 0) -> tuple[int, int] | None:
    """The steps that a session profiles of which the calls of the loop do so many steps each."""
    step, begun = first, None
    for number, steps in enumerate(calls):
        if begun is None and says.begins_profile(step, calls=number):
            begun = step
        step += steps
        if begun is not None and says.ends_profile(step, begun=begun):
            return begun + 1, step
    return None


@pytest.mark.parametrize(
    ("settings", "calls", "first", "expected"),
    [
        ({"profile": True}, [1] * 24, 0, (2, 11)),
        ({"profile": True}, [1, 4, 4, 3], 0, (2, 12)),
        ({"profile": True}, [4, 8], 12, (17, 24)),
        ({"profile": True}, [12], 0, None),
        ({"profile_steps": (11, 15)}, [10, 2, 3], 0, (11, 15)),
        ({"profile_steps": (11, 15)}, [2, 1], 12, (13, 15)),
        ({"profile_steps": (11, 15)}, [9, 12], 15, None),
        ({"profile_steps": (1, 1)}, [1], 0, (1, 1)),
        ({}, [1] * 24, 0, None),
    ],
)
def test_which_steps_are_profiled(
    settings: dict[str, Any], calls: Sequence[int], first: int, expected: tuple[int, int] | None
) -> None:
    assert profiled(due(**settings), calls, first) == expected


@given(
    steps_per_epoch=st.integers(1, 30),
    every=st.none() | st.integers(1, 40),
    profile=st.none() | st.tuples(st.integers(1, 60), st.integers(0, 20)),
    most=st.integers(1, 9),
)
def test_no_edge_is_passed_over(
    steps_per_epoch: int, every: int | None, profile: tuple[int, int] | None, most: int
) -> None:
    """However many steps a call does, the run stops at the end of each epoch, at each step of a checkpoint,
    and before and after the chosen steps, and nowhere else."""
    chosen = (profile[0], sum(profile)) if profile else ()
    says = due(steps_per_epoch, checkpoint_every_n_steps=every, profile_steps=chosen)
    end, step = 3 * steps_per_epoch, 0
    stops, full_calls = set(), set()
    while step < end:
        edge = says.next_edge(step)
        assert step < edge <= says.end_of_epoch(step // steps_per_epoch)
        if edge - step > most:
            full_calls.add(step + most)
        step += min(most, edge - step)
        stops.add(step)
    expected = {epoch * steps_per_epoch for epoch in (1, 2, 3)}
    expected |= set(range(every, end, every)) if every else set()
    expected |= {edge for edge in (chosen[0] - 1, chosen[1]) if 0 < edge < end} if chosen else set()
    assert stops - full_calls <= expected <= stops
    saved = {step for step in stops if says.checkpoint(step, minutes=0)}
    assert saved == {step for step in expected if every and step % every == 0 and step % steps_per_epoch}


@given(
    every=st.integers(0, 9),
    epochs=st.integers(1, 30),
    kind=st.sampled_from(["validation", "lav", "checkpoint"]),
)
def test_what_is_due_in_a_run_is_due_in_a_longer_one_but_for_its_end(
    every: int, epochs: int, kind: str
) -> None:
    """So a run that gets more epochs has done nothing that it would not have done, but for its last epoch."""
    says = {
        "validation": due(val_every_n=every).validation,
        "lav": due(lav_every_n=every).lav,
        "checkpoint": due(checkpoint_every_n_epochs=every).checkpoint_of_epoch,
    }[kind]
    for epoch in range(1, epochs + 1):
        assert says(epoch, last=True) >= says(epoch)
        if every == 0 and kind != "checkpoint":
            assert not says(epoch, last=True), "never is never"
        elif every:
            assert says(epoch) == (is_nth(epoch, every) or (kind == "lav" and epoch == 1))
            assert says(epoch, last=True)
