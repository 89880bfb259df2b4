"""The measurements of scripts/benchmark.

Contenders are measured in turns, and the best round of each counts, so that other work of the machine affects
all of them alike.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from framework.run.console import Console
from framework.run.device import import_tensorflow

ROUNDS = 5


def best_rates(contenders: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Return the best rate of each contender over rounds in which they take turns; a first round warms up."""
    best = dict.fromkeys(contenders, 0.0)
    for number in range(ROUNDS + 1):
        for name, measure in contenders.items():
            rate = measure()
            if number:
                best[name] = max(best[name], rate)
    return best


def show(title: str, unit: str, rates: dict[str, float]) -> None:
    """Print a table of rates, relative to the first contender."""
    first = next(iter(rates.values()))
    Console().print_table(
        title,
        ("", unit, "relative"),
        [(name, f"{rate:,.0f}", f"{rate / first:.2f}") for name, rate in rates.items()],
    )


def dense(size: int) -> Any:
    """Build a small network, in which the overhead of a step is large compared with its computation."""
    import keras

    return keras.Sequential(
        [keras.Input((size,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(1, "sigmoid")]
    )


def measure_loop() -> None:
    """Measure training samples per second."""
    import_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf

    from framework.data.source import ArraySource, Split
    from framework.data.stream import Stream
    from framework.loops.callbacks import Callbacks
    from framework.loops.loop import LOOPS
    from framework.scenario import compose

    rng = np.random.default_rng(0)
    points = rng.normal(size=(12_800, 16)).astype("float32")
    cases: dict[str, tuple[Any, Callable[[], Any], int]] = {
        "a small dense network": (
            ArraySource((points, (points.sum(1, keepdims=True) > 0).astype("float32"))),
            lambda: dense(16),
            400,
        )
    }
    scenario = compose("scenario=mesonet")
    cases["Meso-4 on the embedded patches"] = (scenario.source(Split.TRAIN), scenario.build_model, 20)
    for title, (source, build, steps) in cases.items():

        def compiled(build: Callable[[], Any] = build) -> Any:
            keras.utils.set_random_seed(0)
            model = build()
            model.compile("adam", "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
            return model

        bare = compiled()
        arrays = source.numpy()
        dataset = (
            tf.data.Dataset.from_tensor_slices(arrays)
            .shuffle(len(source))
            .repeat()
            .batch(32)
            .prefetch(tf.data.AUTOTUNE)
        )

        def fit(model: Any = bare, dataset: Any = dataset, steps: int = steps) -> float:
            started = time.perf_counter()
            model.fit(dataset, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0)
            return steps * 32 / (time.perf_counter() - started)

        rates: dict[str, Callable[[], float]] = {"keras fit": fit}
        for name, config in LOOPS.items():
            model = compiled()
            told = Callbacks((), model, epochs=1, steps_per_epoch=steps)
            loop = config().build(model, tf.distribute.get_strategy(), None, told)
            batches = iter(Stream(source, batch_size=32, seed=0).from_step(0))

            def own(loop: Any = loop, batches: Any = batches, steps: int = steps) -> float:
                started, done = time.perf_counter(), 0
                while done < steps:
                    done += loop.run(batches, steps - done)
                return steps * 32 / (time.perf_counter() - started)

            rates[f"loop={name}"] = own
        show(f"training: {title}", "samples/s", best_rates(rates))


def measure_input() -> None:
    """Measure samples per second from the input pipeline, from memory, without augmentation."""
    import_tensorflow()
    import tensorflow as tf

    from framework.data.source import Split
    from framework.data.stream import Stream
    from framework.scenario import compose

    source: Any = compose("scenario=mesonet").source(Split.TRAIN)
    dataset = (
        tf.data.Dataset.from_tensor_slices(source.numpy())
        .cache()
        .shuffle(len(source))
        .repeat()
        .batch(32)
        .prefetch(tf.data.AUTOTUNE)
    )

    def drain(batches: Any) -> float:
        started = time.perf_counter()
        for _ in range(200):
            next(batches)
        return 200 * 32 / (time.perf_counter() - started)

    bare, ours = iter(dataset), iter(Stream(source, batch_size=32, seed=0).from_step(0))
    rates = best_rates({"tf.data cache, shuffle, batch": lambda: drain(bare), "stream": lambda: drain(ours)})
    show("input: patches of 128x128x3 from memory", "samples/s", rates)

    stream = Stream(source, batch_size=32, seed=0)
    rows = []
    for step in (0, 1_000, 1_000_000):
        started = time.perf_counter()
        next(iter(stream.from_step(step)))
        rows.append((f"{step:,}", f"{time.perf_counter() - started:.3f} s"))
    Console().print_table("first batch of a stream that starts at a step", ("step", "time"), rows)


def measure_start() -> None:
    """Measure the seconds from the start of a command to its end."""
    script = Path(sys.executable).parent / "train-scenario"
    rows = []
    for title, words in (
        ("a config error", ["scenario=mesonet", "lr=abc"]),
        ("--cfg job", ["scenario=mesonet", "--cfg", "job"]),
        ("--help", ["--help"]),
    ):
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            subprocess.run([str(script), *words], capture_output=True, check=False)
            times.append(time.perf_counter() - started)
        rows.append((title, f"{min(times):.2f} s"))
    Console().print_table("start", ("", "best of five"), rows)


MEASUREMENTS = {"loop": measure_loop, "input": measure_input, "start": measure_start}


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(MEASUREMENTS)
    unknown = [name for name in chosen if name not in MEASUREMENTS]
    if unknown:
        sys.exit(f"there is no measurement {unknown[0]!r}; there are: {', '.join(MEASUREMENTS)}")
    for name in chosen:
        MEASUREMENTS[name]()
