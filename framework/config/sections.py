"""What a config is made of: its sections, each typed, and their short forms."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from framework.config.schema import to_plain
from framework.config.trainer_config import TrainerConfig

# What is typed daily, and the long form that each stands for. conf/config.yaml ties them by interpolation.
SHORT_FORMS = {
    "lr": "learning_rate.lr",
    "epochs": "trainer.epochs",
    "batch_size": "data.batch_size",
    "seed": "trainer.seed",
    "output_dir": "trainer.output_dir",
    "samples_per_epoch": "trainer.samples_per_epoch",
    "overfit_batches": "trainer.overfit_batches",
    "trial_run": "trainer.trial_run",
}


@dataclass(frozen=True, kw_only=True)
class ScenarioSection:
    """Which scenario, and its own settings.

    Args:
        name: its registered name.
        target: where its class is, `package.module:Class`.
        settings: an instance of the scenario's `Config`.
    """

    name: str
    target: str
    settings: Any


# The groups with one config dataclass each, or a registry of them, of which the key `name` picks one.
PARTS = {
    "optimizer": "framework.optim.optimizers:OPTIMIZERS",
    "learning_rate": "framework.optim.learning_rates:LEARNING_RATES",
    "early_stopping": "framework.training.early_stopping:EarlyStoppingConfig",
    "device": "framework.run.device:DeviceConfig",
    "loop": "framework.loops.loop:LOOPS",
    "warmstart": "framework.model.warm_start:WarmStartConfig",
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run is made of. Each section is typed; `parse` makes it, `to_plain` gives the plain
    values back."""

    scenario: ScenarioSection
    model: Any
    data: Any
    optimizer: Any
    learning_rate: Any
    early_stopping: Any
    device: Any
    loop: Any
    warmstart: Any
    trainer: TrainerConfig

    def to_plain(self) -> dict[str, Any]:
        """Plain values that `parse` turns into an equal `RunConfig`."""
        plain = {field.name: to_plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        settings = plain["scenario"].pop("settings")
        plain["scenario"] |= settings
        return plain


SECTIONS = tuple(field.name for field in dataclasses.fields(RunConfig))
