"""What a run writes down of its metrics: metrics.jsonl, TensorBoard, and the history that a checkpoint carries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from framework.files import now, strict_json, write_atomically


class Recorder:
    """Writes one record a phase and epoch.

        {"phase": "validation", "epoch": 3, "step": 84, "time": "...", "metrics": {"loss": 0.1, "accuracy": 0.98}}

    Args:
        metrics_file: the file of JSON lines.
        tensorboard: the folder of event files, one below it a phase; None writes none.
    """

    def __init__(self, metrics_file: Path, tensorboard: Path | None) -> None:
        self._file = metrics_file
        self._tensorboard = tensorboard
        self._writers: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        """All records of the run, first to last."""

    def record(self, phase: str, *, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Write down the metrics of one phase ("train", "validation", "lav") of an epoch, counted from 1."""
        record = {"phase": phase, "epoch": epoch, "step": step, "time": now(), "metrics": dict(metrics)}
        self.history.append(record)
        with open(self._file, "a") as file:
            file.write(_line(record))
        if self._tensorboard is not None:
            self._write_scalars(phase, step, metrics)

    def restore(self, history: list[dict[str, Any]]) -> None:
        """Go back to the records of a checkpoint: metrics.jsonl loses what came after it, and gets back what it has lost."""
        self.history = list(history)
        write_atomically(self._file, "".join(_line(record) for record in self.history))

    def close(self) -> None:
        """Flush the event files."""
        for writer in self._writers.values():
            writer.close()

    def _write_scalars(self, phase: str, step: int, metrics: Mapping[str, float]) -> None:
        import tensorflow as tf

        assert self._tensorboard is not None
        if phase not in self._writers:
            self._writers[phase] = tf.summary.create_file_writer(str(self._tensorboard / phase))
        with self._writers[phase].as_default():
            for name, value in metrics.items():
                tf.summary.scalar(name, value, step=step)
        self._writers[phase].flush()


def _line(record: Mapping[str, Any]) -> str:
    return strict_json(record) + "\n"
