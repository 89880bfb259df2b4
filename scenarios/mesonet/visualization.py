"""Figures of a training, and of what the convolutions of a model give.

They are shown as pyplot shows figures: in a notebook, or in a window where there is a display. Without one nothing
is shown, and what is returned can be saved.

Names and arguments are those of https://github.com/MalayAgr/MesoNet-DeepFakeDetection, mesonet/visualization.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsIndex

if TYPE_CHECKING:
    import keras
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4  # filters side by side
_CELL = 1.6  # inches
_LOSS_CURVE = "Loss curve"


def plot_loss_curve(history: keras.callbacks.History) -> Axes:
    """Draw the loss over the epochs of a training, on the training data and, if there are any, on the validation
    data.

    Args:
        history: what `train_model` or `keras.Model.fit` returned.

    Returns:
        The axes. `axes.figure.savefig("loss.png")` saves them.
    """
    import matplotlib.pyplot as plt

    from framework.report.charts import curve_over_epochs

    names = {"loss": "training", "val_loss": "validation"}
    curves = {
        names[name]: ([epoch + 1 for epoch in range(len(values))], values)
        for name, values in history.history.items()
        if name in names
    }
    if not curves:
        raise ValueError("the history has no loss; it is that of a model that was not trained")
    figure = curve_over_epochs("Loss", curves)
    figure.set_label(_LOSS_CURVE)
    plt.close(_LOSS_CURVE)  # pyplot keeps all figures where there is no display
    _show(figure)
    return figure.axes[0]


def visualize_conv_layers(
    model: keras.Model, imgs: np.ndarray, conv_idx: Sequence[SupportsIndex]
) -> list[Figure]:
    """Draw what convolutional layers of a model give for images: a figure for each image and layer, with a picture
    for each filter, each from its lowest to its highest value.

    Args:
        model: a functional or sequential model.
        imgs: float [images, height, width, channels], as the model takes them.
        conv_idx: which layers; see `get_activation_model`.

    Returns:
        The figures, by image, and for each image in the order of `conv_idx`. `figure.savefig("layer.png")` saves one.

    Raises:
        ValueError: if `imgs` has another shape, or `conv_idx` is empty.
        IndexError: if there is no such layer.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    from scenarios.mesonet.model import get_activation_model

    observed = get_activation_model(model, conv_idx)
    images, wanted = np.asarray(imgs), tuple(model.inputs[0].shape)
    if not len(images):
        raise ValueError("imgs must hold at least one image")
    if images.ndim != 4 or any(
        side not in (None, given) for side, given in zip(wanted[1:], images.shape[1:], strict=True)
    ):
        raise ValueError(f"imgs has the shape {images.shape}, and the model takes {wanted}")
    found = observed.predict(images, verbose=0)
    layers = found if isinstance(found, list) else [found]
    figures = [
        _figure(maps[i], f"Convolutional layer {int(index) + 1}")
        for i in range(len(images))
        for index, maps in zip(conv_idx, layers, strict=True)
    ]
    for figure in figures:
        _show(figure)
        plt.close(figure)
    return figures


def _figure(maps: np.ndarray, title: str) -> Figure:
    """Draw the activations of a layer, float [height, width, filters]."""
    from framework.report.drawing import drawing

    count = maps.shape[2]
    rows = -(-count // _COLUMNS)
    with drawing(_COLUMNS * _CELL, rows * _CELL + 0.4) as (figure, axes):
        axes.remove()
        figure.suptitle(title)
        grid = figure.subplots(rows, _COLUMNS, squeeze=False)
        for number, cell in enumerate(grid.flat):
            cell.axis("off")
            if number < count:
                cell.imshow(maps[:, :, number], cmap="viridis")
    return figure


def _show(figure: Figure) -> None:
    """Show a figure as pyplot does. It becomes pyplot's current one."""
    import matplotlib.pyplot as plt

    figure.set_facecolor("white")  # that of a report is the page's
    plt.figure(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
        plt.show()
