"""A run directory that holds a config and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.config.compose import compose_config
from framework.config.sections import RunConfig
from framework.run.run_directory import RunDirectory


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return compose_config(["scenario=mesonet"])


@pytest.fixture
def run(tmp_path: Path, config: RunConfig) -> RunDirectory:
    run = RunDirectory.create(tmp_path / "run")
    run.claim(config)
    return run
