"""Each file of a run is damaged in turn: the run goes on to the same end, or says in one line what is
damaged."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.errors import RunDirectoryError
from framework.evaluation.compare_runs import differences
from framework.evaluation.compare_weights import RunWeights
from framework.evaluation.load_and_validate import load_and_validate
from framework.model.export import fault_of
from framework.run.run_directory import RunDirectory
from framework.training.trainer import Trainer
from tests.conftest import REPOSITORY
from tests.runs import LIGHT, quiet, records, resume, train

pytestmark = pytest.mark.usefixtures("toy_on_the_path")


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes] | None] = {
    "truncated": lambda content: content[: len(content) // 2],
    "one bit flipped": flip,
    "emptied": lambda content: b"",
    "missing": None,
}


def damage(path: Path, kind: str) -> None:
    change = DAMAGES[kind]
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_on_the_path: None) -> Path:
    import keras

    run = tmp_path_factory.mktemp("damage") / "run"
    keras.utils.clear_session()
    train(
        run,
        *LIGHT,
        "trainer.steps_per_epoch=12",
        "epochs=4",
        "trainer.calc_ema=0.9",
        "trainer.post_hoc_ema=[0.1]",
        "trainer.tensorboard=true",
        "trainer.keep_checkpoints=4",
    )
    return run


@pytest.fixture(autouse=True)
def names_begin_anew() -> None:
    """As in a process of its own: Keras numbers the layers of a process, and an exported model has their
    names."""
    import keras

    keras.utils.clear_session()


@pytest.fixture
def run(undisturbed: Path, tmp_path: Path) -> Path:
    """The same run, killed after its third epoch."""
    shutil.copytree(undisturbed, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000048")
    shutil.rmtree(tmp_path / "run" / "export")
    (tmp_path / "run" / "result.json").unlink()
    return tmp_path / "run"


# Files that are damaged together, and the kind that each is damaged with in `scripts/test --all`. What reads them is
# tried with all kinds in tests of its own; all kinds end to end take minutes.
FILES = {
    ("config.yaml",): ("truncated", "one bit flipped"),
    ("checkpoints/config.yaml",): ("emptied",),
    ("checkpoints/step-00000036/variables.npz",): ("one bit flipped",),
    ("checkpoints/step-00000036/state.json", "checkpoints/step-00000024/manifest.json"): ("truncated",),
    ("provenance.json", "metrics.jsonl", "train.log", ".lock", "tensorboard/**/events.*"): ("emptied",),
    ("averages/step-00000036/variables.npz", "best/model.json"): ("missing",),
    ("best/model.keras",): ("truncated",),
}


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        pytest.param(
            names,
            kind,
            id=f"{names[0]}-{kind}",
            marks=pytest.mark.slow if kind in chosen else pytest.mark.long,
        )
        for names, chosen in FILES.items()
        for kind in DAMAGES
    ],
)
def test_a_damaged_run_ends_as_an_undisturbed_one_or_says_what_is_damaged(
    run: Path,
    undisturbed: Path,
    names: tuple[str, ...],
    kind: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keras

    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    for name in names:
        for path in list(run.glob(name)):
            damage(path, kind)
    try:
        resume(run)
    except RunDirectoryError as error:
        assert names == ("config.yaml",)  # a bit that flipped in it may mean another run
        assert str(run / names[0]) in str(error)
        assert "checkpoints/config.yaml is a copy" in str(error)
        (run / "config.yaml").write_bytes((run / "checkpoints" / "config.yaml").read_bytes())
        keras.utils.clear_session()
        resume(run)
    if any(name.startswith("averages") for name in names):
        RunWeights(run).candidates(lengths=[0.1, 0.2])  # made of fewer
        shutil.copytree(undisturbed / "averages", run / "averages", dirs_exist_ok=True)
    lost = set(differences(run, undisturbed))
    if any(name.startswith("best") for name in names):
        if lost:
            assert "the best model, of epoch" in caplog.text
            assert str(run / "best") in caplog.text
        assert lost <= {"the best model", "result.json", "the last checkpoint"}
        lost.clear()
    assert not lost
    assert all(str((run / name).parent) in caplog.text for name in names if "/step-" in name)
    assert fault_of(run / "best") is None
    load_and_validate(run)


def test_without_an_intact_checkpoint_the_best_model_is_usable(run: Path) -> None:
    for kind, path in zip(DAMAGES, sorted(run.glob("checkpoints/step-*/*")), strict=False):
        damage(path, kind)
    for path in run.glob("checkpoints/step-*/variables.npz"):
        path.unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RunDirectoryError, match=r"none of the \d checkpoints (.|\n)*best"):
        resume(run)
    assert {
        path: content
        for path, content in before.items()
        if path.read_bytes() != content and path.name not in (".lock", "train.log")
    } == {}
    report = load_and_validate(run)
    best = report.facts["metrics"]
    assert report.metrics["accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-6)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_model_is_told(undisturbed: Path, tmp_path: Path, kind: str) -> None:
    shutil.copytree(undisturbed / "best", tmp_path / "best")
    assert fault_of(tmp_path / "best") is None
    damage(tmp_path / "best" / "model.keras", kind)
    assert fault_of(tmp_path / "best") is not None


def test_an_exported_model_that_was_lost_is_exported_again(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    damage(run / "export" / "model.keras", "one bit flipped")
    assert Trainer.resume(run, console=quiet()).ended() is None
    resume(run)
    assert differences(run, undisturbed) == []
    assert Trainer.resume(run, console=quiet()).ended() is not None


def test_a_run_of_the_first_format_is_continued(tmp_path: Path) -> None:
    """It was written by version 0.1.0; every later version reads it."""
    run = tmp_path / "run"
    shutil.copytree(REPOSITORY / "tests" / "data" / "run-of-format-1", run)
    before = records(run)
    report = load_and_validate(run)
    best = report.facts["metrics"]
    assert report.metrics["loss"] == pytest.approx(best["val_loss"], abs=1e-5)
    result = resume(run, "epochs=3")
    assert (result.status, result.epochs) == ("finished", 3)
    assert records(run)[: len(before)] == before
    assert [
        session["started_at_step"] for session in RunDirectory.open(run).provenance.load()["sessions"]
    ] == [0, 24]


def test_another_version_is_named(
    run: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("framework"), "propagate", True)
    monkeypatch.setattr("framework.run.provenance._versions", lambda: {"tensorflow": "99.0"})
    resume(run)
    assert "continued with tensorflow 99.0 (before: 2." in caplog.text
