"""The record of a run's metrics: metrics.jsonl, TensorBoard, and the history in a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from framework.run.event_files import EventFiles
from framework.run.files import now, strict_json, write_atomically
from framework.run.run_records import EpochRecord
from framework.run.summaries import scalar

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
        events: where TensorBoard gets the same numbers from; None: nowhere.
    """

    def __init__(self, metrics_file: Path, events: EventFiles | None) -> None:
        self._file = metrics_file
        self._events = events
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
        if self._events is not None:
            self._events.write(phase, step, [scalar(name, value) for name, value in scalars.items()])

    def restore(self, history: Sequence[EpochRecord]) -> None:
        """Go back to the records of a checkpoint: metrics.jsonl holds exactly these afterwards."""
        self.history = list(history)
        self._write_all()

    def _write_all(self) -> None:
        write_atomically(self._file, "".join(_line(record) for record in self.history))
        self._behind = False

    def drop_later_events(self, step: int) -> None:
        """Take out of the event files what is not of the history, since it is going to be written again.

        What was written between two records of training stays up to the step that the run goes on from. What is
        about the run as a whole, or about its best model, is void in any case.

        Args:
            step: the steps that are done.
        """
        if self._events is None:
            return
        last = {record["phase"]: record["step"] for record in self.history} | {"train": step}
        self._events.drop(lambda phase, written: not step or written > last.get(phase, -1))


def _line(record: EpochRecord) -> str:
    return strict_json(record) + "\n"
