"""What TensorBoard shows of samples, outputs and settings."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from framework import ArraySource
from framework.report.overview import folder_name
from framework.report.tensorboard import figures_of, images_of, show_inputs, show_predictions
from framework.run.summaries import histogram
from tests.conftest import REPOSITORY
from tests.unit.report.test_report import judged

NAMES = ("real", "fake")


def picture(summary: Any) -> Image.Image:
    """The image of a summary, whose size must be the one that it says."""
    (value,) = summary.value
    width, height, content = value.tensor.string_val
    image = Image.open(io.BytesIO(content))
    assert image.size == (int(width), int(height))
    return image


def markdown(summary: Any) -> str:
    (value,) = summary.value
    content: bytes = value.tensor.string_val[0]
    return content.decode()


def tags(found: list[Any]) -> list[str]:
    return [value.tag for summary in found for value in summary.value]


def test_figures_of_two_classes() -> None:
    targets = np.array([0, 1, 1, 0, 1])[:, None]
    found = figures_of(judged([[0.1], [0.9], [0.4], [0.2], [0.7]], targets, np.zeros([5, 3]), NAMES))
    assert tags(found) == ["precision_recall/fake/pr_curves", "confusion", "roc"]
    curve = np.frombuffer(found[0].value[0].tensor.tensor_content, "float32").reshape(6, 201)
    tp, fp, _, fn, precision, recall = curve[:, 100]  # at a threshold of 0.5
    assert (tp, fp, fn, precision, recall) == pytest.approx((2, 0, 1, 1, 2 / 3))
    assert picture(found[1]).format == "PNG"


def test_figures_of_more_classes_and_of_numbers() -> None:
    outputs = np.eye(3)[[0, 1, 1, 0]]
    assert tags(figures_of(judged(outputs, [0, 1, 1, 0], np.zeros([4, 3]), ("a", "b", "c")))) == [
        "precision_recall/a/pr_curves",
        "precision_recall/b/pr_curves",
        "confusion",
    ], "a class without samples has no curve"
    numbers = figures_of(judged([[1.0], [2.0]], np.array([[1.5], [2.5]]), np.zeros([2, 3])))
    assert tags(numbers) == ["target predicted", "target residuals"]


def test_images_stand_beside_what_the_model_says_of_them() -> None:
    images = np.random.default_rng(0).integers(0, 255, (6, 9, 12, 3)).astype("uint8")
    targets = np.array([0, 1] * 3)[:, None].astype("float32")
    scenario = judged(targets, targets, images, NAMES).scenario
    source = ArraySource((images, targets))
    (found,) = show_predictions("predictions", scenario, source, (images, targets), 0.8 * targets + 0.1)
    sheet = picture(found)
    assert sheet.width > 4 * 128 and sheet.height > 2 * 96, "four in a row"
    (plain,) = show_inputs("inputs", scenario, source, (images, targets))
    assert picture(plain).height < sheet.height, "one line of text instead of two"


def test_a_blank_image_has_its_place() -> None:
    images = np.zeros([2, 8, 8, 1], "float32")
    images[1, 2:5] = 1
    scenario = judged([[0.0], [1.0]], np.array([[0], [1]]), images, NAMES).scenario
    assert len(show_inputs("inputs", scenario, ArraySource((images,)), (images, np.array([[0], [1]])))) == 1


def test_outputs_that_are_images_stand_beside_the_input() -> None:
    images = np.random.default_rng(0).random((2, 8, 8, 1)).astype("float32")
    scenario, source = judged([[1.0]] * 2, np.ones([2, 1]), images).scenario, ArraySource((images, images))
    (found,) = show_predictions("predictions", scenario, source, (images, images), images)
    assert picture(found).width > 2 * 3 * 128


def test_texts_are_told_as_texts() -> None:
    texts = np.array([b"two | *pipes*", b"x" * 600], object)
    targets = np.array([[0], [1]])
    scenario = judged([[0.1], [0.2]], targets, texts, NAMES).scenario
    (found,) = show_predictions(
        "predictions", scenario, ArraySource((texts,)), (texts, targets), np.array([[0.1], [0.2]])
    )
    first, text, second, cut = markdown(found).split("\n\n")
    assert (first, second) == (
        "**predicted: real 90.0%, true: real**",
        "**predicted: real 80.0%, true: fake ✗**",
    )
    assert text == "> two &#124; &#42;pipes&#42;"
    assert cut.endswith("x ...") and len(cut) < 600


def test_numbers_are_a_table() -> None:
    points = np.array([[1.5, 2.0], [3.0, 4.0]])
    scenario = judged([[0.5], [1.0]], np.ones([2, 1]), points).scenario
    (found,) = show_predictions(
        "predictions", scenario, ArraySource((points,)), (points, np.ones([2, 1])), np.ones([2, 1])
    )
    assert markdown(found).splitlines()[2] == "| predicted: 1, true: 1 | 1.5, 2 |"


def test_several_outputs_are_told_by_their_names() -> None:
    points = np.array([[1.5, 2.0], [3.0, 4.0]])
    scenario = judged([[0.5], [1.0]], np.ones([2, 1]), points).scenario
    targets = {"size": np.array([1.0, 2.0]), "kind": np.array([0, 1])}
    outputs = {"size": np.array([[1.5], [2.5]]), "kind": np.array([[0.25, 0.75], [0.5, 0.5]])}
    (found,) = show_predictions("predictions", scenario, ArraySource((points,)), (points, targets), outputs)
    said = "predicted: kind 0.25, 0.75, size 1.5, true: kind 0, size 1"
    assert markdown(found).splitlines()[2] == f"| {said} | 1.5, 2 |"


def test_images_of_a_scenario() -> None:
    gray, colour = np.zeros([5, 7]), np.full([3, 5, 7, 3], 255, "uint8")
    assert [picture(one).format for one in images_of({"gray": gray, "colour": colour})] == ["JPEG", "JPEG"]
    for wrong in (np.zeros([5, 7, 2]), np.zeros(5), np.zeros([5, 7], int), np.zeros([0, 5, 7, 3])):
        with pytest.raises(ValueError, match=r"'maps' is .*, which must be uint8 or float"):
            images_of({"maps": wrong})


def test_histograms_leave_out_what_is_not_finite() -> None:
    (value,) = histogram("weights", np.array([0.0, 1.0, np.nan, 3.0, np.inf])).value
    buckets = np.frombuffer(value.tensor.tensor_content, "float64").reshape(30, 3)
    assert (buckets[0, 0], buckets[-1, 1], buckets[:, 2].sum()) == (0, 3, 3)
    assert len(histogram("weights", np.array([np.nan])).value) == 1


@pytest.mark.parametrize(
    ("varied", "name"),
    [
        ([], ""),
        (["++scenario.augment=true", "lr=0.01"], "augment=true,lr=0.01"),
        (["model.size=1", "data.size=2"], "model.size=1,data.size=2"),
        (["data.dir=/some where/../x"], "dir=_some_where_.._x"),
        (["x=../.."], "x="),
        ([".."], ""),
    ],
)
def test_names_of_runs(varied: list[str], name: str) -> None:
    assert folder_name(varied) == name


def test_the_scenario_of_the_page() -> None:
    page = (REPOSITORY / "docs" / "tensorboard.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)

    class Model:
        def __call__(self, inputs: np.ndarray, training: bool) -> Any:
            return type("Tensor", (), {"numpy": lambda self: inputs / 2})()

    scenario = names["Denoising"].__new__(names["Denoising"])
    images = scenario.tensorboard_images(Model(), (np.ones([2, 4, 4, 1]), np.ones([2, 4, 4, 1])))
    assert tags(images_of(images)) == ["denoised"]
