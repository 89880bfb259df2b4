"""The files of a run may be a stranger's: each fault is one line that names the file, and nothing hangs or
takes memory without end."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.errors import CheckpointError, ConfigError, RunDirectoryError, ScenarioError
from framework.evaluation.compare_runs import differences
from framework.model.export import load_facts
from framework.run.checkpoint import CheckpointStore, NamedArray, Snapshot
from framework.run.config_file import FORMAT, read_config
from framework.run.run_directory import RunDirectory
from framework.run.run_files import UnusableFileError, read_bytes, read_json
from framework.run.run_records import (
    JobRecord,
    ModelFile,
    ProvenanceFile,
    ResultFile,
    RunStateFile,
    StateFile,
)
from tests.conftest import REPOSITORY

OLD_RUN = REPOSITORY / "tests" / "data" / "run-of-format-1"
DEEP = "[" * 100_000
HUGE = 60 * 10**9


def bomb(levels: int) -> str:
    lines = [f"a0: &a0 [{', '.join(['lol'] * 9)}]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bomb(30), "alias"),
        ("scenario: &a [*a]", "alias"),
        ("scenario: " + "[" * 50_000, "nested too deeply"),
        ("".join(" " * i + "k:\n" for i in range(1500)), "nested too deeply"),
        ("scenario: " + "1:" * 100_000 + "1", "text of"),
        ("trainer: {epochs: " + ":".join(["59"] * 3000) + "}", "number of hundreds of digits"),
        ("trainer: {epochs: 0x" + "f" * 4000 + "}", "number of hundreds of digits"),
        ("scenario: [" + "1," * 150_000 + "]", "too many values"),
        ("scenario: !!timestamp 2001-99-99", "month"),
        ('scenario: "\\ud800"', "invalid Unicode character"),
    ],
    ids=[
        "bomb",
        "loop",
        "deep flow",
        "deep block",
        "long number",
        "base 60",
        "base 16",
        "many values",
        "no day",
        "half a character",
    ],
)
def test_a_config_that_takes_time_or_memory_without_end_is_refused(
    run: RunDirectory, content: str, said: str
) -> None:
    for path in (run.config_file, run.config_copy):
        path.write_text(f"format: 1\n{content}\n")
    with pytest.raises(RunDirectoryError, match=said) as raised:
        run.load_config()
    assert str(run.config_file) in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_a_message_about_a_long_value_is_short(run: RunDirectory) -> None:
    text = (
        run.config_copy.read_text()
        .replace("epochs: 10", f"epochs: [{'1, ' * 10_000}]")
        .replace("# sha256", "# no")
    )
    run.config_file.write_text(text)
    with pytest.raises(ConfigError, match=r"trainer\.epochs: wrong type") as raised:
        run.load_config()
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize("name", ["config.yaml", "result.json", "provenance.json", "best/model.json"])
@pytest.mark.parametrize("kind", ["huge", "pipe", "device", "folder"])
def test_what_is_no_file_or_too_large_is_answered_at_once(run: RunDirectory, name: str, kind: str) -> None:
    path = run.path / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "huge":
        path.touch()
        os.truncate(path, HUGE)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    what = {"huge": "60,000,000,000 bytes", "folder": "is a folder"}.get(kind, "is a pipe or a device")
    with pytest.raises(UnusableFileError, match=what):
        read_bytes(path, 1000)
    assert run.load_result() is None
    assert run.provenance.load() == {"format": FORMAT}
    if name == "config.yaml":
        with pytest.raises(RunDirectoryError, match=what):
            read_config(path)
    if name == "best/model.json":
        with pytest.raises(RunDirectoryError, match=what):
            load_facts(run.best)


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        (ResultFile, DEEP, "nested too deeply"),
        (ResultFile, '{"a": ' + "[" * 60 + "]" * 60 + "}", "nested too deeply"),
        (ResultFile, "[]", "holds no mapping"),
        (ResultFile, '{"status": "finished", "epochs": 2, "best": "abc"}', "best: is a section"),
        (
            ResultFile,
            '{"status": "finished", "epochs": 2, "best": {"epoch": 1, "step": 2, "metrics": {"loss": "x"}}}',
            "best.metrics.loss",
        ),
        (ResultFile, '{"status": "finished", "epochs": 1e30}', "epochs: out of range"),
        (ResultFile, f'{{"status": "finished", "epochs": {"9" * 400}}}', "a number of hundreds of digits"),
        (
            ResultFile,
            f'{{"status": "finished", "epochs": 1, "seconds": {"9" * 400}}}',
            "a number of hundreds of digits",
        ),
        (ResultFile, '{"status": "\\ud800", "epochs": 2}', "surrogates"),
        (ProvenanceFile, '{"sessions": [{"versions": null}]}', "versions: wrong type"),
        (ProvenanceFile, '{"sessions": [5]}', "is a section"),
        (ModelFile, '{"metrics": [1]}', "metrics: wrong type"),
        (ModelFile, '{"epoch": true}', "epoch: wrong type"),
        (JobRecord, '{"job": 1, "words": 5, "directory": "0"}', "words: wrong type"),
        (
            StateFile,
            '{"step": 1, "variables": {"model": [{"name": "a", "shape": [-1], "dtype": "int8"}]}}',
            "shape.0.: out of range",
        ),
        (RunStateFile, '{"step": 1, "variables": {}}', "steps_per_epoch: is missing"),
    ],
)
def test_other_types_are_named_with_their_place(tmp_path: Path, kind: Any, content: str, said: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(UnusableFileError, match=said) as raised:
        read_json(path, kind)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_what_runs_write_is_read(tmp_path: Path) -> None:
    """Null for a number that is not finite, keys of other versions, and whole numbers that are written with a
    point."""
    path = tmp_path / "file.json"
    content = {
        "status": "finished",
        "epochs": 2.0,
        "best": {"epoch": 1, "step": 4, "metrics": {"auc": None}},
        "more": [1],
    }
    path.write_text(json.dumps(content))
    assert read_json(path, ResultFile) == content
    assert type(read_json(path, ResultFile)["epochs"]) is int
    old = RunDirectory(OLD_RUN)
    assert old.load_result() == json.loads(old.result_file.read_text())
    assert old.provenance.load() == json.loads(old.provenance_file.read_text())
    assert CheckpointStore(old.checkpoints, holds=RunStateFile).load_newest() is not None
    assert differences(OLD_RUN, OLD_RUN) == []


# Checkpoints ------------------------------------------------------------------------------------------------


def state(step: int) -> dict[str, Any]:
    progress: dict[str, Any] = {
        "epoch": 1,
        "step": step,
        "best": None,
        "final": {"auc": float("nan")},
        "seconds": 1.0,
        "stopped": None,
        "left_out": [],
    }
    stopping = {"best": float("inf"), "checked": 1, "without_improvement": 0}
    return {
        "steps_per_epoch": 4,
        "data": "x",
        "progress": progress,
        "early_stopping": stopping,
        "history": [],
    }


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """Two checkpoints, of steps 4 and 8."""
    store = CheckpointStore(tmp_path / "checkpoints", holds=RunStateFile)
    for step in (4, 8):
        variables = {
            group: [NamedArray("a", np.ones((2, 3), "float32"))]
            for group in ("model", "optimizer", "metrics")
        }
        store.save(Snapshot(step=step, state=state(step), variables=variables))
    return store


def mend_manifest(folder: Path) -> None:
    """As somebody who damages a checkpoint on purpose would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        content = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_state(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "state.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def without(key: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / "state.json").read_text())
        del content[key]
        (folder / "state.json").write_text(json.dumps(content))

    return change


def write(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


def rewrite_arrays(
    change: Callable[[dict[str, bytes]], object], compression: int = zipfile.ZIP_STORED
) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        with zipfile.ZipFile(folder / "variables.npz") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        change(members)
        with zipfile.ZipFile(folder / "variables.npz", "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return rewrite


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def set_array(content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({"model.00000.npy": content})


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


TERABYTES = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
DAMAGES: dict[str, Callable[[Path], object]] = {
    "deep": write("state.json", DEEP),
    "deep manifest": write("manifest.json", DEEP),
    "no progress": without("progress"),
    "progress is null": change_state(progress=None),
    "best is a text": change_state(progress=state(8)["progress"] | {"best": "abc"}),
    "no history": without("history"),
    "history of numbers": change_state(history=[5]),
    "early stopping of texts": change_state(early_stopping={"best": "x"}),
    "another step": change_state(step=7),
    "progress of another step": change_state(progress=state(7)["progress"]),
    "no variables": change_state(variables=None),
    "no optimizer": change_state(variables={"model": [], "metrics": []}),
    "terabytes described": change_state(
        variables={
            group: [{"name": "a", "shape": [10**12], "dtype": "float32"}]
            for group in ("model", "optimizer", "metrics")
        }
    ),
    "a dtype that is none": change_state(
        variables={
            group: [{"name": "a", "shape": [2, 3], "dtype": "finfo"}]
            for group in ("model", "optimizer", "metrics")
        }
    ),
    "a header of terabytes": rewrite_arrays(set_array(npy(TERABYTES, b"0000"))),
    "a header of brackets": rewrite_arrays(set_array(npy("(" * 5000))),
    "a deflated file": rewrite_arrays(lambda members: None, zipfile.ZIP_DEFLATED),
    "a bomb": rewrite_arrays(set_array(saved(np.zeros(2**24, "float32"))), zipfile.ZIP_DEFLATED),
    "another shape": rewrite_arrays(set_array(saved(np.ones((3, 2), "float32")))),
    "another dtype": rewrite_arrays(set_array(saved(np.ones((2, 3), "float64")))),
    "objects": rewrite_arrays(
        set_array(npy("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}", b"x" * 24))
    ),
    "an array less": rewrite_arrays(lambda members: members.pop("model.00000.npy")),
    "an array more": rewrite_arrays(lambda members: members.update({"more.npy": saved(np.ones(1))})),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_checkpoint_that_somebody_made_is_damaged_and_the_one_before_is_used(
    store: CheckpointStore, kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    folder = store.folder / "step-00000008"
    DAMAGES[kind](folder)
    if kind != "deep manifest":
        mend_manifest(folder)
    loaded = store.load_newest()
    assert loaded is not None
    assert loaded.step == 4
    assert store.intact_steps() == [4]
    assert store.newest_state() is not None
    (message,) = {record.getMessage() for record in caplog.records}
    assert str(folder) in message
    assert len(message) < 600


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "variables.npz"])
@pytest.mark.parametrize("kind", ["huge", "pipe", "missing"])
def test_a_checkpoint_with_something_else_for_a_file_is_passed_over(
    store: CheckpointStore, name: str, kind: str
) -> None:
    path = store.folder / "step-00000008" / name
    if kind == "huge":
        os.truncate(path, HUGE)
    else:
        path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    assert store.intact_steps() == [4]
    with pytest.raises(CheckpointError, match=name):
        store.load(8)


def test_a_huge_file_with_the_right_size_in_the_manifest_is_not_read(store: CheckpointStore) -> None:
    folder = store.folder / "step-00000008"
    os.truncate(folder / "variables.npz", HUGE)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["variables.npz"]["bytes"] = HUGE
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="larger than what state"):
        store.load(8)


def test_two_arrays_of_one_name_are_damage(store: CheckpointStore) -> None:
    folder = store.folder / "step-00000008"
    with (
        zipfile.ZipFile(folder / "variables.npz", "a") as archive,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        archive.writestr("model.00000.npy", saved(np.zeros((2, 3), "float32")))
    mend_manifest(folder)
    with pytest.raises(CheckpointError, match="other arrays"):
        store.load(8)


# Links and pipes elsewhere ----------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", ["/elsewhere", "../elsewhere", "0/../../elsewhere", "link", ".", ""])
def test_the_jobs_of_a_sweep_do_not_lead_out_of_it(tmp_path: Path, directory: str) -> None:
    from framework.cli.sweep import append_job, folder_of_job

    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    append_job(folder, {"job": 0, "words": ["lr=1"], "directory": directory})
    assert folder_of_job(["lr=1"], folder / "0") == folder / "0"
    append_job(folder, {"job": 1, "words": ["lr=2"], "directory": "5"})
    assert folder_of_job(["lr=2"], folder / "1") == folder / "5"
    (folder / "1").symlink_to(tmp_path)
    assert folder_of_job(["lr=3"], folder / "1") == folder / "0"


def test_the_jobs_of_a_sweep_are_not_written_through_a_link(tmp_path: Path) -> None:
    from framework.cli.sweep import append_job, read_jobs

    (tmp_path / "mine").write_text("mine")
    (tmp_path / "jobs.jsonl").symlink_to(tmp_path / "mine")
    with pytest.raises(RunDirectoryError, match=r"jobs\.jsonl cannot be written"):
        append_job(tmp_path, {"job": 0, "words": [], "directory": "0"})
    assert (tmp_path / "mine").read_text() == "mine"
    (tmp_path / "jobs.jsonl").unlink()
    (tmp_path / "jobs.jsonl").write_text(
        f'{DEEP}\n{{"job": 1}}\n{{"job": 1, "words": 5, "directory": "0"}}\n'
    )
    assert read_jobs(tmp_path) == []


def test_a_saved_model_with_a_pipe_in_it_is_refused(tmp_path: Path) -> None:
    from framework.model.weight_files import open_weights

    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").touch()
    os.mkfifo(tmp_path / "variables" / "variables.index")
    with pytest.raises(ScenarioError, match=r"variables\.index is a pipe"):
        open_weights(str(tmp_path))
