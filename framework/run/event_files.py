"""The event files of a run, which TensorBoard reads."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import reason_of

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

log = logging.getLogger(__name__)

_PREFIX = "events.out.tfevents."
# Of the files that this process opens: TensorBoard reads those of a folder in the order of their names.
_NUMBERS = itertools.count()


class EventFiles:
    """The event files of a run, in a folder for each of its phases, such as `train` or `lav/NAME`.

    A phase is what TensorBoard calls a run. A session writes a new file in each folder. What cannot be written
    is a warning, one until writing succeeds again: training does not depend on it.

    Args:
        folder: of the phases.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, tf.io.TFRecordWriter] = {}
        self._failing: set[str] = set()

    def write(self, phase: str, step: int, summaries: Iterable[Summary]) -> None:
        """Write summaries of a step, so that TensorBoard can read them when the method returns."""
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), step=step)
        for summary in summaries:
            event.summary.value.extend(summary.value)
        if event.summary.value:
            self._write(phase, event)

    def write_graph(self, phase: str, graph: bytes) -> None:
        """Write a graph, a serialised GraphDef."""
        from tensorboard.compat.proto.event_pb2 import Event

        self._write(phase, Event(wall_time=time.time(), graph_def=graph))

    def close(self) -> None:
        """Close all files. What is written afterwards is in new ones."""
        import tensorflow as tf

        for writer in self._writers.values():
            # Each event was flushed before, and a failure was reported.
            with contextlib.suppress(OSError, tf.errors.OpError):
                writer.close()
        self._writers.clear()

    def drop(self, is_void: Callable[[str, int], bool]) -> None:
        """Take out what a run that goes on from a checkpoint is going to write again.

        A file that ends in the middle of an event, as a kill leaves it, is whole afterwards. A file that cannot be
        read or written is left as it is, with a warning.

        Args:
            is_void: `(phase, step)`: whether the summaries of a phase and step are void.
        """
        import tensorflow as tf

        self.close()
        for file in sorted(self._folder.rglob(f"{_PREFIX}*")):
            phase = file.parent.relative_to(self._folder).as_posix()
            try:
                if file.is_file() and not file.is_symlink():
                    _rewrite(file, functools.partial(is_void, phase))
            except (OSError, tf.errors.OpError) as error:
                log.warning("TensorBoard may show points twice: %s: %s", file, reason_of(error))

    def _write(self, phase: str, event: Event) -> None:
        import tensorflow as tf

        folder = self._folder / phase
        try:
            if phase not in self._writers:
                folder.mkdir(parents=True, exist_ok=True)
                self._writers[phase] = _open(
                    folder / f"{_PREFIX}{time.time():.6f}.{os.getpid()}.{next(_NUMBERS)}"
                )
            self._writers[phase].write(event.SerializeToString())
            self._writers[phase].flush()
            self._failing.discard(phase)
        except (OSError, tf.errors.OpError) as error:
            # metrics.jsonl and the checkpoints have the values, too. The next event goes into a new file, since
            # this one may end in the middle of this event.
            self._writers.pop(phase, None)
            if phase not in self._failing:
                log.warning(
                    "TensorBoard: step %d cannot be written to %s: %s", event.step, folder, reason_of(error)
                )
            self._failing.add(phase)


def read_events(file: Path) -> Iterator[Event]:
    """Read the events of a file, up to the first that is damaged."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    with contextlib.suppress(tf.errors.DataLossError, DecodeError):
        for record in tf.data.TFRecordDataset(str(file)):
            yield Event.FromString(record.numpy())


def _open(file: Path) -> tf.io.TFRecordWriter:
    import tensorflow as tf
    from tensorboard.compat.proto.event_pb2 import Event

    writer = tf.io.TFRecordWriter(str(file))
    writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
    return writer


def _rewrite(file: Path, is_void: Callable[[int], bool]) -> None:
    """Replace a file by one without its void summaries; remove one that holds none then."""
    import tensorflow as tf

    draft = file.with_name(f".{file.name}")
    holds = False
    with tf.io.TFRecordWriter(str(draft)) as writer:
        for event in read_events(file):
            is_head = event.HasField("file_version")
            if is_head or not is_void(event.step):
                writer.write(event.SerializeToString())
                holds = holds or not is_head
    if holds:
        os.replace(draft, file)
    else:
        draft.unlink()
        file.unlink()
