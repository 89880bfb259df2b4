"""Loss and metrics of the steps between two points of a curve, while an epoch goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framework.run.checkpoint import NamedArray, copy_variables
from framework.run.event_files import EventFiles
from framework.run.speed import Stopwatch
from framework.run.summaries import scalar
from framework.training.components import Components
from framework.training.due import Due
from framework.training.state import TrainingState
from framework.training.validation import metric_values

if TYPE_CHECKING:
    import keras


class StepScalars:
    """The curves over steps in TensorBoard, such as `steps/loss`.

    The metrics of a model add up over an epoch. A point is made of what was added since the last one, so nothing is
    computed in a step for it, and no variable is written.

    Args:
        components: what the run trains with.
        state: how far the run is.
        events: where the points are written; None: nowhere.
        due: says after which steps.
    """

    def __init__(
        self, components: Components, state: TrainingState, events: EventFiles | None, due: Due
    ) -> None:
        self._components, self._state, self._events, self._due = components, state, events, due
        self._since: list[NamedArray] = []
        self._step = self._left_out = 0
        self._stopwatch = Stopwatch(components.loop)

    def begin_epoch(self) -> None:
        """Begin with the state as it is: of a new epoch, or of one that goes on."""
        if self._due.steps_per_point:
            self._begin()

    def after_call(self, step: int) -> None:
        """Write a point where one is due. The loop has returned, when `step` steps are done."""
        if self._events is None or not self._due.scalars(step):
            return
        if len(self._state.progress.left_out) == self._left_out:
            self._events.write(
                "train", step, [scalar(f"steps/{name}", value) for name, value in self._values(step).items()]
            )
        # After steps that were left out, the metrics may be what they were earlier.
        self._begin()

    def _begin(self) -> None:
        self._since = copy_variables(self._components.model.metrics_variables)
        self._step, self._left_out = self._state.progress.step, len(self._state.progress.left_out)
        self._stopwatch = Stopwatch(self._components.loop)

    def _values(self, step: int) -> dict[str, float]:
        import keras

        from framework.optim.schedule import last_learning_rate  # imports Keras

        model = self._components.model
        now = copy_variables(model.metrics_variables)
        mapping = [
            (variable, keras.ops.cast(b.array.astype("float64") - a.array, variable.dtype))
            for variable, a, b in zip(model.metrics_variables, self._since, now, strict=True)
        ]
        with keras.StatelessScope(state_mapping=mapping):
            values = metric_values(model)
        speed = self._stopwatch.stop((step - self._step) * self._components.stream.step_size)
        return {
            **{name: value for name, value in values.items() if self._adds_up(name)},
            "learning_rate": last_learning_rate(model.optimizer),
            **speed.values(),
        }

    def _adds_up(self, value: str) -> bool:
        """Return whether a value is of a metric of Keras, all of which add up. Others may not, such as a maximum."""
        import keras

        return not any(
            metric.name in value
            for metric in _single_metrics(self._components.model)
            if not isinstance(metric, keras.metrics.Mean | keras.metrics.Sum)
            and not type(metric).__module__.startswith("keras.")
        )


def _single_metrics(model: keras.Model) -> list[keras.metrics.Metric]:
    """List the metrics of a model, without those that Keras makes of several."""
    return [single for metric in model.metrics for single in getattr(metric, "metrics", [metric])]
