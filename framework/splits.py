"""The samples of a scenario's splits, as training, evaluation and prediction read them."""

from __future__ import annotations

from framework.data.adapt import as_source
from framework.data.cache import cached
from framework.data.source import Source, Split
from framework.data.subset import spread
from framework.errors import DataError
from framework.scenario import Scenario


def open_source(scenario: Scenario, given: object, what: str, *, targets: bool = True) -> Source:
    """Make a source of what a scenario gave for its samples.

    Args:
        given: a source, or something that one can be made of; see `framework.data.adapt.as_source`.
        what: the call that gave it.
        targets: whether the samples have targets.

    Raises:
        DataError: where no source can be made of it.
    """
    data = scenario.config.data
    limits = {"auto": int(data.cache_limit * 1e9), "memory": None, "off": 0}
    return as_source(given, f"{what} of {scenario.name}", limit_bytes=limits[data.cache], targets=targets)


def prepare_source(scenario: Scenario, split: Split) -> Source:
    """Open the samples of a split, in memory where the config wants that and they fit.

    Raises:
        DataError: where the split is empty.
    """
    source = open_source(scenario, scenario.source(split), f"source({split.value!r})")
    if not len(source):
        raise DataError(f"the {split} split of {scenario.name} has no samples")
    data = scenario.config.data
    source = limited(scenario, source)
    if data.cache == "off" or source.batched:
        return source
    limit = int(data.cache_limit * 1e9) if data.cache == "auto" else None
    return cached(source, limit_bytes=limit, workers=data.workers)


def limited(scenario: Scenario, source: Source) -> Source:
    """Return the samples of a split that `data.limit` leaves."""
    limit = scenario.config.data.limit
    return source if limit is None else spread(source, limit)


def overfitted(scenario: Scenario, training: Source) -> Source:
    """Return the training samples that a run with `trainer.overfit_batches` learns by heart; all, without that."""
    count = scenario.config.trainer.overfit_batches
    return training if count is None else spread(training, count * scenario.config.data.batch_size)
