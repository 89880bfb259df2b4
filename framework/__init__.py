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

    from framework.classification import Classification, ClassificationSettings, ImageClassification
    from framework.config.parts import Loop
    from framework.config.registry import Registry
    from framework.config.schema import setting
    from framework.data.augment import AffineAugmentation
    from framework.data.image_augmentation import ImageAugmentation
    from framework.data.image_list import ImageList
    from framework.data.images import ImageFolder
    from framework.data.map_source import MapSource
    from framework.data.padded import PaddedSource
    from framework.data.source import ArraySource, DataConfig, Source, Split
    from framework.data.tables import Table
    from framework.data.texts import TextFiles
    from framework.data.tf_records import TfRecords
    from framework.errors import ConfigError, DataError, Problem, ScenarioError
    from framework.evaluation.compare_weights import RunWeights
    from framework.evaluation.data_sets import evaluate_data_sets
    from framework.evaluation.input_benchmark import benchmark_input_pipeline
    from framework.evaluation.load_and_validate import load_and_validate
    from framework.evaluation.predict import predict
    from framework.evaluators import Evaluator, Sample
    from framework.loops.loop import LoopConfig, register_loop
    from framework.optim.clock import Clock
    from framework.optim.learning_rates import LearningRate, register_learning_rate
    from framework.optim.optimizers import Optimizer, register_optimizer
    from framework.report.report_run import report_run
    from framework.run.run_directory import RunDirectory
    from framework.scenario import Objective, Scenario, compose, register_scenario
    from framework.testing import check_scenario
    from framework.training.trainer import Trainer

# Each name is imported on first use, so that a config error does not wait for imports that it does not need.
_HOMES = {
    "AffineAugmentation": "data.augment",
    "ArraySource": "data.source",
    "Classification": "classification",
    "ClassificationSettings": "classification",
    "Clock": "optim.clock",
    "ConfigError": "errors",
    "DataConfig": "data.source",
    "DataError": "errors",
    "Evaluator": "evaluators",
    "ImageAugmentation": "data.image_augmentation",
    "ImageClassification": "classification",
    "ImageFolder": "data.images",
    "ImageList": "data.image_list",
    "LearningRate": "optim.learning_rates",
    "Loop": "config.parts",
    "LoopConfig": "loops.loop",
    "MapSource": "data.map_source",
    "Objective": "scenario",
    "Optimizer": "optim.optimizers",
    "PaddedSource": "data.padded",
    "Problem": "errors",
    "Registry": "config.registry",
    "RunDirectory": "run.run_directory",
    "RunWeights": "evaluation.compare_weights",
    "Sample": "evaluators",
    "Scenario": "scenario",
    "ScenarioError": "errors",
    "Source": "data.source",
    "Split": "data.source",
    "Table": "data.tables",
    "TextFiles": "data.texts",
    "TfRecords": "data.tf_records",
    "Trainer": "training.trainer",
    "benchmark_input_pipeline": "evaluation.input_benchmark",
    "check_scenario": "testing",
    "compose": "scenario",
    "evaluate_data_sets": "evaluation.data_sets",
    "load_and_validate": "evaluation.load_and_validate",
    "report_run": "report.report_run",
    "predict": "evaluation.predict",
    "register_learning_rate": "optim.learning_rates",
    "register_loop": "loops.loop",
    "register_optimizer": "optim.optimizers",
    "register_scenario": "scenario",
    "setting": "config.schema",
}

__all__ = [
    "AffineAugmentation",
    "ArraySource",
    "Classification",
    "ClassificationSettings",
    "Clock",
    "ConfigError",
    "DataConfig",
    "DataError",
    "Evaluator",
    "ImageAugmentation",
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
    "Problem",
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
    "evaluate_data_sets",
    "load_and_validate",
    "predict",
    "register_learning_rate",
    "register_loop",
    "register_optimizer",
    "register_scenario",
    "report_run",
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
