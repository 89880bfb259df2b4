"""The sections of a config: what the rooms above define is what `RunConfig` says. mypy holds the types."""

from __future__ import annotations

from framework.config.device_config import DeviceConfig
from framework.config.early_stopping_config import EarlyStoppingConfig
from framework.config.rules import cross_section_problems
from framework.config.sections import RunConfig, ScenarioSection
from framework.config.trainer_config import TrainerConfig
from framework.config.warm_start_config import WarmStartConfig
from framework.data.source import DataConfig
from framework.loops.loop import CustomLoop
from framework.optim.learning_rates import ReduceOnPlateau
from framework.optim.optimizers import Adam
from framework.scenario import NoSettings


def test_defaults_go_together() -> None:
    config = RunConfig(
        scenario=ScenarioSection(name="own", target="own.scenario:Own", settings=NoSettings()),
        model=NoSettings(),
        data=DataConfig(),
        optimizer=Adam(),
        learning_rate=ReduceOnPlateau(),
        early_stopping=EarlyStoppingConfig(),
        device=DeviceConfig(),
        loop=CustomLoop(),
        warmstart=WarmStartConfig(),
        trainer=TrainerConfig(),
    )
    assert list(cross_section_problems(config)) == []
    plain = config.to_plain()
    assert plain["scenario"] == {"name": "own", "target": "own.scenario:Own"}
    assert (plain["optimizer"]["name"], plain["loop"]["name"]) == ("adam", "custom")
    assert plain["trainer"]["post_hoc_ema"] == []
