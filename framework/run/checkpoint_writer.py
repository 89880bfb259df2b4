"""Checkpoints that are written beside the training."""

from __future__ import annotations

import logging
import queue
import threading

from framework.run.checkpoint import CheckpointStore, Snapshot

log = logging.getLogger(__name__)


class CheckpointWriter:
    """A context manager that writes checkpoints in a thread of its own, while training goes on.

    Everything that was submitted is on disk when it ends.

    One checkpoint is written at a time. If the disk is slower than the training, `submit` waits.
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
        """Have a snapshot written to a store.

        A failure is logged as a warning, since the checkpoints before it stay.
        """
        self._queue.put((store, snapshot))

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            store, snapshot = job
            try:
                store.save(snapshot)
            except Exception as error:
                log.warning(
                    "the checkpoint of step %d could not be written to %s: %s; training goes on, and the "
                    "checkpoints before it stay",
                    snapshot.step,
                    store.folder,
                    error,
                )
