"""How many samples each class has, without loading one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework.classification import Classification
from framework.data.cache import cached
from framework.data.map_source import MapSource
from framework.data.padded import PaddedSource
from framework.data.source import ArraySource, Source, Split
from framework.data.subset import spread
from framework.report.class_balance import class_balance, known_counts
from framework.scenario import Scenario, compose


def scenario_of_images(folder: Path) -> Classification:
    for name, count in (("fake", 6), ("real", 2)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / name / f"{number}.png")
    (folder / "fake" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing that could be decoded")
    words = (f"data.train_dir={folder}", "data.validation_split=0", "data.positive_class=fake")
    found = compose("scenario=mesonet", "data=image_folder", *words)
    assert isinstance(found, Classification)
    return found


def test_images_are_counted_by_their_folders(tmp_path: Path) -> None:
    scenario = scenario_of_images(tmp_path / "images")
    source = scenario.source(Split.TRAIN)
    assert isinstance(source, Source)
    # The negative class comes first, as in all of the report.
    assert known_counts(scenario, source) == {"real": 2, "fake": 7}
    section = class_balance(scenario, {"training": source})
    assert section is not None and list(section.figures) == ["class_balance"]
    assert section.texts == ["Of the training samples 3.5 times as many are of fake as of real."]


def test_what_is_known_of_other_sources(tmp_path: Path) -> None:
    targets = np.array([[0.0], [1.0], [1.0]], "float32")
    arrays = ArraySource((np.zeros((3, 2)), targets))
    rows = MapSource([{"x": np.zeros(2), "y": np.float32(1)}] * 3, lambda row: (row["x"], row["y"]))
    padded = PaddedSource(([[1], [2, 3], [4]], [0, 1, 1]))
    known = [arrays, spread(arrays, 2), padded, cached(rows, None, None)]
    assert [None if (t := one.known_targets()) is None else t.ravel().tolist() for one in known] == [
        [0, 1, 1],
        [0, 1],
        [0, 1, 1],
        [1, 1, 1],
    ]
    assert rows.known_targets() is None
    assert ArraySource((np.zeros(3),)).known_targets() is None
    scenario = scenario_of_images(tmp_path / "images")
    section = class_balance(scenario, {"training": rows, "validation": None})
    assert section is not None and not section.figures
    assert [text.split(" are known")[0] for text in section.texts] == [
        "The classes of the training 3 samples",
        "The classes of the validation samples",
    ]
    assert class_balance(Scenario.__new__(Scenario), {"training": arrays}) is None


@pytest.mark.parametrize("targets", [[0.5, 1.0], [0, 2], [np.nan, 0], [[0, 1], [1, 0]]])
def test_targets_that_are_no_indices_are_not_counted(tmp_path: Path, targets: list[object]) -> None:
    scenario = scenario_of_images(tmp_path / "images")
    assert known_counts(scenario, ArraySource((np.zeros(2), np.array(targets)))) is None
