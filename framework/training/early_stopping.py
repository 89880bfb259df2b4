"""The end of a run before its last epoch, and what counts as better."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NotRequired, TypedDict

from framework.config.early_stopping_config import EarlyStoppingConfig
from framework.evaluators import Mode


def is_better(value: float, best: float | None, mode: Mode, min_delta: float = 0.0) -> bool:
    """Return whether `value` improves on `best`.

    NaN never does. Any other value does where there is no best yet. A value beyond `best` by less than
    `min_delta` does not.
    """
    if math.isnan(value):
        return False
    if best is None:
        return True
    gain = value - best if mode == "max" else best - value
    return gain > 0 and gain >= min_delta


def is_best(
    metrics: Mapping[str, float], best: Mapping[str, float] | None, monitor: str, mode: Mode, loss: str
) -> bool:
    """Return whether an epoch is the best so far: by the monitored value, of equal ones by the lower loss.
    NaN is never best.

    Args:
        metrics: the values of the epoch by name. Without the monitored one, it is not best.
        best: those of the best epoch so far; None where there is none.
        monitor, mode: the name of the monitored value, and whether the lowest or the highest is best.
        loss: the name of the loss that decides between equal values.
    """
    value = metrics.get(monitor)
    if value is None:
        return False
    before = best.get(monitor) if best else None
    if before is None or value != before:
        return is_better(value, before, mode)
    assert best is not None
    return loss in metrics and loss in best and is_better(metrics[loss], best[loss], "min")


# What a word in the name of a value says of it.
_LOW = re.compile(
    "loss|err|error|eer|hter|far|frr|fpr|fnr|fdr|mae|mse|rmse|mape|msle|rmsle|wer|cer|mer|ter|hinge|crossentropy|logloss|nll|"
    "perplexity|ppl|divergence|distance|deviation|brier|ece|mistakes?|misses|regret|false"
)
_HIGH = re.compile(
    "acc|accuracy|auc|auroc|auprc|roc|f1|fbeta|precision|recall|sensitivity|specificity|tpr|tnr|iou|miou|dice|jaccard|kappa|mcc|r2|"
    "correlation|pearson|spearman|similarity|map|ndcg|mrr|bleu|rouge|psnr|ssim|true"
)


def mode_of_name(name: str) -> Mode | None:
    """Guess from the words of its name whether the lowest or the highest value of a metric is best; None
    where they do not say, or contradict each other.

    Of a name from a table, `fake/recall`, the part behind the last slash counts.

    >>> mode_of_name("mean_squared_error"), mode_of_name("topAccuracy"), mode_of_name("fake/recall"),
    mode_of_name("samples") ('min', 'max', 'max', None)
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.rpartition("/")[2])
    words = re.split(r"[^a-z0-9]+", spaced.lower())
    low, high = any(map(_LOW.fullmatch, words)), any(map(_HIGH.fullmatch, words))
    if low == high:
        return None
    return "min" if low else "max"


class EarlyStoppingState(TypedDict):
    """What a checkpoint keeps of early stopping. Earlier versions kept no `mode` and no `improved`."""

    mode: NotRequired[Mode]
    best: float | None
    checked: int
    without_improvement: int
    improved: NotRequired[bool]


class EarlyStopping:
    """Early stopping in one run.

    Args:
        config: when to stop.
        mode: the mode in force.
        earlier_mode: the mode of a run that was begun before checkpoints said it; None: `mode`.

    Attributes:
        mode: the mode in force: of a run that goes on, the one that it was begun with.
    """

    def __init__(self, config: EarlyStoppingConfig, mode: Mode, earlier_mode: Mode | None = None) -> None:
        self.config = config
        self.mode = mode
        self._earlier_mode = earlier_mode or mode
        self._best: float | None = None
        self._seen = 0
        self._without_improvement = 0
        self._improved = False

    def update(self, value: float) -> str | None:
        """Take in the monitored value of an epoch.

        Returns:
            Why training should stop now, as a sentence for the console; None to go on.
        """
        if is_better(value, self._best, self.mode, self.config.min_delta):
            self._best, self._improved = value, True
        checked = self._seen % self.config.frequency == 0
        self._seen += 1
        if checked:
            self._without_improvement = 0 if self._improved else self._without_improvement + 1
            self._improved = False
        target, floor = self.config.upper_threshold, self.config.lower_threshold
        if self.mode == "min":
            target, floor = floor, target
        if target is not None and self._reaches(value, target):
            return f"{value:.6g} reached the threshold {target:g}"
        if floor is not None and not (self._best is not None and self._reaches(self._best, floor)):
            return None
        if checked and (to_go := self.config.epochs_to_go) is not None and self._without_improvement >= to_go:
            best = "none yet" if self._best is None else f"{self._best:.6g}"
            return f"no improvement in {self._without_improvement} checked epochs (best: {best})"
        return None

    def _reaches(self, value: float, threshold: float) -> bool:
        return value >= threshold if self.mode == "max" else value <= threshold

    def state(self) -> EarlyStoppingState:
        """Return the state, for a checkpoint."""
        return {
            "mode": self.mode,
            "best": self._best,
            "checked": self._seen,
            "without_improvement": self._without_improvement,
            "improved": self._improved,
        }

    def restore(self, state: EarlyStoppingState) -> None:
        """Restore a state that `state` returned. The mode is restored, too: it does not change within a
        run."""
        self.mode = state.get("mode", self._earlier_mode)
        self._best = state["best"]
        self._seen = state["checked"]
        self._without_improvement = state["without_improvement"]
        self._improved = state.get("improved", False)
