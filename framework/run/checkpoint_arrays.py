"""The arrays of a checkpoint, `variables.npz`.

The headers in the file are compared with the expected shapes and dtypes before memory is allocated.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, BinaryIO

from framework.run.run_files import memory_bytes
from framework.run.run_records import StoredVariable

if TYPE_CHECKING:
    import numpy as np

_OWN_DTYPES = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)")
_OTHER_DTYPES = re.compile(r"bfloat16|u?int[24]|float[468]_\w+")  # of ml_dtypes
_PER_ARRAY, _PER_FILE = 2_000, 100_000  # the most bytes of headers, in the file and in its directory


class Fault(Exception):  # noqa: N818 - becomes a CheckpointError, which names the file
    """The content of a file is not what is expected."""


def key_of(group: str, index: int) -> str:
    """Return the name of a variable in the file."""
    return f"{group}.{index:05d}"


def storable(array: np.ndarray) -> np.ndarray:
    """Return an array with a dtype that NumPy's file format knows.

    Other dtypes, such as bfloat16, become unsigned integers of the same bits.
    """
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def expected_bytes(described: Mapping[str, Sequence[StoredVariable]]) -> int:
    """Return the most bytes that a file of the described arrays has.

    Raises:
        Fault: if a dtype is unknown, or the arrays need more than the memory of this machine.
    """
    members = [member for group in described.values() for member in group]
    total = sum(math.prod(member["shape"]) * _dtype(member["dtype"]).itemsize for member in members)
    if total > memory_bytes():
        raise Fault(f"the variables would take {total:,} bytes, which is more than this machine has")
    return total + _PER_ARRAY * len(members) + _PER_FILE


def read_arrays(
    file: BinaryIO, described: Mapping[str, Sequence[StoredVariable]], *, headers_only: bool = False
) -> dict[str, np.ndarray]:
    """Read the arrays of a file, by their keys.

    Args:
        described: shape and dtype of each member of each group, as in state.json.
        headers_only: read no values, and return an empty dictionary.

    Raises:
        Fault: if an array is missing or unexpected, or has another shape or dtype.
    """
    expected = {
        key_of(group, i): member for group, members in described.items() for i, member in enumerate(members)
    }
    arrays = {}
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if sorted(names) != sorted(f"{key}.npy" for key in expected):
                raise Fault("it holds other arrays")
            for key, member in expected.items():
                info = archive.getinfo(f"{key}.npy")
                if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                    raise Fault(f"{key} is compressed, and checkpoints are not")
                array = _read_array(archive, info, member, headers_only=headers_only)
                if array is not None:
                    arrays[key] = array
    except Fault:
        raise
    except Exception as error:  # NumPy and zipfile may raise anything on a damaged header
        raise Fault(str(error).split("\n")[0][:200] or type(error).__name__) from error
    return arrays


def _read_array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, member: StoredVariable, *, headers_only: bool
) -> np.ndarray | None:
    import numpy as np

    shape, dtype = tuple(member["shape"]), _dtype(member["dtype"])
    stored = dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise Fault(f"{info.filename} is of version {version}")
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        found_shape, by_columns, found = read_header(file)
        if found_shape != shape or found != stored:
            raise Fault(f"{info.filename} is {found} {found_shape}, not {stored} {shape}")
        size = math.prod(shape) * stored.itemsize
        if info.file_size - file.tell() != size:
            raise Fault(f"{info.filename} has {info.file_size - file.tell():,} bytes of values, not {size:,}")
        if headers_only:
            return None
        values = np.empty(shape[::-1] if by_columns else shape, stored)
        _fill(file, values)
    return (values.T if by_columns else values).view(dtype)


def _fill(file: IO[bytes], values: np.ndarray) -> None:
    """Read the values of an array in place, in pieces, so that a large array takes its memory only once."""
    target = values.reshape(-1).view("u1").data
    at = 0
    while at < len(target):
        piece = file.read(min(len(target) - at, 2**24))
        if not piece:
            raise EOFError("it ends too soon")
        target[at : at + len(piece)] = piece
        at += len(piece)
    if file.read(1):  # reading to the end also makes zipfile compare the checksum
        raise EOFError("it ends too late")


def _dtype(name: str) -> np.dtype:
    import numpy as np

    if _OWN_DTYPES.fullmatch(name):
        return np.dtype(name)
    import ml_dtypes

    if not _OTHER_DTYPES.fullmatch(name) or not hasattr(ml_dtypes, name):
        raise Fault(f"{name!r} is not a dtype of variables")
    return np.dtype(getattr(ml_dtypes, name))
