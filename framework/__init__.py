"""tf-scenarios: config-driven training for TensorFlow and Keras.

from framework import RunDirectory, Trainer, compose, load_and_validate

scenario = compose("scenario=mesonet", "optimizer=adam", "lr=1e-3")
result = Trainer(scenario, RunDirectory.create("outputs/run1")).train()
report = load_and_validate("outputs/run1")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from framework.benchmark import benchmark_input_pipeline
    from framework.classification import Classification, ClassificationSettings, ImageClassification
    from framework.data.image_list import ImageList
    from framework.data.images import ImageFolder
    from framework.data.map_source import MapSource
    from framework.data.padded import PaddedSource
    from framework.data.source import ArraySource, DataConfig, Source, Split
    from framework.data.tables import Table
    from framework.data.texts import TextFiles
    from framework.data.tf_records import TfRecords
    from framework.errors import ScenarioError
    from framework.evaluators import Evaluator, Sample
    from framework.lav_report import load_and_validate
    from framework.learning_rates import Clock, LearningRate, register_learning_rate
    from framework.loops import Loop, LoopConfig, register_loop
    from framework.optimizers import Optimizer, register_optimizer
    from framework.prediction import predict
    from framework.registry import Registry
    from framework.run_directory import RunDirectory
    from framework.scenario import Objective, Scenario, compose, register_scenario
    from framework.schema import setting
    from framework.testing import check_scenario
    from framework.trainer import Trainer
    from framework.weight_comparison import RunWeights

# A name is imported when it is asked for, so that a config error does not wait for what it does not need.
_HOMES = {
    "ArraySource": "data.source",
    "Classification": "classification",
    "ClassificationSettings": "classification",
    "Clock": "learning_rates",
    "DataConfig": "data.source",
    "Evaluator": "evaluators",
    "ImageClassification": "classification",
    "ImageFolder": "data.images",
    "ImageList": "data.image_list",
    "LearningRate": "learning_rates",
    "Loop": "loops",
    "LoopConfig": "loops",
    "MapSource": "data.map_source",
    "Objective": "scenario",
    "Optimizer": "optimizers",
    "PaddedSource": "data.padded",
    "Registry": "registry",
    "RunDirectory": "run_directory",
    "RunWeights": "weight_comparison",
    "Sample": "evaluators",
    "Scenario": "scenario",
    "ScenarioError": "errors",
    "Source": "data.source",
    "Split": "data.source",
    "Table": "data.tables",
    "TextFiles": "data.texts",
    "TfRecords": "data.tf_records",
    "Trainer": "trainer",
    "benchmark_input_pipeline": "benchmark",
    "check_scenario": "testing",
    "compose": "scenario",
    "load_and_validate": "lav_report",
    "predict": "prediction",
    "register_learning_rate": "learning_rates",
    "register_loop": "loops",
    "register_optimizer": "optimizers",
    "register_scenario": "scenario",
    "setting": "schema",
}

__all__ = [
    "ArraySource",
    "Classification",
    "ClassificationSettings",
    "Clock",
    "DataConfig",
    "Evaluator",
    "ImageClassification",
    "ImageFolder",
    "ImageList",
    "LearningRate",
    "Loop",
    "LoopConfig",
    "MapSource",
    "Objective",
    "Optimizer",
    "PaddedSource",
    "Registry",
    "RunDirectory",
    "RunWeights",
    "Sample",
    "Scenario",
    "ScenarioError",
    "Source",
    "Split",
    "Table",
    "TextFiles",
    "TfRecords",
    "Trainer",
    "benchmark_input_pipeline",
    "check_scenario",
    "compose",
    "load_and_validate",
    "predict",
    "register_learning_rate",
    "register_loop",
    "register_optimizer",
    "register_scenario",
    "setting",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tf-scenarios")
    except PackageNotFoundError:
        return "unknown: tf-scenarios is not installed"
