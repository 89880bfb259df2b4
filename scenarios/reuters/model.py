"""Convolutional networks for texts."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework import Registry, setting

if TYPE_CHECKING:
    import keras

MODELS = Registry("model")


@dataclass(frozen=True, kw_only=True)
class TextModel(abc.ABC):
    """Base class of the models: from a text to one probability, or to one for each class.

    The vocabulary is a part of the model.
    """

    words: int | None = setting(
        None,
        "Size of the vocabulary: the most frequent words of the training texts. null: all words.",
        ge=1,
        le=10_000_000,
    )
    tokens: int = setting(300, "Words of a text that are read; a longer text is cut off.", ge=20, le=100_000)
    embedding: int = setting(7, "Length of the vector of a word.", ge=1, le=65_536)
    dropout: float = setting(
        0.0,
        "Fraction of the activations before the last layer that dropout sets to 0 in training.",
        ge=0,
        lt=1,
    )

    def build(self, *, classes: int, texts: Sequence[str]) -> keras.Model:
        """Build the model, not compiled.

        Args:
            classes: the number of classes, 2 or more.
            texts: the training texts. Their words, in lower case and without punctuation, become the
                vocabulary.

        Returns:
            A functional model. Its input is strings, [batch]. Its output is float32, with 2 classes [batch,
            1], the probability of the positive class, otherwise [batch, classes], probabilities that sum to
            1.
        """
        import keras
        import tensorflow as tf
        from keras import layers

        most = None if self.words is None else self.words + 2  # two more: padding and unknown words
        vectorise = layers.TextVectorization(
            max_tokens=most, output_sequence_length=self.tokens, name="words"
        )
        vectorise.adapt(tf.data.Dataset.from_tensor_slices(list(texts)).batch(256))
        text = keras.Input((), dtype="string", name="text")
        x = layers.Embedding(vectorise.vocabulary_size(), self.embedding, name="embedding")(vectorise(text))
        x = layers.Dropout(self.dropout, name="dropout")(self._features(x))
        units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
        # float16 cannot represent small probabilities, and the loss takes their logarithm.
        output = layers.Dense(units, activation, dtype="float32", name="output")(x)
        return keras.Model(text, output, name=self.name)  # type: ignore[attr-defined]

    @abc.abstractmethod
    def _features(self, embedded: keras.KerasTensor) -> keras.KerasTensor:
        """Map [batch, tokens, embedding] to [batch, features]."""


@MODELS.register("text_cnn")
@dataclass(frozen=True, kw_only=True)
class TextCNN(TextModel):
    """Two convolutions in sequence, as in "eat TensorFlow 2 in 30 days", chapter 6-2."""

    def _features(self, embedded: keras.KerasTensor) -> keras.KerasTensor:
        from keras import layers

        x = embedded
        for number, (filters, width) in enumerate(((64, 5), (32, 3)), start=1):
            x = layers.Conv1D(filters, width, activation="relu", name=f"conv{number}")(x)
            x = layers.MaxPooling1D(2, name=f"pool{number}")(x)
        return layers.Flatten(name="flatten")(x)


@MODELS.register("wide_text_cnn")
@dataclass(frozen=True, kw_only=True)
class WideTextCNN(TextModel):
    """Parallel convolutions of several widths, and the largest value of each feature in a text: Kim 2014,
    Convolutional Neural Networks for Sentence Classification, arXiv:1408.5882, figure 1. The embedding starts
    from random values (CNN-rand)."""

    embedding: int = setting(128, "Length of the vector of a word.", ge=1, le=65_536)
    dropout: float = setting(
        0.5,
        "Fraction of the activations before the last layer that dropout sets to 0 in training.",
        ge=0,
        lt=1,
    )
    widths: tuple[int, ...] = setting((3, 4, 5), "Widths of the convolutions, in words.", ge=1, le=20)
    filters: int = setting(128, "Features of each width.", ge=1, le=65_536)

    def _features(self, embedded: keras.KerasTensor) -> keras.KerasTensor:
        from keras import layers

        found = []
        for width in self.widths:
            x = layers.Conv1D(self.filters, width, activation="relu", name=f"conv{width}")(embedded)
            found.append(layers.GlobalMaxPooling1D(name=f"largest{width}")(x))
        return layers.Concatenate(name="features")(found) if len(found) > 1 else found[0]
