"""Mutated files of a run, in a short form; `scripts/fuzz` goes on for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import fuzz, make_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    make_runs(folder)
    return folder


@pytest.mark.slow
def test_no_mutation_makes_a_traceback_a_hang_or_a_change_outside(folder: Path) -> None:
    outcomes = list(fuzz(folder, 100, seed=0, quick=0.95))
    assert [outcome for outcome in outcomes if outcome.faults] == []
    assert {outcome.code for outcome in outcomes} <= {0, 1, 2}
    assert {0, 1} <= {outcome.code for outcome in outcomes}
