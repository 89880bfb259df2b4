"""MesoNet's reports: each speaks of the class that the targets mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework import Split, compose
from framework.evaluators import BinaryReport, ClassReport, Evaluator, Sample


def report_on(words: list[str], outputs: dict[str, list[float]]) -> tuple[Evaluator, dict[str, float]]:
    """The report on a model that gives for each class always the same output, over the training samples of a
    scenario."""
    scenario = compose("scenario=mesonet", *words)
    source = scenario.source(Split.TRAIN)
    (evaluator,) = scenario.evaluators()
    for i in range(len(source)):
        image, target = (np.asarray(part) for part in source.load(i))
        name = source.sample_name(i)  # a path in a folder of its class, or "forged patch of ..."
        output = outputs[Path(name).parent.name or name.split()[0]]
        evaluator.update(Sample(inputs=image, target=target, output=np.array(output, np.float32)))
    result = evaluator.result()
    assert list(result) == list(evaluator.names)
    return evaluator, dict(result)


def folder_of(path: Path, counts: dict[str, int]) -> str:
    for name, count in counts.items():
        (path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (8, 8)).save(path / name / f"{i}.png")
    return f"data.train_dir={path}"


@pytest.mark.parametrize("positive", ["forged", "real"])
def test_forged_patches(positive: str) -> None:
    words = ["data.train_samples=5", f"data.positive_class={positive}"]
    # All are found but the real ones, which are taken for forged with less certainty.
    outputs = {"forged": [0.9], "real": [0.7]} if positive == "forged" else {"forged": [0.1], "real": [0.3]}
    evaluator, result = report_on(words, outputs)
    assert isinstance(evaluator, BinaryReport)
    assert (result["auc"], result["eer"]) == (1, 0)
    assert (result["forged/samples"], result["real/samples"]) == (3, 2)
    assert (result["forged/precision"], result["forged/recall"], result["real/recall"]) == (0.6, 1, 0)
    assert result["f1"] == result[f"{positive}/f1"]


@pytest.mark.parametrize("positive", ["deep fake", "real"])
def test_a_folder_of_two_classes(tmp_path: Path, positive: str) -> None:
    words = [
        folder_of(tmp_path, {"deep fake": 10, "real": 5}),
        f"data.positive_class='{positive}'",
        "data=image_folder",
    ]
    outputs = {name: [0.8] if name == positive else [0.1] for name in ("deep fake", "real")}
    evaluator, result = report_on([*words, "data.image_size=32"], outputs)
    assert isinstance(evaluator, BinaryReport)
    assert (result["auc"], result["eer"], result["f1"]) == (1, 0, 1)
    assert (result["deep fake/samples"], result["real/samples"]) == (8, 4)


def test_a_folder_of_three_classes(tmp_path: Path) -> None:
    words = [
        folder_of(tmp_path, {"fake": 5, "real": 10, "unsure": 5}),
        "data=image_folder",
        "data.image_size=32",
    ]
    outputs = {"fake": [0.7, 0.2, 0.1], "real": [0.2, 0.7, 0.1], "unsure": [0.2, 0.7, 0.1]}
    evaluator, result = report_on(words, outputs)
    assert isinstance(evaluator, ClassReport)
    assert [result[f"{name}/samples"] for name in ("fake", "real", "unsure")] == [4, 8, 4]
    assert [result[f"{name}/recall"] for name in ("fake", "real", "unsure")] == [1, 1, 0]
    assert result["real/precision"] == pytest.approx(2 / 3)
    assert result["balanced_accuracy"] == pytest.approx(2 / 3)
