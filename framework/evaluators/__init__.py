"""Evaluators: measures in Python and NumPy over all samples of an evaluation and the model's outputs.

A Keras metric adds up batch by batch in a graph. An evaluator gets every sample in Python, so it can compute
what needs all samples at once, such as the area under a ROC curve:

    class WorstError(Evaluator):
        names = ("worst_error",)
        worst = math.nan

        def update(self, sample): self.worst = max(abs(float(sample.output - sample.target)), self.worst)
        def result(self): return {"worst_error": self.worst}

The values are recorded beside the metrics of Keras, so they must not have the names of these metrics, such as
`loss` and `accuracy`.

A plain name is a headline value. A name with a slash belongs to a table: the part before the last slash is
the row, the part after it is the column. So `fake/precision` is in row `fake`. The name of a class may hold
spaces and slashes, the name of a column no slashes.
"""

from __future__ import annotations

from framework.evaluators.class_reports import BinaryReport, ClassReport
from framework.evaluators.error_rates import RocCurve, equal_error_rate, equal_error_threshold
from framework.evaluators.evaluator import Evaluator, Mode, Sample, samples_of
from framework.evaluators.scikit_learn import ScikitLearnMetric, identity

__all__ = [
    "BinaryReport",
    "ClassReport",
    "Evaluator",
    "Mode",
    "RocCurve",
    "Sample",
    "ScikitLearnMetric",
    "equal_error_rate",
    "equal_error_threshold",
    "identity",
    "samples_of",
]
