"""The event files of a run: what is written is read back, and a run that goes on shows nothing twice."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from framework.run.event_files import EventFiles, read_events
from framework.run.recorder import Recorder
from framework.run.summaries import scalar


def points(folder: Path, tag: str = "loss") -> list[int]:
    """The steps of all points of a curve in a folder."""
    return [
        event.step
        for file in sorted(folder.glob("events.out.tfevents.*"))
        if file.is_file()
        for event in read_events(file)
        for value in event.summary.value
        if value.tag == tag
    ]


def test_what_is_written_is_there_at_once(tmp_path: Path) -> None:
    events = EventFiles(tmp_path)
    for step in (10, 20):
        events.write("lav/other", step, [scalar("loss", 1 / step), scalar("accuracy", 0.5)])
    assert points(tmp_path / "lav" / "other") == points(tmp_path / "lav" / "other", "accuracy") == [10, 20]
    (file,) = (tmp_path / "lav" / "other").iterdir()
    head, first, _ = read_events(file)
    assert head.file_version == "brain.Event:2"
    assert first.summary.value[0].tensor.float_val[0] == pytest.approx(0.1)


@pytest.mark.parametrize("step", [25, 0])
def test_a_run_that_goes_on_writes_no_point_twice(tmp_path: Path, step: int) -> None:
    """Between two records of training, points stay up to its step; of the other phases those that are recorded do."""
    events = EventFiles(tmp_path / "tensorboard")
    recorder = Recorder(tmp_path / "metrics.jsonl", events)
    for epoch in (1, 2, 3):
        events.write("train", 10 * epoch - 5, [scalar("steps/loss", 1.0)])
        recorder.record("train", epoch=epoch, step=10 * epoch, metrics={"loss": 1.0})
        recorder.record("validation", epoch=epoch, step=10 * epoch, metrics={"loss": 1.0})
    events.write("about", 30, [scalar("result/best_loss", 1.0)])
    recorder.restore(recorder.history[:3] if step else [])
    recorder.drop_later_events(step)
    kept = {phase: points(tmp_path / "tensorboard" / phase) for phase in ("train", "validation", "about")}
    assert kept == {"train": [10, 20] if step else [], "validation": [10] if step else [], "about": []}
    assert points(tmp_path / "tensorboard" / "train", "steps/loss") == ([5, 15, 25] if step else [])
    recorder.record("train", epoch=3, step=30, metrics={"loss": 1.0})
    assert points(tmp_path / "tensorboard" / "train")[-1] == 30


def test_a_file_that_a_kill_cut_off_is_whole_afterwards(tmp_path: Path) -> None:
    events = EventFiles(tmp_path)
    for step in (1, 2, 3):
        events.write("train", step, [scalar("loss", 1.0)])
    (file,) = (tmp_path / "train").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    (tmp_path / "train" / "events.out.tfevents.0.folder").mkdir()
    (tmp_path / "train" / "events.out.tfevents.1.strange").write_bytes(b"no events")
    EventFiles(tmp_path).drop(lambda phase, step: False)
    assert points(tmp_path / "train") == [1, 2]


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "train").write_text("a file")
    events = EventFiles(tmp_path)
    with caplog.at_level(logging.WARNING):
        for step in (1, 2):
            events.write("train", step, [scalar("loss", 1.0)])
        (tmp_path / "train").unlink()
        events.write("train", 3, [scalar("loss", 1.0)])
    assert (
        len([record for record in caplog.records if "step 1 cannot be written" in record.getMessage()]) == 1
    )
    assert len(caplog.records) == 1
    assert points(tmp_path / "train") == [3]
