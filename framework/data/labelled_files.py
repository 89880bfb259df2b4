"""Settings of data with one file for each split: the rows of the file, and their labels."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from framework.config.schema import setting
from framework.data.classes import Renaming, check_classes, check_renaming, with_classes
from framework.data.image_files import hint_for_missing
from framework.data.rows import KINDS, Row, refuse
from framework.data.source import DataConfig, Split
from framework.data.subset import held_out
from framework.errors import ConfigError, DataError, Problem, listing, nearest

if TYPE_CHECKING:
    import numpy as np

_FIELDS = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test"}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SplitFiles(DataConfig):
    """One file for each split, with a sample in each row, or one file for training and validation.

    Derive from it, and define `read`.
    """

    train: str | None = setting(None, "File of the training data.")
    val: str | None = setting(
        None, "File of the validation data. null: a part of the training data, see validation_split."
    )
    test: str | None = setting(None, "File of the test data.")
    validation_split: float = setting(
        0.2,
        "Part of the training data that is kept for validation if val is null. The seed decides which rows. "
        "0: train on all, without validation.",
        ge=0,
        lt=1,
    )

    what: ClassVar[str] = "rows"
    """Name of the samples in messages."""
    kinds: ClassVar[str] = KINDS
    """Description of the files that can be read, for messages."""

    def read(self, path: str) -> Sequence[Row]:
        """Read all rows of a file, and check that each has what is needed.

        Raises:
            DataError: naming the file, or each row that cannot be used.
        """
        raise NotImplementedError(f"{type(self).__name__}.read")

    def resolve(self) -> Self:
        """Return the config with absolute paths."""
        train, val, test = (
            None if path is None else str(Path(path).absolute()) for path in (self.train, self.val, self.test)
        )
        return dataclasses.replace(self, train=train, val=val, test=test)

    def rows(self, split: Split, *, seed: int) -> Sequence[Row]:
        """Return the rows of a split, in the order of its file.

        Args:
            split: the split.
            seed: decides which rows are kept for validation if `val` is null.

        Raises:
            ConfigError: if the file is not given, or does not exist.
            DataError: as for `read`.
        """
        return self.part(self.all_rows(split), split, seed=seed)

    def all_rows(self, split: Split) -> Sequence[Row]:
        """Return all rows of the file of a split, also those of the other part of a divided file."""
        return self.read(self.file_of(split))

    def file_of(self, split: Split) -> str:
        """Return the file of a split.

        Raises:
            ConfigError: if it is not given, or does not exist.
        """
        field = "train" if self.divides(split) else _FIELDS[split]
        path: str | None = getattr(self, field)
        if path is None:
            hint = f"add data.{field}=FILE"
            if field == "val":
                hint += "; data.validation_split=0 keeps nothing for validation"
            raise ConfigError(
                Problem(
                    f"data.{field}",
                    f"is needed for the {split} {self.what}",
                    given=None,
                    allowed=self.kinds,
                    hint=hint,
                )
            )
        if not Path(path).is_file():
            raise ConfigError(self._no_file(field, path))
        return path

    def divides(self, split: Split) -> bool:
        """Return whether a split is a part of the file of the training data."""
        return self.val is None and self.validation_split > 0 and split is not Split.TEST

    def has_validation(self) -> bool:
        """Return whether there is a validation split: a file, or a part of the training data."""
        return self.val is not None or self.divides(Split.VALIDATION)

    def part(self, items: Sequence[T], split: Split, *, seed: int) -> Sequence[T]:
        """Return the part of `items`, one for each row of a file, that belongs to a split.

        These are all items if the file is not divided.

        Raises:
            ConfigError: if there is only one item, which cannot be divided.
        """
        if not self.divides(split):
            return items
        if len(items) < 2:
            what = "has a single row, which cannot be in both training and validation"
            raise ConfigError(Problem("data.train", what, given=self.train, hint="add rows, or set data.val"))
        kept = held_out(range(len(items)), self.validation_split, seed)
        return [item for i, item in enumerate(items) if (i in kept) == (split is Split.VALIDATION)]

    def check_files(self) -> None:
        """Raise a `ConfigError` that names each file that does not exist, if there are any."""
        problems = [
            self._no_file(field, path) for field, path in self._given().items() if not Path(path).is_file()
        ]
        if problems:
            raise ConfigError(problems)

    def _given(self) -> dict[str, str]:
        return {field: path for field in _FIELDS.values() if (path := getattr(self, field)) is not None}

    def _no_file(self, field: str, path: str) -> Problem:
        hint = None if Path(path).exists() else hint_for_missing(path)
        return Problem(f"data.{field}", "must be a file", given=path, allowed=self.kinds, hint=hint)


@dataclass(frozen=True, kw_only=True)
class RowsOfClasses(Renaming, SplitFiles):
    """One file for each split, in which each row names a class."""

    def names_of(self, rows: Sequence[Row], column: str) -> list[str]:
        """Return the class of each row, under its new name if it is renamed.

        Args:
            rows: the rows.
            column: the column of the class.

        Raises:
            DataError: naming each row with an empty cell.
        """
        return [self.rename.get(label, label) for label in labels_of(rows, column)]

    def find_classes(self, column: str) -> list[str]:
        """Return the classes of the training data, sorted, under their new names.

        Raises:
            DataError: as for `names_of`.
            ConfigError: if `rename` has classes that are in no file.
        """
        rows = self.all_rows(Split.TRAIN)
        known = set(labels_of(rows, column))
        if not known.issuperset(self.rename):
            for split in Split:
                with contextlib.suppress(ConfigError):  # a split without a file
                    known |= set(labels_of(self.all_rows(split), column))
        check_renaming(self.rename, known)
        return sorted(set(self.names_of(rows, column)))


@dataclass(frozen=True, kw_only=True)
class LabelledFiles(RowsOfClasses):
    """One file for each split, in which each row has one of several labels."""

    label: str = setting("label", "Column, or key, of the label.")
    classes: tuple[str, ...] | None = setting(
        None, "Names of the classes. null: the labels of the training data, sorted."
    )
    positive_class: str | None = setting(
        None, "The positive one of two classes: the model gives its probability. null: the last."
    )

    def check(self) -> Iterator[Problem]:
        yield from check_classes(self.classes, self.positive_class, self.rename)

    def resolve(self) -> Self:
        """Return the config with absolute paths, the classes, and the positive one of two, filled in.

        Raises:
            ConfigError, DataError: if a file is missing, or cannot be used. If `classes` is set, no file is
                read.
        """
        config = super().resolve()
        if config.classes is None:
            config.check_files()
        return with_classes(config, lambda: config.find_classes(config.label))

    def labels(self, rows: Sequence[Row]) -> np.ndarray:
        """Return the class of each row, as its index in `classes`, int32 [n].

        Raises:
            DataError: naming each row with a label that is not a class.
        """
        assert self.classes is not None
        return class_indices(rows, self.names_of(rows, self.label), self.classes, self.what)


def labels_of(rows: Sequence[Row], column: str) -> list[str]:
    """Return the label of each row.

    Raises:
        DataError: naming each row with an empty cell.
    """
    labels = [str(row.cells[column]) for row in rows]
    empty = [
        (row, f"its {column!r} is empty")
        for row, label in zip(rows, labels, strict=True)
        if not label.strip()
    ]
    refuse(rows, empty, hint="give each row a label, or remove it")
    return labels


def class_indices(
    rows: Sequence[Row], labels: Sequence[str], classes: Sequence[str], what: str
) -> np.ndarray:
    """Return the index of the class of each row, int32 [n].

    Args:
        rows, labels: the rows, and the label of each.
        classes: the names of the classes.
        what: the name of the samples in the message: "texts".

    Raises:
        DataError: naming each row with a label that is not a class.
    """
    import numpy as np

    index = {name: i for i, name in enumerate(classes)}
    unknown = [(row.name, label) for row, label in zip(rows, labels, strict=True) if label not in index]
    if unknown:
        near = nearest(unknown[0][1], classes)
        known = ", ".join(map(repr, classes[:20])) + (
            f" and {len(classes) - 20:,} more" if len(classes) > 20 else ""
        )
        raise DataError(
            f"{len(unknown):,} of {len(rows):,} {what} have labels of no class:"
            + listing([f"{name}: {label!r}" for name, label in unknown]),
            hint=f"did you mean {near!r}? The classes are {known}" if near else f"the classes are {known}",
        )
    return np.array([index[label] for label in labels], np.int32)
