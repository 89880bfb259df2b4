"""Models on disk: Keras files, SavedModels, and those of runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from framework.data.image_files import hint_for_missing
from framework.errors import RunDirectoryError, reason_of
from framework.model.export import FACTS_FILE, MODEL_FILE, load_facts
from framework.model.model_files import check_keras_file
from framework.run.run_directory import RunDirectory
from framework.run.run_files import JsonObject

if TYPE_CHECKING:
    import keras

log = logging.getLogger("framework")


def find_model(path: str | Path) -> Path:
    """Return the file of a model, or the folder of a SavedModel.

    Args:
        path: the file; a folder with it; or a run, of which it is the best model.

    Raises:
        RunDirectoryError: if there is none.
    """
    found = Path(path)
    if not found.exists():
        raise RunDirectoryError(f"there is no model {path}", hint=hint_for_missing(path))
    if found.is_file():
        return found
    if RunDirectory(found).config_file.is_file():
        found = RunDirectory.open(found).best
    if (found / MODEL_FILE).is_file():
        return found / MODEL_FILE
    if (found / "saved_model.pb").is_file():
        return found
    raise RunDirectoryError(
        f"{path} holds no model",
        hint=f"a file .keras, .h5 or .hdf5, a SavedModel, or a run with {MODEL_FILE}",
    )


def facts_of(path: str | Path) -> JsonObject:
    """Return what a run recorded about a model, such as its classes; empty for another model."""
    found = find_model(path)
    beside = found.parent if found.name == MODEL_FILE else found
    return load_facts(beside) if (beside / FACTS_FILE).is_file() else {}


def load(path: str | Path) -> keras.Model:
    """Load a model, compiled if the file says how.

    Raises:
        RunDirectoryError: if there is none, or it cannot be loaded.
    """
    found = find_model(path)
    if found.is_dir():
        return _load_saved_model(found)
    try:
        return _load_file(found)
    except ValueError as error:
        if "No model config" not in str(error):
            raise _cannot_be_loaded(found, error) from error
        raise RunDirectoryError(
            f"{found} holds weights without the layers that they belong to",
            hint=f"model = build_model(); model.load_weights({str(found)!r}); model.save('model.keras')",
        ) from error
    except Exception as error:  # for damaged files, the libraries raise errors of many kinds
        raise _cannot_be_loaded(found, error) from error


def _cannot_be_loaded(path: Path, error: Exception) -> RunDirectoryError:
    return RunDirectoryError(f"the model {path} cannot be loaded: {reason_of(error)}")


def _load_file(path: Path) -> keras.Model:
    import keras

    if path.suffix == ".keras":
        check_keras_file(path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No training configuration found")
        try:
            return keras.models.load_model(path)
        except Exception as error:  # a loss or an optimizer of another version, or that is not known here
            model = keras.models.load_model(path, compile=False)
            log.warning(
                "%s is not compiled, since its optimizer or loss cannot be loaded: %s", path, reason_of(error)
            )
            return model


def _load_saved_model(folder: Path) -> keras.Model:
    """Wrap the signature of a SavedModel in a model that predicts. Its layers cannot be seen."""
    import keras
    import tensorflow as tf

    try:
        signatures: dict[str, Callable[..., object]] = tf.saved_model.load(folder).signatures
        name = next(name for name in ("serving_default", "serve", *signatures) if name in signatures)
        (taken,) = signatures[name].structured_input_signature[1].values()  # type: ignore[attr-defined]
        image = keras.Input(tuple(taken.shape[1:]), dtype=taken.dtype.name)
        given = keras.layers.TFSMLayer(str(folder), call_endpoint=name)(image)
        outputs = next(iter(given.values())) if isinstance(given, dict) else given
        return keras.Model(image, outputs)
    except Exception as error:  # TensorFlow raises errors of many kinds
        raise _cannot_be_loaded(folder, error) from error
