"""The record of a run's metrics: metrics.jsonl, TensorBoard, and the history in a checkpoint."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import reason_of
from framework.run.files import now, strict_json, write_atomically
from framework.run.run_records import EpochRecord

if TYPE_CHECKING:
    import tensorflow as tf

log = logging.getLogger(__name__)

RAW = "validation/raw"
"""The phase of the validation of raw weights, in a run that is judged by averaged ones."""

_TIMES = ("time", "speed", "seconds")


def without_times(record: Mapping[str, object]) -> dict[str, object]:
    """Return the part of a record that is equal in all runs that compute the same."""
    return {key: value for key, value in record.items() if key not in _TIMES}


class Recorder:
    """A writer of one record for each phase and epoch.

        {"phase": "validation", "epoch": 3, "step": 84, "time": "...", "metrics": {"loss": 0.1, "accuracy":
        0.98}}

    The record of training has three more keys. `seconds` is the time of each phase of the session since the record
    of training before it:

        {"learning_rate": 0.001, "speed": {"samples_per_second": 812.4, "input_wait": 0.03},
        "seconds": {"train": 12.1, "input_wait": 0.4, "validation": 1.9, "checkpoint": 0.1}}

    Args:
        metrics_file: the file of JSON lines.
        tensorboard: the folder of event files, with a folder for each phase; None: write none.
    """

    def __init__(self, metrics_file: Path, tensorboard: Path | None) -> None:
        self._file = metrics_file
        self._tensorboard = tensorboard
        self._writers: dict[Path, tf.summary.SummaryWriter] = {}
        self._behind = False
        self.history: list[EpochRecord] = []
        """All records of the run, from first to last."""

    def record(
        self,
        phase: str,
        *,
        epoch: int,
        step: int,
        metrics: Mapping[str, float],
        learning_rate: float | None = None,
        speed: Mapping[str, float] | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        """Record the metrics of one phase ("train", "validation", "lav") of an epoch, counted from 1.

        Args:
            learning_rate: the learning rate of the last step.
            speed: the values that differ between runs of the same bits: see
                `framework.run.speed.Speed.values`.
            seconds: the time of each phase: see `framework.run.speed.RunClock.take_phases`.
        """
        record: EpochRecord = {
            "phase": phase,
            "epoch": epoch,
            "step": step,
            "time": now(),
            "metrics": dict(metrics),
        }
        scalars = dict(metrics)
        if learning_rate is not None:
            record["learning_rate"] = scalars["learning_rate"] = learning_rate
        if speed is not None:
            record["speed"] = dict(speed)
            scalars |= {f"speed/{name}": value for name, value in speed.items()}
        if seconds is not None:
            record["seconds"] = dict(seconds)
        self.history.append(record)
        try:
            if self._behind:
                self._write_all()
            else:
                with open(self._file, "a") as file:
                    file.write(_line(record))
        except OSError as error:
            # The checkpoints have the history, too, so the run can go on.
            log.warning("%s cannot be written: %s; it is made up for with the next record", self._file, error)
            self._behind = True
        if self._tensorboard is not None:
            self._write_scalars(self._tensorboard / phase, step, scalars)

    def restore(self, history: Sequence[EpochRecord]) -> None:
        """Go back to the records of a checkpoint: metrics.jsonl holds exactly these afterwards."""
        self.history = list(history)
        self._write_all()

    def _write_all(self) -> None:
        write_atomically(self._file, "".join(_line(record) for record in self.history))
        self._behind = False

    def close(self) -> None:
        """Flush the event files."""
        import tensorflow as tf

        for writer in self._writers.values():
            # Each record was flushed before, and a failure was reported.
            with contextlib.suppress(OSError, tf.errors.OpError):
                writer.close()

    def _write_scalars(self, folder: Path, step: int, metrics: Mapping[str, float]) -> None:
        import tensorflow as tf

        try:
            if folder not in self._writers:
                self._writers[folder] = tf.summary.create_file_writer(str(folder))
            with self._writers[folder].as_default():
                for name, value in metrics.items():
                    tf.summary.scalar(name, value, step=step)
            self._writers[folder].flush()
        except (OSError, tf.errors.OpError) as error:
            # metrics.jsonl and the checkpoints have the values, too.
            log.warning("the scalars of step %d cannot be written to %s: %s", step, folder, reason_of(error))
            self._writers.pop(folder, None)


def _line(record: EpochRecord) -> str:
    return strict_json(record) + "\n"
