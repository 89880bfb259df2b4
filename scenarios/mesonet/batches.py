"""Batches of the images in a folder, for Keras. It imports Keras, so it is imported only when batches are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from framework.data.image_files import ImageFiles
from framework.data.source import raise_unreadable
from framework.data.structure import Tensors
from framework.errors import ConfigError, Problem

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class ImageBatches(keras.utils.PyDataset):
    """The images of a folder in batches, as `fit`, `evaluate` and `predict` of a Keras model take them.

    A batch is `(images, labels)`: float32 [batch, height, width, 3], and float32 [batch], the index of the class.

    Args:
        source: the images.
        folder: what their names are relative to.
        batch_size: images of a batch; the last batch may have fewer.
        factor: of the pixel values, 1 / 255 for values of 0 to 1.
        seed: of a new order in each epoch; None: the order of the names.
        augment: a function of images, uint8 [batch, height, width, 3], and seeds, int64 [batch, 2], to float32 of
            the same shape; it needs a seed.

    Attributes:
        samples: the count of images.
        filenames: their names, relative to the folder.
        classes: the index of the class of each, int32 [samples].
        class_indices: the index of each class.
        batch_size: as it was given.
    """

    def __init__(
        self,
        source: ImageFiles,
        folder: str,
        *,
        batch_size: int,
        factor: float = 1 / 255,
        seed: int | None = None,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            problem = Problem("batch_size", "must be a whole number >= 1", given=batch_size)
            raise ConfigError(problem, subject="the arguments")
        self.samples = len(source)
        self.filenames = [os.path.relpath(path, folder).replace(os.sep, "/") for path in source.paths]
        self.classes = np.zeros(self.samples, np.int32) if source.labels is None else source.labels
        self.class_indices = {name: index for index, name in enumerate(source.classes)}
        self.batch_size = batch_size
        self._source = source
        self._factor = factor
        self._seed = seed
        self._augment = augment
        self._epoch = 0
        signature = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64)]
        self._load = tf.function(self._traced, input_signature=signature)

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        chosen = self._order()[index * self.batch_size : (index + 1) * self.batch_size]
        try:
            images = self._load(tf.constant(chosen, tf.int64), tf.constant(self._epoch, tf.int64))
        except tf.errors.OpError as error:
            raise_unreadable(self._source, chosen.tolist(), error)
            raise
        return images.numpy(), self.classes[chosen].astype(np.float32)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self[index] for index in range(len(self)))

    def on_epoch_end(self) -> None:
        """Begin a new order, where there is one."""
        self._epoch += 1

    def _order(self) -> np.ndarray:
        if self._seed is None:
            return np.arange(self.samples)
        return np.random.default_rng([self._seed, self._epoch]).permutation(self.samples)

    def _traced(self, indices: tf.Tensor, epoch: tf.Tensor) -> Tensors:
        shape = tf.TensorSpec(None, tf.uint8)
        images = tf.map_fn(lambda i: self._source.load(i)[0], indices, fn_output_signature=shape)
        if self._augment is not None:
            seeds = tf.stack([indices, tf.fill(tf.shape(indices), epoch * 2**20 + (self._seed or 0))], axis=1)
            images = self._augment(images, seeds)
        return tf.cast(images, tf.float32) * self._factor
