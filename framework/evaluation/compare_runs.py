"""Comparison of two runs, bit for bit: everything that they leave behind except times."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import ScenarioError
from framework.model.export import MODEL_FILE, SAVED_MODEL, load_facts
from framework.run.checkpoint import CheckpointStore
from framework.run.recorder import without_times
from framework.run.run_directory import RunDirectory

if TYPE_CHECKING:
    import h5py


def differences(ours: str | Path, theirs: str | Path) -> list[str]:
    """List the parts in which two runs differ, such as "metrics.jsonl". Empty if they are equal.

    Args:
        ours, theirs: run directories.

    Raises:
        RunDirectoryError: if one of them is not a run.
    """
    runs = RunDirectory.open(ours), RunDirectory.open(theirs)
    return [part for part, read in _PARTS.items() if read(runs[0]) != read(runs[1])]


def _checkpoint(run: RunDirectory) -> object:
    snapshot = CheckpointStore(run.checkpoints).load_newest()
    if snapshot is None:
        return None
    state = json.loads(json.dumps(snapshot.state))
    del state["progress"]["seconds"]
    state["history"] = [without_times(record) for record in state["history"]]
    variables = {
        group: [named.array.tobytes() for named in members] for group, members in snapshot.variables.items()
    }
    return snapshot.step, state, variables


def _averages(run: RunDirectory) -> object:
    store = CheckpointStore(run.averages)
    return [
        (step, [named.array.tobytes() for group in store.load(step).variables.values() for named in group])
        for step in store.steps()
    ]


def _metrics(run: RunDirectory) -> object:
    return [without_times(json.loads(line)) for line in run.metrics_file.read_text().splitlines()]


def _result(run: RunDirectory) -> object:
    return (run.load_result() or {}) | {"seconds": None, "phases": None}


def _best(run: RunDirectory) -> object:
    return _exported(run.best)


def _final(run: RunDirectory) -> object:
    return _exported(run.export)


def _exported(folder: Path) -> object:
    import h5py
    import numpy as np

    weights: dict[str, bytes] = {}

    def read(path: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            weights[path] = np.asarray(node).tobytes()

    if not (folder / MODEL_FILE).exists():
        return None
    with (
        zipfile.ZipFile(folder / MODEL_FILE) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        file.visititems(read)
    return load_facts(folder), weights, (folder / SAVED_MODEL).is_dir()


_PARTS: Mapping[str, Callable[[RunDirectory], object]] = {
    "the last checkpoint": _checkpoint,
    "the saved averages": _averages,
    "metrics.jsonl": _metrics,
    "result.json": _result,
    "the best model": _best,
    "the exported model": _final,
}


def main() -> int:
    """Print what differs between the two run directories on the command line; return 1 if anything does."""
    if len(sys.argv) != 3:
        print("usage: python -m framework.evaluation.compare_runs RUN RUN", file=sys.stderr)
        return 2
    try:
        found = differences(*sys.argv[1:])
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("\n".join(f"differs: {part}" for part in found) or "the same bits")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
