"""The section `device` of a config: what a run computes on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from framework.config.schema import setting
from framework.errors import Problem


@dataclass(frozen=True, kw_only=True)
class DeviceConfig:
    """Settings of the devices that a run computes on.

    Results are equal bit for bit only on the same kind of device with the same number of threads.
    """

    gpus: tuple[int, ...] | None = setting(
        None,
        "GPUs to use, by number. null: the first one, if there is one. []: the CPU. Several: each batch is "
        "divided.",
        ge=0,
        le=1023,
    )
    cpu_replicas: int = setting(
        1,
        "Divide each batch among that many copies of the CPU, to try training on several devices without "
        "having them.",
        ge=1,
        le=64,
    )
    threads: int | None = setting(
        None,
        "Threads of one operation, and operations at a time. null: one for each core; the run records the "
        "number.",
        ge=1,
        le=1024,
    )
    deterministic: bool = setting(True, "Use only operations that give the same bits each time.")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = setting(
        "float32", "Dtype policy of Keras."
    )
    jit_compile: bool = setting(False, "Compile the training step with XLA.")

    @property
    def replicas(self) -> int:
        """The number of devices that each batch is divided among, >= 1."""
        return max(len(self.gpus or ()), self.cpu_replicas)

    def check(self) -> Iterator[Problem]:
        if self.gpus and self.cpu_replicas > 1:
            yield Problem(
                "cpu_replicas",
                f"does not go together with device.gpus={list(self.gpus)}",
                given=self.cpu_replicas,
                hint="leave one of them out: copies of the CPU are for trying several devices without GPUs",
            )
        if self.jit_compile and self.deterministic:
            yield Problem(
                "jit_compile",
                "does not go together with deterministic=true",
                given=True,
                hint="set device.deterministic=false; the run is then not repeatable bit for bit",
            )

    def resolve(self) -> DeviceConfig:
        """The same config with the number of threads filled in, for the run to record."""
        return dataclasses.replace(self, threads=self.threads or len(os.sched_getaffinity(0)))
