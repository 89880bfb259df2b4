"""The state of a run on disk: everything that the next step depends on, in checksummed files, without pickle.

    checkpoints/step-00005120/
      variables.npz    each variable's array, under its group and number
      state.json       epoch, step, best, early stopping, history; what each variable is called, its shape and dtype
      manifest.json    the format, and size and SHA-256 of the other files

A checkpoint is written under another name, synced, and renamed when it is whole; so a folder of that name is complete, and what
damages it later is found by its checksums.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import re
import shutil
import threading
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import CheckpointError
from framework.files import replacing_directory

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

FORMAT = 1
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class NamedArray:
    """One variable: its array, and what Keras calls it. Keras numbers names anew in each process, so its place is what counts."""

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


def copy_variables(variables: Iterable[Any]) -> list[NamedArray]:
    """Copies of Keras variables; training goes on without touching them."""
    import keras
    import numpy as np

    return [NamedArray(variable.path, np.array(keras.ops.convert_to_numpy(variable))) for variable in variables]


def restore_variables(variables: Sequence[Any], saved: Sequence[NamedArray], *, what: str) -> None:
    """Put saved arrays into Keras variables, in order, bit for bit.

    Args:
        what: what the variables belong to, for the message.

    Raises:
        CheckpointError: where number, shapes or dtypes differ; no variable is changed then.
    """
    found = [(tuple(variable.shape), str(variable.dtype)) for variable in variables]
    given = [(named.array.shape, named.array.dtype.name) for named in saved]
    if found != given:
        at = next((i for i, (f, g) in enumerate(zip(found, given, strict=False)) if f != g), min(len(found), len(given)))
        there = f"{saved[at].name} {given[at]}" if at < len(given) else "nothing"
        here = f"{variables[at].path} {found[at]}" if at < len(found) else "nothing"
        raise CheckpointError(
            f"the checkpoint does not fit the {what}: variable {at} is {there} in the checkpoint and {here} in the {what}",
            hint="resume with the code and the settings that the run was started with",
        )
    for variable, named in zip(variables, saved, strict=True):
        variable.assign(named.array)


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        keep: how many to keep; None keeps all.
    """

    def __init__(self, folder: Path, *, keep: int | None = None) -> None:
        self.folder = folder
        self._keep = keep

    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, ascending, intact or not."""
        if not self.folder.is_dir():
            return []
        matches = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint, then delete those of later steps and those beyond the last `keep`.

        Raises:
            OSError: where it cannot be written, as on a full disk; the checkpoints before it stay.
        """
        import numpy as np

        target = self._path(snapshot.step)
        with replacing_directory(target) as draft:
            arrays = {
                _key(group, i): _storable(named.array)
                for group, members in snapshot.variables.items()
                for i, named in enumerate(members)
            }
            np.savez(draft / "variables.npz", **arrays)  # type: ignore[arg-type]
            described = {
                group: [{"name": m.name, "shape": list(m.array.shape), "dtype": m.array.dtype.name} for m in members]
                for group, members in snapshot.variables.items()
            }
            content = {"step": snapshot.step, **snapshot.state, "variables": described}
            (draft / "state.json").write_text(json.dumps(content, indent=1))
            files = {name: _fingerprint(draft / name) for name in ("variables.npz", "state.json")}
            (draft / "manifest.json").write_text(json.dumps({"format": FORMAT, "files": files}, indent=1))
        # Later ones are of a future that was given up, when the run went back to before them: they must not count as the newest.
        self.drop_after(snapshot.step)
        self._retain()
        return target

    def load_newest(self) -> Snapshot | None:
        """The newest intact checkpoint; None where there is no checkpoint at all. Damaged ones are passed over with a warning.

        Raises:
            CheckpointError: where there are checkpoints and each is damaged.
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
                hint=f"the weights of the best model, in {self.folder.parent / 'best'}, do not depend on them",
            )
        return None

    def load(self, step: int) -> Snapshot:
        """The checkpoint of a step, its checksums verified.

        Raises:
            CheckpointError: naming the file that is missing, damaged, or of a later format.
        """
        import numpy as np

        folder = self._path(step)
        self._verify(folder)
        state = _read_json(folder / "state.json")
        try:
            described = state.pop("variables")
            with np.load(folder / "variables.npz", allow_pickle=False) as stored:
                variables = {
                    group: [
                        NamedArray(m["name"], _from_storable(stored[_key(group, i)], m["dtype"])) for i, m in enumerate(members)
                    ]
                    for group, members in described.items()
                }
            return Snapshot(step=state.pop("step"), state=state, variables=variables)
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            # The checksums are right, so somebody wrote it like that.
            raise CheckpointError(f"{folder / 'variables.npz'} does not hold what state.json describes: {error}") from error

    def intact_steps(self) -> list[int]:
        """The steps that there are intact checkpoints of, ascending. Damaged ones are passed over with a warning."""
        intact = []
        for step in self.steps():
            try:
                self._verify(self._path(step))
                intact.append(step)
            except CheckpointError as error:
                log.warning("%s; it is passed over", error)
        return intact

    def _verify(self, folder: Path) -> None:
        manifest = _read_json(folder / "manifest.json")
        if manifest.get("format") != FORMAT:
            raise CheckpointError(
                f"{folder / 'manifest.json'} is of format {manifest.get('format')!r}, and {FORMAT} is what is read"
            )
        files = manifest.get("files")
        if not isinstance(files, dict) or set(files) != {"variables.npz", "state.json"}:
            raise CheckpointError(f"{folder / 'manifest.json'} is damaged: it does not list the files")
        for name, expected in files.items():
            path = folder / name
            if not path.is_file():
                raise CheckpointError(f"{path} is missing")
            if _fingerprint(path) != expected:
                raise CheckpointError(f"{path} is damaged: its checksum is not the one that was recorded")

    def drop_after(self, step: int) -> None:
        """Delete those of later steps, which a run that goes back to `step` does anew."""
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


class CheckpointWriter:
    """Writes checkpoints beside the training, in a thread of its own. A context manager: what was submitted is on disk when it ends.

    One checkpoint is written at a time; where the disk is slower than the training, `submit` waits.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[CheckpointStore, Snapshot] | None] = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._work, name="checkpoint-writer", daemon=True)

    def __enter__(self) -> CheckpointWriter:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._queue.put(None)
        self._thread.join()

    def submit(self, store: CheckpointStore, snapshot: Snapshot) -> None:
        """Have a snapshot written to a store. A failure is a warning, since the checkpoints before it stay."""
        self._queue.put((store, snapshot))

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            store, snapshot = job
            try:
                store.save(snapshot)
            except Exception as error:
                log.warning(
                    "the checkpoint of step %d could not be written to %s: %s; training goes on, and the checkpoints before it stay",
                    snapshot.step,
                    store.folder,
                    error,
                )


def _key(group: str, index: int) -> str:
    return f"{group}.{index:05d}"


def _storable(array: np.ndarray) -> np.ndarray:
    """NumPy's file format knows its own dtypes only; others (bfloat16) go by their bits."""
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def _from_storable(array: np.ndarray, dtype: str) -> np.ndarray:
    if array.dtype.name == dtype:
        return array
    import ml_dtypes

    return array.view(getattr(ml_dtypes, dtype))


def _fingerprint(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return {"bytes": os.path.getsize(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is damaged: it holds no mapping")
    return content
