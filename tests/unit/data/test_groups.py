"""Groups, such as videos, are on one side of a split, and those that are on both are named."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from framework.cli import validate_data
from framework.cli.command import run as run_command
from framework.data.cache import cached
from framework.data.groups import find_groups, group_of, held_out_groups
from framework.data.image_files import ImageFiles
from framework.data.image_list import ImageList
from framework.data.images import ImageFolder
from framework.data.source import Split
from framework.data.subset import spread
from framework.errors import ConfigError, DataError
from framework.evaluation.validate_data import check_data
from framework.scenario import compose
from framework.training.training_data import open_validation

VIDEO = "(video[0-9]+)"


def save_videos(root: Path, videos: Sequence[str], frames: int = 3) -> Path:
    """Save small frames, all different: `CLASS/videoN_FRAME.png` for each video `CLASS/videoN`."""
    for number, video in enumerate(videos):
        for frame in range(frames):
            path = root / f"{video}_{frame}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), [number, frame, len(root.name)], np.uint8)).save(path)
    return root


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Ten videos a class, each with three frames; `video0` is of both classes."""
    names = [f"{name}/video{i}" for i in range(10) for name in ("fake", "real")]
    return save_videos(
        tmp_path / "data", [*names[:2], *(f"{name}{i % 2}" for i, name in enumerate(names[2:]))]
    )


def groups_of(source: ImageFiles) -> set[str | None]:
    return {source.group_name(i) for i in range(len(source))}


def both(config: Any, seed: int = 0) -> tuple[ImageFiles, ImageFiles]:
    return config.source(Split.TRAIN, seed=seed), config.source(Split.VALIDATION, seed=seed)


def test_a_group_is_the_first_group_of_the_pattern_or_the_whole_match() -> None:
    assert group_of(r"id\d+", "fake/id7_id3_0001.png") == "id7"
    assert group_of(r"id(\d+)_id(\d+)", "fake/id7_id3_0001.png") == "7"
    assert group_of(r"(a\d)|(b\d)", "fake/b4.png") == "b4"
    assert group_of("video", "fake/b4.png") is None


def test_a_path_that_the_pattern_does_not_match_is_named() -> None:
    with pytest.raises(DataError, match=r"matches 1 of 2 paths(.|\n)*\n    real/b\.png\n"):
        find_groups(VIDEO, ["fake/video1_1.png", "real/b.png"], "data.group_by")


@given(
    samples=st.lists(st.tuples(st.integers(0, 12), st.sampled_from("xyz")), min_size=1, max_size=80),
    part=st.floats(0.01, 0.99),
    seed=st.integers(0, 3),
)
def test_each_class_keeps_groups_for_training(samples: list[tuple[int, str]], part: float, seed: int) -> None:
    groups, labels = [str(group) for group, _ in samples], [label for _, label in samples]
    of_class = {
        label: {g for g, other in zip(groups, labels, strict=True) if other == label} for label in labels
    }
    if min(map(len, of_class.values())) == 1:
        with pytest.raises(ConfigError, match="which cannot be in both"):
            held_out_groups(groups, labels, part, seed)
        return
    kept = held_out_groups(groups, labels, part, seed)
    assert all(names - kept for names in of_class.values())
    assert kept <= set(groups)
    assert kept
    assert kept == held_out_groups(groups, labels, part, seed)


@pytest.mark.parametrize("part", [0.1, 0.2, 0.5])
def test_classes_stay_balanced_as_well_as_groups_allow(part: float) -> None:
    random = np.random.default_rng(0)
    sizes = random.integers(1, 20, 100)
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    labels = [("rare" if i % 5 == 0 else "common") for i, size in enumerate(sizes) for _ in range(size)]
    for seed in range(5):
        kept = held_out_groups(groups, labels, part, seed)
        held = Counter(label for group, label in zip(groups, labels, strict=True) if group in kept)
        for label, total in Counter(labels).items():
            # No group has more than 19 samples, and one that brings the part nearer is taken.
            assert abs(held[label] - part * total) <= 19 / 2


def test_no_group_of_a_folder_is_on_both_sides(videos: Path) -> None:
    config = ImageFolder(train_dir=str(videos), group_by=VIDEO, validation_split=0.3, image_size=8)
    train, validation = both(config)
    assert not groups_of(train) & groups_of(validation)
    assert len(train) + len(validation) == 60
    assert len(validation) == pytest.approx(18, abs=3)
    assert both(config)[1].paths == validation.paths
    assert both(config, seed=1)[1].paths != validation.paths


def test_no_group_of_a_list_is_on_both_sides(videos: Path) -> None:
    files = sorted(path.relative_to(videos).as_posix() for path in videos.rglob("*.png"))
    (videos / "all.txt").write_text("".join(f"{file} {file.split('/')[0]}\n" for file in files))
    config = ImageList(train=str(videos / "all.txt"), group_by=VIDEO, validation_split=0.3, image_size=8)
    train, validation = both(config)
    assert not groups_of(train) & groups_of(validation)
    assert len(train) + len(validation) == 60
    folder = ImageFolder(train_dir=str(videos), group_by=VIDEO, validation_split=0.3, image_size=8)
    assert groups_of(both(folder)[1]) == groups_of(validation), "one mechanism"


def test_groups_stay_with_their_samples(videos: Path) -> None:
    source = ImageFolder(train_dir=str(videos), group_by=VIDEO, image_size=8).source(Split.TRAIN, seed=0)
    names = {source.sample_name(i): source.group_name(i) for i in range(len(source))}
    for other in (source.chosen([7, 2, 5]), spread(source, 4), cached(source, None, None)):
        assert {other.sample_name(i): other.group_name(i) for i in range(len(other))}.items() <= names.items()


def test_a_class_of_one_group_cannot_be_divided(tmp_path: Path) -> None:
    save_videos(tmp_path, ["fake/video1", "real/video2", "real/video3"])
    with pytest.raises(ConfigError, match=r"gives all images of class 'fake' to the group 'video1'"):
        ImageFolder(train_dir=str(tmp_path), group_by=VIDEO).source(Split.TRAIN, seed=0)


def test_a_pattern_that_is_not_one_is_a_problem_of_the_config() -> None:
    words = ("scenario=mesonet", "data=image_folder", "data.train_dir=DIR", "data.group_by='(video'")
    with pytest.raises(ConfigError, match=r"data\.group_by: must be a regular expression: missing \)"):
        compose(*words)


@pytest.fixture
def leaking(tmp_path: Path) -> tuple[str, ...]:
    """Two folders that share `video1`, and in which no content is the same."""
    save_videos(tmp_path / "train", ["fake/video1", "fake/video2", "real/video3"])
    save_videos(tmp_path / "validation", ["fake/video1", "real/video4"])
    folders = (f"data.train_dir={tmp_path}/train", f"data.val_dir={tmp_path}/validation")
    return ("scenario=mesonet", "data=image_folder", *folders, "data.image_size=32")


def warnings_before_training(words: Sequence[str], caplog: pytest.LogCaptureFixture) -> list[str]:
    scenario = compose(*words)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "framework"):
        open_validation(scenario, scenario.source(Split.TRAIN))
    return [record.getMessage() for record in caplog.records]


def test_training_warns_once_of_groups_in_both_folders(
    leaking: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    (warning,) = warnings_before_training([*leaking, f"data.group_by={VIDEO!r}"], caplog)
    assert "1 of the 2 groups of the validation data are in the training data, too" in warning
    assert "video1: 3 and 3 samples" in warning
    assert warnings_before_training(leaking, caplog) == []


def test_training_warns_once_of_the_same_content(
    leaking: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leaked = tmp_path / "validation" / "real" / "video9_0.png"
    leaked.write_bytes((tmp_path / "train" / "fake" / "video2_1.png").read_bytes())
    (warning,) = warnings_before_training(leaking, caplog)
    assert "1 of the 7 validation files have the content of a training file" in warning
    assert f"{leaked} is {tmp_path}/train/fake/video2_1.png" in warning


def test_validate_data_of_what_cannot_be_opened_prints_no_table(
    leaking: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(validate_data.main.__wrapped__, [*leaking, "data.group_by=nothing"]) == 1  # type: ignore[attr-defined]
    shown = capsys.readouterr().out
    assert "matches 0 of 9 paths" in " ".join(shown.split())
    assert "unusable" not in shown


@pytest.mark.slow
def test_validate_data_names_them(leaking: tuple[str, ...]) -> None:
    train, validation = check_data(compose(*leaking, f"data.group_by={VIDEO!r}"))
    assert train.faults == []
    assert validation.kinds() == [("group in train", 3, False)]
    assert "is of the group 'video1', as is " in str(validation.faults[0])
