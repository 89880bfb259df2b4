"""Models on data sets: the values are those of scikit-learn, of images and of videos, in all and by manipulation."""

from __future__ import annotations

import csv
import inspect
import io
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from framework.cli import lav
from framework.data.degradations import blur, recompress, rescale
from framework.data.image_files import ImageFiles
from framework.data.source import ArraySource, Source
from framework.errors import ConfigError, DataError, ScenarioError
from framework.evaluation.data_sets import evaluate_data_sets
from framework.evaluation.image_models import image_scenario, open_images
from framework.evaluation.image_set import ImageSet
from framework.evaluation.robustness import STRENGTHS, Variants, degradations_of
from framework.report.data_set_tables import (
    by_degradation,
    by_degradation_in_short,
    by_manipulation,
    models_by_data_sets,
)
from framework.report.measured import Evaluation
from framework.scenario import Scenario, compose

SIZE = 32
WORDS = (
    "scenario=mesonet",
    "model=meso1",
    "data=image_folder",
    f"data.image_size={SIZE}",
    "data.classes=[fake,real]",
    "data.positive_class=real",
)
VIDEO = "v[0-9]+"

Command = Callable[..., subprocess.CompletedProcess[str]]


def save_image(path: Path, red: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIZE, SIZE), (red, 10, 20)).save(path)


def save_model(path: Path, channel: int = 0) -> Path:
    """Save a model that takes the mean of a channel for the probability of `real`."""
    image = keras.Input((SIZE, SIZE, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    chosen = keras.layers.Dense(1, use_bias=False)
    model = keras.Model(image, chosen(mean))
    chosen.set_weights([np.eye(3, dtype=np.float32)[:, channel : channel + 1]])
    model.save(path)
    return path


FRAMES: dict[str, list[int]] = {
    "fake/Deepfakes/v1_{}.png": [10, 60, 170],
    "fake/Deepfakes/v2_{}.png": [200, 180, 30],
    "fake/Face2Face/v1_{}.png": [90, 140],
    "real/original/v1_{}.png": [120, 250, 130],
    "real/original/v3_{}.png": [100, 190],
    "real/original/v4_{}.png": [200, 150, 220],
}


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "red.keras")


def save_faces(folder: Path) -> Path:
    for pattern, reds in FRAMES.items():
        for frame, value in enumerate(reds):
            save_image(folder / pattern.format(frame), value)
    return folder


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return save_faces(tmp_path / "faces")


@dataclass(frozen=True)
class Both:
    """Two models on two data sets, of which the second has no `real`, and what was opened for it."""

    found: Evaluation
    opened: Sequence[str]


@pytest.fixture(scope="module")
def both(red: Path, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder, opened = tmp_path_factory.mktemp("data"), list[str]()
    faces, fakes = save_faces(folder / "faces"), save_faces(folder / "fakes")
    shutil.rmtree(fakes / "real")

    def opening(scenario: Scenario, one: ImageSet) -> Source:
        opened.append(one.name)
        return open_images(scenario, one)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("framework.evaluation.data_sets.open_images", opening)
        patch.setattr("framework.report.intervals.RESAMPLINGS", 50)  # most of the time
        runs = [red, save_model(red.parent / "green.keras", channel=1)]
        found = evaluate_data_sets(
            runs, {"faces": faces, "fakes": fakes}, *WORDS, group_by=VIDEO, robustness={"jpeg": [1.0]}
        )
    return Both(found, opened)


def scores_of(*names: str, videos: bool) -> tuple[list[bool], list[float]]:
    """Whether each image or video is real, and the mean of its red, of those whose path begins so."""
    found = {path: reds for path, reds in FRAMES.items() if path.startswith(names)}
    pairs = [
        (path.startswith("real"), value / 255)
        for path, reds in found.items()
        for value in ([float(np.mean(reds))] if videos else reds)
    ]
    return [real for real, _ in pairs], [score for _, score in pairs]


def values(found: Evaluation, measure: str, **where: Any) -> list[float | None]:
    rows = [row for row in found.rows if all(getattr(row, key) == value for key, value in where.items())]
    return [row.value for row in rows if row.measure == measure]


def test_images_videos_and_manipulations_are_measured(both: Both) -> None:
    found = both.found
    assert found.data_sets[0].videos == 6, "v1 is a video in each folder"
    for level, videos in (("image", False), ("video", True)):
        for part, names in (
            ("all", ("fake", "real")),
            ("fake/Deepfakes", ("fake/Deepfakes", "real")),
            ("fake/Face2Face", ("fake/Face2Face", "real")),
        ):
            real, scores = scores_of(*names, videos=videos)
            where = {"run": "red.keras", "data": "faces", "level": level, "part": part, "degradation": "none"}
            decided = np.array(scores) > 0.5
            assert values(found, "auc", **where) == [pytest.approx(roc_auc_score(real, scores))]
            assert values(found, "accuracy", **where) == [pytest.approx(accuracy_score(real, decided))]
            balanced = balanced_accuracy_score(real, decided)
            assert values(found, "balanced_accuracy", **where) == [pytest.approx(balanced)]
        _, own = scores_of("fake/Deepfakes", videos=videos)
        recall = found.get("red.keras", "faces", "recall", level=level, part="fake/Deepfakes")
        assert recall is not None
        assert recall.value == pytest.approx(np.mean(np.array(own) <= 0.5))
    assert {row.part for row in found.rows} == {"all", "fake/Deepfakes", "fake/Face2Face"}
    assert all(row.low <= row.high for row in found.rows if row.low is not None and row.high is not None)


def test_a_data_set_without_a_class_has_no_auc_and_says_why(both: Both) -> None:
    _, scores = scores_of("fake", videos=False)
    where = {"run": "red.keras", "data": "fakes", "level": "image", "part": "all", "degradation": "none"}
    assert values(both.found, "accuracy", **where) == [pytest.approx(np.mean(np.array(scores) <= 0.5))]
    assert values(both.found, "auc", **where) == [None]
    (note,) = both.found.notes
    assert (
        note
        == "fakes: no auc, eer, average_precision, balanced_accuracy, since there is nothing of class 'real'"
    )


def test_images_are_read_once_for_models_that_read_them_alike(both: Both) -> None:
    assert both.opened == ["faces", "fakes"]
    assert [one.name for one in both.found.models] == ["red.keras", "green.keras"]
    green = both.found.get("green.keras", "faces", "auc")
    assert green is not None
    assert green.value == 0.5, "all images have the same green"


def test_robustness_is_of_the_degraded_images(both: Both) -> None:
    right = []
    for path, reds in FRAMES.items():
        for value in reds:
            image = np.full((SIZE, SIZE, 3), (value, 10, 20), np.uint8)
            is_real = float(np.mean(recompress(image, 1)[..., 0])) / 255 > 0.5
            right.append(is_real == path.startswith("real"))
    degraded = both.found.get("red.keras", "faces", "accuracy", degradation="jpeg", strength=1.0)
    clean = both.found.get("red.keras", "faces", "accuracy")
    assert degraded is not None
    assert clean is not None
    assert degraded.value == pytest.approx(np.mean(right))
    assert degraded.value != clean.value
    assert {row.part for row in both.found.rows if row.degradation == "jpeg"} == {"all"}


def test_tables_have_models_by_data_sets(both: Both) -> None:
    auc, accuracy = models_by_data_sets(both.found)
    assert list(auc.columns) == ["AUC", "of", "faces", "fakes"]
    assert [row[:2] for row in auc.rows] == [
        [name, level] for name in ("red.keras", "green.keras") for level in ("images", "videos")
    ]
    assert {row[3] for row in auc.rows} == {"-"}, "there is nothing real in the fakes"
    assert all("(" in cell for row in accuracy.rows for cell in row[2:])
    parts, recalls = by_manipulation(both.found)
    assert ["faces", "fake/Face2Face", "videos"] in [row[:3] for row in parts.rows]
    assert ["fakes", "fake/Face2Face", "videos"] in [row[:3] for row in recalls.rows]
    degraded = by_degradation(both.found)
    assert [table.columns[0] for table in degraded] == [
        "AUC on faces",
        "accuracy on faces",
        "accuracy on fakes",
    ]
    assert [row[0] for row in degraded[0].rows] == ["as they are", "JPEG quality 1"]
    of_faces, of_fakes = by_degradation_in_short(both.found)
    assert [*of_faces.columns[:3], *of_fakes.columns[:2]] == [
        "on faces",
        "red.keras, images, AUC",
        "red.keras, images, accuracy",
        "accuracy on fakes",
        "red.keras, images",
    ]
    assert [row[1] for row in of_faces.rows] == [row[1] for row in degraded[0].rows]
    assert [row[2] for row in of_faces.rows] == [row[1] for row in degraded[1].rows]


def test_a_variant_is_the_degraded_sample(faces: Path) -> None:
    source = ImageFiles([faces / "real/original/v1_0.png"], image_size=SIZE)
    variants = Variants(source, degradations_of({"jpeg": [30.0], "blur": [1.0], "scale": [0.5]}))
    image, *degraded = variants.load(tf.constant(0, tf.int64))
    for one, expected in zip(
        degraded, (recompress(image, 30), blur(image, 1.0), rescale(image, 0.5)), strict=True
    ):
        np.testing.assert_array_equal(one, expected)


def test_samples_that_cannot_be_degraded_are_told() -> None:
    scaled = ArraySource((np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32"),))
    with pytest.raises(ScenarioError, match=r"float32 \(8, 8, 3\) with values from 0\.\d+ to 0\.\d+"):
        Variants(scaled, degradations_of({"jpeg": [30.0]})).check("mine")


@pytest.mark.slow
def test_intervals_resample_videos(red: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, mean in (("fake", 100), ("real", 150)):
        for video in range(8):
            level = mean + 40 * random.normal()
            for frame in range(12):
                save_image(tmp_path / name / f"v{video}_{frame}.png", int(np.clip(level + frame, 0, 255)))
    by_image = evaluate_data_sets([red], {"a": tmp_path}, *WORDS).get("red.keras", "a", "auc")
    by_video = evaluate_data_sets([red], {"a": tmp_path}, *WORDS, group_by=VIDEO).get("red.keras", "a", "auc")
    assert by_image is not None
    assert by_video is not None
    assert by_image.value == by_video.value
    assert by_image.low is not None
    assert by_image.high is not None
    assert by_video.low is not None
    assert by_video.high is not None
    assert by_video.high - by_video.low > 2 * (by_image.high - by_image.low)


@pytest.mark.slow
def test_classes_are_mapped_for_all_or_for_one_data_set(red: Path, faces: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "masks").mkdir(parents=True)
    (faces / "fake").rename(other / "0")
    (faces / "real").rename(other / "genuine")
    save_image(other / "masks" / "m.png", 0)
    class_map = {"b:0": "fake", "masks": ""}
    words = (*WORDS, "data.rename={genuine: real}")  # what a run renames is known without a map
    found = evaluate_data_sets([red], {"b": other}, *words, class_map=class_map, group_by=VIDEO)
    real, scores = scores_of("fake", "real", videos=False)
    assert values(found, "auc", part="all", level="image") == [pytest.approx(roc_auc_score(real, scores))]
    assert found.data_sets[0].images == {"0": 8, "genuine": 8}
    assert found.data_sets[0].classes == {"0": "fake", "genuine": "real"}
    assert {row.part for row in found.rows} == {"all", "0/Deepfakes", "0/Face2Face"}


@pytest.mark.slow
def test_folders_that_are_mapped_to_one_class_are_manipulations(red: Path, faces: Path) -> None:
    (faces / "fake" / "Deepfakes").rename(faces / "Deepfakes")
    (faces / "fake" / "Face2Face").rename(faces / "Face2Face")
    (faces / "fake").rmdir()
    class_map = {"Deepfakes": "fake", "Face2Face": "fake"}
    found = evaluate_data_sets([red], {"a": faces}, *WORDS, class_map=class_map)
    assert {row.part for row in found.rows} == {"all", "Deepfakes", "Face2Face"}


def test_a_class_that_a_map_misses_is_one_error_with_an_example(red: Path, faces: Path) -> None:
    (faces / "fake").rename(faces / "forged")
    (faces / "real").rename(faces / "genuine")
    with pytest.raises(ConfigError) as caught:
        evaluate_data_sets([red], {"a": faces}, *WORDS, class_map={"forged": "fake"})
    (problem,) = caught.value.problems
    assert problem.path == "--data a"
    assert "holds folders that are not classes of red.keras: 'genuine'" in problem.message
    assert problem.allowed == "fake, real"
    assert "--class-map genuine=" in str(problem.hint)


def test_names_of_a_map_that_mean_nothing_are_named(red: Path, faces: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        evaluate_data_sets([red], {"a": faces}, *WORDS, class_map={"fakes": "fake", "real": "reel"})
    assert [(problem.path, problem.given) for problem in caught.value.problems] == [
        ("--class-map", "fakes"),
        ("--class-map real", "reel"),
    ]


def test_strengths_out_of_bounds_are_refused() -> None:
    assert [one.kind for one in degradations_of(STRENGTHS)] == ["jpeg"] * 4 + ["blur"] * 4 + ["scale"] * 3
    wrong: dict[str, Sequence[float]] = {
        "jpeg": [0],
        "blur": [0.0],
        "scale": [1.0],
        "blr": [1.0],
        "noise": [],
    }
    with pytest.raises(ConfigError) as caught:
        degradations_of(wrong)
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["--degrade jpeg", "--degrade blur", "--degrade scale", "--degrade", "--degrade"]


def test_sub_folders_that_are_videos_are_not_manipulations() -> None:
    videos = ImageSet("a", Path("/a"), [f"fake/v{i}/{frame}.png" for i in range(4) for frame in range(2)])
    assert set(videos.manipulations(videos.videos(VIDEO))) == {"fake"}
    assert set(videos.manipulations(None)) == {f"fake/v{i}" for i in range(4)}
    many = ImageSet("a", Path("/a"), [f"fake/v{i}/0.png" for i in range(31)])
    assert set(many.manipulations(None)) == {"fake"}
    nested = ImageSet("a", Path("/a"), [f"fake/Deepfakes/v{i}/0.png" for i in range(31)])
    assert set(nested.manipulations(nested.videos(VIDEO))) == {"fake/Deepfakes"}


@pytest.mark.slow
def test_a_video_that_is_not_found_is_an_error_with_the_first_image(red: Path, faces: Path) -> None:
    with pytest.raises(DataError, match=r"matches 3 of the 16 images(.|\n)*fake/Deepfakes/v1_0\.png"):
        evaluate_data_sets([red], {"a": faces}, *WORDS, group_by="v4")
    # An empty one turns off what the run has.
    assert evaluate_data_sets([red], {"a": faces}, *WORDS, "data.group_by=v4", group_by="").levels == [
        "image"
    ]


@pytest.mark.slow
def test_the_damaged_image_is_named_or_left_out(red: Path, faces: Path) -> None:
    (faces / "real" / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 17 images(.|\n)*bad\.png"):
        evaluate_data_sets([red], {"a": faces}, *WORDS)
    found = evaluate_data_sets([red], {"a": faces}, *WORDS, "data.on_error=skip")
    assert {row.samples for row in found.rows if row.part == "all"} == {16}


@pytest.mark.slow
def test_more_classes_have_no_auc_and_grey_images_are_degraded_too(tmp_path: Path) -> None:
    image = keras.Input((SIZE, SIZE, 1))
    dense = keras.layers.Dense(10, "softmax")
    model = keras.Model(image, dense(keras.layers.GlobalAveragePooling2D()(image)))
    dense.set_weights([np.zeros((1, 10), np.float32), np.eye(10, dtype=np.float32)[3]])
    model.save(tmp_path / "three.keras")
    for name in ("3", "seven"):
        save_image(tmp_path / "digits" / name / "one.png", 100)
    found = evaluate_data_sets(
        [tmp_path / "three.keras"],
        {"digits": tmp_path / "digits"},
        *("scenario=lenet", "data=digits"),
        class_map={"seven": "7"},
        robustness={"jpeg": [50.0]},
    )
    assert {row.measure for row in found.rows} == {"accuracy", "balanced_accuracy"}
    assert [row.value for row in found.rows] == [0.5] * 4


def test_a_scenario_without_image_files_is_refused() -> None:
    reuters = compose("scenario=reuters", "data.train=FILE")
    with pytest.raises(ScenarioError, match="scenario reuters, which does not classify image files"):
        image_scenario(reuters, "outputs/run1")


# The command ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_and_writes_tables(
    red: Path, faces: Path, tmp_path: Path, command_here: Command
) -> None:
    words = [str(red), *WORDS, "--data", f"a={faces}", "--data", str(faces), "--group-by", VIDEO]
    done = command_here(lav.main, *words, "--degrade", "blur=1,2")
    assert done.returncode == 0, done.stderr
    assert "models by data sets" in done.stdout
    assert "fake/Deepfakes" in done.stdout
    assert "blur 2" in done.stdout
    rows = list(csv.DictReader(io.StringIO((tmp_path / "evaluation.csv").read_text())))
    assert {row["data"] for row in rows} == {"a", "faces"}
    assert {row["degradation"] for row in rows} == {"none", "blur"}
    page = (tmp_path / "evaluation.html").read_text()
    assert not re.search(r"(src|href)=\"(?!#|data:)", page), "nothing is loaded from elsewhere"
    assert "on 2 data sets, 32 images in all" in page
    for text in ("By manipulation", "Robustness", "AUC on faces", "fake/Face2Face", "<svg"):
        assert text in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--class-map", "forged=fake"], "--class-map needs --data"),
        (["--robustness"], "--robustness needs --data"),
        (["--data", "a="], "--data takes NAME=DIR"),
        (["--data", "a=x", "--data", "a=y"], "--data names a twice"),
        (["--data", "a=x", "--class-map", "forged"], "--class-map takes FOLDER=CLASS"),
        (["--data", "a=x", "--degrade", "jpeg=high"], "--degrade takes numbers"),
        (["--data", "a=x", "--output", "x.json"], "FILE.html or FILE.csv"),
        (["--data", "a=x", "--split", "test"], "--split and --list are for those of the run"),
        (["."], "several runs need data sets"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        inspect.unwrap(lav.main)(["outputs/run1", *words])
    assert caught.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
