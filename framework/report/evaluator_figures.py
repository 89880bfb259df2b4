"""The figures that the evaluators of a scenario draw for a report."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from framework.errors import reason_of
from framework.evaluators import Evaluator, samples_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("framework")


class EvaluatorFigures:
    """The evaluators that draw figures. One that fails is left out; it takes nothing else along.

    Args:
        evaluators: fresh ones. Those without figures are left out.

    Attributes:
        faults: which failed, and why, in a sentence each.
    """

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        self._evaluators = [one for one in evaluators if one.draws()]
        self.faults: list[str] = []

    def show(self, inputs: object, targets: object, outputs: object, weights: object) -> None:
        """Show the samples of a batch to each evaluator."""
        if self._evaluators:
            for sample in samples_of(inputs, targets, outputs, weights):
                for evaluator in list(self._evaluators):
                    with self._leaving_out(evaluator):
                        evaluator.update(sample)

    def draw(self) -> dict[str, Figure]:
        """Collect the figures of all evaluators, by their names."""
        found: dict[str, Figure] = {}
        for evaluator in list(self._evaluators):
            with self._leaving_out(evaluator):
                found |= evaluator.figures()
        return found

    @contextlib.contextmanager
    def _leaving_out(self, evaluator: Evaluator) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # an evaluator of a scenario can raise anything
            self._evaluators.remove(evaluator)
            reason = f"{type(error).__name__}: {reason_of(error)}"
            self.faults.append(f"The figures of {type(evaluator).__name__} cannot be drawn: {reason}")
            log.warning("the figures of %s cannot be drawn: %s", type(evaluator).__name__, reason)
            log.debug("the figures of %s cannot be drawn", type(evaluator).__name__, exc_info=error)
