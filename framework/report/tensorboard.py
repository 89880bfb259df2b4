"""What TensorBoard shows of samples and outputs: images, texts, tables and curves, as summaries."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.classification import Classification
from framework.report import charts
from framework.report.contact_sheet import Tile, contact_sheet
from framework.report.drawing import draw
from framework.report.judged import Judged, Task, task_of
from framework.report.measures import Curves
from framework.report.pictures import pixels_of
from framework.run import summaries
from framework.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from tensorboard.compat.proto.summary_pb2 import Summary

    from framework.data.source import Source
    from framework.data.structure import Tensors

# Classes that get a precision-recall curve of their own, the most frequent ones; images of an array.
_CURVES, _IMAGES = 20, 16
_ESCAPED = {ord(mark): f"&#{ord(mark)};" for mark in "\\`*_[]<>|#&"}
_TEXT, _NUMBERS = 500, 8  # characters of a text, and numbers of a sample, that are shown


def figures_of(judged: Judged) -> list[Summary]:
    """PR curves, and the figures of all samples as images."""
    figures: dict[str, Figure] = {}
    found: list[Summary] = []
    if judged.task in ("binary", "classes"):
        figures["confusion"] = charts.confusion(judged.confusion(), judged.classes)
        found += _pr_curves(judged)
    if judged.task == "binary" and len(set(judged.labels.tolist())) == 2:
        name = judged.classes[1]
        figures["roc"] = charts.roc(Curves(judged.labels, judged.probabilities[:, 1]), name)
    if judged.task == "regression":
        targets, outputs = judged.targets.reshape(len(judged.targets), -1), judged.outputs
        for column in range(targets.shape[1]):
            name = "target" if targets.shape[1] == 1 else f"target {column}"
            values = outputs.reshape(len(outputs), -1)[:, column]
            figures[f"{name} predicted"] = charts.predicted_and_true(targets[:, column], values, name)
            figures[f"{name} residuals"] = charts.residuals(values - targets[:, column], name)
    return [*found, *(_figure(name, figure) for name, figure in {**figures, **judged.figures}.items())]


def images_of(named: Mapping[str, np.ndarray | Figure]) -> list[Summary]:
    """Images of a scenario or of evaluators, as they give them.

    Args:
        named: by name, a figure, or an array: uint8, or float in [0, 1], [height, width] or [height, width,
            channels] with 1 or 3 channels, or several of them, [images, height, width, channels].

    Raises:
        ValueError: where an array is none of these.
    """
    return [
        _figure(name, value)
        if hasattr(value, "savefig")
        else _sheet(name, [Tile([p]) for p in _images(name, value)])
        for name, value in named.items()
    ]


def show_inputs(tag: str, scenario: Scenario, source: Source, batch: Sequence[Tensors]) -> list[Summary]:
    """Samples as the model gets them, with what they are.

    Args:
        batch: inputs and targets, arrays with a batch dimension, or structures of them.
    """
    inputs, targets = _flat(batch[0]), _flat(batch[1])
    return _show(tag, inputs, [], [[_true(scenario, source, targets, i)] for i in range(len(inputs[0]))])


def show_predictions(
    tag: str, scenario: Scenario, source: Source, batch: Sequence[Tensors], outputs: Tensors
) -> list[Summary]:
    """Samples with what they are and what the model says of them.

    Outputs that are images stand beside the input and the target.

    Args:
        batch: inputs and targets, arrays with a batch dimension, or structures of them.
        outputs: what the model gives for them.
    """
    inputs, targets, given = _flat(batch[0]), _flat(batch[1]), _flat(outputs)
    if len(given) == len(targets) == 1 and (task := task_of(scenario, given[0].astype(float), targets[0])):
        judged = Judged(scenario, source, task, given[0].astype(float), targets[0])
        described = [judged.describe(i) for i in range(len(given[0]))]
        right = None if task == "regression" else (judged.predicted == judged.labels).tolist()
        short = [[" ".join(said.rsplit(" with ", 1)), true] for true, said in described]
        return _show(tag, inputs, [], short, right)
    true = _described(batch[1]) if isinstance(batch[1], Mapping) else None
    lines = [
        [said, true[i] if true else _true(scenario, source, targets, i)]
        for i, said in enumerate(_described(outputs))
    ]
    return _show(tag, inputs, [*targets, *given], lines)


def _show(
    tag: str,
    inputs: Sequence[np.ndarray],
    beside: Sequence[np.ndarray],
    lines: Sequence[Sequence[str]],
    right: Sequence[bool] | None = None,
) -> list[Summary]:
    """Samples as a sheet of images; else as texts, or as a table of numbers.

    Args:
        beside: what is shown beside the first input that is an image, where it is one, too.
        lines: of each sample: what the model says of it, if it says anything, and what it is.
    """
    pictures = next(filter(None, map(_pictures, inputs)), None)
    if pictures is not None:
        shown = [pictures, *filter(None, map(_pictures, beside))]
        tiles = [
            Tile(
                [part[i] for part in shown],
                [*lines[i][:-1], f"true: {lines[i][-1]}"] if len(lines[i]) > 1 else lines[i],
                None if right is None else right[i],
            )
            for i in range(len(pictures))
        ]
        return [_sheet(tag, tiles)]
    said = [", ".join([f"predicted: {line[0]}"] * (len(line) - 1) + [f"true: {line[-1]}"]) for line in lines]
    if right is not None:
        said = [f"{line}{'' if good else ' ✗'}" for line, good in zip(said, right, strict=True)]
    read = [", ".join(_words(part[i]) for part in inputs) for i in range(len(lines))]
    if any(
        part.dtype == object for part in inputs
    ):  # beside a long text, the columns of a table would be narrow
        blocks = [f"**{_cell(line)}**\n\n> {_cell(words)}" for line, words in zip(said, read, strict=True)]
        return [summaries.text(tag, "\n\n".join(blocks))]
    return [summaries.text(tag, table(["what it is", "input"], list(zip(said, read, strict=True))))]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown. Cells may hold any text."""
    cells = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _cell(value: str) -> str:
    return " ".join(value.split()).translate(_ESCAPED)


def _pr_curves(judged: Judged) -> Iterator[Summary]:
    counts = np.bincount(judged.labels, minlength=len(judged.classes))
    chosen = [1] if judged.task == "binary" else sorted(np.argsort(-counts, kind="stable")[:_CURVES].tolist())
    for index in chosen:
        if 0 < counts[index] < len(judged.labels):
            name, scores = str(judged.classes[index]), judged.probabilities[:, index]
            note = f"{counts[index]:,} of {len(judged.labels):,} samples are {name}"
            yield summaries.pr_curve(f"precision_recall/{name}", judged.labels == index, scores, note)


def _true(scenario: Scenario, source: Source, targets: Sequence[np.ndarray], index: int) -> str:
    """What a sample is, in words; empty where that is more than some numbers."""
    value = targets[0][index] if len(targets) == 1 else None
    if isinstance(scenario, Classification) and value is not None and np.size(value) == 1:
        number = float(np.ravel(value)[0])
        task: Task = "binary" if len(scenario.classes) == 2 else "classes"
        if number.is_integer() and 0 <= number < len(scenario.classes):
            return str(Judged(scenario, source, task, targets[0], targets[0]).classes[int(number)])
    return ", ".join(filter(None, (_words(part[index]) for part in targets)))


def _described(structure: Tensors) -> list[str]:
    """Each sample of a structure in words, with the names of its parts where they have some."""
    parts = _flat(structure)
    names = (
        [f"{name} " for name in sorted(structure)] if isinstance(structure, Mapping) else [""] * len(parts)
    )
    return [
        ", ".join(
            f"{name}{words}" for name, part in zip(names, parts, strict=True) if (words := _words(part[i]))
        )
        for i in range(len(parts[0]))
    ]


def _words(value: Any) -> str:
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        return text if len(text) <= _TEXT else text[:_TEXT] + " ..."
    numbers = np.ravel(value)
    if numbers.dtype == object:
        return ", ".join(_words(one) for one in numbers[:_NUMBERS])
    return ", ".join(f"{number:.4g}" for number in numbers[:_NUMBERS]) + (
        " ..." if numbers.size > _NUMBERS else ""
    )


def _pictures(part: np.ndarray) -> list[np.ndarray] | None:
    """Each of several samples as pixels; None where they are no images."""
    found = [None if part.dtype == object else pixels_of(one) for one in part]
    if all(one is None for one in found):
        return None
    # One of a single colour has no contrast that could be stretched.
    return [np.zeros(part.shape[1:3], np.uint8) if one is None else one for one in found]


def _images(name: str, value: Any) -> list[np.ndarray]:
    array = np.asarray(value)
    several = array if array.ndim == 4 else array[np.newaxis]
    if several.ndim == 3:
        several = several[..., np.newaxis]
    kind = array.dtype == np.uint8 or np.issubdtype(array.dtype, np.floating)
    if several.ndim != 4 or several.shape[3] not in (1, 3) or not several.size or not kind:
        raise ValueError(
            f"{name!r} is {array.dtype} {list(array.shape)}, which must be uint8 or float, [height, width], [height, "
            "width, channels] or [images, height, width, channels] with 1 or 3 channels"
        )
    if array.dtype != np.uint8:
        several = (np.nan_to_num(several.astype(np.float64)).clip(0, 1) * 255).round().astype(np.uint8)
    return [one[:, :, 0] if one.shape[2] == 1 else one for one in several[:_IMAGES]]


def _sheet(tag: str, tiles: Sequence[Tile]) -> Summary:
    return summaries.image(tag, *contact_sheet(tiles))


def _figure(tag: str, figure: Any) -> Summary:
    from PIL import Image

    content = draw(figure).png
    width, height = Image.open(io.BytesIO(content)).size
    return summaries.image(tag, content, width, height)


def _flat(structure: Tensors) -> list[np.ndarray]:
    import tensorflow as tf

    return [np.asarray(part) for part in tf.nest.flatten(structure)]
