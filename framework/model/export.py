"""Exported models: `model.keras`, a SavedModel, and `model.json` with facts about them."""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import RunDirectoryError, ScenarioError, reason_of
from framework.model.layers import all_layers
from framework.model.model_files import check_keras_file
from framework.run.files import replacing_directory, sha256_of, strict_json
from framework.run.run_files import JsonObject, MissingFileError, read_json
from framework.run.run_records import ModelFile

if TYPE_CHECKING:
    import keras

MODEL_FILE = "model.keras"
FACTS_FILE = "model.json"
SAVED_MODEL = "saved_model"


def export_model(model: keras.Model, folder: Path, facts: Mapping[str, object], *, saved_model: bool) -> None:
    """Write a model with its current weights, atomically: a reader finds the old folder or the new one.

    Args:
        model: a built model. Its optimizer, loss and metrics are left out.
        folder: replaced.
        facts: plain values for `model.json`: scenario, epoch, metrics, classes, ...
        saved_model: whether to write a SavedModel, which takes longer than `model.keras`. Its signature
            `serve` takes a batch.
    """
    with replacing_directory(folder) as draft:
        with _uncompiled(model):
            model.save(draft / MODEL_FILE)
            if saved_model:
                write_saved_model(model, draft / SAVED_MODEL)
        inputs, outputs = (
            getattr(model, kind, None) for kind in ("inputs", "outputs")
        )  # a subclassed model has neither
        described = {**facts, "inputs": _describe(inputs), "outputs": _describe(outputs)}
        (draft / FACTS_FILE).write_text(
            strict_json({**described, "sha256": sha256_of(strict_json(described))}, indent=2)
        )


def check_exportable(model: keras.Model) -> None:
    """Check that a model can be loaded from its file without running code from the file.

    Raises:
        ScenarioError: if it cannot. It names the layers.
    """
    import keras

    def holds_code(layer: keras.layers.Layer) -> bool:
        if isinstance(layer, keras.layers.Lambda):
            function = layer.get_config()["function"]
            return isinstance(function, dict) and function.get("class_name") == "__lambda__"
        return isinstance(layer, keras.layers.TFSMLayer)

    found = [layer for layer in (model, *all_layers(model)) if holds_code(layer)]
    if found:
        named = ", ".join(f"{layer.name!r} ({type(layer).__name__})" for layer in found)
        raise ScenarioError(
            f"the model holds layers that carry code in their files, and cannot be loaded safely: {named}",
            hint="use the functions of keras.ops, or a layer class of your own with "
            "@keras.saving.register_keras_serializable()",
        )
    if not getattr(model, "inputs", None):
        _check_remade(model)


def _check_remade(model: keras.Model) -> None:
    """Check that the class of a subclassed model can create the same weights again from a model file.

    Raises:
        ScenarioError: if it does not.
    """
    import keras

    try:
        described = keras.saving.serialize_keras_object(model)
        copy = keras.saving.deserialize_keras_object(described, custom_objects=own_classes(model))
        same = [weight.shape for weight in copy.weights] == [weight.shape for weight in model.weights]
        reason = None if same else "it then has other weights"
    except Exception as error:  # the model's own code can raise anything
        reason = reason_of(error)
    if reason is not None:
        name = type(model).__name__
        raise ScenarioError(
            f"the model {name} could be trained, but not loaded: it cannot be made again from its "
            "get_config() and the shape of what"
            f" goes in: {reason}",
            hint="__init__ takes **kwargs, and get_config() gives its other arguments "
            "(docs/custom_layers.md); or, where other data than"
            " numbers go in: inputs = keras.Input(SHAPE, dtype=...); return keras.Model(inputs, "
            f"{name}(...)(inputs))",
        )


def check_export_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise a `RunDirectoryError` if an export would overwrite something that must not be lost.

    Args:
        folder: where to export to, as the user named it.
        overwrite: whether a model in the folder may be replaced. Other files may never be.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / FACTS_FILE).is_file():
        raise RunDirectoryError(
            f"{folder} holds other files, and an export takes a folder of its own", hint="name a new folder"
        )
    if not overwrite:
        raise RunDirectoryError(
            f"{folder} holds a model already; nothing was changed",
            hint="name another folder with --output, or add --overwrite",
        )


def write_saved_model(model: keras.Model, folder: Path) -> None:
    """Write a SavedModel, without the messages that Keras prints.

    Raises:
        OSError: if it cannot be written.
    """
    import tensorflow as tf

    if not getattr(model, "inputs", None) and not model._called:
        _call_once(model)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            model.export(folder, format="tf_saved_model", verbose=False)
        except tf.errors.OpError as error:  # TensorFlow raises it for a full disk, too
            raise OSError(reason_of(error)) from error


def _call_once(model: keras.Model) -> None:
    """Call a subclassed model symbolically: Keras exports a traced call, and a loaded model has none."""
    import keras

    def part(shape: Sequence[int | None]) -> keras.KerasTensor:
        return keras.KerasTensor((None, *shape[1:]), model.input_dtype)

    model(keras.tree.map_shape_structure(part, model.get_build_config()["input_shape"]))


def add_saved_model(folder: Path, build: Callable[[], keras.Model] | None = None) -> None:
    """Write the SavedModel of an exported model that has none yet.

    Nothing is done if there is a SavedModel already, or no model.

    Args:
        folder: an exported folder, written by `export_model`.
        build: as for `load_model`.
    """
    if not (folder / MODEL_FILE).is_file() or (folder / SAVED_MODEL).is_dir():
        return
    model = load_model(folder, build)
    draft = folder / f".{SAVED_MODEL}"
    write_saved_model(model, draft)
    os.rename(draft, folder / SAVED_MODEL)


def fault_of(folder: Path) -> str | None:
    """Describe what is wrong with an exported model; None if it is intact.

    A fault is a missing model, or a damaged file of it.
    """
    path = folder / MODEL_FILE
    try:
        check_keras_file(path)
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        load_facts(folder)
    except RunDirectoryError as error:
        return str(error).splitlines()[0]
    except Exception as error:  # for damaged files, the libraries raise errors of many kinds
        return f"{path} is damaged: {reason_of(error)}"
    return f"{path} is damaged in {damaged}" if damaged else None


def load_model(folder: Path, build: Callable[[], keras.Model] | None = None) -> keras.Model:
    """Load the model of an exported folder, not compiled.

    Args:
        folder: an exported folder, written by `export_model`.
        build: returns a model with the classes that the file may name, such as a scenario's `build_model`. It
            is called if the file names a class or function that Keras does not know, because what builds the
            model imports its classes. None: such a file is refused. A module that a file names is never
            imported, with `build` or without.

    Raises:
        RunDirectoryError: if there is no model, it is damaged, or a class is missing.
    """
    return load_model_file(folder / MODEL_FILE, build)


def load_model_file(path: Path, build: Callable[[], keras.Model] | None = None) -> keras.Model:
    """Load a `.keras` file, as `load_model` does."""
    import keras

    if not path.is_file():
        raise _no_model(path)

    def load(classes: Mapping[str, type]) -> keras.Model:
        return keras.saving.load_model(path, custom_objects=dict(classes), compile=False, safe_mode=True)

    try:
        check_keras_file(path)
        try:
            return load({})
        except Exception as error:  # for damaged files, Keras raises errors of many kinds
            if build is None or _missing_in(error) is None:
                raise
        return load(own_classes(build()))
    except ScenarioError:
        raise
    except Exception as error:
        if (missing := _missing_in(error)) is not None:
            raise RunDirectoryError(
                f"the model at {path} cannot be loaded: Keras does not know its {missing}",
                hint="decorate it with @keras.saving.register_keras_serializable(), and import it in "
                "build_model() or at the top of"
                " the scenario's module (docs/custom_layers.md)",
            ) from error
        raise RunDirectoryError(f"the model at {path} cannot be loaded: {reason_of(error)}") from error


def own_classes(model: keras.Model) -> dict[str, type]:
    """Return the classes of a model and its layers that are not Keras' own, by their names in a file."""
    import keras

    kinds = {type(layer) for layer in (model, *all_layers(model))}
    return {
        keras.saving.get_registered_name(kind): kind
        for kind in kinds
        if not kind.__module__.startswith(("keras.", "tensorflow."))
    }


def _missing_in(error: Exception) -> str | None:
    """Return the class or function that Keras could not find, as `class 'Scale'`; None for another error."""
    found = re.search(r"Could not locate (?:class|function) '[^']*'", str(error))
    return found and found[0].removeprefix("Could not locate ")


def load_facts(folder: Path) -> JsonObject:
    """Load the facts in `model.json` of an exported model.

    Raises:
        RunDirectoryError: if the file is missing or damaged.
    """
    try:
        facts = read_json(folder / FACTS_FILE, ModelFile)
    except MissingFileError:
        raise _no_model(folder / FACTS_FILE) from None
    if facts.pop("sha256", None) not in (None, sha256_of(strict_json(facts))):
        raise RunDirectoryError(f"{folder / FACTS_FILE} is damaged: its checksum does not fit")
    return facts


def _no_model(path: Path) -> RunDirectoryError:
    return RunDirectoryError(
        f"there is no model: {path} is missing", hint="a run writes its best model after its first good epoch"
    )


@contextlib.contextmanager
def _uncompiled(model: keras.Model) -> Iterator[None]:
    """Remove optimizer, loss and metrics from a model while it is saved."""
    optimizer, compiled = model.optimizer, model.compiled
    model.optimizer, model.compiled = None, False
    try:
        yield
    finally:
        model.optimizer, model.compiled = optimizer, compiled


def _describe(tensors: Iterable[keras.KerasTensor] | None) -> list[dict[str, object]]:
    return [{"name": t.name, "shape": list(t.shape), "dtype": str(t.dtype)} for t in tensors or ()]
