"""explain: pictures of what a trained network looks at."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from framework.classification import Classification
from framework.data.source import Fault, Source
from framework.errors import ScenarioError
from framework.evaluation.predict import samples_to_predict
from framework.evaluation.trained_model import open_trained
from framework.model.grad_cam import Activations, GradCam, filters
from framework.report.pictures import grid, overlay, pixels_of, write_picture
from framework.run.device import apply_device
from framework.scenario import Scenario

if TYPE_CHECKING:
    import keras
    import numpy as np

_MAPS = 64  # activations of a layer, and filters, that are shown


@dataclass(frozen=True)
class Explained:
    """What a network looks at in samples.

    Args:
        images: what was drawn of each.
        unreadable: samples that could not be loaded.
        filters: the picture of the filters of a layer, where it was asked for.
    """

    images: Sequence[Explanation]
    unreadable: Sequence[Fault]
    filters: Path | None = None


@dataclass(frozen=True)
class Explanation:
    """What a network looks at in a sample.

    Args:
        name: of the sample, such as its file.
        columns: its prediction, as `predict-scenario` has it.
        pictures: the files that were written.
    """

    name: str
    columns: dict[str, object]
    pictures: Sequence[Path]


def explain(
    run: str | Path,
    arguments: Sequence[str | Path],
    *overrides: str,
    folder: str | Path,
    layer: str | None = None,
    layers: Sequence[str] = (),
    filters_of: str | None = None,
    model: str = "best",
    config_dir: str | Path | None = None,
) -> Explained:
    """Draw what a trained network looks at in images.

    Of each image a picture is written with its Grad-CAM map of the predicted class over it, and one for each of
    `layers`, with the activations of the layer.

    Args:
        run: the run directory; or a file of weights, as for `predict`.
        arguments: image files and folders, as the scenario reads them.
        overrides: as for `predict`.
        folder: where the pictures are written.
        layer: the layer of the map; None: the last one whose output has a height and a width.
        layers: the layers whose activations are drawn.
        filters_of: a layer whose filters are drawn.
        model: of a run, `best`, `export`, or the path of another exported folder.
        config_dir: for a file of weights, another folder of group options.

    Returns:
        What was drawn of each image that could be loaded, and why the others could not.

    Raises:
        ScenarioError: if run, model or images cannot be used, or the model cannot be observed.
    """
    folder = Path(folder)
    with open_trained(run, overrides, model=model, config_dir=config_dir) as trained:
        scenario = trained.scenario
        apply_device(scenario.config.device)
        loaded = trained.load()
        # What the model has not is answered before the images are read.
        camera, observed = GradCam(loaded, layer), Activations(loaded, layers)
        kernel = None if filters_of is None else filters(loaded, filters_of)
        samples, unreadable = samples_to_predict(scenario, arguments)
    drawn = None
    if kernel is not None:
        drawn = write_picture(filter_picture(kernel), folder / f"filters-{_safe(str(filters_of))}.png")
    return Explained(list(_explain(scenario, loaded, camera, observed, samples, folder)), unreadable, drawn)


def _explain(
    scenario: Scenario,
    model: keras.Model,
    camera: GradCam,
    observed: Activations,
    source: Source,
    folder: Path,
) -> Iterator[Explanation]:
    import tensorflow as tf

    for index in range(len(source)):
        sample = source.load(tf.constant(index, tf.int64))
        image = sample[0] if isinstance(sample, tuple) else sample
        shown = pixels_of(image.numpy()) if hasattr(image, "numpy") else None
        if shown is None:
            raise ScenarioError(
                f"{source.sample_name(index)} is not an image, so nothing can be drawn over it"
            )
        batch = tf.expand_dims(image, 0)
        output = model.predict_on_batch(batch)[0]
        map_ = camera.maps(batch, [predicted_class(scenario, output)])[0]
        stem = f"{index + 1:03d}-{_safe(Path(source.sample_name(index)).stem)}"
        pictures = [write_picture(overlay(shown, map_), folder / f"{stem}.png")]
        for name, maps in observed.of(batch).items():
            pictures.append(write_picture(activation_picture(maps[0]), folder / f"{stem}-{_safe(name)}.png"))
        yield Explanation(source.sample_name(index), dict(scenario.describe_prediction(output)), pictures)


def predicted_class(scenario: Scenario, output: np.ndarray) -> int:
    """Return the index of the predicted class, as `GradCam.maps` takes it."""
    if len(output) > 1:
        return int(output.argmax())
    threshold = scenario.threshold if isinstance(scenario, Classification) else 0.5
    return int(output[0] > threshold)


def activation_picture(maps: np.ndarray) -> np.ndarray:
    """Draw the activations of a layer, from the lowest to the highest value: channels side by side, each by itself.

    Args:
        maps: float [height, width, channels]; of a layer without places [values], drawn as a square, or
            [positions, channels], drawn as they are.

    Returns:
        uint8 [height, width]

    Raises:
        ScenarioError: if they are of another shape.
    """
    import numpy as np

    if maps.ndim == 3:
        return grid([maps[:, :, channel] for channel in range(min(maps.shape[2], _MAPS))])
    if maps.ndim == 1:
        side = math.ceil(math.sqrt(len(maps)))
        maps = np.pad(maps, (0, side**2 - len(maps)), constant_values=maps.min()).reshape(side, side)
    if maps.ndim != 2:
        raise ScenarioError(f"activations of shape {list(maps.shape)} cannot be drawn")
    return grid([maps])


def filter_picture(kernel: np.ndarray) -> np.ndarray:
    """Draw the filters of a layer side by side, each by the mean over its inputs.

    Args:
        kernel: float [height, width, channels in, channels out].

    Returns:
        uint8 [height, width]
    """
    return grid([kernel[:, :, :, channel].mean(axis=2) for channel in range(min(kernel.shape[3], _MAPS))])


def _safe(name: str) -> str:
    """A name as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name)[:80] or "image"
