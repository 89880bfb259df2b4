"""What the curves of a run say: whether it overfits, and whether more epochs would help."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from framework.optim.plateau import PlateauSettings
from framework.report.recorded import Recorded
from framework.report.sections import Finding
from framework.run.console import format_value, plural

# A loss that rises by this part of its lowest value has risen, and one whose lowest value comes down by this part
# over the last fifth of the validations still falls.
_RISEN, _FALLING = 0.05, 0.02
_LASTING, _LATE = 3, 5  # validations: as many make a rise a lasting one, and as many tell where it leads
_NOISE = 3  # times the mean deviation of a difference between neighbours: less is no rise
_MORE = 10  # epochs that are proposed at the most
_ENDED = ("finished", "stopped early")
_OVERFIT, _MORE_EPOCHS = "Does it overfit?", "Would more epochs help?"


def fit(recorded: Recorded) -> Iterator[Finding]:
    """Say whether a run overfits, and whether more epochs would help; nothing of a run without an epoch."""
    series = recorded.series("loss")
    if "train" not in series:
        return
    trend, reason = _trend(series.get("validation"))
    if trend is None:
        yield Finding(_OVERFIT, *reason)
        yield Finding(_MORE_EPOCHS, "That cannot be told either.")
        return
    yield _overfits(recorded, trend)
    helps, text = _improves(recorded, trend)
    yield Finding(_MORE_EPOCHS, text, _resume(recorded) if helps and recorded.status in _ENDED else None)


def more_epochs(recorded: Recorded) -> int | None:
    """The number of epochs to resume a run that has ended with; None where more of them do not help.

    Where nothing tells whether they help, they may.
    """
    trend, _ = _trend(recorded.series("loss").get("validation"))
    if trend is not None and not _improves(recorded, trend)[0]:
        return None
    epochs = recorded.config.trainer.epochs
    return epochs + min(epochs, _MORE)


@dataclass(frozen=True)
class _Trend:
    """A validation loss over epochs, at least two values, all finite."""

    epochs: Sequence[float]
    losses: Sequence[float]

    @property
    def where(self) -> int:
        """The index of the lowest one."""
        return self.losses.index(min(self.losses))

    @property
    def lowest(self) -> float:
        return self.losses[self.where]

    @property
    def late(self) -> slice:
        """The last few after the lowest one."""
        return slice(max(self.where + 1, len(self.losses) - _LATE), None)

    def has_risen(self) -> bool:
        """Whether the median of the last few is above the lowest one, by more than noise does it.

        The lowest of many values lies below the others by noise alone, so the rise is compared with the mean
        absolute deviation of the differences between neighbours.
        """
        late = self.losses[self.late]
        if not late:
            return False
        differences = [
            b - a for a, b in zip(self.losses[self.where :], self.losses[self.where + 1 :], strict=False)
        ]
        usual = statistics.fmean(differences)
        noise = statistics.fmean(abs(one - usual) for one in differences)
        return statistics.median(late) - self.lowest > max(_RISEN * abs(self.lowest), _NOISE * noise)


def _trend(validation: tuple[list[float], list[float]] | None) -> tuple[_Trend | None, tuple[str, str]]:
    """The validation loss over epochs; or why it says nothing, and what to do."""
    if validation is None:
        return None, ("Nothing was validated, so that cannot be told.", "give it validation data")
    pairs = [(epoch, loss) for epoch, loss in zip(*validation, strict=True) if math.isfinite(loss)]
    if not pairs:
        return None, ("No validation loss is finite.", "lower lr, or see trainer.trace_nan=true")
    if len(pairs) < 2:
        return None, ("One validation cannot tell.", "train more epochs")
    epochs, losses = zip(*pairs, strict=True)
    return _Trend(epochs, losses), ("", "")


def _overfits(recorded: Recorded, trend: _Trend) -> Finding:
    lowest = f"the validation loss was lowest at epoch {trend.epochs[trend.where]:g} ({format_value(trend.lowest)})"
    late = trend.losses[trend.late]
    if not late:
        return Finding(_OVERFIT, f"No: the validation loss is at its lowest, {format_value(trend.lowest)}.")
    middle = statistics.median(late)
    if not trend.has_risen():
        return Finding(_OVERFIT, f"No: {lowest}, and has not risen lastingly since.")
    risen = f"{(middle - trend.lowest) / abs(trend.lowest):.0%} higher" if trend.lowest else "higher"
    if len(late) < _LASTING:
        since = plural(len(late), "validation")
        return Finding(
            _OVERFIT, f"Too early to tell: {lowest} and is {risen} since, but that is {since} only."
        )
    if not _training_loss_fell(recorded, trend):
        return Finding(
            _OVERFIT, f"No: {lowest} and is {risen} since, but the training loss rises, too.", "lower lr"
        )
    text = f"{lowest} and is {risen} at the end (median of {len(late)}), while the training loss has fallen"
    if kept := _metric_is_kept(recorded, trend):
        return Finding(
            _OVERFIT, f"In its confidence only: {text}. The loss rises, {kept} does not get worse."
        )
    hint = f"stop earlier (early_stopping.n_to_go), augment, or add weight decay{_best(recorded)}"
    return Finding(_OVERFIT, f"Yes: {text}.", hint)


def _training_loss_fell(recorded: Recorded, trend: _Trend) -> bool:
    epochs, losses = recorded.series("loss")["train"]
    then = next(
        (one for epoch, one in zip(epochs, losses, strict=True) if epoch >= trend.epochs[trend.where]), None
    )
    return then is not None and losses[-1] < then


def _monitored(recorded: Recorded) -> tuple[str, dict[float, float], float] | None:
    """The monitored metric, or else the accuracy, over epochs, and 1 or -1, of which the product with a better value
    is higher; None where only the loss is known."""
    monitor = recorded.monitor or ""
    value = monitor.removeprefix("val_")
    mode = (recorded.result or {}).get("mode") or ("max" if "acc" in value else None)
    if not monitor.startswith("val_") or value == "loss" or mode is None:
        value, mode = "accuracy", "max"
    found = recorded.series(value).get("validation")
    return (
        None
        if found is None
        else (f"val_{value}", dict(zip(*found, strict=True)), 1 if mode == "max" else -1)
    )


def _metric_is_kept(recorded: Recorded, trend: _Trend) -> str | None:
    """The name of the metric that is as good at the end as where the loss is lowest; None if it is worse."""
    if (found := _monitored(recorded)) is None:
        return None
    name, values, sign = found
    late = [values[epoch] for epoch in trend.epochs[trend.late] if epoch in values]
    then = values.get(trend.epochs[trend.where])
    return name if late and then is not None and sign * (statistics.median(late) - then) >= 0 else None


def _improves(recorded: Recorded, trend: _Trend) -> tuple[bool, str]:
    """Whether validation improves at the end, and that in words."""
    last = max(1, len(trend.losses) // 5)
    before, recent = min(trend.losses[:-last]), min(trend.losses[-last:])
    over = "with the last validation" if last == 1 else f"over the last {plural(last, 'validation')}"
    fallen = (before - recent) / abs(before) if before else float(recent < 0)
    at_its_lowest = trend.where == len(trend.losses) - 1
    if fallen > _FALLING:
        return True, f"Yes: the lowest validation loss has come down by {fallen:.0%} {over}."
    if (found := _monitored(recorded)) is not None:
        name, values, sign = found
        scores = [(epoch, sign * value) for epoch, value in values.items() if math.isfinite(value)]
        best = max(scores, key=lambda pair: pair[1], default=None)  # the first of equal ones
        if best is not None and len(scores) > 1 and best[0] == scores[-1][0]:
            reached = f"{name} is best at the last epoch, {format_value(sign * best[1])}"
            if at_its_lowest:
                return True, f"Yes: {reached}, and the validation loss is lowest there."
            return True, f"Perhaps: {reached}, though the validation loss is not."
    if at_its_lowest:
        return (
            True,
            f"A little: the validation loss is lowest at the end, but came down by {fallen:.1%} {over}.",
        )
    back = plural(int(trend.epochs[-1] - trend.epochs[trend.where]), "epoch")
    return False, f"No: the validation loss was lowest {back} back, at epoch {trend.epochs[trend.where]:g}."


def _resume(recorded: Recorded) -> str:
    epochs = more_epochs(recorded)
    return f"resume-training {recorded.run.path} epochs={epochs}{_stretched(recorded, epochs or 1)}"


def _stretched(recorded: Recorded, epochs: int) -> str:
    """What more epochs do to the learning rate, where the schedule depends on them."""
    schedule, before = recorded.config.learning_rate, recorded.config.trainer.epochs
    _, rates = recorded.of_training("learning_rate")
    last = next((record for record in reversed(recorded.history) if record["phase"] == "train"), None)
    # The rate of a plateau depends on what was validated, and not on the epochs.
    if (
        isinstance(schedule, PlateauSettings)
        or not rates
        or not last
        or not last["step"]
        or not last["epoch"]
    ):
        return ""
    step, steps = int(last["step"]), max(1, round(last["step"] / last["epoch"]))
    then, now = (float(schedule.build(steps_per_epoch=steps, epochs=n)(step)) for n in (before, epochs))
    if math.isclose(then, now, rel_tol=0.01):
        return ""
    return (
        f"; this stretches the schedule of the learning rate over {epochs} epochs, so the rate, "
        f"{format_value(rates[-1])} at the end, goes on with {format_value(now)}"
    )


def _best(recorded: Recorded) -> str:
    if recorded.best is None:
        return ""
    by = f", the best by {recorded.monitor}" if recorded.monitor else ""
    return f"; best/ holds epoch {recorded.best['epoch']:,}{by}"
