"""Checkpoints: bit for bit back, damage named, the newest intact one used, the last n kept."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from framework.errors import CheckpointError
from framework.run.checkpoint import CheckpointStore, NamedArray, Snapshot, restore_variables
from framework.run.checkpoint_writer import CheckpointWriter
from framework.run.files import recover_directories

ARRAYS = [
    np.array([[1.5, -0.0], [np.nan, np.inf]], "float32"),
    np.array(7, "int64"),
    np.array([1, 2**31], "uint32"),
    np.array([True, False]),
    np.array([1.5, 2.25], ml_dtypes.bfloat16),
    np.zeros((0, 3), "float16"),
]


def snapshot(step: int) -> Snapshot:
    model = [NamedArray(f"layer/{i}", array) for i, array in enumerate(ARRAYS)]
    return Snapshot(
        step=step,
        state={"epoch": 2, "best": None, "x": 0.1},
        variables={"model": model, "optimizer": [NamedArray("iteration", np.array(step))]},
    )


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", keep=3)


def test_a_checkpoint_comes_back_bit_for_bit(store: CheckpointStore) -> None:
    store.save(snapshot(5))
    loaded = store.load_newest()
    assert loaded is not None
    assert (loaded.step, loaded.state) == (5, {"epoch": 2, "best": None, "x": 0.1})
    for given_array, member in zip(ARRAYS, loaded.variables["model"], strict=True):
        assert member.array.dtype == given_array.dtype
        assert member.array.shape == given_array.shape
        assert member.array.tobytes() == given_array.tobytes()


def test_no_checkpoint_is_none(store: CheckpointStore) -> None:
    assert store.load_newest() is None


EVENTS = st.one_of(
    st.tuples(st.just("save"), st.integers(0, 5)),
    st.tuples(st.just("damage"), st.integers(0, 3)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("killed in a save"), st.integers(0, 1)),
)


@settings(max_examples=60, deadline=None)
@given(events=st.lists(EVENTS, max_size=14), keep=st.integers(1, 3))
@example(
    events=[("save", 5), ("save", 5), ("damage", 0), ("restart", 0), ("save", 2), ("restart", 0)], keep=1
)
def test_whatever_happens_to_a_run_its_newest_checkpoints_are_kept(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]], keep: int
) -> None:
    """A run saves, goes back to its newest intact checkpoint, and goes on from there; the model of it is a
    list."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    store, at, kept = CheckpointStore(folder, keep=keep), 0, dict[int, bool]()  # whether each is intact
    for event, number in events:
        if event == "save":
            at += number
            store.save(snapshot(at))
            kept = dict(
                sorted(({step: ok for step, ok in kept.items() if step < at} | {at: True}).items())[-keep:]
            )
        elif event == "damage" and number < len(kept):
            step = sorted(kept)[-1 - number]
            (folder / f"step-{step:08d}" / "state.json").write_text("{}")
            kept[step] = False
        elif event == "killed in a save":
            (folder / f".step-{at + 7:08d}.draft").mkdir(parents=True, exist_ok=True)
            if number and kept:  # the same step is saved once more, and the old one has been put aside
                name = f"step-{max(kept):08d}"
                (folder / name).rename(folder / f".{name}.old")
                recover_directories(folder)
        elif event == "restart" and kept and not any(kept.values()):
            with pytest.raises(CheckpointError):
                store.load_newest()
            return
        elif event == "restart":
            newest = store.load_newest()
            at = max((step for step, ok in kept.items() if ok), default=0)
            assert (newest.step if newest else 0) == at
            store = CheckpointStore(folder, keep=keep)
        assert store.steps() == sorted(kept)
    store.save(snapshot(at + 1))
    assert store.load_newest() is not None
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("name", ["variables.npz", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "remove"])
def test_damage_is_named_and_the_one_before_is_used(
    store: CheckpointStore,
    name: str,
    damage: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    store.save(snapshot(5))
    path = store.save(snapshot(6)) / name
    content = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    loaded = store.load_newest()
    assert loaded is not None
    assert loaded.step == 5
    assert str(path.parent) in caplog.text


def test_all_damaged_is_one_error(store: CheckpointStore) -> None:
    for step in (5, 6):
        (store.save(snapshot(step)) / "state.json").unlink()
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints"):
        store.load_newest()


def test_a_later_format_is_refused(store: CheckpointStore) -> None:
    manifest = store.save(snapshot(5)) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    with pytest.raises(CheckpointError, match="format 99"):
        store.load(5)


def test_a_pickle_is_never_loaded(store: CheckpointStore, tmp_path: Path) -> None:
    """An array of objects would be unpickled; with its checksum made right, it is still refused."""
    import hashlib

    folder = store.save(snapshot(5))

    class Smuggled:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "smuggled",))  # type: ignore[return-value]

    np.savez(folder / "variables.npz", **{"model.00000": np.array([Smuggled()], dtype=object)})  # type: ignore[arg-type]
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / "variables.npz").read_bytes()
    manifest["files"]["variables.npz"] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"variables\.npz"):
        store.load(5)
    assert not (tmp_path / "smuggled").exists()


def test_a_write_that_fails_is_a_warning_and_the_others_stay(
    store: CheckpointStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    with CheckpointWriter() as writer:
        writer.submit(store, snapshot(5))
    # A file in the place of the draft folder makes the next one fail, as root too.
    (store.folder / ".step-00000006.draft").write_text("")
    with CheckpointWriter() as writer:
        writer.submit(store, snapshot(6))
        writer.submit(store, snapshot(7))
    assert "step 6 could not be written" in caplog.text
    assert store.steps() == [5, 7]


def test_what_does_not_fit_changes_nothing() -> None:
    import keras

    variables = [
        keras.Variable(np.zeros(2, "float32"), name="a"),
        keras.Variable(np.zeros(3, "float32"), name="b"),
    ]
    saved = [NamedArray("a", np.ones(2, "float32")), NamedArray("b", np.ones(4, "float32"))]
    with pytest.raises(CheckpointError, match=r"variable 1 is b \(\(4,\)"):
        restore_variables(variables, saved, what="model")
    with pytest.raises(CheckpointError, match="nothing in the checkpoint"):
        restore_variables(variables, saved[:1], what="model")
    assert not np.any(keras.ops.convert_to_numpy(variables[0]))
