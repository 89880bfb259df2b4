"""The Keras callbacks of a scenario, and what they are told of a run.

It imports Keras, so it is imported only when a model is built.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import keras

from framework.errors import ScenarioError

# The callbacks of Keras that set the learning rate, and what takes their place.
_SCHEDULES = {
    keras.callbacks.ReduceLROnPlateau: "learning_rate=reduce_on_plateau does the same",
    keras.callbacks.LearningRateScheduler: "choose a schedule, such as learning_rate=piecewise, or register "
    "one of your own: "
    "docs/extending.md",
}

# What Keras calls for each batch; `on_batch_*` are older names of the same.
_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class Callbacks:
    """The Keras callbacks of one session. They are told of it in Keras' order, however the steps are done.

    `on_train_begin` comes once a session. A resume in the middle of an epoch begins that epoch again for the
    callbacks, at its step. `on_epoch_end` comes after validation, with its values among the logs; the model
    has its training weights then. Where a callback sets `model.stop_training`, the run ends with the epoch.

    Args:
        callbacks: as the scenario made them.
        model: compiled.
        epochs, steps_per_epoch: of the run, for the callbacks' `params`.

    Raises:
        ScenarioError: where something else is among them, or a callback that sets the learning rate, which is
            the schedule's to set.

    Attributes:
        step: steps of the epoch that are done, which Keras calls the number of the batch.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        *,
        epochs: int,
        steps_per_epoch: int,
    ) -> None:
        strange = [callback for callback in callbacks if not isinstance(callback, keras.callbacks.Callback)]
        if strange:
            raise ScenarioError(
                f"callbacks() gives {strange[0]!r}, which must be a Keras callback",
                hint="derive it from keras.callbacks.Callback",
            )
        for callback in callbacks:
            _refuse_schedule(callback)
        self.step = 0
        self._epoch: int | None = None
        self._muted = False
        self._model = model
        self._callbacks = list(callbacks)
        self._list = keras.callbacks.CallbackList(
            self._callbacks, model=model, epochs=epochs, steps=steps_per_epoch
        )
        self._stopped = False

    def of_batches(self) -> list[str]:
        """Find the names of the callbacks that look at each batch."""

        def defines(callback: keras.callbacks.Callback, hook: str) -> bool:
            method = getattr(callback, hook)
            return getattr(method, "__func__", method) is not getattr(keras.callbacks.Callback, hook)

        return [
            type(callback).__name__
            for callback in self._callbacks
            if any(defines(callback, hook) for hook in _BATCH_HOOKS)
        ]

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Tell that an epoch, counted from 0, begins, or goes on after `step` of its steps."""
        if self._epoch is None:
            self._model.stop_training = False
            with _leaving_the_rate():
                self._list.on_train_begin()
        self._epoch, self.step = epoch, step
        with _leaving_the_rate():
            self._list.on_epoch_begin(epoch)

    def go_to(self, step: int) -> None:
        """Note that the run was taken to where `step` steps of the epoch are done."""
        self.step = step

    def begin_step(self) -> None:
        """Tell that a step of the epoch begins."""
        if not self._muted:
            with _leaving_the_rate():
                self._list.on_train_batch_begin(self.step)

    def end_step(self, logs: Mapping[str, float]) -> None:
        """Tell that a step is done.

        Args:
            logs: loss and metrics of the epoch so far.
        """
        if not self._muted:
            with _leaving_the_rate():
                self._list.on_train_batch_end(self.step, dict(logs))
            self._stopped = self._stopped or self._model.stop_training  # `fit` forgets it
        self.step += 1

    def end_epoch(self, logs: Mapping[str, float]) -> str | None:
        """Tell that an epoch is done.

        Returns:
            Why the run ends with it, where a callback wants that.
        """
        with _leaving_the_rate():
            self._list.on_epoch_end(self._epoch, dict(logs))
        return "a Keras callback set stop_training" if self._stopped or self._model.stop_training else None

    def close(self) -> None:
        """Tell that the session ends."""
        if self._epoch is not None:
            self._list.on_train_end()

    @contextlib.contextmanager
    def muted(self) -> Iterator[None]:
        """Tell nothing of the steps in the context, since they are done only to find something out."""
        self._muted = True
        try:
            yield
        finally:
            self._muted = False


def _refuse_schedule(callback: keras.callbacks.Callback) -> None:
    for kind, instead in _SCHEDULES.items():
        if isinstance(callback, kind):
            name = type(callback).__name__
            derived = "" if type(callback) is kind else f", a {kind.__name__}"
            raise ScenarioError(
                f"callbacks() gives a {name}{derived}, which sets the learning rate; the section "
                "learning_rate sets it, and resumes it exactly",
                hint=f"leave it out; {instead}",
            )


@contextlib.contextmanager
def _leaving_the_rate() -> Iterator[None]:
    """Say what is wrong where a callback in the context sets the learning rate. Keras refuses to change a
    schedule."""
    try:
        yield
    except (TypeError, AttributeError) as error:
        if "LearningRateSchedule" not in str(error) and not str(error).endswith("has no attribute 'assign'"):
            raise
        raise ScenarioError(
            "a callback of the scenario sets the learning rate, which is set by the section learning_rate: "
            f"{error}",
            hint="leave it out; learning_rate=reduce_on_plateau and the other schedules take its place, "
            "or one of your own: docs/extending.md",
        ) from error
