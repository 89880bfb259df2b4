"""Classification of images as real or forged with the compact networks of MesoNet.

    from scenarios.mesonet import build_model, train_model

    history = train_model(build_model(), "data/train", validation_split=0.10)

docs/mesonet_api.md describes all functions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenarios.mesonet.generators import get_test_data_generator, get_train_data_generator
    from scenarios.mesonet.model import (
        activation_layer,
        build_model,
        conv2D,
        evaluate_model,
        fully_connected_layer,
        get_activation_model,
        get_classification_report,
        get_loaded_model,
        make_prediction,
        predict,
        save_model_history,
    )
    from scenarios.mesonet.train import train_model
    from scenarios.mesonet.visualization import plot_loss_curve, visualize_conv_layers

__all__ = [
    "activation_layer",
    "build_model",
    "conv2D",
    "evaluate_model",
    "fully_connected_layer",
    "get_activation_model",
    "get_classification_report",
    "get_loaded_model",
    "get_test_data_generator",
    "get_train_data_generator",
    "make_prediction",
    "plot_loss_curve",
    "predict",
    "save_model_history",
    "train_model",
    "visualize_conv_layers",
]

# Each name is imported on first use: the scenario of this package is imported to check a config, which is fast.
_HOMES = dict.fromkeys(__all__, "model") | {
    "get_test_data_generator": "generators",
    "get_train_data_generator": "generators",
    "plot_loss_curve": "visualization",
    "train_model": "train",
    "visualize_conv_layers": "visualization",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
