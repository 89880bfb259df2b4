"""How many samples each class has in the splits of a run, from what is known without loading a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from framework.classification import Classification
from framework.data.source import Source
from framework.report import charts
from framework.report.judged import Judged, class_counts, classes_in_order
from framework.report.sections import Section
from framework.run.console import plural
from framework.scenario import Scenario

if TYPE_CHECKING:
    import numpy as np

_UNEVEN = 1.5  # times as many samples as another class: worth a word


def class_balance(
    scenario: Scenario, splits: Mapping[str, Source | None], judged: Judged | None = None
) -> Section | None:
    """Show how many samples of each split each class has; None where there are no classes.

    Args:
        scenario: of the run.
        splits: the samples of `training` and `validation`; None where they cannot be told without reading them all.
        judged: its labels are those of the validation samples.
    """
    if not isinstance(scenario, Classification):
        return None
    counts: dict[str, Mapping[str, int]] = {}
    texts: list[str] = []
    for split, source in splits.items():
        found = None if source is None else known_counts(scenario, source)
        if split == "validation" and found is None and judged is not None and judged.task != "regression":
            found = class_counts(iter(judged.labels), judged.classes) if judged.task else None
        if found is not None:
            counts[split] = found
            texts += _unevenness(split, found)
        else:
            those = "samples" if source is None else plural(len(source), "sample")
            texts.append(
                f"The classes of the {split} {those} are known by loading them only, and are not counted."
            )
    figures = {"class_balance": charts.balance(counts)} if counts else {}
    return Section("Class balance", texts=texts, figures=figures)


def known_counts(scenario: Classification, source: Source) -> dict[str, int] | None:
    """Count the samples of each class, in the order of the model's outputs; None where that needs loading them."""
    targets = source.known_targets()
    if targets is None or targets.size != len(source) or not _are_indices(targets, len(scenario.classes)):
        return None
    classes = classes_in_order(scenario, binary=len(scenario.classes) == 2)
    return class_counts(map(int, targets.ravel()), classes)


def _are_indices(targets: np.ndarray, classes: int) -> bool:
    import numpy as np

    if not np.issubdtype(targets.dtype, np.number):
        return False
    return bool(((targets >= 0) & (targets < classes) & (targets == np.floor(targets))).all())


def _unevenness(split: str, counts: Mapping[str, int]) -> Sequence[str]:
    missing = [name for name, count in counts.items() if not count]
    if missing:
        return [f"No {split} sample is of {', '.join(missing)}."]
    most, least = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    times = counts[most] / counts[least]
    if times < _UNEVEN:
        return []
    return [f"Of the {split} samples {times:.1f} times as many are of {most} as of {least}."]
