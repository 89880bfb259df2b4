"""Every sample of a scenario is tried before a run depends on it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.data.source import Fault, Split
from framework.errors import ScenarioError
from framework.files import write_report
from framework.scenario import Scenario


@dataclass(frozen=True)
class SplitReport:
    """What was found in a split.

    Args:
        split: which.
        samples: how many it has; None where it cannot be opened.
        faults: what cannot be used, and what is unusual, in the order of the samples.
        problem: why it cannot be opened.
    """

    split: Split
    samples: int | None
    faults: Sequence[Fault] = ()
    problem: str | None = None

    @property
    def unusable(self) -> list[Fault]:
        """The samples that cannot be used."""
        return [fault for fault in self.faults if fault.fatal]

    def kinds(self) -> list[tuple[str, int, bool]]:
        """Each kind of fault, how many samples it has, and whether it is fatal; the fatal ones and the most frequent first."""
        counts = Counter((fault.kind, fault.fatal) for fault in self.faults)
        ordered = sorted(counts.items(), key=lambda item: (not item[0][1], -item[1], item[0][0]))
        return [(kind, count, fatal) for (kind, fatal), count in ordered]


def check_data(scenario: Scenario) -> list[SplitReport]:
    """Load each sample of each split that there is.

    Training and validation data must be there; a test split that is not is left out.
    """
    reports = []
    for split in Split:
        try:
            source = scenario.unchecked_source(split)
            empty = None if len(source) else "it has no samples"
            reports.append(SplitReport(split, len(source), list(source.inspect(range(len(source)))), empty))
        except ScenarioError as error:
            if split is not Split.TEST:
                reports.append(SplitReport(split, None, problem=str(error)))
    return reports


def write_faults(reports: Sequence[SplitReport], path: Path) -> None:
    """Write everything that was found as CSV (RFC 4180): split, sample, kind, reason, usable."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["split", "sample", "kind", "reason", "usable"])
    for report in reports:
        for fault in report.faults:
            writer.writerow([report.split.value, fault.name, fault.kind, fault.reason, "no" if fault.fatal else "yes"])
    write_report(path, text.getvalue())
