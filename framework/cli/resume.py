"""resume-training: continue a run from its newest intact checkpoint."""

from __future__ import annotations

from framework.cli.command import OK, RunArgumentParser, check_ownership, training_command
from framework.run.console import Console, plural


@training_command
def main(argv: list[str]) -> int:
    """Continue a run; overrides change its settings."""
    parser = RunArgumentParser(
        "resume-training",
        "Continue a run from where its newest intact checkpoint left it.",
        epilog="key=value overrides change settings: resume-training outputs/run1 epochs=60",
    )
    parser.add_overrides()
    arguments = parser.parse(argv)
    overrides = parser.overrides_of(arguments)

    check_ownership()
    from framework.cli.summary import print_result
    from framework.training.trainer import Trainer

    trainer = Trainer.resume(arguments.run, *overrides)
    ended = trainer.ended()
    if ended is not None:
        console = Console()
        console.print(
            f"{arguments.run} is {ended.status.replace('_', ' ')} after {plural(ended.epochs, 'epoch')}; "
            "there is nothing to resume"
        )
        console.print(f"to train on: resume-training {arguments.run} epochs={ended.epochs + 10}")
        return OK
    print_result(trainer.train(), trainer.run, trainer.scenario)
    return OK


if __name__ == "__main__":
    main()
