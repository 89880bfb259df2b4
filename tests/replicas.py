"""Trains the toy scenario on two logical CPUs: `python -m tests.replicas RUN WORDS...`

A process of its own, because TensorFlow divides its devices once, before it is used."""

from __future__ import annotations

import sys

import pytest

from framework.device import DeviceConfig
from framework.run_directory import RunDirectory
from framework.scenario import compose
from framework.trainer import Trainer
from tests.conftest import TOY


def main(path: str, *words: str) -> None:
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    sys.path.insert(0, str(TOY))
    apply = DeviceConfig.apply

    def apply_to_two(config: DeviceConfig) -> tf.distribute.Strategy:
        apply(config)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeviceConfig, "apply", apply_to_two)
        scenario = compose("scenario=toy", "trainer.tensorboard=false", *words, config_dir=TOY / "conf")
        Trainer(scenario, RunDirectory.create(path)).train()


if __name__ == "__main__":
    main(*sys.argv[1:])
