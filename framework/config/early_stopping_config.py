"""The section `early_stopping` of a config: when a run ends before its last epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from framework.config.schema import setting
from framework.errors import Problem
from framework.evaluators import Mode


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig:
    """Stops a run whose monitored value no longer improves, or is as good as one wants."""

    monitor: str | None = setting(None, "The value to watch, such as `val_accuracy`. null: the scenario's.")
    mode: Mode | None = setting(
        None,
        "Whether the lowest or the highest value is best. null: as the scenario says of its own monitor; "
        "for another one, what the "
        "metric or its name says: `val_loss` or `lav_eer` min, `val_accuracy` or `lav_auc` max.",
    )
    n_to_go: int | None = setting(
        None,
        "Stop after that many checked epochs without improvement; 1 stops at the first. null: never.",
        ge=1,
        le=1_000_000,
    )
    patience: int | None = setting(None, "Another name of n_to_go, as Keras has it.", ge=1, le=1_000_000)
    frequency: int = setting(
        1,
        "Count towards n_to_go after each n-th epoch that has a value, beginning with the first. Whatever "
        "was best in between counts "
        "then. Best and thresholds are looked at in every epoch that has a value.",
        ge=1,
        le=1_000_000,
    )
    min_delta: float = setting(0.0, "A change smaller than that is no improvement.", ge=0)
    lower_threshold: float | None = setting(
        None,
        "mode max: no stop while the best is below it. mode min: stop at once where the value reaches it.",
    )
    upper_threshold: float | None = setting(
        None,
        "mode max: stop at once where the value reaches it. mode min: no stop while the best is above it.",
    )

    @property
    def epochs_to_go(self) -> int | None:
        """`n_to_go`, by whichever name it is set."""
        return self.patience if self.n_to_go is None else self.n_to_go

    def check(self) -> Iterator[Problem]:
        if self.n_to_go is not None and self.patience is not None:
            yield Problem(
                "patience",
                "is another name of n_to_go, and both are set",
                given=self.patience,
                hint="set n_to_go=null",
            )
        if (
            self.lower_threshold is not None
            and self.upper_threshold is not None
            and self.lower_threshold >= self.upper_threshold
        ):
            yield Problem(
                "lower_threshold",
                "must be below upper_threshold",
                given=self.lower_threshold,
                allowed=f"a number < {self.upper_threshold:g}",
            )
