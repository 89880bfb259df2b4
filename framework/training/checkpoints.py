"""The checkpoints of a run, and the averages that are saved beside them."""

from __future__ import annotations

from collections.abc import Mapping

from framework.model.evaluation_weights import AveragedWeights
from framework.model.post_hoc_ema import power_average
from framework.run.checkpoint import CheckpointStore, Snapshot, copy_variables
from framework.run.checkpoint_writer import CheckpointWriter
from framework.run.run_directory import RunDirectory
from framework.run.run_records import RunStateFile


class Checkpoints:
    """The checkpoints of a run: the newest is loaded, and new ones are written beside the training.

    A context manager: what was saved within it is on disk when it ends.

    Args:
        run: where they are.
        keep: how many to keep.
        lengths: the lengths of the averages that are saved for `ema-weights`.
    """

    def __init__(self, run: RunDirectory, *, keep: int, lengths: tuple[float, ...]) -> None:
        self._store = CheckpointStore(run.checkpoints, keep=keep, holds=RunStateFile)
        self._averages = CheckpointStore(run.averages)
        self._lengths = {power_average(length): length for length in lengths}
        self._writer = CheckpointWriter()

    def __enter__(self) -> Checkpoints:
        self._writer.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.__exit__(*exception)

    def exist(self) -> bool:
        """Return whether there is any, intact or not."""
        return bool(self._store.steps())

    def load_newest(self) -> Snapshot | None:
        """Load the newest intact one; None where there is none.

        Raises:
            CheckpointError: where there are some and each is damaged.
        """
        return self._store.load_newest()

    def drop_averages_after(self, step: int) -> None:
        """Delete the averages of later steps, which a run that goes back to `step` makes anew."""
        self._averages.drop_after(step)

    def save(self, snapshot: Snapshot) -> None:
        """Have a checkpoint written. Where that fails, a warning says so, and those before it stay."""
        self._writer.submit(self._store, snapshot)

    def save_averages(self, step: int, averages: Mapping[str, AveragedWeights]) -> None:
        """Have the averages written that others of other lengths are made of after the training."""
        variables = {name: copy_variables(averages[name].variables) for name in self._lengths}
        self._writer.submit(
            self._averages, Snapshot(step=step, state={"lengths": self._lengths}, variables=variables)
        )
