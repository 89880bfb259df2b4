"""The data of a run: its samples for training and validation, its batches, and the length of an epoch."""

from __future__ import annotations

from framework.data.duplicates import warn_of_same_content, warn_of_shared_files
from framework.data.groups import warn_of_shared_groups
from framework.data.source import Source, Split
from framework.data.stream import Stream
from framework.errors import ConfigError, Problem
from framework.scenario import Scenario
from framework.splits import overfitted, prepare_source


def open_training(scenario: Scenario) -> Source:
    """Open the training samples of a run: those of a few batches where it is to learn these by heart.

    Raises:
        ConfigError: where they do not fill a step.
        DataError: where there are none.
    """
    source = overfitted(scenario, prepare_source(scenario, Split.TRAIN))
    batch_size, batches = scenario.config.data.batch_size, scenario.config.optimizer.accumulate_steps
    if batch_size * batches > len(source):
        larger = f"{batches} batches of a step are more than" if batches > 1 else "is larger than"
        raise ConfigError(
            Problem(
                "data.batch_size",
                f"{larger} the training data",
                given=batch_size,
                allowed=f"a whole number <= {len(source) // batches}, for the {len(source)} training samples",
            )
        )
    return source


def open_validation(scenario: Scenario, training: Source) -> Source:
    """Open the validation samples of a run, and warn where both splits share files or groups.

    They are the training samples where the run is to learn a few batches by heart.

    Args:
        training: what `open_training` gave.
    """
    if scenario.config.trainer.overfit_batches is not None:
        return training
    source = prepare_source(scenario, Split.VALIDATION)
    # One warning: what shares a file shares its group, and has a content in common.
    for warn in (warn_of_shared_groups, warn_of_shared_files, warn_of_same_content):
        if warn(training, source):
            break
    return source


def has_validation(scenario: Scenario) -> bool:
    """Return whether a run has validation samples."""
    return scenario.config.trainer.overfit_batches is not None or scenario.config.data.has_validation()


def training_stream(scenario: Scenario, source: Source) -> Stream:
    """Make the batches that a scenario trains on, from its training samples."""
    return Stream(
        source,
        batch_size=scenario.config.data.batch_size,
        seed=scenario.config.trainer.seed,
        augment=scenario.augment if scenario.augments() else None,
        workers=scenario.config.data.workers,
        batches_per_step=scenario.config.optimizer.accumulate_steps,
    )


def count_steps(scenario: Scenario, source: Source, stream: Stream) -> int:
    """Count the steps that make an epoch, >= 1.

    Raises:
        ConfigError: where `samples_per_epoch` does not fill a step.
    """
    settings = scenario.config.trainer
    if settings.steps_per_epoch is not None:
        return settings.steps_per_epoch
    samples = settings.samples_per_epoch or len(source)
    if samples < stream.step_size:
        raise ConfigError(
            Problem(
                "trainer.samples_per_epoch",
                "is less than a step",
                given=samples,
                allowed=f"a whole number >= {stream.step_size}",
            )
        )
    return samples // stream.step_size
