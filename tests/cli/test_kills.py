"""Kills at random moments, in a short form; scripts/torture has the long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from framework.evaluation.compare_runs import differences
from tests.torture import SCENARIOS, moments, run_undisturbed, run_with_kills


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_equals_an_undisturbed_one(tmp_path: Path) -> None:
    words = SCENARIOS["toy"]
    plan = [moment for moment, _ in zip(moments(random.Random(1)), range(4), strict=False)]
    killed_run, killed = run_with_kills(tmp_path, words, plan)
    assert killed
    assert differences(killed_run, run_undisturbed(tmp_path, words)) == []
