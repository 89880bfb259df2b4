"""Tables: columns of numbers and a target, from CSV or JSON lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from framework.config.schema import check, setting
from framework.data.classes import check_classes, targets_of, with_classes
from framework.data.labelled_files import RowsOfClasses, class_indices
from framework.data.rows import Row, check_rows, read_rows, refuse
from framework.data.source import ArraySource, Split, digest_of
from framework.errors import ConfigError, Problem

if TYPE_CHECKING:
    import numpy as np

_LARGEST = 3.4028234663852886e38  # of float32


class TableSource(ArraySource):
    """Rows of numbers in memory: `(numbers, target)`.

    Args:
        numbers: float32 [n, columns].
        targets: float32 [n, 1] or int32 [n].
        names: the name of each row in messages.
    """

    def __init__(self, numbers: np.ndarray, targets: np.ndarray, names: list[str]) -> None:
        super().__init__((numbers, targets), names)
        digest = digest_of([numbers.tobytes(), targets.tobytes()])
        self._fingerprint = f"{len(numbers)} rows of {numbers.shape[1]} numbers ({digest})"

    def fingerprint(self) -> str:
        """Return the shape and a checksum of the values, which do not depend on the names of the files."""
        return self._fingerprint


@dataclass(frozen=True, kw_only=True)
class Table(RowsOfClasses):
    """One file for each split, with columns of numbers and a target.

    The files are CSV or TSV with a head line, or JSON lines, packed by gzip or not.

    A sample is `(numbers, target)`. The numbers are float32 [columns], in the order of `inputs`. The target
    is float32 [1] with task=regression; with two classes float32 [1], 1.0 for the positive class; with more
    an int32 scalar, the index into `classes`.

    A number must fit into float32, and must not be NaN or infinity. A cell that is empty, or holds anything
    else, is an error. Values for missing ones, codes for names and scales are not guessed: put them into the
    file, or into the first layers of the model. When the run starts, `inputs` and, for classification,
    `classes` are filled in, so that the model can be built.
    """

    inputs: tuple[str, ...] | None = setting(
        None, "Columns, or keys, of the numbers. null: all columns of train but the target."
    )
    target: str = setting("target", "Column, or key, of the target.")
    task: Literal["classification", "regression"] = setting(
        "classification", "Kind of the target. classification: a label; regression: a number."
    )
    classes: tuple[str, ...] | None = setting(
        None,
        "Names of the classes. null: the targets of the training data, sorted as texts; with "
        "task=regression there are none.",
    )
    positive_class: str | None = setting(
        None, "The positive one of two classes: the model gives its probability. null: the last."
    )

    what: ClassVar[str] = "rows"

    def check(self) -> Iterator[Problem]:
        if self.task == "classification":
            yield from check_classes(self.classes, self.positive_class, self.rename)
        else:
            for name, nothing in (("classes", "null"), ("positive_class", "null"), ("rename", "{}")):
                if given := getattr(self, name):
                    yield Problem(name, "means nothing with task=regression", given=given, allowed=nothing)
        if self.inputs is not None and len(set(self.inputs)) < max(len(self.inputs), 1):
            yield Problem(
                "inputs",
                "are none, or not all different",
                given=self.inputs,
                allowed="one or more columns, or null",
            )
        elif self.inputs is not None and self.target in self.inputs:
            yield Problem(
                "inputs",
                "hold the target",
                given=self.inputs,
                allowed=f"columns other than {self.target!r}, or null",
            )

    def read(self, path: str) -> Sequence[Row]:
        rows = read_rows(path)
        labels = [self.target] if self.task == "classification" else []
        check_rows(
            rows, dict.fromkeys(self.inputs or (), "data.inputs") | {self.target: "data.target"}, texts=labels
        )
        return rows

    def resolve(self) -> Self:
        """Return the config with absolute paths, the inputs, the classes and the positive class filled in.

        Raises:
            ConfigError, DataError: if a file is missing, or cannot be used. If nothing is left to fill in, no
                file is read.
        """
        config = super().resolve()
        labelled = config.task == "classification"
        if config.inputs is None or (labelled and config.classes is None):
            config.check_files()
        if config.inputs is None:
            columns = config.all_rows(Split.TRAIN)[0].cells
            config = dataclasses.replace(
                config, inputs=tuple(column for column in columns if column != config.target)
            )
            if problems := check(config, "data"):
                raise ConfigError(problems)
        if not labelled:
            return config
        return with_classes(config, lambda: config.find_classes(config.target))

    def source(self, split: Split, *, seed: int) -> TableSource:
        """Return the rows of a split.

        Args:
            split: the split.
            seed: decides which rows are kept for validation if `val` is null.

        Raises:
            ConfigError: if a file is missing.
            DataError: naming each row and column that cannot be used. If the file is divided, those of the
                other part are named, too.
        """
        import numpy as np

        config = self.resolve()
        assert config.inputs is not None
        rows = config.all_rows(split)
        columns = [*config.inputs, *([config.target] if config.task == "regression" else [])]
        numbers = np.array(_numbers(rows, columns), np.float32)
        chosen = config.part(range(len(rows)), split, seed=seed)
        kept = [rows[i] for i in chosen]
        numbers = numbers[np.array(chosen)]
        if config.task == "regression":
            numbers, targets = numbers[:, :-1], numbers[:, -1:]
        else:
            assert config.classes is not None
            indices = class_indices(kept, config.names_of(kept, config.target), config.classes, self.what)
            targets = targets_of(indices, config.classes, config.positive_class)
        return TableSource(numbers, targets, [row.name for row in kept])


def _numbers(rows: Sequence[Row], columns: Sequence[str]) -> list[list[float]]:
    """Return the numbers in the columns of each row.

    Raises:
        DataError: naming each cell that is not a finite number.
    """
    found = [[_number(row.cells[column]) for column in columns] for row in rows]
    faults = [
        (row, f"its {column!r} is {row.cells[column]!r}, which is not a finite number")
        for row, numbers in zip(rows, found, strict=True)
        for column, number in zip(columns, numbers, strict=True)
        if number is None
    ]
    refuse(rows, faults, hint="mend or remove them; data.inputs=[...] names the columns that are numbers")
    return [[number for number in numbers if number is not None] for numbers in found]


def _number(cell: object) -> float | None:
    """Return the number in a cell, or None if it is not a number that float32 can hold."""
    # Python would read 1_000 as a thousand, and true as 1.
    if (
        isinstance(cell, bool)
        or not isinstance(cell, str | int | float)
        or (isinstance(cell, str) and "_" in cell)
    ):
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= _LARGEST else None
