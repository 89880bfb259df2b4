"""What a model gives for each sample of a split, and which samples it gets most wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from framework.classification import Classification
from framework.data.source import Source
from framework.data.stream import in_order
from framework.evaluators import Evaluator, samples_of
from framework.scenario import Scenario

if TYPE_CHECKING:
    import keras
    import numpy as np
    from matplotlib.figure import Figure

Task = Literal["binary", "classes", "regression"]

# Numbers that outputs and targets may be, all samples together: a report keeps them in memory.
_NUMBERS = 50_000_000
_THUMBNAIL = 128  # pixels of the longer side
_TEXT = 300  # characters of a text that are shown


@dataclass(frozen=True)
class Judged:
    """The outputs of a model for all samples of a split.

    Args:
        scenario: says what they are.
        source: the samples.
        task: which figures they are good for; None: none of them.
        outputs: what the model gives, float [samples, ...].
        targets: what it should give, [samples, ...].
        figures: those of the scenario's evaluators, by their names.
    """

    scenario: Scenario
    source: Source
    task: Task | None
    outputs: np.ndarray
    targets: np.ndarray
    figures: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes, in the order of the outputs; of two, the negative one first."""
        assert isinstance(self.scenario, Classification)
        names = list(self.scenario.classes)
        return sorted(names, key=lambda name: name == self.positive) if self.task == "binary" else names

    @property
    def positive(self) -> str | None:
        """Of two classes, the one that the output is the probability of."""
        assert isinstance(self.scenario, Classification)
        return self.scenario.data.positive_class

    @property
    def probabilities(self) -> np.ndarray:
        """Of each class, float [samples, classes], in the order of `classes`."""
        import numpy as np

        if self.task == "binary":
            scores = np.ravel(self.outputs)
            return np.stack([1 - scores, scores], axis=1)
        return self.outputs

    @property
    def labels(self) -> np.ndarray:
        """The index of the class of each sample, int [samples], in the order of `classes`."""
        import numpy as np

        return np.ravel(self.targets).astype(int)

    @property
    def predicted(self) -> np.ndarray:
        """The index of the predicted class, int [samples]."""
        if self.task == "binary":
            assert isinstance(self.scenario, Classification)
            return (self.probabilities[:, 1] > self.scenario.threshold).astype(int)
        return self.outputs.argmax(axis=1)

    def confusion(self) -> np.ndarray:
        """Samples by class and predicted class, int [classes, classes]."""
        import numpy as np

        table = np.zeros((len(self.classes), len(self.classes)), int)
        np.add.at(table, (self.labels, self.predicted), 1)
        return table

    def residuals(self) -> np.ndarray:
        """Of a regression, what the model gives less what it should, float [samples, values]."""
        return (self.outputs - self.targets).reshape(len(self.outputs), -1)

    def most_wrong(self, count: int) -> list[WrongSample]:
        """The samples that the model gets most wrong, the worst first: of classes, those with the lowest
        probability of their own class among those that it takes for another; of a regression, those that are
        farthest off."""
        import numpy as np

        if self.task is None:
            return []
        if self.task == "regression":
            wrong = abs(self.residuals()).max(axis=1)
            chosen = np.argsort(-wrong, kind="stable")[:count]
        else:
            wrong = 1 - self.probabilities[np.arange(len(self.labels)), self.labels]
            missed = np.flatnonzero(self.predicted != self.labels)
            chosen = missed[np.argsort(-wrong[missed], kind="stable")][:count]
        return [self._wrong(int(index)) for index in chosen]

    def _wrong(self, index: int) -> WrongSample:
        if self.task == "regression":
            true, given = (
                ", ".join(f"{v:.4g}" for v in part[index].ravel()) for part in (self.targets, self.outputs)
            )
            said = f"{given} predicted"
        else:
            predicted = int(self.predicted[index])
            true = self.classes[int(self.labels[index])]
            said = f"{self.classes[predicted]} with {self.probabilities[index, predicted]:.1%}"
        picture, text = shown(self.source, index)
        return WrongSample(self.source.sample_name(index), str(true), said, picture, text)


@dataclass(frozen=True)
class WrongSample:
    """A sample that a model gets wrong.

    Args:
        name: of the sample, such as its file.
        true: what it is.
        said: what the model says.
        picture: the sample as a `data:` URL of a JPEG, where it is an image.
        text: the sample, where it is a text.
    """

    name: str
    true: str
    said: str
    picture: str | None = None
    text: str | None = None


def judge(model: keras.Model, scenario: Scenario, source: Source) -> Judged:
    """Run a model over all samples of a source.

    Args:
        model: need not be compiled.
        scenario: of the model.
        source: samples with targets.

    Returns:
        What it gives; without a task where the model has several outputs, or gives too many numbers to keep.
    """
    import keras
    import numpy as np

    drawing = [one for one in scenario.evaluators() if type(one).figures is not Evaluator.figures]
    kept: list[tuple[np.ndarray, np.ndarray]] | None = []
    for batch in in_order(source, batch_size=scenario.config.data.batch_size):
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(batch)
        outputs = model.predict_on_batch(inputs)
        if drawing:
            for sample in samples_of(inputs, targets, outputs, weights):
                for evaluator in drawing:
                    evaluator.update(sample)
        single = isinstance(outputs, np.ndarray) and hasattr(targets, "numpy")
        if kept is not None and single and (outputs.size // len(outputs) + 1) * len(source) <= _NUMBERS:
            kept.append((outputs.astype(np.float64), targets.numpy()))
        else:
            kept = None
    figures = {name: figure for evaluator in drawing for name, figure in evaluator.figures().items()}
    if kept is None:
        nothing = np.zeros((len(source), 0))
        return Judged(scenario, source, None, nothing, nothing, figures)
    given, wanted = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return Judged(scenario, source, _task(scenario, given, wanted), given, wanted, figures)


def _task(scenario: Scenario, outputs: np.ndarray, targets: np.ndarray) -> Task | None:
    import numpy as np

    if not np.isfinite(outputs).all():
        return None
    if isinstance(scenario, Classification):
        count = len(scenario.classes)
        if count == 2 and outputs.shape[1:] == (1,):
            return "binary"
        return "classes" if outputs.shape[1:] == (count,) and targets.size == len(outputs) else None
    few = outputs.size <= 8 * len(outputs)
    floating = np.issubdtype(targets.dtype, np.floating) and np.isfinite(targets).all()
    return "regression" if floating and few and outputs.shape == targets.shape else None


def shown(source: Source, index: int) -> tuple[str | None, str | None]:
    """A sample as a person sees it: as a picture (a `data:` URL), or as a text; None for each that it is not."""
    import numpy as np
    import tensorflow as tf

    try:
        inputs = tf.nest.flatten(source.load(tf.constant(index, tf.int64))[0])
    except tf.errors.OpError:  # a file may have gone since
        return None, None
    arrays = [part.numpy() for part in inputs]
    for array in arrays:
        if isinstance(array, bytes):
            text = array.decode(errors="replace")
            return None, text if len(text) <= _TEXT else text[:_TEXT] + " ..."
    for array in arrays:
        if (pixels := _pixels(np.asarray(array))) is not None:
            return _jpeg(pixels), None
    return None, None


def _pixels(array: np.ndarray) -> np.ndarray | None:
    """An array as the pixels of an image, uint8 [height, width] or [height, width, 3]; None where it is none."""
    import numpy as np

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or min(array.shape[:2]) < 4:
        return None
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all() or low == high:
        return None
    # Pixels of 0 to 1 or 0 to 255 keep their brightness; others are stretched.
    scale = (
        (0.0, 1.0) if low >= 0 and high <= 1 else (0.0, 255.0) if low >= 0 and high <= 255 else (low, high)
    )
    return ((array - scale[0]) / (scale[1] - scale[0]) * 255).round().astype(np.uint8)


def _jpeg(pixels: np.ndarray) -> str:
    from PIL import Image

    image = Image.fromarray(pixels)
    small = max(image.size) < _THUMBNAIL
    # A small image, such as a digit of 8x8 pixels, is shown by its pixels.
    factor = _THUMBNAIL / max(image.size)
    width, height = (max(1, round(side * factor)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def class_counts(targets: Iterator[Any], classes: Sequence[str]) -> dict[str, int]:
    """How many samples each class has.

    Args:
        targets: the index of the class of each sample.
        classes: their names.
    """
    import numpy as np

    found = np.bincount(np.fromiter(targets, int), minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, found, strict=True)}
