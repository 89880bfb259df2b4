"""Functions that build MesoNet and its variants, load, observe and evaluate them, and predict.

Models made here take images with values of 0 to 1. Where a function reads images from a folder, a model with a
`Rescaling` layer, such as those of `scenarios.mesonet.networks`, gets values of 0 to 255 instead.

Names, arguments and defaults are those of https://github.com/MalayAgr/MesoNet-DeepFakeDetection, mesonet/model.py.
"""

from __future__ import annotations

import operator
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

from framework import ConfigError, DataError, Problem, ScenarioError
from scenarios.mesonet.blocks import activation_layer as activation_layer
from scenarios.mesonet.blocks import build_model as build_model
from scenarios.mesonet.blocks import conv2D as conv2D
from scenarios.mesonet.blocks import fully_connected_layer as fully_connected_layer
from scenarios.mesonet.generators import images_of_classes
from scenarios.mesonet.networks import MODELS as MODELS
from scenarios.mesonet.networks import FourStages as FourStages
from scenarios.mesonet.networks import Meso1 as Meso1
from scenarios.mesonet.networks import Meso4 as Meso4
from scenarios.mesonet.networks import MesoInception4 as MesoInception4
from scenarios.mesonet.networks import MesoModel as MesoModel

if TYPE_CHECKING:
    import keras
    import numpy as np

    from scenarios.mesonet.batches import ImageBatches


# Loading and observing ----------------------------------------------------------------------------------------


def get_loaded_model(path: str | Path) -> keras.Model:
    """Load a model. It is compiled if the file has the optimizer that it was compiled with.

    Args:
        path: a `.keras`, `.h5` or `.hdf5` file; the folder of a SavedModel; or a run directory, of which it is the
            best model.

    Raises:
        RunDirectoryError: if there is no model, or it cannot be loaded.
    """
    from scenarios.mesonet.keras_files import load

    return load(path)


def get_activation_model(model: keras.Model, conv_idx: Sequence[SupportsIndex]) -> keras.Model:
    """Return a model of the same weights that gives the outputs of some of the convolutions.

    Args:
        model: a functional or sequential model.
        conv_idx: which of its convolutional layers, counted from 0; -1 is the last.

    Returns:
        A model that gives a list of arrays, in the order of `conv_idx`; a bare array if it names one layer.

    Raises:
        TypeError: if `conv_idx` is something else than whole numbers.
        ValueError: if `conv_idx` is empty.
        IndexError: if there is no such layer.
        ScenarioError: if the layers of the model cannot be observed.
    """
    import keras

    from framework.model.grad_cam import check_observable

    try:
        indices = [operator.index(index) for index in conv_idx]
    except TypeError as error:
        raise TypeError(f"conv_idx must be whole numbers, such as [0, 3], not {conv_idx!r}") from error
    if not indices:
        raise ValueError("conv_idx must name at least one convolutional layer")
    check_observable(model)
    kinds = (
        keras.layers.Conv2D,
        keras.layers.SeparableConv2D,
        keras.layers.DepthwiseConv2D,
        keras.layers.Conv2DTranspose,
    )
    layers = [layer for layer in model.layers if isinstance(layer, kinds)]
    count = len(layers)
    if out := [index for index in indices if not -count <= index < count]:
        names = ", ".join(f"{i}: {layer.name}" for i, layer in enumerate(layers)) or "none"
        raise IndexError(f"there is no convolutional layer {out[0]}; the model has these: {names}")
    outputs = [layers[index].output for index in indices]
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])


# Evaluating and predicting ------------------------------------------------------------------------------------


def evaluate_model(model: keras.Model, test_data_dir: str | Path, batch_size: int = 64) -> list[float]:
    """Return loss and metrics of a model on the images in a folder.

    Args:
        model: its own loss and metrics are computed; binary cross-entropy and accuracy, if it is not compiled.
        test_data_dir: a folder with one sub-folder per class.
        batch_size: images of a batch.

    Raises:
        ScenarioError: if the folder cannot be used, or does not fit the model.
    """
    import keras

    from scenarios.mesonet.given_model import image_size_of

    source = images_of_classes(test_data_dir, image_size_of(model))
    if len(source.classes) > 2 and model.output_shape[-1] == 1:
        raise _too_many(source.classes, test_data_dir)
    batches = _batches(model, source, test_data_dir, batch_size)
    judged = model
    if not model.compiled:
        judged = keras.Model(model.inputs[0], model.outputs[0])
        judged.compile(loss="binary_crossentropy", metrics=["accuracy"])
    found = judged.evaluate(batches, verbose="auto")
    return list(found) if isinstance(found, list | tuple) else [found]


def predict(
    model: keras.Model, data: object, steps: int | None = None, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Predict the probability of the class 1, and the class.

    Args:
        model: a model with one probability as output.
        data: what `keras.Model.predict` takes.
        steps: batches to predict; None: all.
        threshold: the lowest probability of the class 1, in [0, 1].

    Returns:
        float32 [images], the probabilities; and int [images], 1 or 0.

    Raises:
        ScenarioError: if the model gives something else, or the threshold is not a probability.
    """
    import numpy as np

    if isinstance(threshold, str) or not 0 <= threshold <= 1:
        problem = Problem("threshold", "must be a number from 0 to 1", given=threshold)
        raise ConfigError(problem, subject="the arguments")
    found = model.predict(data, steps=steps)
    if not isinstance(found, np.ndarray) or found.shape[1:] not in ((), (1,)):
        shape = found.shape[1:] if isinstance(found, np.ndarray) else f"{len(found)} outputs"
        raise ScenarioError(f"the model must give one probability for each image, and it gives {shape}")
    probabilities = found.reshape(-1)
    return probabilities, np.where(probabilities >= threshold, 1, 0)


def make_prediction(
    model_path: str | Path,
    data_dir: str | Path,
    threshold: float = 0.5,
    batch_size: int = 64,
    return_probs: bool = False,
    return_report: bool = False,
) -> tuple[np.ndarray, str]:
    """Predict the images in a folder with a model on disk.

    The names of the classes are those that a run recorded beside its model; for another model, those of the two
    sub-folders in alphabetical order; and `0` and `1` where there are none.

    Args:
        model_path: as for `get_loaded_model`.
        data_dir: a folder of images. A report needs one sub-folder per class.
        threshold: as for `predict`.
        batch_size: images of a batch.
        return_probs: whether to return the probability of the predicted class, too, in percent.
        return_report: whether to return a report on the classes.

    Returns:
        An array of objects with a row for each image: its name relative to `data_dir`, its class with capital
        initials, and its probability, if that is asked for; and the report, or an empty text.

    Raises:
        ScenarioError: if model or folder cannot be used.
    """
    import numpy as np

    from scenarios.mesonet.given_model import image_size_of
    from scenarios.mesonet.prediction import images_to_predict

    model = get_loaded_model(model_path)
    source, names, labels = images_to_predict(model_path, data_dir, image_size_of(model))
    if (outputs := model.output_shape[-1]) not in (1, None):
        raise ScenarioError(f"{model_path} gives {outputs} numbers for an image, and not one probability")
    if len(names) != 2:
        raise _too_many(names, data_dir)
    if return_report and labels is None:
        raise DataError(
            f"{data_dir} does not say the classes of its images, which a report needs",
            hint=f"make one sub-folder per class{'' if names == ('0', '1') else ': ' + ', '.join(names)}",
        )
    batches = _batches(model, source, data_dir, batch_size)
    probabilities, classes = predict(model, batches, threshold=threshold)
    columns: list[Sequence[object]] = [batches.filenames, [names[i].title() for i in classes]]
    if return_probs:
        shown = np.where(classes == 1, probabilities, 1 - probabilities) * 100
        columns.append(shown.astype(float).tolist())
    rows = np.array(list(zip(*columns, strict=True)), object).reshape(-1, len(columns))
    if not return_report or labels is None:
        return rows, ""
    return rows, str(get_classification_report(labels, classes))


def _batches(model: keras.Model, source: Any, folder: str | Path, batch_size: int) -> ImageBatches:
    from scenarios.mesonet.batches import ImageBatches
    from scenarios.mesonet.given_model import scales_pixels

    factor = 1.0 if scales_pixels(model) else 1 / 255
    return ImageBatches(source, str(folder), batch_size=batch_size, factor=factor)


def _too_many(classes: Sequence[str], folder: str | Path) -> DataError:
    return DataError(
        f"{folder} has {len(classes)} classes, {', '.join(classes)}, and the model gives one probability, of the "
        "second of two classes"
    )


def get_classification_report(
    true: Sequence[int] | np.ndarray, preds: Sequence[int] | np.ndarray, output_dict: bool = False
) -> str | dict[str, Any]:
    """Return precision, recall and F1 of each class, as `sklearn.metrics.classification_report` has them.

    Args:
        true: the labels, [samples].
        preds: the predicted labels, [samples].
        output_dict: whether to return a dict and not a text.
    """
    import numpy as np
    from sklearn.metrics import classification_report

    report: str | dict[str, Any] = classification_report(
        np.ravel(true), np.ravel(preds), output_dict=output_dict
    )
    return report


def save_model_history(history: keras.callbacks.History, filename: str | Path) -> None:
    """Write the values of a training, a dict of lists by their names, to a pickle file.

    Args:
        history: what `train_model` returned.
        filename: the file. It is replaced.
    """
    with open(filename, "wb") as file:
        pickle.dump(history.history, file)
