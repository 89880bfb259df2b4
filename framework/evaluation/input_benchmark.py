"""Measurement of the speed of a scenario's input pipeline, without a model."""

from __future__ import annotations

import time
from dataclasses import dataclass

from framework.data.source import Split
from framework.run.device import apply_device
from framework.scenario import Scenario
from framework.splits import prepare_source
from framework.training.training_data import training_stream


@dataclass(frozen=True)
class Throughput:
    """The result of a measurement.

    Args:
        batches: number of timed batches.
        batch_size: samples in a batch.
        seconds: the time that these batches took.
        first_batch_seconds: the time from the start of the stream to its first batch.
        prepare_seconds: the time to open the data, and to load them if they are cached in memory.
    """

    batches: int
    batch_size: int
    seconds: float
    first_batch_seconds: float
    prepare_seconds: float

    @property
    def batches_per_second(self) -> float:
        """Batches per second, after the warm-up."""
        return self.batches / self.seconds

    @property
    def samples_per_second(self) -> float:
        """Samples per second, after the warm-up."""
        return self.batches_per_second * self.batch_size


def benchmark_input_pipeline(scenario: Scenario, *, seconds: float = 5.0, warm_up: int = 10) -> Throughput:
    """Measure the throughput of the training batches of a scenario, augmentation included.

    Args:
        scenario: its data are read, no model is built.
        seconds: how long to measure; at least one batch is measured.
        warm_up: batches before the measurement, during which the pipeline fills its buffers and tunes itself.

    Raises:
        ScenarioError: if the data cannot be used.
    """
    apply_device(scenario.config.device)
    started = time.perf_counter()
    source = prepare_source(scenario, Split.TRAIN)
    opened = time.perf_counter()
    stream = training_stream(scenario, source)
    batches = iter(stream.from_step(0))
    next(batches)
    first = time.perf_counter()
    for _ in range(warm_up):
        next(batches)
    begin = time.perf_counter()
    count, elapsed = 0, 0.0
    while count == 0 or elapsed < seconds:
        next(batches)
        count += 1
        elapsed = time.perf_counter() - begin
    return Throughput(
        batches=count,
        batch_size=stream.batch_size,
        seconds=elapsed,
        first_batch_seconds=first - opened,
        prepare_seconds=opened - started,
    )
