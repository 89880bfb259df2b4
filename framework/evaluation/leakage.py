"""Images of data sets that a run was trained on, or was validated on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from framework.data.duplicates import shared_files
from framework.data.image_files import ImageFiles
from framework.data.source import Split
from framework.errors import ScenarioError
from framework.evaluation.image_set import ImageSet
from framework.evaluation.trained_model import find_scenario, is_run
from framework.splits import limited, overfitted

log = logging.getLogger("framework")

_MEANING = {
    Split.TRAIN: "are training images of {run}, so what it reaches there says nothing of images that are new to it",
    Split.VALIDATION: "are validation images of {run}, by which its best epoch was chosen, so what it reaches there "
    "may be slightly too good",
}


def warn_of_leakage(runs: Mapping[str, str | Path], sets: Sequence[ImageSet]) -> list[str]:
    """Warn of images of data sets that runs were trained or validated on.

    They are found by their paths, with links resolved, and, of at most 20,000 files, by their contents. What cannot
    be known is passed over: files of weights, and data that are no longer where the run had them.

    Args:
        runs: run directories and files of weights, by the names of the models.
        sets: the data sets.

    Returns:
        The warnings.
    """
    warnings = []
    for name, run in runs.items():
        for split, known in _images_of(run):
            for one in sets:
                if count := len(shared_files(known, one.files)):
                    meaning = _MEANING[split].format(run=name)
                    warnings.append(f"{count:,} of the {len(one.paths):,} images of {one.name} {meaning}")
    for warning in warnings:
        log.warning(warning)
    return warnings


def _images_of(run: str | Path) -> Iterator[tuple[Split, Sequence[str]]]:
    """Yield the training and the validation images of a run that are where it had them."""
    if not is_run(run):
        return
    scenario, _ = find_scenario(run, ())  # without overrides, which may be for the evaluation alone
    for split in _MEANING:
        try:
            source = scenario.unchecked_source(split)
        except (ScenarioError, OSError):
            continue
        if isinstance(source, ImageFiles):
            used = limited(scenario, source)
            used = overfitted(scenario, used) if split is Split.TRAIN else used
            yield split, [used.sample_name(index) for index in range(len(used))]
