"""The kit for authors of scenarios: `check_scenario` checks the contract of a scenario.

from framework.testing import check_scenario

def test_contract():
    outcomes = check_scenario("scenario=mine", config_dir="conf")
    assert [outcome.line for outcome in outcomes if not outcome.passed] == []
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.testing.contract import Outcome, check_scenario

__all__ = ["Outcome", "check_scenario"]


def __getattr__(name: str) -> Any:
    # Imported on first use, because `new-scenario` does not need what the checks import.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.contract"), name)
