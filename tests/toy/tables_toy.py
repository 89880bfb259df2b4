"""Small scenarios on rows of numbers: one reads them from tables, the other from TFRecord files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.classification import Classification
from framework.data.source import Source, Split
from framework.data.tables import Table
from framework.data.tf_records import TfRecords
from framework.scenario import Objective, Scenario, register_scenario

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

NUMBERS = 4


def network(numbers: int, outputs: int, activation: str | None) -> keras.Model:
    import keras

    layers = [
        keras.layers.Dense(8, activation="relu", name="hidden"),
        keras.layers.Dense(outputs, activation, name="output"),
    ]
    return keras.Sequential([keras.Input((numbers,)), *layers])


@register_scenario("table_toy")
class TableToy(Classification):
    """Labels or a number from the columns of a table, as `data.task` says."""

    datas = Table
    data: Table

    def build_model(self) -> keras.Model:
        assert self.data.inputs is not None
        if self.data.task == "regression":
            return network(len(self.data.inputs), 1, None)
        two = len(self.classes) == 2
        return network(
            len(self.data.inputs), 1 if two else len(self.classes), "sigmoid" if two else "softmax"
        )

    def objective(self) -> Objective:
        return Objective(loss="mse") if self.data.task == "regression" else super().objective()

    def evaluators(self) -> Any:
        return [] if self.data.task == "regression" else super().evaluators()

    def describe_model(self) -> Any:
        return {} if self.data.task == "regression" else super().describe_model()


@register_scenario("records_toy")
class RecordsToy(Scenario):
    """Is the sum of some numbers positive?"""

    datas = TfRecords

    def build_model(self) -> keras.Model:
        return network(NUMBERS, 1, "sigmoid")

    def source(self, split: Split) -> Source:
        return self.data.records(split, self.parse)

    @staticmethod
    def parse(serialized: tf.Tensor) -> Any:
        import tensorflow as tf

        features = {
            "x": tf.io.FixedLenFeature([NUMBERS], tf.float32),
            "y": tf.io.FixedLenFeature([1], tf.float32),
        }
        example = tf.io.parse_single_example(serialized, features)
        return example["x"], example["y"]

    def objective(self) -> Objective:
        return Objective(loss="binary_crossentropy", metrics=["accuracy"], monitor="val_accuracy", mode="max")


def write_conf(folder: Path) -> Path:
    """A folder of options with both scenarios in it, for `--config-dir`."""
    (folder / "scenario").mkdir(parents=True)
    for name, of_class in (("table_toy", TableToy), ("records_toy", RecordsToy)):
        lines = [
            "# @package _global_",
            "scenario:",
            f"  name: {name}",
            f"  target: tables_toy:{of_class.__name__}",
            "batch_size: 8",
        ]
        (folder / "scenario" / f"{name}.yaml").write_text("\n".join(lines) + "\n")
    return folder
