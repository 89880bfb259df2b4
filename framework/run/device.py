"""What a run computes on: devices, threads, precision, determinism."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from framework.config.device_config import DeviceConfig
from framework.errors import ConfigError, Problem, ScenarioError

if TYPE_CHECKING:
    import tensorflow as tf

log = logging.getLogger(__name__)

# What TensorFlow's C++ side writes to stderr while it is loaded, whatever its log level is.
_NATIVE_CHATTER = re.compile(
    rb"^(WARNING: All log messages before absl|[IW]\d{4} |[IW]0000 |\d{4}-\d\d-\d\d .*: [IW] |E0000 .*cuInit|To enable the following)"
)


def apply_device(config: DeviceConfig) -> tf.distribute.Strategy:
    """Set devices, threads, determinism and precision for this process, and give the strategy to train
    under.

    Raises:
        ConfigError: where a GPU is named that is not there, or copies of the CPU are asked for when it is
            too late for them.
    """
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    wanted = (
        config.gpus
        if config.gpus is not None
        else tuple(range(min(1, len(gpus))))
        if config.cpu_replicas == 1
        else ()
    )
    missing = [number for number in wanted if number >= len(gpus)]
    if missing:
        raise ConfigError(
            Problem(
                "device.gpus",
                "there is no such GPU",
                given=missing[0],
                allowed=f"numbers < {len(gpus)}",
                hint="see nvidia-smi -L",
            )
        )
    try:
        tf.config.set_visible_devices([gpus[number] for number in wanted], "GPU")
        for number in wanted:
            tf.config.experimental.set_memory_growth(gpus[number], True)
        threads = config.resolve().threads
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        # TensorFlow takes these once in a process; a second run in one process computes as the first.
        log.debug("devices and threads stay as this process set them first")
    if config.cpu_replicas > 1:
        _divide_cpu(config.cpu_replicas)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_dtype_policy(config.precision)
    if config.cpu_replicas > 1:
        return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(config.cpu_replicas)])
    return tf.distribute.MirroredStrategy() if len(wanted) > 1 else tf.distribute.get_strategy()


def _divide_cpu(count: int) -> None:
    """Have TensorFlow show the CPU as `count` devices. It does so once in a process, before it computes
    anything."""
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        found = len(tf.config.list_logical_devices("CPU"))
        if found < count:
            raise ConfigError(
                Problem(
                    "device.cpu_replicas",
                    "is too late: TensorFlow has computed something in this process, and divides the "
                    "CPU before that only",
                    given=count,
                    allowed=f"a whole number >= 1 and <= {found} in this process",
                    hint="start a process of its own, or make this the first thing that it does with "
                    "TensorFlow",
                )
            ) from error


def describe_hardware(config: DeviceConfig) -> dict[str, object]:
    """Plain facts about what this process computes on, for the run's provenance."""
    import tensorflow as tf

    return {
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": config.threads,
        "devices": [f"{device.device_type}:{device.name}" for device in tf.config.get_visible_devices()],
    }


def check_keras_backend() -> None:
    """Raise a `ScenarioError` where Keras would compute, or computes already, with another library than
    TensorFlow."""
    keras = sys.modules.get("keras")
    settings = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    hint = "put KERAS_BACKEND=tensorflow before the command"
    if keras is not None and hasattr(keras, "backend"):
        backend, where, hint = (
            keras.backend.backend(),
            "Keras is imported with",
            "set KERAS_BACKEND=tensorflow before that",
        )
    elif backend := os.environ.get("KERAS_BACKEND"):
        where = "KERAS_BACKEND is"
    else:
        backend, where = None, f"{settings} names the backend"
        with contextlib.suppress(OSError, ValueError, AttributeError):
            backend = json.loads(settings.read_text()).get("backend")
    if backend not in (None, "tensorflow"):
        raise ScenarioError(f"{where} {backend!r}, and tf-scenarios trains with TensorFlow", hint=hint)


def import_tensorflow() -> None:
    """Import TensorFlow without the lines that its native side writes to the terminal.

    Anything else that is written meanwhile, such as the reason of a failing import, is passed on.

    Raises:
        ScenarioError: where Keras is set to another backend.
    """
    check_keras_backend()
    if "tensorflow" in sys.modules:
        return
    if logging.getLogger("framework").isEnabledFor(logging.DEBUG):
        import tensorflow  # noqa: F401

        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _native_chatter_hidden():
        import tensorflow as tf

        # The first operation starts the runtime, which has words of its own.
        tf.config.list_physical_devices()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)


@contextlib.contextmanager
def _native_chatter_hidden() -> Iterator[None]:
    _flush_stderr()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            _flush_stderr()
            os.dup2(terminal, 2)
            os.close(terminal)
            kept.seek(0)
            for line in kept:
                if not _NATIVE_CHATTER.match(line):
                    with contextlib.suppress(OSError):
                        os.write(2, line)


def _flush_stderr() -> None:
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.flush()
