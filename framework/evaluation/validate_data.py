"""Checks of every sample of a scenario, before a run depends on them."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.data.duplicates import find_duplicates
from framework.data.groups import shared_groups
from framework.data.source import Fault, Source, Split
from framework.errors import ScenarioError
from framework.run.files import write_report
from framework.scenario import Scenario
from framework.splits import open_source


@dataclass(frozen=True)
class SplitReport:
    """The result for one split.

    Args:
        split: the split.
        samples: the number of its samples; None if it cannot be opened.
        faults: what is unusable or unusual, in the order of the samples.
        problem: why it cannot be open_source, or that it has no samples.
    """

    split: Split
    samples: int | None
    faults: Sequence[Fault] = ()
    problem: str | None = None

    @property
    def unusable(self) -> list[Fault]:
        """The faults that make a sample unusable."""
        return [fault for fault in self.faults if fault.fatal]

    def kinds(self) -> list[tuple[str, int, bool]]:
        """Count the samples with each kind of fault; fatal and frequent kinds come first."""
        counts = Counter((fault.kind, fault.fatal) for fault in self.faults)
        ordered = sorted(counts.items(), key=lambda item: (not item[0][1], -item[1], item[0][0]))
        return [(kind, count, fatal) for (kind, fatal), count in ordered]


def check_data(scenario: Scenario, *, near_duplicates: bool = False) -> list[SplitReport]:
    """Load each sample of each existing split, and look for duplicate files and for groups in several splits.

    Training and validation data must exist, unless the settings turn validation off. A missing test split is
    left out.

    Args:
        scenario: its data are read.
        near_duplicates: whether to look for nearly identical images, too.
    """
    reports: dict[Split, SplitReport] = {}
    sources: dict[Split, Source] = {}
    for split in Split:
        try:
            source = open_source(scenario, scenario.unchecked_source(split), f"source({split.value!r})")
            empty = None if len(source) else "it has no samples"
            reports[split] = SplitReport(split, len(source), list(source.inspect(range(len(source)))), empty)
            sources[split] = source
        except ScenarioError as error:
            if split is Split.TRAIN or (split is Split.VALIDATION and scenario.config.data.has_validation()):
                reports[split] = SplitReport(split, None, problem=str(error))
    for found in (find_duplicates(sources, near=near_duplicates), shared_groups(sources)):
        for split, faults in found.items():
            report = reports[split]
            reports[split] = dataclasses.replace(report, faults=[*report.faults, *faults])
    return list(reports.values())


def write_faults(reports: Sequence[SplitReport], path: Path) -> None:
    """Write all faults as CSV (RFC 4180): split, sample, kind, reason, usable."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["split", "sample", "kind", "reason", "usable"])
    for report in reports:
        for fault in report.faults:
            writer.writerow(
                [report.split.value, fault.name, fault.kind, fault.reason, "no" if fault.fatal else "yes"]
            )
    write_report(path, text.getvalue())
