"""The scenario reuters: classification of texts by topic."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from framework import Classification, DataError, Objective, Registry, Source, Split, register_scenario
from framework.data.rows import read_rows
from framework.data.texts import TextSource, read_texts
from scenarios.reuters.data import ReutersTexts
from scenarios.reuters.model import MODELS, TextModel

if TYPE_CHECKING:
    import keras

DATAS = Registry("data")
DATAS.register("text_files")(ReutersTexts)

_TOP = 5


@register_scenario("reuters")
class Reuters(Classification):
    """Text classification: with two classes, the probability of the positive one; with more, a softmax."""

    models = MODELS
    datas = DATAS
    model: TextModel
    data: ReutersTexts

    def build_model(self) -> keras.Model:
        texts = self.data.source(Split.TRAIN, seed=self.config.trainer.seed).texts
        return self.model.build(classes=len(self.classes), texts=texts)

    def objective(self) -> Objective:
        """Add the top-5 accuracy to the objective of a classifier, if there are more than five classes."""
        import keras

        objective = super().objective()
        if len(self.classes) <= _TOP:
            return objective
        top = keras.metrics.SparseTopKCategoricalAccuracy(_TOP, name=f"top_{_TOP}")
        return dataclasses.replace(objective, metrics=[*objective.metrics, top])

    def prediction_source(self, arguments: Sequence[str | Path]) -> Source:
        """Open texts to predict.

        Each `.txt` file is one text. Each row of another file is a text in the column `data.text`, with its
        topic in the column `data.label` if that is known.
        """
        texts, names = [], []
        labels: list[str | None] = []
        for path in map(Path, arguments):
            try:
                if path.suffix == ".txt":
                    found = [(path.read_text(encoding="utf-8"), "", str(path))]
                else:
                    found = read_texts(str(path), self.data.text, None)
                    rows = {row.name: row for row in read_rows(str(path))}
                    found = [
                        (text, str(rows[name].cells.get(self.data.label) or ""), name)
                        for text, _, name in found
                    ]
            except (OSError, ValueError) as error:
                raise DataError(f"cannot read {path}: {error}") from error
            texts += [text for text, _, _ in found]
            names += [name for _, _, name in found]
            labels += [label or None for _, label, _ in found]
        return TextSource(texts, None, names, labels)
