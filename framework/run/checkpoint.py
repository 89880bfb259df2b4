"""Checkpoints: everything that the next step depends on, in files with checksums, without pickle.

    checkpoints/step-00005120/
      variables.npz    each variable's array, under its group and number
      state.json       epoch, step, best, early stopping, history; name, shape and dtype of each variable
      manifest.json    the format, and size and SHA-256 of the other files

A checkpoint is written under another name, synced, and renamed when it is whole. So a folder of that name is
complete. Later damage is found by the checksums.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import reprlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import CheckpointError
from framework.run.checkpoint_arrays import Fault, expected_bytes, key_of, read_arrays, storable
from framework.run.files import replacing_directory, sha256_of
from framework.run.run_files import (
    JsonObject,
    UnusableFileError,
    open_regular,
    parse_json,
    read_bytes,
    read_json,
)
from framework.run.run_records import ManifestFile, StateFile, StoredFile

if TYPE_CHECKING:
    import keras
    import numpy as np

log = logging.getLogger(__name__)

FORMAT = 1
_NAME = re.compile(r"step-([0-9]{8,13})")


@dataclass(frozen=True)
class NamedArray:
    """The array of a variable, and the name that Keras gives it.

    Variables are matched by place, since Keras numbers names anew in each process.
    """

    name: str
    array: np.ndarray


@dataclass(frozen=True)
class Snapshot:
    """The state of a run at one step, in memory.

    Args:
        step: training steps done.
        state: plain values, as JSON holds them.
        variables: the variables in groups ("model", "optimizer", ...), each in its order.
    """

    step: int
    state: Mapping[str, Any]
    variables: Mapping[str, Sequence[NamedArray]]

    def group(self, name: str) -> Sequence[NamedArray]:
        """Return the variables of a group.

        Raises:
            CheckpointError: if there is no such group.
        """
        if name not in self.variables:
            raise CheckpointError(f"the checkpoint of step {self.step:,} holds no variables {name!r}")
        return self.variables[name]


def copy_variables(variables: Iterable[keras.Variable]) -> list[NamedArray]:
    """Copy the values of Keras variables, so that training can go on."""
    import keras
    import numpy as np

    return [
        NamedArray(variable.path, np.array(keras.ops.convert_to_numpy(variable))) for variable in variables
    ]


def restore_variables(variables: Sequence[keras.Variable], saved: Sequence[NamedArray], *, what: str) -> None:
    """Put saved arrays into Keras variables, in order, bit for bit.

    Args:
        what: what the variables belong to, for the message.

    Raises:
        CheckpointError: if the number, the shapes or the dtypes differ; then no variable is changed.
    """
    check_fit(variables, saved, what=what)
    for variable, named in zip(variables, saved, strict=True):
        variable.assign(named.array)


def check_fit(variables: Sequence[keras.Variable], saved: Sequence[NamedArray], *, what: str) -> None:
    """Raise a `CheckpointError` if number, shapes or dtypes of saved arrays differ from the variables'."""
    found = [(tuple(variable.shape), str(variable.dtype)) for variable in variables]
    given = [(named.array.shape, named.array.dtype.name) for named in saved]
    if found != given:
        at = next(
            (i for i, (f, g) in enumerate(zip(found, given, strict=False)) if f != g),
            min(len(found), len(given)),
        )
        there = f"{saved[at].name} {given[at]}" if at < len(given) else "nothing"
        here = f"{variables[at].path} {found[at]}" if at < len(found) else "nothing"
        raise CheckpointError(
            f"the checkpoint does not fit the {what}: variable {at} is {there} in the checkpoint and {here} "
            f"in the {what}",
            hint="resume with the code and the settings that the run was started with",
        )


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: the folder of the checkpoints.
        keep: how many to keep; None: all.
        holds: the type of their state.json; a checkpoint with another content is damaged.
    """

    def __init__(self, folder: Path, *, keep: int | None = None, holds: type[StateFile] = StateFile) -> None:
        self.folder = folder
        self._holds = holds
        self._keep = keep

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints, ascending, intact or not."""
        if not self.folder.is_dir():
            return []
        matches = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint, then delete those of later steps and those beyond the last `keep`.

        Raises:
            OSError: if it cannot be written, as on a full disk; the checkpoints before it stay.
        """
        import numpy as np

        target = self._path(snapshot.step)
        with replacing_directory(target) as draft:
            arrays = {
                key_of(group, i): storable(named.array)
                for group, members in snapshot.variables.items()
                for i, named in enumerate(members)
            }
            np.savez(draft / "variables.npz", **arrays)  # type: ignore[arg-type]
            described = {
                group: [
                    {"name": m.name, "shape": list(m.array.shape), "dtype": m.array.dtype.name}
                    for m in members
                ]
                for group, members in snapshot.variables.items()
            }
            content = {"step": snapshot.step, **snapshot.state, "variables": described}
            (draft / "state.json").write_text(json.dumps(content, indent=1))
            files = {name: _fingerprint(draft / name) for name in ("variables.npz", "state.json")}
            (draft / "manifest.json").write_text(json.dumps({"format": FORMAT, "files": files}, indent=1))
        # Later checkpoints were given up when the run went back to an earlier step. They must not count as
        # the newest.
        self.drop_after(snapshot.step)
        self._retain()
        return target

    def load_newest(self) -> Snapshot | None:
        """Load the newest intact checkpoint; None if there are no checkpoints.

        Damaged ones are passed over with a warning.

        Raises:
            CheckpointError: if there are checkpoints and all are damaged.
        """
        damages = []
        for step in reversed(self.steps()):
            try:
                return self.load(step)
            except CheckpointError as error:
                log.warning("%s; it is passed over", error)
                damages.append(str(error))
        if damages:
            raise CheckpointError(
                f"none of the {len(damages)} checkpoints in {self.folder} is intact",
                hint=f"the weights of the best model, in {self.folder.parent / 'best'}, do not depend on "
                "them",
            )
        return None

    def load(self, step: int) -> Snapshot:
        """Load the checkpoint of a step, and verify its checksums.

        Raises:
            CheckpointError: naming the file that is missing, damaged, or of a later format.
        """
        folder = self._path(step)
        state = self._inspect(folder, step)
        described = state.pop("variables")
        with _damage(folder / "variables.npz"), open_regular(folder / "variables.npz") as file:
            arrays = read_arrays(file, described)
        variables = {
            group: [NamedArray(member["name"], arrays[key_of(group, i)]) for i, member in enumerate(members)]
            for group, members in described.items()
        }
        return Snapshot(step=state.pop("step"), state=state, variables=variables)

    def newest_state(self) -> JsonObject | None:
        """Load the state of the newest intact checkpoint, without its variables; None if there is none."""
        for step in reversed(self.steps()):
            with contextlib.suppress(CheckpointError):
                return self._inspect(self._path(step), step)
        return None

    def intact_steps(self) -> list[int]:
        """Return the steps of all intact checkpoints, ascending.

        Damaged ones are passed over with a warning.
        """
        intact = []
        for step in self.steps():
            try:
                self._inspect(self._path(step), step)
                intact.append(step)
            except CheckpointError as error:
                if self._path(step).exists():  # else a run in training has deleted it meanwhile
                    log.warning("%s; it is passed over", error)
        return intact

    def _inspect(self, folder: Path, step: int) -> JsonObject:
        """Check that a checkpoint is intact, and return its state.json.

        Sizes are compared before anything is read, and the state is read before the arrays.
        """
        with _damage(folder):
            manifest = read_json(folder / "manifest.json", ManifestFile)
        if manifest.get("format") != FORMAT:
            raise CheckpointError(
                f"{folder / 'manifest.json'} is of format {reprlib.repr(manifest.get('format'))}, and "
                f"{FORMAT} is what is read"
            )
        files = manifest.get("files", {})
        if set(files) != {"variables.npz", "state.json"}:
            raise CheckpointError(f"{folder / 'manifest.json'} is damaged: it does not list the files")
        state_file, arrays_file = folder / "state.json", folder / "variables.npz"
        with _damage(folder):
            content = read_bytes(state_file, self._holds.limit)
            _compare(
                {"bytes": len(content), "sha256": sha256_of(content)},
                files["state.json"],
                state_file,
            )
            state = parse_json(content, self._holds, str(state_file))
            if state["step"] != step:
                raise CheckpointError(f"{state_file} is damaged: it is of step {state['step']}")
            with open_regular(arrays_file) as file:
                size = file.seek(0, 2)
                if size != files["variables.npz"]["bytes"]:
                    raise CheckpointError(
                        f"{arrays_file} is damaged: its size is not the one that was recorded"
                    )
        with _damage(arrays_file), open_regular(arrays_file) as file:
            if size > expected_bytes(state["variables"]):
                raise Fault("it is larger than what state.json describes")
            _compare(
                {"bytes": size, "sha256": sha256_of(file)},
                files["variables.npz"],
                arrays_file,
            )
            # The checksums are right, so any fault from here on was written, and is not damage of the disk.
            read_arrays(file, state["variables"], headers_only=True)
        return state

    def drop_after(self, step: int) -> None:
        """Delete the checkpoints of steps after `step`, to which a run goes back."""
        for later in self.steps():
            if later > step:
                shutil.rmtree(self._path(later), ignore_errors=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _retain(self) -> None:
        for step in self.steps()[: -self._keep] if self._keep else ():
            shutil.rmtree(self._path(step), ignore_errors=True)
        for draft in self.folder.glob(".step-*.draft"):
            shutil.rmtree(draft, ignore_errors=True)


def _fingerprint(path: Path) -> StoredFile:
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": sha256_of(file)}


def _compare(found: StoredFile, recorded: StoredFile, path: Path) -> None:
    if found != {key: recorded.get(key) for key in found}:
        raise CheckpointError(f"{path} is damaged: its checksum is not the one that was recorded")


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except UnusableFileError as error:
        raise CheckpointError(str(error)) from error
    except Fault as error:
        raise CheckpointError(f"{path} does not hold what state.json describes: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
