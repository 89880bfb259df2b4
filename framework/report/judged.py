"""What a model gives for each sample of a split, and which samples it gets most wrong."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from framework.classification import Classification
from framework.data.source import Source
from framework.data.stream import in_order
from framework.errors import ScenarioError
from framework.model.grad_cam import GradCam
from framework.report.evaluator_figures import EvaluatorFigures
from framework.report.pictures import as_jpeg_url, overlay, pixels_of
from framework.scenario import Scenario

if TYPE_CHECKING:
    import keras
    import numpy as np
    from matplotlib.figure import Figure

    from framework.data.structure import Tensors

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
        camera: finds where the model looks; None where that cannot be observed.
        faults: which evaluators failed to draw, and why, in a sentence each.
    """

    scenario: Scenario
    source: Source
    task: Task | None
    outputs: np.ndarray
    targets: np.ndarray
    figures: Mapping[str, Figure] = field(default_factory=dict)
    camera: GradCam | None = None
    faults: Sequence[str] = ()

    @functools.cached_property
    def classes(self) -> Sequence[str]:
        """The names of the classes, in the order of the outputs; of two, the negative one first."""
        assert isinstance(self.scenario, Classification)
        return classes_in_order(self.scenario, binary=self.task == "binary")

    @property
    def positive(self) -> str | None:
        """Of two classes, the one that the output is the probability of."""
        assert isinstance(self.scenario, Classification)
        return self.scenario.data.positive_class

    @property
    def threshold(self) -> float:
        """Of two classes, the probability above which the positive one is predicted."""
        assert isinstance(self.scenario, Classification)
        return float(self.scenario.threshold)

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """Of each class, float [samples, classes], in the order of `classes`."""
        import numpy as np

        if self.task == "binary":
            scores = np.ravel(self.outputs)
            return np.stack([1 - scores, scores], axis=1)
        return self.outputs

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """The index of the class of each sample, int [samples], in the order of `classes`."""
        import numpy as np

        return np.ravel(self.targets).astype(int)

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """The index of the predicted class, int [samples]."""
        if self.task == "binary":
            return (self.probabilities[:, 1] > self.threshold).astype(int)
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

    def describe(self, index: int) -> tuple[str, str]:
        """What a sample is, and what the model says of it, in words."""
        if self.task == "regression":
            true, given = (
                ", ".join(f"{v:.4g}" for v in part[index].ravel()) for part in (self.targets, self.outputs)
            )
            return true, given
        predicted = int(self.predicted[index])
        said = f"{self.classes[predicted]} with {self.probabilities[index, predicted]:.1%}"
        return str(self.classes[int(self.labels[index])]), said

    def _wrong(self, index: int) -> WrongSample:
        picture, text = shown(self.source, index, self._where)
        relation = "predicted as" if self.task == "regression" else "taken for"
        true, said = self.describe(index)
        if self.task == "classes":
            said += f" ({true}: {self.probabilities[index, self.labels[index]]:.1%})"
        return WrongSample(self.source.sample_name(index), true, said, picture, text, relation)

    def _where(self, index: int, inputs: Tensors) -> np.ndarray | None:
        """Where the model sees what speaks for the class that it predicts, float [height, width]; None where that
        cannot be told."""
        import tensorflow as tf

        if self.camera is None or self.task == "regression":
            return None
        batch = tf.nest.map_structure(lambda part: tf.expand_dims(part, 0), inputs)
        return self.camera.maps(batch, [int(self.predicted[index])])[0]


@dataclass(frozen=True)
class WrongSample:
    """A sample that a model gets wrong.

    Args:
        name: of the sample, such as its file.
        true: what it is.
        said: what the model says.
        picture: the sample as a `data:` URL of a JPEG, where it is an image; beside it, under the map of what the
            model looks at, where that can be told.
        text: the sample, where it is a text.
        relation: what stands between what it is and what the model says.
    """

    name: str
    true: str
    said: str
    picture: str | None = None
    text: str | None = None
    relation: str = "taken for"


def judge(
    model: keras.Model,
    scenario: Scenario,
    source: Source,
    predict: Callable[[Tensors], Tensors] | None = None,
    *,
    check: Callable[[], None] = lambda: None,
) -> Judged:
    """Run a model over all samples of a source.

    Args:
        model: need not be compiled.
        scenario: of the model.
        source: samples with targets.
        predict: gives the outputs for a batch; None: Keras does, and where the model looks is found, too.
        check: called after each batch; what it raises ends this.

    Returns:
        What it gives; without a task where the model has several outputs, or gives too many numbers to keep.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    drawing = EvaluatorFigures(scenario.evaluators())
    kept: list[tuple[np.ndarray, np.ndarray]] | None = []
    for batch in in_order(source, batch_size=scenario.config.data.batch_size):
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(batch)
        outputs = (
            model.predict_on_batch(inputs)
            if predict is None
            else tf.nest.map_structure(np.asarray, predict(inputs))
        )
        drawing.show(inputs, targets, outputs, weights)
        single = isinstance(outputs, np.ndarray) and hasattr(targets, "numpy")
        if kept is not None and single and (outputs.size // len(outputs) + 1) * len(source) <= _NUMBERS:
            kept.append((outputs.astype(np.float64), targets.numpy()))
        else:
            kept = None
        check()
    figures = drawing.draw()
    if kept is None:
        nothing = np.zeros((len(source), 0))
        return Judged(scenario, source, None, nothing, nothing, figures, faults=drawing.faults)
    given, wanted = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    camera = None
    if predict is None:
        with contextlib.suppress(ScenarioError):
            camera = GradCam(model)
    task = task_of(scenario, given, wanted)
    return Judged(scenario, source, task, given, wanted, figures, camera, drawing.faults)


def task_of(scenario: Scenario, outputs: np.ndarray, targets: np.ndarray) -> Task | None:
    """Which figures outputs are good for; None: none of them.

    Args:
        outputs: what the model gives, float [samples, ...].
        targets: what it should give, [samples, ...].
    """
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


def shown(
    source: Source,
    index: int,
    where: Callable[[int, Tensors], np.ndarray | None] = lambda index, inputs: None,
) -> tuple[str | None, str | None]:
    """Show a sample as a person sees it: as a picture (a `data:` URL), or as a text; None for each that it is not.

    Args:
        source: the samples.
        index: which.
        where: gives the map that is drawn over an image, from the index and what the model gets; None draws none.
    """
    import numpy as np
    import tensorflow as tf

    try:
        inputs = source.load(tf.constant(index, tf.int64))[0]
    except tf.errors.OpError:  # a file may have gone since
        return None, None
    arrays = [part.numpy() for part in tf.nest.flatten(inputs)]
    for array in arrays:
        if isinstance(array, bytes):
            text = array.decode(errors="replace")
            return None, text if len(text) <= _TEXT else text[:_TEXT] + " ..."
    for array in arrays:
        if (pixels := pixels_of(np.asarray(array))) is not None:
            heat = where(index, inputs)
            if heat is None:
                return as_jpeg_url(pixels, _THUMBNAIL), None
            return as_jpeg_url(overlay(pixels, heat), 2 * _THUMBNAIL), None
    return None, None


def classes_in_order(scenario: Classification, *, binary: bool) -> list[str]:
    """The names of the classes as a report has them: of two with one probability, the negative one first."""
    names = list(scenario.classes)
    return sorted(names, key=lambda name: name == scenario.data.positive_class) if binary else names


def class_counts(targets: Iterator[Any], classes: Sequence[str]) -> dict[str, int]:
    """How many samples each class has.

    Args:
        targets: the index of the class of each sample.
        classes: their names.
    """
    import numpy as np

    found = np.bincount(np.fromiter(targets, int), minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, found, strict=True)}
