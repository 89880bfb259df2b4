"""Prediction with an exported model."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.data.source import Fault, Source, Subset
from framework.data.stream import in_order
from framework.errors import DataError
from framework.evaluation import opened
from framework.export import load_model
from framework.files import write_report
from framework.run_directory import RunDirectory
from framework.scenario import scenario_of


@dataclass(frozen=True)
class Predictions:
    """What was predicted.

    Args:
        rows: for each sample its columns, `file` first.
        unreadable: samples that could not be loaded.
    """

    rows: Sequence[Mapping[str, Any]]
    unreadable: Sequence[Fault]


def predict(run: str | Path, arguments: Sequence[str | Path], *overrides: str, model: str = "best") -> Predictions:
    """Predict samples with the exported model of a run.

    Args:
        run: the run directory.
        arguments: what to predict, as the scenario reads it: image files and folders, say.
        overrides: words applied to the config of the run, such as `batch_size=1`.
        model: `best`, `export` (the final state), or the path of another exported folder.

    Raises:
        ScenarioError: where run or model cannot be used, or there is nothing to predict.
    """
    directory = RunDirectory.open(run)
    scenario = scenario_of(directory.load_config(overrides))
    scenario.device.apply()
    source = opened(scenario, scenario.prediction_source(arguments), "prediction_source", targets=False)
    if not len(source):
        raise DataError(f"nothing to predict in {', '.join(map(str, arguments))}")
    bad = source.unreadable(range(len(source)))
    names = {fault.name for fault in bad}
    good = [i for i in range(len(source)) if source.sample_name(i) not in names]
    rows = []
    if good:
        loaded = load_model(directory.exported(model), scenario.build_model)
        outputs = _outputs(loaded, Subset(source, good), scenario.data.batch_size)
        rows = [
            {"file": source.sample_name(i), **scenario.describe_prediction(output)}
            for i, output in zip(good, outputs, strict=True)
        ]
    return Predictions(rows=rows, unreadable=bad)


def write_csv(predictions: Predictions, path: Path) -> None:
    """Write the rows as CSV (RFC 4180), with a head line."""
    text = io.StringIO()
    if predictions.rows:
        writer = csv.DictWriter(text, fieldnames=list(predictions.rows[0]))
        writer.writeheader()
        writer.writerows(predictions.rows)
    write_report(path, text.getvalue())


def _outputs(model: Any, source: Source, batch_size: int) -> Iterator[Any]:
    """The model's output for each sample, NumPy, without the batch dimension."""
    import tensorflow as tf

    for batch in in_order(source, batch_size=batch_size):
        inputs = batch[0] if isinstance(batch, tuple) else batch
        outputs = model.predict_on_batch(inputs)
        flat = tf.nest.flatten(outputs)
        for i in range(len(flat[0])):
            yield tf.nest.pack_sequence_as(outputs, [part[i] for part in flat])
