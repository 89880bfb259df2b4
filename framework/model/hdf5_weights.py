"""Weights in HDF5 files, as Keras 1 to 3 have written them."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import h5py
    import numpy as np


@dataclass(frozen=True)
class WeightSource:
    """The weights of a file.

    Args:
        arrays: by path, in the order of the file.
        naming: the attribute of `ModelVariable` that the paths correspond to.
        keys: if the variables are numbered, Keras' key of each path.
    """

    arrays: Mapping[str, np.ndarray]
    naming: Literal["path", "number", "graph_name"] = "path"
    keys: Mapping[str, str] = field(default_factory=dict)


def read_hdf5(file: h5py.File) -> WeightSource:
    """Read the weights in an HDF5 file, of Keras 1 to 3.

    Raises:
        ValueError: if it holds none, or refers to other files.
    """
    group = file.get("model_weights", file)
    layers = _attribute(group, "layer_names")
    return _read_keras_3(file) if layers is None else _read_legacy(group, layers)


def _read_legacy(group: h5py.Group, layers: list[str]) -> WeightSource:
    """Read a legacy file, which has one group for each layer.

    The names of a layer's weights begin with the name of the layer, with that name and a number, or with the
    names of the models around it.
    """
    found = []
    for layer in layers:
        for name in _attribute(group[layer], "weight_names") or []:
            parts = name.removesuffix(":0").split("/")
            own = (
                i for i, part in enumerate(parts[:-1]) if re.fullmatch(rf"{re.escape(layer)}(_\d+)?", part)
            )
            found.append(("/".join([layer, *parts[next(own, -1) + 1 :]]), _array(group[layer][name], group)))
    paths = unique(path for path, _ in found)
    return WeightSource({path: array for path, (_, array) in zip(paths, found, strict=True)})


def _read_keras_3(file: h5py.File) -> WeightSource:
    """Read the keys of Keras 3: `layers/dense_1/vars/0` is the first variable of the second Dense layer.

    The attribute `name` of `vars` is the name of the layer.
    """
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def visit(key: str, node: h5py.Group | h5py.Dataset) -> None:
        parts = key.split("/")
        if (
            isinstance(node, h5py.Dataset)
            and "vars" in parts
            and parts[0] != "optimizer"
            and "seed_generator" not in key
        ):
            found[key] = _array(node, file)

    file.visititems(visit)
    if not found:
        raise ValueError("it holds no weights")
    names = [_named(file, key) for key in found]
    counts = Counter(names)
    # Keras sorts the parts of a layer by attribute, so two layers of one name cannot be told apart. They keep
    # their keys.
    paths = [name if counts[name] == 1 else key for name, key in zip(names, found, strict=True)]
    return WeightSource(
        dict(zip(paths, found.values(), strict=True)),
        naming="number",
        keys=dict(zip(paths, found, strict=True)),
    )


def _array(dataset: h5py.Dataset, within: h5py.Group) -> np.ndarray:
    """Read a dataset. HDF5 has no bfloat16: Keras writes two raw bytes, and the dtype as an attribute."""
    if dataset.external or dataset.is_virtual or dataset.file.filename != within.file.filename:
        raise ValueError(f"{dataset.name} is not in the file itself, but refers to another one")
    if dataset.attrs.get("dtype") != "bfloat16":
        return dataset[()]
    import ml_dtypes

    return dataset[()].view(ml_dtypes.bfloat16)


def _named(file: h5py.File, key: str) -> str:
    """Return the path that the names in a file give to a key; the key itself if a name is missing."""
    *parts, _, number = key.split("/")
    names = []
    for end in range(1, len(parts) + 1):
        own = "/".join([*parts[:end], "vars"])
        if own in file:  # else it is a list of layers, such as `layers`, and has no name
            with contextlib.suppress(KeyError):
                names.append(str(file[own].attrs["name"]))
                continue
            return key
    return "/".join([*names, number])


def _attribute(group: h5py.Group, name: str) -> list[str] | None:
    """Read a list of texts from the attributes of a group. Keras splits a long one: `name0`, `name1`, ..."""
    names = [name] if name in group.attrs else []
    while f"{name}{len(names)}" in group.attrs:
        names.append(f"{name}{len(names)}")
    values = [value for part in names for value in group.attrs[part]]
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values] if names else None


def unique(names: Iterable[str]) -> list[str]:
    """Make names unique: `~2` is appended to the second of a kind, and so on."""
    counts: Counter[str] = Counter()
    result = []
    for name in names:
        counts[name] += 1
        result.append(name if counts[name] == 1 else f"{name}~{counts[name]}")
    return result
