"""A scenario that gives its samples as many a thing that is not a `Source`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework import Objective, Scenario, Split, register_scenario, setting

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class Settings:
    kind: str = setting("arrays", "What the source is given as.")


class Rows:
    """A map-style data set, as PyTorch has them."""

    def __init__(self, points: Any, labels: Any) -> None:
        self.points, self.labels = points, labels

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.points[index], int(self.labels[index])


class _Noisy:
    """Points with noise that is drawn whenever one is asked for."""

    def __init__(self, points: Any) -> None:
        self.points = points

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Any:
        import numpy as np

        return self.points[index] + np.random.normal(size=4).astype("float32")


@register_scenario("given")
class Given(Scenario):
    """Which side of a plane is a point on?"""

    Config = Settings

    def build_model(self) -> keras.Model:
        import keras

        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dropout(0.2), keras.layers.Dense(2, "softmax")]
        )

    def source(self, split: Split) -> Any:
        import keras
        import numpy as np
        import tensorflow as tf

        rng = np.random.default_rng(list(Split).index(split))
        points = rng.normal(size=(50, 4)).astype("float32")
        labels = (points.sum(axis=1) > 0).astype("int64")
        rows = Rows(points, labels)

        class Batches(keras.utils.PyDataset):
            def __len__(self) -> int:
                return 7

            def __getitem__(self, index: int) -> Any:
                return points[8 * index : 8 * index + 8], labels[8 * index : 8 * index + 8]

        def generate() -> Iterator[Any]:
            return (rows[i] for i in range(50))

        kinds = {
            "arrays": lambda: (points, labels),
            "lists": lambda: (list(points), labels.tolist()),
            "rows": lambda: rows,
            "drawn rows": lambda: Rows(_Noisy(points), labels),
            "list of samples": lambda: [rows[i] for i in range(50)],
            "dataset": lambda: tf.data.Dataset.from_tensor_slices((points, labels)),
            "batched dataset": lambda: (
                tf.data.Dataset.from_tensor_slices((points, labels)).batch(7).prefetch(2)
            ),
            "even batches": lambda: tf.data.Dataset.from_tensor_slices((points, labels)).batch(
                5, drop_remainder=True
            ),
            "unbatched": lambda: tf.data.Dataset.from_tensor_slices((points, labels)).batch(7).unbatch(),
            "PyDataset": Batches,
            "generator": generate,
        }
        return kinds[self.settings.kind]() if self.settings.kind in kinds else None

    def objective(self) -> Objective:
        return Objective(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
