"""Checks of model and weight files before a library reads them.

A file must not claim to hold far more data than it does.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from framework.run.run_files import memory_bytes, open_regular

if TYPE_CHECKING:
    import h5py

_WEIGHTS = "model.weights.h5"
_SMALL, _MOST = 2**28, 100  # bytes that are always allowed; above that, the largest ratio to what is stored


def check_keras_file(path: Path) -> None:
    """Check that a `.keras` file, and the weights in it, unpack to no more than its size can hold.

    Raises:
        ValueError: says what is wrong. Other damage is left to the reader of the file.
        UnusableFileError: if it is not a regular file, or cannot be read.
    """
    import h5py

    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise ValueError("it holds two members of one name")
        for info in archive.infolist():
            check_claim(info.file_size, info.compress_size, info.filename)
        if _WEIGHTS not in names:
            return
        stored = archive.getinfo(_WEIGHTS).compress_type == zipfile.ZIP_STORED
        with (
            archive.open(_WEIGHTS) as member,
            h5py.File(member if stored else io.BytesIO(member.read())) as weights,
        ):
            check_datasets(weights)


def check_datasets(file: h5py.Group) -> None:
    """Raise a `ValueError` if an array in an HDF5 file claims far more bytes than are stored of it."""
    import h5py

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            check_claim(node.nbytes, node.id.get_storage_size(), name)

    file.visititems(visit)


def check_claim(claimed: int, stored: int, name: str) -> None:
    """Raise a `ValueError` if so many bytes cannot result from what is stored, or exceed the memory."""
    if claimed > memory_bytes() or claimed > max(_SMALL, _MOST * stored):
        raise ValueError(f"{name} claims to be {claimed:,} bytes, made of {stored:,}")
