"""Prediction and LAV of a run and of bare weights: classes, thresholds, true labels, arrays, and what may be
compared."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from framework.cli import explain, lav, report
from framework.cli import predict as predict_command
from framework.cli import weights as weights_command
from framework.cli.command import run as run_command
from framework.data.image_files import ImageFiles
from framework.data.source import Split
from framework.errors import ConfigError, ScenarioError
from framework.evaluation.image_set import find_image_sets
from framework.evaluation.leakage import warn_of_leakage
from framework.evaluation.load_and_validate import load_and_validate
from framework.evaluation.predict import predict, write_npz
from framework.evaluation.trained_model import find_scenario
from framework.model.export import load_model
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario, compose
from framework.training.threshold import decide_at
from framework.training.trainer import Trainer
from tests.cli.test_commands import write_images
from tests.runs import quiet

SHAPE = ("scenario=mesonet", "model=meso1", "data=image_folder", "data.image_size=16")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("trained") / "images", count=12, size=16)


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "run"
    words = (
        *SHAPE,
        f"data.train_dir={images}",
        "data.positive_class=dark",
        "batch_size=6",
        "epochs=2",
        "trainer.lav_every_n=1",
    )
    Trainer(
        compose(*words, "trainer.tensorboard=false", "trainer.report=false"),
        RunDirectory.create(path),
        console=quiet(),
    ).train()
    return path


@pytest.fixture(scope="module")
def files(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The best model of the run as files by themselves."""
    folder = tmp_path_factory.mktemp("bare")
    model = load_model(run / "best")
    shutil.copytree(run / "best", folder / "exported")
    shutil.copy(run / "best" / "model.keras", folder / "copy.keras")
    shutil.copytree(run / "best" / "saved_model", folder / "saved")
    model.save_weights(folder / "numbered.weights.h5")
    return {
        "keras": folder / "copy.keras",
        "weights": folder / "numbered.weights.h5",
        "exported": folder / "exported",
        "saved": folder / "saved",
    }


SAID = ("data.classes=[dark,light]", "data.positive_class=dark")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["keras", "weights", "exported", "saved"])
def test_weights_by_themselves_are_what_the_run_is(
    run: Path, files: dict[str, Path], images: Path, kind: str
) -> None:
    """An exported folder has its classes with it; to the others they are said."""
    words = (*SHAPE, *(() if kind == "exported" else SAID))
    ours, theirs = predict(files[kind], [images], *words).rows, predict(run, [images]).rows
    assert [list(row) for row in ours] == [["file", "true_label", "label", "dark", "light"]] * 24
    assert [row["dark"] for row in ours] == pytest.approx([row["dark"] for row in theirs], abs=1e-6)
    assert {(Path(row["file"]).parent.name, row["true_label"]) for row in ours} == {
        ("dark", "dark"),
        ("light", "light"),
    }


def test_weights_by_themselves_are_validated(
    run: Path, files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    """The classes are told from the data that are given; nothing is written where no output is named."""
    words = (*SHAPE, f"data.val_dir={images}", "data.positive_class=dark")
    before = sorted(files["weights"].parent.iterdir())
    report = load_and_validate(files["weights"], *words)
    reference = load_and_validate(run, f"data.val_dir={images}", output=tmp_path / "lav.json")
    assert report.metrics == pytest.approx(reference.metrics, abs=1e-5)
    assert (report.facts, report.recorded, report.not_comparable) == ({}, {}, None)
    assert sorted(files["weights"].parent.iterdir()) == before


@pytest.mark.parametrize(
    ("kind", "words", "problem"),
    [
        ("weights", (), r"scenario: must be chosen"),
        (
            "weights",
            SHAPE,
            r"data\.train_dir: is needed for the names of the classes(.|\n)*data\.classes=\[A,B\]",
        ),
        (
            "keras",
            (*SHAPE, "data.classes=[dark,light]"),
            r"data\.positive_class: is needed(.|\n)*data\.positive_class=light",
        ),
        ("weights", ("scenario=mesonet",), r"data\.positive_class: is needed(.|\n)*forged, real"),
        ("weights", (*SHAPE, *SAID, "warmstart.model=x"), r"warmstart\.model: is .*weights\.h5 already"),
        ("exported", (*SHAPE, "data.clases=[a,b]"), r"data\.clases: (.|\n)*did you mean 'classes'"),
    ],
)
def test_what_a_file_of_weights_leaves_open_is_asked_for(
    files: dict[str, Path], kind: str, words: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(ConfigError, match=f"which is not a run:\n  {problem}"):
        find_scenario(files[kind], words)


def test_weights_that_do_not_fit_are_answered(run: Path, files: dict[str, Path], images: Path) -> None:
    with pytest.raises(ScenarioError, match=r"warmstart\.model: (.|\n)*shape"):
        predict(files["weights"], [images], *SHAPE[:3], "data.image_size=64", *SAID)
    with pytest.raises(ScenarioError, match=r"gives \(None, 1\), and that of mesonet gives \(None, 3\)"):
        predict(files["keras"], [images], *SHAPE, "data.classes=[a,b,c]")
    with pytest.raises(ScenarioError, match=f"belongs to a run: name {run}"):
        predict(run / "best" / "model.keras", [images])
    with pytest.raises(ScenarioError, match="--model: needs a run"):
        predict(files["keras"], [images], *SHAPE, *SAID, model="export")


def test_the_threshold_decides_labels_accuracy_and_the_report(
    run: Path, images: Path, tmp_path: Path
) -> None:
    output, other = tmp_path / "lav.json", f"data.val_dir={images}"
    plain = load_and_validate(run, other, output=output).metrics
    at = plain["eer_threshold"]
    scores = {
        row["file"]: (row["true_label"] == "dark", row["dark"])
        for row in predict(run, [images], threshold=at).rows
    }
    decided = load_and_validate(run, other, threshold=at, output=output).metrics
    right = [truth == (score > at) for truth, score in scores.values()]
    assert decided["accuracy"] == pytest.approx(np.mean(right))
    wrong = {
        kind: np.mean([score > at for truth, score in scores.values() if truth is kind])
        for kind in (True, False)
    }
    assert abs(wrong[False] - (1 - wrong[True])) <= 1 / 12 + 1e-9, (
        "the error rates of both classes are next to each other"
    )
    assert decided["dark/recall"] == pytest.approx(wrong[True])
    assert (decided["auc"], decided["loss"]) == pytest.approx((plain["auc"], plain["loss"]))
    for threshold, label in ((0.0, "dark"), (1.0, "light")):
        assert {row["label"] for row in predict(run, [images], threshold=threshold).rows} == {label}
    assert json.loads(output.read_text())["threshold"] == at
    with pytest.raises(ConfigError, match=r"--threshold: must not be given for lenet"):
        decide_at(compose("scenario=lenet"), 0.3)


@pytest.mark.slow
def test_only_figures_of_the_same_samples_are_shown_beside(run: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "lav.json"
    same = load_and_validate(run, "batch_size=5", output=output)
    assert same.recorded == pytest.approx({name: same.metrics[name] for name in same.recorded}, abs=1e-5)
    assert {"loss", "accuracy", "auc"} <= set(same.recorded)
    for words, arguments, reason in (
        ((f"data.val_dir={images}",), {}, "other data"),
        (("data.validation_split=0.5",), {}, "other data"),
        (("seed=3",), {}, "other data"),
        ((), {"split": "train"}, "judged the model by the validation data"),
        ((), {"threshold": 0.3}, "threshold 0.5"),
        ((), {"model": str(shutil.copytree(run / "best", tmp_path / "elsewhere"))}, "not of this run"),
    ):
        report = load_and_validate(run, *words, output=output, **arguments)
        assert (dict(report.recorded), reason in (report.not_comparable or "")) == ({}, True), (
            report.not_comparable
        )


def test_data_that_have_changed_are_not_compared(run: Path, images: Path, tmp_path: Path) -> None:
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    facts = json.loads((moved / "best" / "model.json").read_text())
    facts["validation_data"] = "3 files (0123)"
    del facts["sha256"]
    (moved / "best" / "model.json").write_text(json.dumps(facts))
    report = load_and_validate(moved, output=tmp_path / "lav.json")
    assert report.recorded == {}
    assert "the validation data were 3 files (0123), and are" in (report.not_comparable or "")


def test_the_labels_of_a_list_are_known(run: Path, images: Path, tmp_path: Path) -> None:
    names = [str(images / "dark" / "00.png"), os.path.relpath(images / "light" / "01.png", tmp_path)]
    shutil.copy(images / "light" / "02.png", tmp_path / "no label.png")
    (tmp_path / "list.csv").write_text(f"file,label\n{names[0]},light\n{names[1]},\nno label.png,\n")
    (tmp_path / "list.txt").write_text(f"{names[0]} light\nno label.png\n")
    found = [
        (Path(row["file"]).name, row["true_label"]) for row in predict(run, [tmp_path / "list.csv"]).rows
    ]
    assert found == [("00.png", "light"), ("01.png", "light"), ("no label.png", "")]
    found = [
        (Path(row["file"]).name, row["true_label"]) for row in predict(run, [tmp_path / "list.txt"]).rows
    ]
    assert found == [("00.png", "light"), ("no label.png", "")]
    assert "true_label" not in predict(run, [tmp_path / "no label.png"]).rows[0]


def test_arrays_go_into_npz(run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = predict(run, [images / "dark"], arrays=True)
    write_npz(predictions, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as found:
        assert set(found) == {"file", "true_label", "label", "output"}
        assert found["output"].shape == (12, 1)
        assert found["output"][:, 0] == pytest.approx([row["dark"] for row in predictions.rows])
        assert found["file"][0].endswith("00.png")


def test_a_mask_is_refused_as_columns_with_the_way_out() -> None:
    scenario = object.__new__(Scenario)
    with pytest.raises(ScenarioError, match=r"400 numbers for a sample(.|\n)*--output predictions\.npz"):
        scenario.describe_prediction(np.zeros((20, 20, 1)))
    assert len(scenario.describe_prediction(np.zeros(256))) == 256


def test_data_sets_that_a_run_has_seen_are_told(run: Path, images: Path, tmp_path: Path) -> None:
    source = compose(*SHAPE, f"data.train_dir={images}").unchecked_source(Split.TRAIN)
    assert isinstance(source, ImageFiles)
    seen, held = source.paths, 24 - len(source)
    for name, path in (("new", None), ("copy", seen[0])):
        folder = write_images(tmp_path / name, count=2, size=20)
        if path:
            shutil.copy(path, folder / "dark" / "copied.png")
    sets = find_image_sets({"own": images, "new": tmp_path / "new", "copy": tmp_path / "copy"})
    warnings = warn_of_leakage({"run": run, "file": run / "best" / "model.keras"}, sets)
    assert [text.partition(",")[0] for text in warnings] == [
        f"{len(seen)} of the 24 images of own are training images of run",
        "1 of the 5 images of copy are training images of run",
        f"{held} of the 24 images of own are validation images of run",
    ]
    little = RunDirectory.create(tmp_path / "little")
    little.claim(compose(*SHAPE, f"data.train_dir={images}", "data.limit=3").config)
    trained, validated = warn_of_leakage({"little": little.path}, sets[:1])
    assert trained.startswith("3 of the 24 images") and validated.startswith("3 of the 24 images")
    moved = RunDirectory.create(tmp_path / "moved")
    moved.claim(compose(*SHAPE, "data.train_dir=/nowhere", "data.classes=[dark,light]").config)
    assert warn_of_leakage({"moved": moved.path}, sets) == []


@pytest.mark.slow
def test_what_a_run_has_seen_is_told_once_and_on_the_page(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "evaluation.html"
    words = [str(run), "--data", f"own={images}", "--output", str(page)]
    assert run_command(lav.main.__wrapped__, words) == 0  # type: ignore[attr-defined]
    warning = "images of own are training images of run"
    assert page.read_text().count(warning) == 1
    assert capsys.readouterr().err.count(warning) == 1


def test_a_file_is_not_overwritten_in_silence(
    run: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("predictions.csv").write_text("mine")
    for name in ("lav.json", "evaluation.csv", "comparison.html", "explained/001-a.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("mine")
    words = [str(run), str(images / "dark"), "--threshold", "0.4"]
    assert run_command(predict_command.main.__wrapped__, words) == 1  # type: ignore[attr-defined]
    assert run_command(lav.main.__wrapped__, [str(run), "--output", "lav.json"]) == 1  # type: ignore[attr-defined]
    assert run_command(lav.main.__wrapped__, [str(run), "--data", str(images)]) == 1  # type: ignore[attr-defined]
    assert run_command(explain.main.__wrapped__, words[:2]) == 1  # type: ignore[attr-defined]
    other = str(shutil.copytree(run, tmp_path / "other"))
    assert run_command(report.main.__wrapped__, [str(run), other]) == 1  # type: ignore[attr-defined]
    shutil.rmtree(other)
    assert capsys.readouterr().err.count("--overwrite") == 5
    assert {path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {"mine"}
    assert run_command(predict_command.main.__wrapped__, [*words, "--overwrite"]) == 0  # type: ignore[attr-defined]
    rows = list(csv.DictReader(Path("predictions.csv").read_text().splitlines()))
    assert {row["true_label"] for row in rows} == {"dark"}
    shown = capsys.readouterr().out
    assert shown.startswith("file  true_label  label  ")
    assert "of 12 whose class is known" in shown
    words = [str(run), f"data.val_dir={images}", "--output", "lav.json", "--overwrite"]
    assert run_command(lav.main.__wrapped__, words) == 0  # type: ignore[attr-defined]
    shown = capsys.readouterr().out
    assert "recorded in training is left out: they are of other data" in shown
    assert "recorded in training" not in shown.split("left out")[0].replace(
        "what was recorded in training is ", ""
    )


def test_the_weights_of_mesonets_authors(shared_data: Path) -> None:
    """Their forged faces are not here; what is asked for is that the file is read, with its moving
    averages."""
    weights = shared_data.parent / "weights" / "Meso4_DF.h5"
    if not weights.is_file():
        pytest.skip(f"needs {weights}")
    words = ("scenario=mesonet", "data=image_folder", "data.classes=[df,real]", "data.positive_class=real")
    image = sorted((shared_data / "faces" / "val" / "real").iterdir())[0]
    (row,) = predict(weights, [image], *words).rows
    from framework.data.image_files import load_image
    from scenarios.mesonet.model import Meso4

    reference = Meso4(image_size=256).build(classes=2)
    reference.load_weights(weights)
    expected = float(reference.predict(load_image(image, 256)[None], verbose=0)[0, 0])
    assert row["real"] == pytest.approx(expected, abs=1e-6)
    assert row["true_label"] == "real"


def test_what_is_there_is_not_taken_the_place_of_by_an_export(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ema-weights --output` with a folder of the user's own, or a model."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("mine")
    shutil.copytree(run / "best", tmp_path / "model")

    def export(*words: str) -> int:
        return run_command(weights_command.main.__wrapped__, [str(run), "--export", "raw", *words])  # type: ignore[attr-defined]

    assert export("--output", str(tmp_path / "documents"), "--overwrite") == 1
    assert "holds other files" in capsys.readouterr().err
    assert export("--output", str(tmp_path / "model")) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "documents" / "thesis.txt").read_text() == "mine"


def test_what_is_not_there_is_answered(run: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.h5").touch()
    with pytest.raises(ScenarioError, match=r"there is no .*wights\.h5(.|\n)*did you mean .*weights\.h5"):
        find_scenario(tmp_path / "wights.h5", SHAPE)
    with pytest.raises(ScenarioError, match="--config-dir: is for a file of weights"):
        find_scenario(run, (), "conf")
