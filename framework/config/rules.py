"""Rules that need more than one section of a config. A section checks only itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from framework.errors import Problem

if TYPE_CHECKING:
    from framework.config.sections import RunConfig


def cross_section_problems(config: RunConfig) -> Iterator[Problem]:
    """Find what does not go together in a config with sound sections. Paths are absolute.

    A section of a user's own may have rules, too: what its `check_with(config)` yields.
    """
    for rule in _RULES:
        yield from rule(config)
    for field in dataclasses.fields(config):
        if own := getattr(getattr(config, field.name), "check_with", None):
            yield from own(config)


def lav_has_data(config: RunConfig) -> Iterator[Problem]:
    """Check that LAV has data, and that its lists are used."""
    trainer = config.trainer
    if trainer.lav_lists and not trainer.lav_every_n:
        yield Problem(
            "trainer.lav_lists",
            "are not validated on",
            given=list(trainer.lav_lists),
            hint="set trainer.lav_every_n, to 1 say",
        )
    elif (
        trainer.lav_every_n
        and not trainer.lav_lists
        and trainer.overfit_batches is None
        and not config.data.has_validation()
    ):
        yield Problem(
            "trainer.lav_every_n",
            "has nothing to validate on, since data.validation_split=0 keeps nothing for it",
            given=trainer.lav_every_n,
            hint="name validation data, or a list in trainer.lav_lists",
        )


def compiled_steps_run_in_a_graph(config: RunConfig) -> Iterator[Problem]:
    """Check that steps that XLA compiles do not have to stop for Python or for a NaN."""
    if config.device.jit_compile:
        for name in ("run_eagerly", "trace_nan"):
            if getattr(config.trainer, name):
                yield Problem(
                    f"trainer.{name}", "does not go together with device.jit_compile=true", given=True
                )


def schedule_fits_the_run(config: RunConfig) -> Iterator[Problem]:
    """Check that the phases of a schedule fit into the epochs of the run."""
    yield from config.learning_rate.problems_in_run(config.trainer.epochs)


def accumulation_has_no_loss_scaling(config: RunConfig) -> Iterator[Problem]:
    """Check that no batch of an accumulated step can be left out."""
    if config.optimizer.accumulate_steps > 1 and config.device.precision == "mixed_float16":
        # Its loss scaling leaves out batches whose gradients overflow, and a step would miss some of its
        # batches.
        yield Problem(
            "optimizer.accumulate_steps",
            "does not go together with device.precision=mixed_float16",
            given=config.optimizer.accumulate_steps,
            hint="mixed_bfloat16 needs no loss scaling",
        )


def batch_can_be_divided(config: RunConfig) -> Iterator[Problem]:
    """Check that all devices get parts of the same size."""
    device, size = config.device, config.data.batch_size
    copies = device.cpu_replicas > 1
    if size % device.replicas:
        yield Problem(
            "data.batch_size",
            f"cannot be divided among {device.replicas} {'copies of the CPU' if copies else 'GPUs'}",
            given=size,
            allowed=f"a multiple of {device.replicas}, "
            f"{'device.cpu_replicas' if copies else 'the number of device.gpus'}",
        )


_RULES: tuple[Callable[[RunConfig], Iterator[Problem]], ...] = (
    lav_has_data,
    compiled_steps_run_in_a_graph,
    schedule_fits_the_run,
    accumulation_has_no_loss_scaling,
    batch_can_be_divided,
)
