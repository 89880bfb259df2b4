"""Functions that build MesoNet and its variants from blocks, load, observe and evaluate them, and predict.

Models made here take images with values of 0 to 1. Where a function reads images from a folder, a model with a
`Rescaling` layer, such as those of `scenarios.mesonet.networks`, gets values of 0 to 255 instead.

Names, arguments and defaults are those of https://github.com/MalayAgr/MesoNet-DeepFakeDetection, mesonet/model.py.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

from framework import ConfigError, DataError, Problem, ScenarioError
from scenarios.mesonet.generators import IMG_WIDTH, images_of_classes
from scenarios.mesonet.networks import MODELS as MODELS
from scenarios.mesonet.networks import FourStages as FourStages
from scenarios.mesonet.networks import Meso1 as Meso1
from scenarios.mesonet.networks import Meso4 as Meso4
from scenarios.mesonet.networks import MesoInception4 as MesoInception4
from scenarios.mesonet.networks import MesoModel as MesoModel

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from scenarios.mesonet.batches import ImageBatches

    Tensor: TypeAlias = "keras.KerasTensor | tf.Tensor | np.ndarray | Sequence[float]"

_SLOPE = 0.1  # of lrelu, and alpha of elu, after a dense layer


# Building -----------------------------------------------------------------------------------------------------


def activation_layer(ip: Tensor, activation: str, *args: float) -> keras.KerasTensor | tf.Tensor:
    """Apply an activation layer.

    Args:
        ip: what it is applied to: the output of a layer, an array or a list.
        activation: `relu` (`keras.layers.ReLU`), `elu` (`ELU`) or `lrelu` (`LeakyReLU`).
        args: arguments of the class of the layer.

    Raises:
        KeyError: if the activation is not one of these.
    """
    import keras
    import numpy as np

    layers = {"relu": keras.layers.ReLU, "elu": keras.layers.ELU, "lrelu": keras.layers.LeakyReLU}
    if activation not in layers:
        raise KeyError(f"unknown activation {activation!r}; known are {', '.join(layers)}")
    return layers[activation](*args)(np.asarray(ip, "float32") if isinstance(ip, list | tuple) else ip)


def conv2D(  # noqa: N802 - the name is that of the documented function
    ip: Tensor,
    filters: int,
    kernel_size: int | Sequence[int],
    activation: str,
    padding: str = "same",
    pool_size: int | Sequence[int] = (2, 2),
) -> keras.KerasTensor:
    """Apply a convolution of stride 1, an activation layer, BatchNorm and max pooling, in this order.

    Args:
        ip: [batch, height, width, channels].
        filters: filters of the convolution.
        kernel_size: height and width of a filter: one number for both, or both.
        activation: as for `activation_layer`.
        padding: of convolution and pooling: `same` or `valid`.
        pool_size: height and width of the pooling window: one number for both, or both.

    Raises:
        KeyError: as for `activation_layer`.
    """
    import keras

    x = keras.layers.Conv2D(filters, kernel_size, padding=padding)(ip)
    x = keras.layers.BatchNormalization()(activation_layer(x, activation))
    return keras.layers.MaxPooling2D(pool_size, padding=padding)(x)


def fully_connected_layer(ip: Tensor, units: int, activation: str, dropout: float) -> keras.KerasTensor:
    """Apply a dense layer, an activation layer and dropout, in this order.

    Args:
        ip: [..., n].
        units: units of the dense layer.
        activation: as for `activation_layer`. The slope of `lrelu`, and alpha of `elu`, is 0.1.
        dropout: fraction of the activations that dropout sets to 0 in training.

    Raises:
        KeyError: as for `activation_layer`.
    """
    import keras

    x = keras.layers.Dense(units)(ip)
    x = activation_layer(x, activation, *(() if activation == "relu" else (_SLOPE,)))
    return keras.layers.Dropout(dropout)(x)


def build_model(
    ip: keras.KerasTensor | None = None,
    activation: str = "relu",
    dropout: float = 0.5,
    hidden_activation: str = "lrelu",
) -> keras.Model:
    """Build Meso-4, the network of the paper, not compiled.

    Args:
        ip: a `keras.Input` for images with values of 0 to 1; None: `keras.Input((256, 256, 3))`.
        activation: after each convolution; see `activation_layer`.
        dropout: rate of both dropout layers.
        hidden_activation: after the dense layer; see `fully_connected_layer`.

    Returns:
        A functional model. It gives the probability of the class 1, [batch, 1].

    Raises:
        KeyError: as for `activation_layer`.
    """
    import keras

    if ip is None:
        ip = keras.Input((IMG_WIDTH, IMG_WIDTH, 3))
    if not isinstance(ip, keras.KerasTensor):
        raise TypeError(f"ip must be a keras.Input, such as keras.Input((256, 256, 3)), not {ip!r}")
    x = conv2D(ip, 8, (3, 3), activation)
    x = conv2D(x, 8, (5, 5), activation)
    x = conv2D(x, 16, (5, 5), activation)
    x = conv2D(x, 16, (5, 5), activation, pool_size=(4, 4))
    x = keras.layers.Dropout(dropout)(keras.layers.Flatten()(x))
    x = fully_connected_layer(x, 16, hidden_activation, dropout)
    return keras.Model(ip, keras.layers.Dense(1, activation="sigmoid")(x))


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
        ValueError: if `conv_idx` is empty.
        IndexError: if there is no such layer.
        ScenarioError: if the layers of the model cannot be observed.
    """
    import keras

    from framework.model.grad_cam import check_observable

    indices = list(conv_idx)
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
    if out := [index for index in map(int, indices) if not -count <= index < count]:
        names = ", ".join(f"{i} {layer.name}" for i, layer in enumerate(layers)) or "none"
        raise IndexError(f"there is no convolutional layer {out[0]}; the model has {names}")
    outputs = [layers[index].output for index in indices]
    return keras.Model(model.inputs, outputs if len(outputs) > 1 else outputs[0])


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
        judged = keras.Model(model.inputs, model.outputs)
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
