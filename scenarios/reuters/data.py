"""Texts from files, or Keras' copy of Reuters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from framework import DataError, Split, TextFiles, setting
from framework.data.rows import KINDS, Row
from framework.run.device import import_tensorflow


@dataclass(frozen=True, kw_only=True)
class ReutersTexts(TextFiles):
    """One file for each split, with a text and a label in each row: JSON lines or CSV with a header line,
    compressed by gzip or not.

    A sample is `(text, target)`: a string scalar, and with two classes float32 [1], 1.0 for the positive one,
    with more classes an int32 scalar, the index into `classes`. If `train` is null, Keras' own copy of
    Reuters is used, which needs a network once.
    """

    train: str | None = setting(
        None, "File of the training data. null: keras.datasets downloads Reuters, which needs a network once."
    )

    def all_rows(self, split: Split) -> Sequence[Row]:
        return super().all_rows(split) if self.train is not None else self._downloaded(split)

    def divides(self, split: Split) -> bool:
        """Return whether a split is a part of the file of the training data.

        Keras' copy of Reuters has its own split.
        """
        return self.train is not None and super().divides(split)

    def _downloaded(self, split: Split) -> Sequence[Row]:
        """Download a split of Keras' copy of Reuters, and turn it back into texts."""
        import_tensorflow()
        import keras

        try:
            index = {number + 3: word for word, number in keras.datasets.reuters.get_word_index().items()}
            train, test = keras.datasets.reuters.load_data()
            names = keras.datasets.reuters.get_label_names()
        except Exception as error:  # a missing network raises errors of many kinds
            raise DataError(
                f"no texts are named, and Reuters cannot be downloaded here: {error}",
                hint=f"data.train=FILE data.val=FILE name {KINDS}, with the columns 'text' and 'label'",
            ) from error
        sequences, labels = train if split is Split.TRAIN else test
        return [
            Row(
                f"text {i}",
                {
                    self.text: " ".join(index.get(number, "") for number in sequence[1:]),
                    self.label: names[label],
                },
            )
            for i, (sequence, label) in enumerate(zip(sequences, labels, strict=True))
        ]
