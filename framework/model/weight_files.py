"""Weights on disk, read as arrays by path from any kind of file.

The path of a variable is the names of the layers and models around it, from the outside in, and its own name,
joined by `/`. The name of the outermost model is left out: `backbone/conv1/kernel`. Neither a pickle nor a
Lambda is run. What each kind of file says about paths:

    .keras         the model is built, so paths are known; if its classes are not available, the file is
                   read like `.weights.h5`
    .weights.h5    layers have names, their variables numbers: `conv1/0`; files of older versions of Keras
                   have only Keras' own keys
    legacy .h5     layers and variables have names; weights alone or a whole model, Keras 1 to 3
    SavedModel     TensorFlow's names, some of which leave out a layer on the way
    checkpoint     the same as SavedModel
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError, Problem, reason_of
from framework.model.checkpoint_weights import load_checkpoint, weights_of
from framework.model.hdf5_weights import WeightSource, read_hdf5, unique
from framework.model.layers import inner_layers
from framework.model.model_files import check_datasets, check_keras_file
from framework.run.run_files import read_bytes

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

log = logging.getLogger(__name__)

_MODEL_FILES = ("best/model.keras", "export/model.keras", "model.keras")
_KINDS = (
    "a run directory, one of its checkpoints, a .keras, .weights.h5 or legacy .h5 file, or a "
    "SavedModel folder"
)


@dataclass(frozen=True)
class ModelVariable:
    """A variable of a model, with its names in the kinds of sources.

    Args:
        variable: the variable itself.
        path: `conv1/kernel`.
        number: `conv1/0`, by its index among the variables of its own layer.
        siblings: how many variables its layer has, itself included.
        graph_name: TensorFlow's name.
    """

    variable: keras.Variable
    path: str
    number: str
    siblings: int
    graph_name: str


def model_variables(model: keras.Model) -> list[ModelVariable]:
    """List the variables of a built model in the order of `model.weights`.

    Seeds of random generators are left out.

    Raises:
        ValueError: if the model is not built.
    """
    found: dict[int, tuple[str, str, int, keras.Variable]] = {}

    def visit(layer: keras.layers.Layer, prefix: str) -> None:
        children = inner_layers(layer)
        inside = {id(weight) for child in children for weight in child.weights}
        own = [weight for weight in layer.weights if id(weight) not in inside]
        for i, weight in enumerate(own):
            # A layer that is used in several places keeps its first path.
            found.setdefault(id(weight), (prefix + weight.name, f"{prefix}{i}", len(own), weight))
        for child in children:
            visit(child, f"{prefix}{child.name}/")

    visit(model, "")
    if not found:
        raise ValueError(f"the model {model.name!r} has no weights yet: build it first")
    paths = unique(path for path, *_ in found.values())
    graph_names = unique(
        _graph_name(weight.value).removeprefix(f"{model.name}/") for *_, weight in found.values()
    )
    return [
        ModelVariable(weight, path, number, siblings, graph_name)
        for (_, number, siblings, weight), path, graph_name in zip(
            found.values(), paths, graph_names, strict=True
        )
    ]


def structure_of(model: keras.Model) -> dict[str, str]:
    """Return Keras' keys in a `.weights.h5` of this model, by the paths that reading this file would give."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.weights.h5"
        model.save_weights(path)
        with h5py.File(path) as file:
            return dict(read_hdf5(file).keys)


def open_weights(location: str) -> WeightSource:
    """Read the weights at a location. The content of a file, not its name, decides how it is read.

    Args:
        location: a run directory (its best model, else its exported one, else its newest intact checkpoint),
            a checkpoint, a folder with a `model.keras`, a SavedModel, or a file.

    Raises:
        ConfigError: at `warmstart.model`, if nothing is there, or it is damaged or of an unknown kind.
    """
    import h5py

    path = Path(location).expanduser()
    if not path.exists():
        raise ConfigError(
            Problem("warmstart.model", "there is no such file or folder", given=location, allowed=_KINDS)
        )
    if path.is_dir():
        path = next((path / name for name in _MODEL_FILES if (path / name).is_file()), path)
    log.info("warm start from %s", path)
    try:
        if (path / "saved_model.pb").is_file():
            _check_files(path)
            return _read_saved_model(path)
        if (snapshot := load_checkpoint(path)) is not None:
            return _graph_named(weights_of(snapshot))
        if path.is_file() and zipfile.is_zipfile(path):
            return _read_keras(path)
        if path.is_file() and h5py.is_hdf5(path):
            with h5py.File(path) as file:
                check_datasets(file)
                return read_hdf5(file)
    except Exception as error:  # for damaged files, the libraries raise errors of many kinds
        raise ConfigError(
            Problem("warmstart.model", f"cannot be read: {reason_of(error)}", given=location, allowed=_KINDS)
        ) from error
    what = "holds no model" if path.is_dir() else "is damaged, or not a file of weights"
    raise ConfigError(Problem("warmstart.model", what, given=location, allowed=_KINDS))


def _check_files(folder: Path) -> None:
    """Raise a `ValueError` if a folder holds a pipe or a device, for which TensorFlow would wait forever."""
    for here, _, files in os.walk(folder):
        for path in (os.path.join(here, name) for name in files):
            if os.path.exists(path) and not os.path.isfile(path):
                raise ValueError(f"{path} is a pipe or a device, and not a file")


def _read_keras(path: Path) -> WeightSource:
    import h5py
    import keras

    check_keras_file(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (
        Exception
    ) as error:  # a class that is not available, a Lambda; damage shows when the weights are read
        log.info(
            "the model in %s cannot be built here, so its weights go by their numbers: %s",
            path,
            type(error).__name__,
        )
        with (
            zipfile.ZipFile(path) as archive,
            h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
        ):
            return read_hdf5(file)
    return WeightSource({v.path: keras.ops.convert_to_numpy(v.variable) for v in model_variables(model)})


def _read_saved_model(path: Path) -> WeightSource:
    """Read the variables that a SavedModel lists, by its names for them.

    They are read from the files: `tf.saved_model.load` would run a part of the graph, and an operation of a
    graph can write a file.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2, trackable_object_graph_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString(read_bytes(path / "saved_model.pb", 2**31))
    nodes = model.meta_graphs[0].object_graph_def.nodes
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    saved = trackable_object_graph_pb2.TrackableObjectGraph()
    saved.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))

    def members(graph: Sequence[Any]) -> dict[str, int]:
        """Return the nodes of the list `variables` at the root of an object graph, by number."""
        at = next((child.node_id for child in graph[0].children if child.local_name == "variables"), None)
        found = {} if at is None else {child.local_name: child.node_id for child in graph[at].children}
        if not found:
            raise ValueError("it lists no variables; Keras' model.export(...) writes one that does")
        return found

    names, places = members(nodes), members(saved.nodes)
    found = []
    for number, node in names.items():
        name = nodes[node].variable.name
        if not name.endswith("seed_generator_state"):
            found.append((name, reader.get_tensor(saved.nodes[places[number]].attributes[0].checkpoint_key)))
    return _graph_named(found)


def _graph_named(found: Sequence[tuple[str, np.ndarray]]) -> WeightSource:
    """Make a source of arrays with TensorFlow's names."""
    paths = unique(name for name, _ in found)
    return WeightSource(
        {path: array for path, (_, array) in zip(paths, found, strict=True)}, naming="graph_name"
    )


def _graph_name(variable: tf.Variable) -> str:
    return str(variable.name).removesuffix(":0")
