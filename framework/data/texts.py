"""Texts with labels, from JSON lines or CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from framework.config.schema import setting
from framework.data.classes import targets_of
from framework.data.labelled_files import LabelledFiles
from framework.data.rows import Row, check_rows, read_rows
from framework.data.source import ArraySource, Fault, Split, digest_of

if TYPE_CHECKING:
    import numpy as np


class TextSource(ArraySource):
    """Texts in memory: `(text, target)`, a string scalar and a label, or `(text,)` without labels.

    Args:
        texts: the texts.
        targets: float32 [n, 1] or int32 [n]; None for prediction.
        names: the name of each text in messages.
        known: for each text to predict the name of its class, or None if it is not known.
    """

    def __init__(
        self,
        texts: Sequence[str],
        targets: np.ndarray | None,
        names: list[str],
        known: Sequence[str | None] | None = None,
    ) -> None:
        import numpy as np

        encoded = np.array([text.encode() for text in texts], dtype=object)
        super().__init__((encoded,) if targets is None else (encoded, targets), names)
        self.texts = tuple(texts)
        self._known = known

    def true_label(self, index: int) -> str | None:
        return self._known[index] if self._known is not None else None

    def remarks(self, index: int) -> Iterable[Fault]:
        if not self.texts[index].strip():
            yield Fault(self.sample_name(index), "empty text", "has no words", fatal=False)

    def fingerprint(self) -> str:
        digest = digest_of(text.encode() + b"\0" for text in self.texts)
        return f"{len(self)} texts ({digest})"


@dataclass(frozen=True, kw_only=True)
class TextFiles(LabelledFiles):
    """One file for each split, with a text and a label in each row.

    The files are JSON lines, or CSV with a head line, packed by gzip or not.

    A sample is `(text, target)`. The text is a string scalar. With two classes the target is float32 [1], 1.0
    for the positive class. With more it is an int32 scalar, the index into `classes`.
    """

    text: str = setting("text", "Column, or key, of the text.")

    what: ClassVar[str] = "texts"

    def read(self, path: str) -> Sequence[Row]:
        return _read(path, {self.text: "data.text", self.label: "data.label"})

    def source(self, split: Split, *, seed: int) -> TextSource:
        """Return the texts of a split.

        Args:
            split: the split.
            seed: decides which texts are kept for validation if `val` is null.

        Raises:
            ConfigError: if a file is missing.
            DataError: naming each row that cannot be used.
        """
        config = self.resolve()
        assert config.classes is not None
        rows = config.rows(split, seed=seed)
        targets = targets_of(config.labels(rows), config.classes, config.positive_class)
        return TextSource([str(row.cells[config.text]) for row in rows], targets, [row.name for row in rows])


def read_texts(path: str, text: str = "text", label: str | None = "label") -> list[tuple[str, str, str]]:
    """Read the texts in a file, with or without labels.

    Args:
        path: `.jsonl`, `.csv` or `.tsv`, followed by `.gz` if it is packed.
        text, label: the columns; the label is None if none is wanted.

    Returns:
        For each row the text, the label (empty without one), and its name: `FILE:ROW`, counted from 1.

    Raises:
        DataError: naming each row that cannot be used.
    """
    rows = _read(path, {text: "data.text"} | ({} if label is None else {label: "data.label"}))
    return [(str(row.cells[text]), "" if label is None else str(row.cells[label]), row.name) for row in rows]


def _read(path: str, columns: dict[str, str]) -> Sequence[Row]:
    """Read the rows of a file, and check that each has a text in the columns.

    `columns` gives the setting that names each column.
    """
    rows = read_rows(path)
    check_rows(rows, columns, texts=columns)
    return rows
