"""What data configs share that are a file a split: its rows, and their labels."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from framework.config.schema import setting
from framework.data.classes import Renaming, check_classes, check_renaming, with_classes
from framework.data.image_files import hint_for_missing
from framework.data.rows import KINDS, Row, refuse
from framework.data.source import DataConfig, Split, held_out
from framework.errors import ConfigError, DataError, Problem, listing, nearest

if TYPE_CHECKING:
    import numpy as np

_FIELDS = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test"}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SplitFiles(DataConfig):
    """A file a split, a sample a row; or one file for training and validation. Derive from it, and say how a
    file is read."""

    train: str | None = setting(None, "File of the training data.")
    val: str | None = setting(
        None, "File of the validation data. null: a part of the training data, see validation_split."
    )
    test: str | None = setting(None, "File of the test data.")
    validation_split: float = setting(
        0.2,
        "Part of the training data that is kept for validation where val is null. The seed says which. 0: "
        "none; a run trains on all, and without validation.",
        ge=0,
        lt=1,
    )

    what: ClassVar[str] = "rows"
    """What samples are called in messages."""
    kinds: ClassVar[str] = KINDS
    """The kinds of files that can be read, for messages."""

    def read(self, path: str) -> Sequence[Row]:
        """All rows of a file, each known to have what is needed.

        Raises:
            DataError: naming the file, or each row that cannot be used.
        """
        raise NotImplementedError(f"{type(self).__name__}.read")

    def resolve(self) -> Self:
        """The same with absolute paths."""
        paths: dict[str, Any] = {field: str(Path(path).absolute()) for field, path in self._given().items()}
        return dataclasses.replace(self, **paths)

    def rows(self, split: Split, *, seed: int) -> Sequence[Row]:
        """The rows of a split, in the order of its file.

        Args:
            split: which.
            seed: says which rows are kept for validation, where `val` is null.

        Raises:
            ConfigError: where the file is not named, or not there.
            DataError: as of `read`.
        """
        return self.part(self.all_rows(split), split, seed=seed)

    def all_rows(self, split: Split) -> Sequence[Row]:
        """The rows of the file that a split is in, those of the other part too where it is divided."""
        return self.read(self.file_of(split))

    def file_of(self, split: Split) -> str:
        """The file that a split is in.

        Raises:
            ConfigError: where it is not named, or not there.
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
        """Whether a split is a part of the file of the training data."""
        return self.val is None and self.validation_split > 0 and split is not Split.TEST

    def validates(self) -> bool:
        """Whether there is a validation split: a file, or a part of the training data."""
        return self.val is not None or self.divides(Split.VALIDATION)

    def part(self, items: Sequence[T], split: Split, *, seed: int) -> Sequence[T]:
        """What a split has of something that there is one of for each row of its file; all, where the file is
        not divided.

        Raises:
            ConfigError: where there is but one, and nothing to divide.
        """
        if not self.divides(split):
            return items
        if len(items) < 2:
            what = "has a single row, which cannot be in both training and validation"
            raise ConfigError(Problem("data.train", what, given=self.train, hint="add rows, or set data.val"))
        kept = held_out(range(len(items)), self.validation_split, seed)
        return [item for i, item in enumerate(items) if (i in kept) == (split is Split.VALIDATION)]

    def check_files(self) -> None:
        """Raise a `ConfigError` that names each file that is not there; nothing where all are."""
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
    """A file a split, whose rows name a class each."""

    def names_of(self, rows: Sequence[Row], column: str) -> list[str]:
        """The class of each row, under its new name where it is renamed.

        Args:
            rows: the rows.
            column: where they name it.

        Raises:
            DataError: naming each row where the cell is empty.
        """
        return [self.rename.get(label, label) for label in labels_of(rows, column)]

    def find_classes(self, column: str) -> list[str]:
        """The classes of the training data, sorted, under their new names.

        Raises:
            DataError: as of `names_of`.
            ConfigError: where `rename` has classes that are in no file.
        """
        rows = self.all_rows(Split.TRAIN)
        known = set(labels_of(rows, column))
        if not known.issuperset(self.rename):
            for split in Split:
                with contextlib.suppress(ConfigError):  # a split that is not there
                    known |= set(labels_of(self.all_rows(split), column))
        check_renaming(self.rename, known)
        return sorted(set(self.names_of(rows, column)))


@dataclass(frozen=True, kw_only=True)
class LabelledFiles(RowsOfClasses):
    """A file a split, whose rows have a label each out of several."""

    label: str = setting("label", "Column, or key, of the label.")
    classes: tuple[str, ...] | None = setting(
        None, "Names of the classes. null: the labels of the training data, sorted."
    )
    positive_class: str | None = setting(
        None, "Of two classes, the one that the model's output is the probability of. null: the last."
    )

    def check(self) -> Iterator[Problem]:
        yield from check_classes(self.classes, self.positive_class, self.rename)

    def resolve(self) -> Self:
        """The same with absolute paths, the classes named, and, where there are two, the positive one.

        Raises:
            ConfigError, DataError: where a file is missing, or cannot be used. No file is looked at where
                `classes` is set.
        """
        config = super().resolve()
        if config.classes is None:
            config.check_files()
        return with_classes(config, lambda: config.find_classes(config.label))

    def labels(self, rows: Sequence[Row]) -> np.ndarray:
        """The class of each row, as its index in `classes`, int32 [n].

        Raises:
            DataError: naming each row whose label is no class.
        """
        assert self.classes is not None
        return class_indices(rows, self.names_of(rows, self.label), self.classes, self.what)


def labels_of(rows: Sequence[Row], column: str) -> list[str]:
    """The label of each row.

    Raises:
        DataError: naming each row where the cell is empty.
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
    """The index of the class of each row, int32 [n].

    Args:
        rows, labels: the rows, and for each its label.
        classes: their names.
        what: what a sample is called, for the message: "texts".

    Raises:
        DataError: naming each row whose label is no class.
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
