"""The stream of training batches, as a pure function of the step.

Batch `k` holds the samples at the positions `k * batch_size ... (k + 1) * batch_size - 1` of an endless
sequence. Each pass over the data in it is a permutation of its own, computed from (seed, pass) by a block
cipher (`RandomIndexShuffle`, after Black & Rogaway 2002, "Ciphers with arbitrary finite domains"). Nothing is
buffered for shuffling, so a stream starts at any step at once, and gives the same bits as one that got there
from step 0. A step takes one batch, or several if gradients are accumulated.

An epoch is only a number of steps: if the number of samples is not a multiple of the batch size, a batch
spans the border between two passes. So every sample is seen once a pass, none is dropped, and each batch has
one static shape.

If a source has groups, such as lengths, the batches hold samples of one group where that is possible. The
sequence is cut into windows of some batches. Within a window the samples are sorted by group, in the order
that they had, and cut into batches, which come in a random order. A window is a function of its number, so
all of the above holds here, too. The exception is the border of two passes, around which samples change
places within the window.

"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from framework.data.source import Source

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from framework.data.structure import Tensors

# Keep the random numbers of the order apart from those of augmentation, which have the same seed.
_ORDER, _AUGMENTATION = 0, 1
_LAST_STEP = 2**62
_BATCHES = 2  # likewise for the order of the batches in a window
_WINDOW = 32  # batches


class Stream:
    """Batches of shuffled, augmented samples.

    Args:
        source: the samples.
        batch_size: samples in a batch.
        seed: decides the order and the augmentation.
        augment: `(batch, seeds) -> batch`, traced into a graph; `seeds` is int64 [batch, 2], one for each
            sample and pass, made for the `tf.random.stateless_*` functions. It must depend on nothing else.
        workers: samples loaded at the same time; None: tuned while running.
        batches_per_step: batches in a step, several to accumulate gradients.

    >>> stream = Stream(ArraySource((images, labels)), batch_size=32, seed=0)
    >>> images, labels = next(iter(stream.from_step(1000)))
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int,
        augment: Callable[[tuple[Tensors, ...], tf.Tensor], Tensors] | None = None,
        workers: int | None = None,
        batches_per_step: int = 1,
    ) -> None:
        self.source = source
        self.batch_size = batch_size
        self.step_size = batch_size * batches_per_step
        """Samples in a step."""
        self.batches_per_step = batches_per_step
        self.seed = seed
        self._augment = augment
        self._workers = workers
        self._groups = source.groups()
        # At most a pass, so that a pass of few batches is not mixed with the next ones.
        self._window = max(1, min(_WINDOW, len(source) // batch_size))

    def from_step(self, step: int) -> tf.data.Dataset:
        """Return the endless batches from global step `step` on."""
        import tensorflow as tf

        def finish(positions: tf.Tensor, samples: tuple[Tensors, ...]) -> Tensors:
            return samples if self._augment is None else self._augment(samples, self._sample_seeds(positions))

        first = step * self.batches_per_step
        if self._groups is None:
            positions = tf.data.Dataset.range(first, _LAST_STEP).map(self._positions)
        else:
            windows = tf.data.Dataset.range(first // self._window, _LAST_STEP).map(self._batches_of)
            positions = windows.unbatch().skip(first % self._window)
        return _tuned(
            _load(
                self.source,
                positions,
                self._indices,
                finish,
                self.batch_size,
                self._workers,
                parallel=self._augment is not None,
            )
        )

    def indices(self, step: int) -> np.ndarray:
        """Return the indices of the samples of step `step`, int64 [step_size]."""
        import tensorflow as tf

        batches = range(step * self.batches_per_step, (step + 1) * self.batches_per_step)
        return self._indices(
            tf.concat([self._positions(tf.constant(batch, tf.int64)) for batch in batches], 0)
        ).numpy()

    def _positions(self, batch: tf.Tensor) -> tf.Tensor:
        """Return the positions of a batch in the endless sequence, int64 [batch_size]."""
        import tensorflow as tf

        if self._groups is None:
            return batch * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        return self._batches_of(batch // self._window)[batch % self._window]

    def _batches_of(self, window: tf.Tensor) -> tf.Tensor:
        """Return the positions of the batches of a window, int64 [batches, batch_size].

        Each batch holds samples of one group where that is possible.
        """
        import tensorflow as tf

        size = self._window * self.batch_size
        places, slots = tf.range(size, dtype=tf.int64), tf.range(self._window, dtype=tf.int64)
        groups = tf.gather(tf.constant(self._groups, tf.int64), self._indices(window * size + places))
        order = tf.sort(groups * size + places) % size  # by group, and by place within a group
        batches = window * size + tf.reshape(order, [self._window, self.batch_size])
        seed = tf.stack([tf.constant(self.seed, tf.int64), window, tf.constant(_BATCHES, tf.int64)])
        seeds = tf.tile(seed[tf.newaxis], [self._window, 1])
        last = tf.constant(self._window - 1, tf.int64)
        return tf.gather(batches, tf.raw_ops.RandomIndexShuffle(index=slots, seed=seeds, max_index=last))

    def _indices(self, positions: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        size = tf.constant(len(self.source), tf.int64)
        passes = positions // size
        seeds = tf.stack(
            [
                tf.fill(tf.shape(passes), tf.constant(self.seed, tf.int64)),
                passes,
                tf.zeros_like(passes) + _ORDER,
            ],
            1,
        )
        return tf.raw_ops.RandomIndexShuffle(index=positions % size, seed=seeds, max_index=size - 1)

    def _sample_seeds(self, positions: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        seed = tf.constant(self.seed * 2 + _AUGMENTATION, tf.int64)
        return tf.stack([tf.fill(tf.shape(positions), seed), positions], 1)


def in_order(source: Source, *, batch_size: int, workers: int | None = None) -> tf.data.Dataset:
    """Return all samples once, in batches, in the order of their indices. The last batch may be smaller."""
    import tensorflow as tf

    size = len(source)

    def positions_of(step: tf.Tensor) -> tf.Tensor:
        return tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, size), dtype=tf.int64)

    positions = tf.data.Dataset.range(-(-size // batch_size)).map(positions_of)
    batches = _load(
        source, positions, lambda p: p, lambda p, samples: samples, batch_size, workers, keep_remainder=True
    )
    return _tuned(batches)


def _load(
    source: Source,
    positions: tf.data.Dataset,
    indices_of: Callable[[tf.Tensor], tf.Tensor],
    finish: Callable[[tf.Tensor, tuple[Tensors, ...]], Tensors],
    batch_size: int,
    workers: int | None,
    *,
    parallel: bool = False,
    keep_remainder: bool = False,
) -> tf.data.Dataset:
    """Load batches of samples for batches of positions.

    Args:
        finish: `(positions, samples) -> batch`, the last step for each batch.
        parallel: whether `finish` is expensive enough to make several batches at the same time.
    """
    import tensorflow as tf

    at_once = {"num_parallel_calls": workers or tf.data.AUTOTUNE, "deterministic": True}
    if source.batched:
        # The whole batch is one gather, which costs less than a thread switch.
        return positions.map(
            lambda p: finish(p, source.load_batch(indices_of(p))), **(at_once if parallel else {})
        )
    loaded = positions.unbatch().map(lambda p: (p, source.load(indices_of(p[tf.newaxis])[0])), **at_once)
    return loaded.batch(batch_size, drop_remainder=not keep_remainder).map(
        finish, **(at_once if parallel else {})
    )


def _tuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    # Sharding by file makes no sense for a stream of indices; a batch is divided among the replicas.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options).prefetch(2)
