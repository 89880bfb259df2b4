"""The contract of a scenario: the properties that the framework's promises about runs rely on.

`check-scenario` checks it, and so can a test:

    from framework.testing import check_scenario

    def test_contract():
        outcomes = check_scenario("scenario=mine", config_dir="conf")
        assert [outcome.line for outcome in outcomes if not outcome.passed] == []
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from framework.config.sections import RunConfig
from framework.errors import ScenarioError
from framework.testing.checks import CHECKS, GROUND, Check
from framework.testing.subject import Subject
from framework.training.agreement import Broken


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    Args:
        check: a description of the check.
        status: `passed`, `failed`, or `not tried` if an earlier check failed that it relies on.
        reason: why it failed.
        hint: what to do.
        details: the traceback of an error that the scenario's code raised.
    """

    check: str
    status: str
    reason: str | None = None
    hint: str | None = None
    details: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the check passed."""
        return self.status == "passed"

    @property
    def line(self) -> str:
        """The outcome in one line, or more if the reason has more."""
        line = f"{self.status:9} {self.check}"
        line += f": {self.reason}" if self.reason else ""
        return line + (f"\n    hint:    {self.hint}" if self.hint else "")


def check_scenario(
    *overrides: str, config_dir: str | Path | None = None, config: RunConfig | None = None
) -> Iterator[Outcome]:
    """Run each check, and yield its outcome as soon as it is known.

    Args:
        overrides: as for `train-scenario`: `scenario=mine`, and whatever else the scenario needs.
        config_dir: another folder of group options, as `--config-dir`.
        config: what they compose, if that is known; None composes them.

    >>> all(outcome.passed for outcome in check_scenario("scenario=lenet"))
    True
    """
    with tempfile.TemporaryDirectory(prefix="check-scenario-") as folder:
        subject = Subject(overrides, config_dir, Path(folder), config)
        groundless = False
        for name, check in CHECKS.items():
            if groundless:
                yield Outcome(name, "not tried")
                continue
            outcome = _try(name, check, subject)
            groundless = not outcome.passed and name in GROUND
            yield outcome


def _try(name: str, check: Check, subject: Subject) -> Outcome:
    try:
        check(subject)
    except Broken as error:
        return Outcome(name, "failed", str(error), error.hint)
    except ScenarioError as error:
        return Outcome(name, "failed", str(error))
    except Exception as error:  # any error of the scenario's code is shown to its author
        place = _place_of(error)
        reason = f"{type(error).__name__}: {str(error).strip()}"
        return Outcome(name, "failed", reason, f"see {place}" if place else None, traceback.format_exc())
    return Outcome(name, "passed")


def _place_of(error: Exception) -> str | None:
    """Return the last line of the scenario's own code in the traceback of an error."""
    ours = str(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "site-packages" not in frame.filename and not frame.filename.startswith((ours, "<")):
            return f"{frame.filename}:{frame.lineno}"
    return None
