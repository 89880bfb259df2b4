"""The run directory: claimed once, locked by one, whole after a crash."""

from __future__ import annotations

import importlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framework.config.sections import RunConfig
from framework.errors import ConfigError, RunDirectoryError, ScenarioError
from framework.run.config_file import FORMAT
from framework.run.files import recover_directory, replacing_directory, write_atomically
from framework.run.recorder import Recorder
from framework.run.run_directory import RunDirectory
from tests.conftest import environment


def test_a_claimed_folder_is_refused_and_left_alone(run: RunDirectory, config: RunConfig) -> None:
    before = run.config_file.read_bytes()
    with pytest.raises(RunDirectoryError, match="resume-training"):
        RunDirectory.create(run.path)
    with pytest.raises(RunDirectoryError, match="resume-training"):
        RunDirectory(run.path).claim(config)
    assert run.config_file.read_bytes() == before


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match="other files"):
        RunDirectory.create(tmp_path)
    with pytest.raises(RunDirectoryError, match="is a file"):
        RunDirectory.create(tmp_path / "notes.txt")


START = """
import sys
from framework.run.run_directory import RunDirectory
sys.stdin.readline()  # until all are ready
print(RunDirectory.create(name="toy").path)
"""


def test_twenty_starts_in_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(),
        )
        for _ in range(20)
    ]
    time.sleep(2)
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("go\n")
        start.stdin.flush()
    found = [start.communicate(timeout=60)[0].strip() for start in starts]
    assert len({tmp_path / name for name in found if (tmp_path / name).is_dir()}) == 20


def test_of_many_claims_of_one_folder_one_is_granted(tmp_path: Path, config: RunConfig) -> None:
    granted: list[int] = []

    def claim() -> None:
        try:
            RunDirectory(tmp_path / "run").claim(config)
            granted.append(1)
        except RunDirectoryError:
            pass

    threads = [threading.Thread(target=claim) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 1


def test_the_config_comes_back(run: RunDirectory, config: RunConfig) -> None:
    assert RunDirectory.open(run.path).load_config() == config
    assert run.load_config(["epochs=77"]).trainer.epochs == 77


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2]", b"scenario: [", b"\xff\xfe", b"a: 1\n", b"[" * 10_000, b"a: \x00", None]
)
def test_a_config_that_cannot_be_read_is_named_and_its_copy_used(
    run: RunDirectory,
    config: RunConfig,
    content: bytes | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    run.config_file.unlink()
    if content is not None:
        run.config_file.write_bytes(content)
    assert RunDirectory.open(run.path).load_config() == config
    assert f"{run.config_file}" in caplog.text
    assert f"its copy {run.config_copy} is used" in caplog.text
    run.config_copy.write_bytes(content or b"")
    with pytest.raises(RunDirectoryError, match=r"run/config\.yaml (.|\n)*best are usable"):
        run.load_config()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0), bit=st.integers(0, 7))
def test_a_bit_that_flips_in_a_config_never_changes_a_run(
    run: RunDirectory, config: RunConfig, place: int, bit: int
) -> None:
    content = bytearray(run.config_copy.read_bytes())
    content[place % len(content)] ^= 1 << bit
    run.config_file.write_bytes(content)
    try:
        assert run.load_config() == config
    except RunDirectoryError as error:
        assert str(run.config_file) in str(error)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_nothing_in_a_config_makes_a_traceback(run: RunDirectory, content: bytes) -> None:
    run.config_file.write_bytes(b"format: 1\nscenario:\n" + content)
    run.config_copy.write_bytes(run.config_file.read_bytes())
    with pytest.raises(ScenarioError):
        run.load_config()


def test_an_edited_config_is_believed_only_without_its_checksum(run: RunDirectory) -> None:
    edited = run.config_file.read_text().replace("epochs: 10", "epochs: 12")
    run.config_file.write_text(edited)
    with pytest.raises(RunDirectoryError, match="was edited"):
        run.load_config()
    run.config_file.write_text("".join(line for line in edited.splitlines(True) if "sha256" not in line))
    assert run.load_config().trainer.epochs == 12


def test_nothing_is_imported_from_a_run_directory(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where Python would look there: in the current folder, in one on the path, in the one around
    it."""
    evil = "open(__file__ + '.ran', 'w').close()"
    (run.path / "payload.py").write_text(evil)
    (run.path / "package").mkdir()
    (run.path / "package" / "__init__.py").write_text(evil)
    RunDirectory.open(run.path)
    for place, name in (
        (".", "payload"),
        (str(run.path), "payload"),
        (str(run.path), "package"),
        ("..", "run.payload"),
    ):
        monkeypatch.chdir(run.path)
        monkeypatch.syspath_prepend(place)
        with pytest.raises(ImportError, match="holds data and no code"):
            importlib.import_module(name)
    assert not list(run.path.rglob("*.ran"))


@pytest.mark.parametrize(
    "name", ["train.log", "checkpoints", "best", "tensorboard/train", ".lock", "metrics.jsonl"]
)
def test_a_link_that_leads_out_of_a_run_is_refused(run: RunDirectory, tmp_path: Path, name: str) -> None:
    link = run.path / name
    link.parent.mkdir(exist_ok=True)
    if link.is_dir():
        link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunDirectoryError, match=f"{name} is a link that leads out"):
        RunDirectory.open(run.path)


def test_a_link_within_a_run_or_to_one_is_fine_and_a_pipe_is_not(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run.path)
    (run.path / "newest").symlink_to("checkpoints")
    RunDirectory.open(tmp_path / "link")
    os.mkfifo(run.path / "train.log")
    with pytest.raises(RunDirectoryError, match=r"train\.log is neither a file nor a folder"):
        RunDirectory.open(run.path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"status": "finished"}', '{"status": 1, "epochs": 2}', "{"]
)
def test_a_damaged_result_is_none(run: RunDirectory, content: str) -> None:
    run.result_file.write_text(content)
    assert run.load_result() is None


@pytest.mark.parametrize("content", ["", "[]", '{"sessions": 1}', "\x00"])
def test_a_damaged_provenance_begins_anew(run: RunDirectory, content: str) -> None:
    run.provenance_file.write_text(content)
    run.provenance.record_session(started_at_step=3, changes={}, hardware={})
    assert [session["started_at_step"] for session in run.provenance.load()["sessions"]] == [3]


def test_a_later_format_is_refused(run: RunDirectory) -> None:
    run.config_file.write_text(
        run.config_file.read_text().replace(f"format: {FORMAT}", f"format: {FORMAT + 1}")
    )
    with pytest.raises(RunDirectoryError, match=f"format {FORMAT + 1}"):
        run.load_config()


def test_a_config_that_no_longer_fits_is_answered_with_the_run(run: RunDirectory) -> None:
    run.config_file.write_text(
        run.config_file.read_text().replace("epochs: 10", "epochs: 0").replace("# sha256", "# no")
    )
    with pytest.raises(ConfigError, match=rf"the configuration of {run.path}"):
        run.load_config()


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_what_is_no_run_is_said_to_be_none(tmp_path: Path, path: str) -> None:
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        RunDirectory.open(tmp_path / path)


def test_the_runs_in_a_folder_are_named(tmp_path: Path) -> None:
    def hint_of_open() -> str:
        with pytest.raises(RunDirectoryError) as caught:
            RunDirectory.open(tmp_path / "my sweep")
        return str(caught.value)

    for name, hint in (
        ("0", f"it holds a run: '{tmp_path}/my sweep/0'"),
        ("10", f"it holds 2 runs; side by side: report-run '{tmp_path}/my sweep/0' '{tmp_path}/my sweep/10'"),
        ("2", f"'{tmp_path}/my sweep/0' '{tmp_path}/my sweep/2' '{tmp_path}/my sweep/10'"),
    ):
        (tmp_path / "my sweep" / name).mkdir(parents=True)
        (tmp_path / "my sweep" / name / "config.yaml").touch()
        assert hint in hint_of_open()


def test_a_lock_is_held_by_one_process_and_freed_by_its_death(run: RunDirectory) -> None:
    code = (
        "import os, sys; from framework.run.run_directory import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).lock():\n    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RunDirectoryError, match=rf"process {holder.pid} on "), run.lock():
        pass
    with pytest.raises(RunDirectoryError, match=rf"process {holder.pid} on "):
        run.check_not_in_use()
    holder.kill()
    holder.wait()
    run.check_not_in_use()
    with run.lock():
        assert str(os.getpid()) in (run.path / ".lock").read_text()


def test_a_replacement_that_fails_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "best"
    with replacing_directory(target) as draft:
        (draft / "model").write_text("1")
    with pytest.raises(OSError, match="disk"), replacing_directory(target) as draft:
        (draft / "model").write_text("2")
        raise OSError("disk full")
    assert (target / "model").read_text() == "1"
    with replacing_directory(target) as draft:
        (draft / "model").write_text("3")
    assert (target / "model").read_text() == "3"
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("new_is_there", [True, False])
def test_a_replacement_cut_short_is_recovered(tmp_path: Path, new_is_there: bool) -> None:
    target, old = tmp_path / "best", tmp_path / ".best.old"
    old.mkdir()
    (old / "model").write_text("old")
    if new_is_there:
        target.mkdir()
        (target / "model").write_text("new")
    recover_directory(target)
    assert (target / "model").read_text() == ("new" if new_is_there else "old")
    assert not old.exists()


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, "1")
    write_atomically(path, "2")
    assert path.read_text() == "2"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_records_go_back_to_a_checkpoint_and_half_a_line_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    recorder = Recorder(path, None)
    for epoch in (1, 2, 3):
        recorder.record(
            "train", epoch=epoch, step=epoch * 10, metrics={"loss": 1 / epoch, "bad": float("nan")}
        )
    lines = path.read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert json.loads(lines[0])["metrics"] == {"loss": 1.0, "bad": None}
    path.write_text("\n".join(lines)[:-20])
    history = recorder.history[:2]
    again = Recorder(path, None)
    again.restore(history)
    assert path.read_text().splitlines() == lines[:2]
