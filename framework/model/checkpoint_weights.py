"""Reading the weights in the checkpoints of a run, for a warm start."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import CheckpointError
from framework.run.checkpoint import CheckpointStore, NamedArray, Snapshot

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

AVERAGE = "average"
"""The name of the averaged weights of `trainer.calc_ema` in a checkpoint."""


def load_checkpoint(path: Path) -> Snapshot | None:
    """Load the checkpoint that a path refers to; None if it refers to none.

    Args:
        path: a checkpoint, one of its files, a run directory, or its folder `checkpoints`. Of a run, the
            newest intact checkpoint is loaded.

    Raises:
        CheckpointError: if the checkpoint is damaged, or, of several, each.
    """
    of_file = path.name in ("variables.npz", "state.json", "manifest.json")
    for folder in (path, path.parent) if of_file else (path,):
        if (match := re.fullmatch(r"step-(\d{8,})", folder.name)) and folder.is_dir():
            return CheckpointStore(folder.parent).load(int(match[1]))
    for folder in (path, path / "checkpoints"):
        if (store := CheckpointStore(folder)).steps():
            snapshot = store.load_newest()
            assert snapshot is not None
            log.info("the newest intact checkpoint in %s is that of step %d", folder, snapshot.step)
            return snapshot
    return None


def weights_of(snapshot: Snapshot) -> list[tuple[str, np.ndarray]]:
    """Return the weights of a checkpoint with TensorFlow's names, in the order of the model.

    They are the averaged weights if the run averages, as in an exported model, else the raw ones. Seeds of
    random generators are left out.

    Raises:
        CheckpointError: if it has no model, or its averaged weights do not fit its model.
    """
    import keras

    if "model" not in snapshot.variables:
        raise CheckpointError(
            "it holds averages alone: `ema-weights RUN --export NAME` makes a model of them"
        )

    weights = [
        named for named in snapshot.variables["model"] if not named.name.endswith("seed_generator_state")
    ]
    averaged = snapshot.variables.get(AVERAGE)
    if averaged is None:
        return [(named.name, named.array) for named in weights]
    # Averages exist of float variables only.
    floats = [named for named in weights if keras.backend.is_float_dtype(named.array.dtype.name)]
    if [named.array.shape for named in floats] != [named.array.shape for named in averaged]:
        raise CheckpointError(f"the averaged weights of step {snapshot.step} are not those of its model")
    averages: Mapping[int, NamedArray] = {
        id(raw): average for raw, average in zip(floats, averaged, strict=True)
    }
    return [(named.name, averages.get(id(named), named).array) for named in weights]
