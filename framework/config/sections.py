"""What a config is made of: its sections, each typed, and their short forms."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from framework.config.device_config import DeviceConfig
from framework.config.early_stopping_config import EarlyStoppingConfig
from framework.config.parts import DataSection, LearningRateSection, LoopSection, OptimizerSection
from framework.config.schema import PlainValue, Section, to_plain
from framework.config.trainer_config import TrainerConfig
from framework.config.warm_start_config import WarmStartConfig

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
    settings: Section


# The groups with one config dataclass each, or a registry of them, of which the key `name` picks one.
PARTS = {
    "optimizer": "framework.optim.optimizers:OPTIMIZERS",
    "learning_rate": "framework.optim.learning_rates:LEARNING_RATES",
    "early_stopping": "framework.config.early_stopping_config:EarlyStoppingConfig",
    "device": "framework.config.device_config:DeviceConfig",
    "loop": "framework.loops.loop:LOOPS",
    "warmstart": "framework.config.warm_start_config:WarmStartConfig",
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run is made of. Each section is typed; `parse` makes it, `to_plain` gives the plain
    values back."""

    scenario: ScenarioSection
    model: Section
    data: DataSection
    optimizer: OptimizerSection
    learning_rate: LearningRateSection
    early_stopping: EarlyStoppingConfig
    device: DeviceConfig
    loop: LoopSection
    warmstart: WarmStartConfig
    trainer: TrainerConfig

    def to_plain(self) -> dict[str, dict[str, PlainValue]]:
        """Plain values that `parse` turns into an equal `RunConfig`."""
        plain = {field.name: to_plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        chosen: dict[str, PlainValue] = {"name": self.scenario.name, "target": self.scenario.target}
        return plain | {"scenario": chosen | to_plain(self.scenario.settings)}


SECTIONS = tuple(field.name for field in dataclasses.fields(RunConfig))
