"""Evaluation: of the model in training, and LAV - load the exported model in a fresh process and validate it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.cache import cached
from framework.data.source import Source, Split, raise_unreadable, spread
from framework.data.stream import in_order
from framework.errors import DataError
from framework.export import load_facts, load_model
from framework.loops import Stepper
from framework.run_directory import RunDirectory, now, strict_json, write_atomically
from framework.scenario import Scenario, scenario_of

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Evaluator:
    """Runs a compiled model over all samples of a source.

    Args:
        model: compiled; its metrics are used, and reset.
        source: the samples.
        batch_size: samples in a batch; the last may hold fewer.
        strategy: the strategy that the model was made under.
    """

    def __init__(
        self, model: keras.Model, source: Source, *, batch_size: int, strategy: tf.distribute.Strategy, workers: int | None = None
    ) -> None:
        self._model = model
        self._source = source
        self._batch_size = batch_size
        self._strategy = strategy
        self._batches = in_order(source, batch_size=batch_size, workers=workers)
        self._stepper = Stepper(model.test_step, strategy, jit_compile=bool(model.jit_compile), max_steps_per_call=64)

    def __call__(self, between: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Loss and metrics over all samples.

        Args:
            between: called between batches; what it raises ends the evaluation.
        """
        import tensorflow as tf

        self._model.reset_metrics()
        left = -(-len(self._source) // self._batch_size)
        iterator = iter(self._strategy.experimental_distribute_dataset(self._batches))
        try:
            while left:
                left -= self._stepper.run(iterator, left)
                between()
        except tf.errors.OpError as error:
            raise_unreadable(self._source, range(len(self._source)), error)
            raise
        return metric_values(self._model)

    def __len__(self) -> int:
        """The number of samples."""
        return len(self._source)


def metric_values(model: keras.Model) -> dict[str, float]:
    """Loss and metrics of a compiled model as they stand, by name; a metric with several values gives one entry each."""
    values: dict[str, float] = {}
    for name, value in model.get_metrics_result().items():
        if isinstance(value, Mapping):
            values |= {f"{name}_{part}": float(v) for part, v in value.items()}
        else:
            values[name] = float(value)
    return values


def prepare_source(scenario: Scenario, split: Split) -> Source:
    """The samples of a split, in memory where the config wants that and they fit.

    Raises:
        DataError: where the split is empty.
    """
    source = scenario.source(split)
    if not len(source):
        raise DataError(f"the {split} split of {scenario.name} has no samples")
    data = scenario.data
    if data.limit is not None:
        source = spread(source, data.limit)
    if data.cache == "off" or source.batched:
        return source
    limit = int(data.cache_limit * 1e9) if data.cache == "auto" else None
    return cached(source, limit_bytes=limit, workers=data.workers)


@dataclass(frozen=True)
class Report:
    """What LAV found.

    Args:
        metrics: loss and metrics by name.
        facts: what the model was exported with: epoch, metrics of its validation, classes.
        samples: how many samples it was evaluated on.
        data: the section `data` that they came from.
    """

    metrics: Mapping[str, float]
    facts: Mapping[str, Any]
    samples: int
    data: Mapping[str, Any]


def load_and_validate(
    run: str | Path, *overrides: str, model: str = "best", split: str = "validation", output: str | Path | None = None
) -> Report:
    """Load the exported model of a run and evaluate it (LAV).

    Args:
        run: the run directory.
        overrides: words applied to the config of the run, such as `data.val_dir=OTHER` or `batch_size=5`.
        model: `best` or `export` (the final state).
        split: `train`, `validation` or `test`.
        output: where to write the report as JSON; None: `lav.json` in the run directory.

    Raises:
        ScenarioError: where run, model or data cannot be used.
    """
    directory = RunDirectory.open(run)
    scenario = scenario_of(directory.load_config(overrides))
    folder = directory.path / model
    facts = load_facts(folder)
    strategy = scenario.device.apply()
    source = prepare_source(scenario, Split(split))
    with strategy.scope():
        loaded = load_model(folder)
        objective = scenario.objective()
        loaded.compile(loss=objective.loss, metrics=list(objective.metrics))
    metrics = Evaluator(loaded, source, batch_size=scenario.data.batch_size, strategy=strategy, workers=scenario.data.workers)()
    data = scenario.config.to_plain()["data"]
    report = Report(metrics=metrics, facts=facts, samples=len(source), data=data)
    write_report(report, directory, Path(output) if output else directory.path / "lav.json", model, split, overrides)
    return report


def write_report(report: Report, run: RunDirectory, path: Path, model: str, split: str, overrides: Sequence[str]) -> None:
    """Write a LAV report as JSON."""
    content = {
        "time": now(),
        "run": str(run.path),
        "model": model,
        "epoch": report.facts.get("epoch"),
        "split": split,
        "overrides": list(overrides),
        "samples": report.samples,
        "metrics": dict(report.metrics),
        "data": dict(report.data),
    }
    write_atomically(path, strict_json(content, indent=2))
