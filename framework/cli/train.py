"""train-scenario: train a new run, or a sweep of them."""

from __future__ import annotations

import dataclasses
import sys
import tempfile

from framework.cli.command import OK, check_ownership, training_command
from framework.cli.hydra_options import HydraOptions, parse_options
from framework.config.compose import composer
from framework.config.sections import RunConfig
from framework.run.output import Output, end_command


@training_command
def main(argv: list[str]) -> int:
    """Train the run that the overrides describe. Hydra's options work, with our messages."""
    options = parse_options(argv)
    if options.shell_completion:
        from framework.cli.completion import complete

        complete(["--shell-completion", *options.overrides])
    elif options.multirun and not options.help:
        from framework.cli.sweep import sweep

        return sweep(options)
    elif options.help or options.hydra_help or options.cfg or options.info:
        _show(options)
    else:
        from framework.cli.hydra_app import run_composed

        with composer(options.config_dir, options.config_name) as hydra:
            composed = hydra.compose_run(options.overrides)
            run_composed(composed.config, options.config_name, lambda: train(composed.run))
    return OK


def _show(options: HydraOptions) -> None:
    """Print the config, or what Hydra shows of itself."""
    from framework.cli import show

    if isinstance(sys.stdout, Output):
        sys.stdout.lost = end_command  # nothing is trained, so the output is all that counts
    if options.cfg:
        show.show_config(options)
    else:
        show.show_by_hydra(options)


def train(config: RunConfig) -> None:
    """Train a new run, and print its result."""
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
    """Return the config of a trial run: one step, and the samples of one step in each split."""
    trainer = dataclasses.replace(config.trainer, epochs=1, steps_per_epoch=1, samples_per_epoch=None)
    data = dataclasses.replace(config.data, limit=config.data.batch_size * config.optimizer.accumulate_steps)
    return dataclasses.replace(config, trainer=trainer, data=data)


if __name__ == "__main__":
    main()
