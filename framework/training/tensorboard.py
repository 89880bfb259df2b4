"""What a session shows in TensorBoard beside the numbers of its records."""

from __future__ import annotations

import contextlib
import functools
import logging
import random
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from framework.data.stream import in_order
from framework.data.subset import spread
from framework.errors import reason_of
from framework.evaluators import Evaluator
from framework.model.evaluation_weights import restoring
from framework.report.judged import judge
from framework.report.overview import hyperparameters_of, results_of, texts_of
from framework.report.recorded import Recorded
from framework.report.tensorboard import figures_of, images_of, show_inputs, show_predictions
from framework.run import summaries
from framework.run.event_files import EventFiles
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario
from framework.training.components import Components
from framework.training.due import Due
from framework.training.epoch_evaluation import Judged
from framework.training.state import Progress

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

    from framework.data.structure import Tensors

log = logging.getLogger(__name__)

# The run as a whole. TensorBoard takes all numbers in the folder of the hyperparameters, and below it, for columns of
# their table, so these have one of their own.
_ABOUT = "about"
_SAMPLES = 8  # two rows, which can be read in the small cards of TensorBoard
_LARGEST_GRAPH = 50_000_000  # bytes; a browser shows no larger one


class TensorBoard:
    """Texts, images, curves and histograms of a session in its event files.

    The run computes the same bits with it and without. What cannot be made is a warning, once a session, and the
    run goes on.

    Args:
        components: what the run trains with.
        run: the run directory.
        events: where to write; None: nowhere, and nothing is done.
        due: says when.
    """

    def __init__(
        self, components: Components, run: RunDirectory, events: EventFiles | None, due: Due
    ) -> None:
        self._components, self._run, self._events, self._due = components, run, events, due
        self._failed: set[str] = set()

    def begin(self, progress: Progress) -> None:
        """Show what the session begins with: config, model, hyperparameters; at the start of the run the graph, and
        the first batch as it enters the model."""
        components = self._components
        recorded = Recorded(self._run, components.scenario.config, [], None, [], "in training")
        self._write(_ABOUT, 0, "config", lambda: texts_of(recorded, components.table))
        self._write(_ABOUT, 0, "hyperparameters", lambda: hyperparameters_of(recorded))
        if progress.step == 0:
            self._write("train", 0, "layers of the model", self._layers)
            self._write("train", 0, "graph", self._graph)
            self._write("train", 0, "inputs", self._inputs)

    def show_validation(self, judged: Judged, progress: Progress) -> None:
        """Show what the model gives for validation samples. It holds its evaluation weights.

        Args:
            judged: the epoch, as it was judged.
            progress: how far the run is; the epoch is not counted yet.
        """
        write = functools.partial(self._write, step=progress.step)
        if "validation" in judged.phases:
            if self._due.samples(judged.epoch):
                write("validation", what="predictions of samples", make=self._predictions)
                if type(self._scenario).tensorboard_images is not Scenario.tensorboard_images:
                    write("validation", what="images of the scenario", make=self._images)
            if self._due.figures(judged.epoch):
                write("validation", what="figures of the validation", make=self._figures)
        for of, drawing in self._components.lav.drawing.items() if self._components.lav else ():
            if of.phase in judged.phases:
                write(of.phase, what=f"figures of {of.phase}", make=functools.partial(_drawn, drawing))

    def end_epoch(self, progress: Progress) -> None:
        """Show the training weights, and their gradients for the next batch."""
        if self._due.histograms(progress.epoch):
            self._write("train", progress.step, "histograms of weights", self._weights)
            self._write(
                "train", progress.step, "histograms of gradients", lambda: self._gradients(progress.step)
            )

    def end(self, progress: Progress, status: str) -> None:
        """Show how the session ended.

        Args:
            status: as in result.json.
        """
        metrics = {"best": progress.best["metrics"] if progress.best else None, "final": progress.final}
        make = functools.partial(results_of, metrics, self._components.monitor, status)
        self._write(_ABOUT, progress.step, "result", make)
        if self._events is not None:
            self._events.close()

    def _write(self, phase: str, step: int, what: str, make: Callable[[], Iterable[Summary]]) -> None:
        """Write summaries, unless they could not be made before."""
        if self._events is None or what in self._failed:
            return
        try:
            with _leaving_random_numbers():
                made = list(make())
        except Exception as error:
            self._failed.add(what)
            log.warning("TensorBoard gets no %s: %s: %s", what, type(error).__name__, reason_of(error))
            log.debug("TensorBoard gets no %s", what, exc_info=error)
            return
        self._events.write(phase, step, made)

    @property
    def _scenario(self) -> Scenario:
        return self._components.scenario

    @functools.cached_property
    def _samples(self) -> tuple[Tensors, ...]:
        """Some validation samples, with a batch dimension: the same in each epoch."""
        validator = self._components.validator
        assert validator is not None
        source = spread(validator.source, _SAMPLES)
        batch: tuple[Tensors, ...] = next(iter(in_order(source, batch_size=_SAMPLES)))
        return batch

    @functools.cached_property
    def _forward(self) -> Callable[[Tensors], Tensors]:
        """What the model gives in inference."""
        import tensorflow as tf

        return (
            self._infer
            if self._components.model.run_eagerly
            else tf.function(self._infer, reduce_retracing=True)
        )

    def _infer(self, inputs: Tensors) -> Tensors:
        return self._components.model(inputs, training=False)

    def _layers(self) -> Iterator[Summary]:
        # A model of a class of its own does not say which layer follows which.
        if "layers" in self._components.model.get_config():
            yield summaries.keras_graph("keras", self._components.model.to_json())

    def _graph(self) -> Iterable[Summary]:
        import tensorflow as tf

        inputs = self._first_batch[0]
        specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, inputs)
        graph = tf.function(self._infer).get_concrete_function(specs).graph.as_graph_def()
        if self._events is not None and graph.ByteSize() <= _LARGEST_GRAPH:
            self._events.write_graph("train", graph.SerializeToString())
        return ()

    @functools.cached_property
    def _first_batch(self) -> tuple[Tensors, ...]:
        import tensorflow as tf

        batch: tuple[Tensors, ...] = next(iter(self._components.stream.from_step(0)))
        return tf.nest.map_structure(lambda part: part[:_SAMPLES], batch)

    def _inputs(self) -> Iterable[Summary]:
        return show_inputs("inputs", self._scenario, self._components.source, self._first_batch)

    def _predictions(self) -> Iterable[Summary]:
        batch, source = self._samples, self._components.source
        return show_predictions("predictions", self._scenario, source, batch, self._forward(batch[0]))

    def _images(self) -> Iterable[Summary]:
        return images_of(self._scenario.tensorboard_images(self._components.model, self._samples))

    def _figures(self) -> Iterable[Summary]:
        components = self._components
        assert components.validator is not None
        return figures_of(judge(components.model, self._scenario, components.validator.source, self._forward))

    def _weights(self) -> Iterator[Summary]:
        for variable in self._components.model.weights:
            yield summaries.histogram(f"weights/{self._short(variable.path)}", variable.numpy())

    def _short(self, path: str) -> str:
        """The path of a weight within the model, which Keras may number anew in each process."""
        return path.removeprefix(f"{self._components.model.name}/")

    def _gradients(self, step: int) -> Iterator[Summary]:
        import numpy as np

        with restoring(self._components.model):
            gradients = self._components.gradients.of(next(self._components.batches(step)))
        for name, gradient in gradients.items():
            yield summaries.histogram(f"gradients/{self._short(name)}", gradient)
        squares = sum(float(np.sum(np.square(gradient.astype("float64")))) for gradient in gradients.values())
        yield summaries.scalar("gradient_norm", squares**0.5)


def _drawn(evaluators: Iterable[Evaluator]) -> list[Summary]:
    return images_of({name: figure for one in evaluators for name, figure in one.figures().items()})


@contextlib.contextmanager
def _leaving_random_numbers() -> Iterator[None]:
    """Leave the random numbers of Python and NumPy as they are: a scenario may draw some for its images."""
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
