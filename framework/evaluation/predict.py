"""Prediction with a trained model, and the files that hold predictions."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.source import Fault, Source
from framework.data.stream import in_order
from framework.data.subset import Subset
from framework.errors import DataError, ScenarioError
from framework.evaluation.trained_model import open_trained
from framework.run.device import apply_device
from framework.run.files import write_report
from framework.scenario import Scenario, named_outputs
from framework.splits import open_source
from framework.training.threshold import decide_at

if TYPE_CHECKING:
    import keras
    import numpy as np

    from framework.data.structure import Tree


@dataclass(frozen=True)
class Predictions:
    """Predictions of samples.

    Args:
        rows: the columns of each sample: `file` first, then `true_label` if the class of a sample is known.
        unreadable: samples that could not be loaded.
        outputs: the outputs of the model by name, [samples, ...]; None if they were not asked for.
    """

    rows: Sequence[Mapping[str, Any]]
    unreadable: Sequence[Fault]
    outputs: Mapping[str, np.ndarray] | None = None


def predict(
    run: str | Path,
    arguments: Sequence[str | Path],
    *overrides: str,
    model: str = "best",
    threshold: float | None = None,
    arrays: bool = False,
    config_dir: str | Path | None = None,
) -> Predictions:
    """Predict samples with a trained model.

    Args:
        run: the run directory; or a `.keras`, `.weights.h5` or legacy `.h5` file, with `overrides` that
            choose the scenario.
        arguments: what to predict, as the scenario reads it: for example image files and folders.
        overrides: applied to the config of the run, such as `batch_size=1`; for a file of weights, as for
            `train-scenario`.
        model: of a run, `best`, `export` (the final state), or the path of another exported folder.
        threshold: with two classes, the probability above which the positive one is predicted, in [0, 1];
            None: 0.5.
        arrays: whether to keep the outputs, too. A scenario that does not describe its predictions then has
            no columns for them.
        config_dir: for a file of weights, another folder of group options.

    Raises:
        ScenarioError: if run or model cannot be used, or there is nothing to predict.
    """
    with open_trained(run, overrides, model=model, config_dir=config_dir) as trained:
        scenario = trained.scenario
        if threshold is not None:
            decide_at(scenario, threshold)
        apply_device(scenario.config.device)
        samples, unreadable = samples_to_predict(scenario, arguments)
        loaded = trained.load() if len(samples) else None
    indices = range(len(samples))
    labels = {i: label for i in indices if (label := samples.true_label(i)) is not None}
    describes = not arrays or type(scenario).describe_prediction is not Scenario.describe_prediction
    rows, kept = [], []
    outputs = _outputs(loaded, samples, scenario.config.data.batch_size) if loaded else iter(())
    for i, output in zip(indices, outputs, strict=True):
        truth = {"true_label": labels.get(i, "")} if labels else {}
        rows.append(
            {
                "file": samples.sample_name(i),
                **truth,
                **(scenario.describe_prediction(output) if describes else {}),
            }
        )
        if arrays:
            kept.append(named_outputs(output))
    return Predictions(rows=rows, unreadable=unreadable, outputs=_stacked(kept) if arrays else None)


def samples_to_predict(scenario: Scenario, arguments: Sequence[str | Path]) -> tuple[Source, Sequence[Fault]]:
    """Open what a scenario reads for prediction.

    Args:
        arguments: as for `predict`.

    Returns:
        The samples that can be loaded, and why the others cannot. Each is tried.

    Raises:
        ScenarioError: if there are none.
    """
    given = scenario.prediction_source(arguments)
    source = open_source(scenario, given, "prediction_source", targets=False)
    if not len(source):
        raise DataError(f"nothing to predict in {', '.join(map(str, arguments))}")
    bad = source.unreadable(range(len(source)))
    names = {fault.name for fault in bad}
    return Subset(source, [i for i in range(len(source)) if source.sample_name(i) not in names]), bad


def _stacked(outputs: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    import numpy as np

    try:
        return {
            name: np.stack([output[name] for output in outputs]) for name in (outputs[0] if outputs else ())
        }
    except ValueError as error:
        raise ScenarioError(
            f"the outputs of the samples are not of one shape: {error}", hint="batch_size=1 pads nothing"
        ) from error


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write predictions as CSV, or as arrays if the path ends in `.npz`."""
    if predictions.outputs is None:
        write_csv(predictions, path)
    else:
        write_npz(predictions, path)


def write_npz(predictions: Predictions, path: Path) -> None:
    """Write as NumPy arrays the outputs, by their names, and each column of texts, such as `file`."""
    import numpy as np

    texts = {
        key: [row[key] for row in predictions.rows]
        for key in (predictions.rows[0] if predictions.rows else ())
    }
    columns = {
        key: np.array(values)
        for key, values in texts.items()
        if all(isinstance(value, str) for value in values)
    }
    content = io.BytesIO()
    # Not with np.savez, which has an argument `file` of its own.
    with zipfile.ZipFile(content, "w") as archive:
        for key, array in {**columns, **(predictions.outputs or {})}.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    write_report(path, content.getvalue())


def write_csv(predictions: Predictions, path: Path) -> None:
    """Write the rows as CSV (RFC 4180), with a header line."""
    text = io.StringIO()
    if predictions.rows:
        writer = csv.DictWriter(text, fieldnames=list(predictions.rows[0]))
        writer.writeheader()
        writer.writerows(predictions.rows)
    write_report(path, text.getvalue())


def _outputs(model: keras.Model, source: Source, batch_size: int) -> Iterator[Tree[np.ndarray]]:
    """Yield the model's output for each sample, as NumPy arrays without the batch dimension."""
    import tensorflow as tf

    for batch in in_order(source, batch_size=batch_size):
        inputs = batch[0] if isinstance(batch, tuple) else batch
        outputs = model.predict_on_batch(inputs)
        flat = tf.nest.flatten(outputs)
        for i in range(len(flat[0])):
            yield tf.nest.pack_sequence_as(outputs, [part[i] for part in flat])
