"""train-scenario: train a new run, or a sweep of them."""

from __future__ import annotations

import dataclasses
import sys
import tempfile

from framework.cli.command import OK, check_ownership, training_command
from framework.cli.hydra_app import run_hydra
from framework.config.compose import CONFIG_NAME, chooses_scenario, compose_config, forced_words
from framework.config.sections import RunConfig
from framework.errors import ConfigError, Problem
from framework.run.output import Output, end_command


@training_command
def main(words: list[str]) -> int:
    """Train as the words say. Hydra reads them, so that all its options are there; its messages are replaced
    by ours."""
    from hydra._internal.utils import get_args_parser

    # Hydra wants its options before the words, or behind them; here they may stand among them.
    arguments = get_args_parser().parse_intermixed_args(words)
    if arguments.experimental_rerun:
        raise ConfigError(
            Problem(
                "--experimental-rerun",
                "is not supported: it unpickles a file",
                hint="resume-training RUN continues a run",
            ),
            subject="the command line",
        )
    if arguments.resolve and not arguments.cfg:
        raise ConfigError(
            Problem(
                "--resolve", "goes together with --cfg", hint="`--cfg job --resolve` prints the configuration"
            ),
            subject="the command line",
        )
    options = [word for word in words if word not in arguments.overrides]
    config_name = arguments.config_name or CONFIG_NAME
    asked = [
        name for name in ("cfg", "info", "multirun", "run", "shell_completion") if getattr(arguments, name)
    ]
    if len(asked) > 1:
        first, second = (f"--{name.replace('_', '-')}" for name in asked[:2])
        raise ConfigError(Problem(first, f"does not go together with {second}"), subject="the command line")
    if (
        arguments.help
        or arguments.hydra_help
        or arguments.cfg
        or arguments.info
        or arguments.shell_completion
    ):
        if isinstance(sys.stdout, Output):
            sys.stdout.lost = end_command  # nothing is trained: the output is what the command is for
        shown = arguments.overrides
        if arguments.cfg or arguments.info:
            # As a run would compose them: a value that no file has (of a setting with a default) is one
            # there, too.
            shown = forced_words(shown, arguments.config_dir)
            if chooses_scenario(arguments.overrides):
                compose_config(arguments.overrides, config_dir=arguments.config_dir, config_name=config_name)
        run_hydra([*options, *shown], lambda composed: None)
        return OK
    if arguments.multirun:
        from framework.cli.sweep import sweep

        return sweep(options, arguments.overrides, config_dir=arguments.config_dir, config_name=config_name)
    config = compose_config(arguments.overrides, config_dir=arguments.config_dir, config_name=config_name)
    # What was composed and checked is what Hydra composes again, so that its callbacks and its own settings
    # have their effect.
    run_hydra(
        [*options, *forced_words(arguments.overrides, arguments.config_dir)], lambda composed: train(config)
    )
    return OK


def train(config: RunConfig) -> None:
    """Train a new run, and say how it ended."""
    check_ownership()
    from framework.cli.summary import print_result
    from framework.run.console import Console
    from framework.run.run_directory import RunDirectory
    from framework.scenario import scenario_of
    from framework.training.trainer import Trainer

    if config.trainer.trial_run:
        with tempfile.TemporaryDirectory() as folder:
            Trainer(scenario_of(for_trial(config)), RunDirectory.create(folder)).train()
        Console().print("the trial run went through one batch of everything; nothing was kept")
        return
    trainer = Trainer(
        scenario_of(config), RunDirectory.create(config.trainer.output_dir, name=config.scenario.name)
    )
    print_result(trainer.train(), trainer.run, trainer.scenario)


def for_trial(config: RunConfig) -> RunConfig:
    """The same run with one step, and one step's samples of each split."""
    trainer = dataclasses.replace(config.trainer, epochs=1, steps_per_epoch=1, samples_per_epoch=None)
    data = dataclasses.replace(config.data, limit=config.data.batch_size * config.optimizer.accumulate_steps)
    return dataclasses.replace(config, trainer=trainer, data=data)


if __name__ == "__main__":
    main()
