"""check-scenario: check the properties of a scenario that the promises about its runs rely on."""

from __future__ import annotations

from framework.cli.command import FAILED, OK, ScenarioArgumentParser, check_ownership, command
from framework.config.compose import compose_config


@command
def main(argv: list[str]) -> int:
    """Run the checks of a scenario, and print a line for each."""
    parser = ScenarioArgumentParser(
        prog="check-scenario",
        description="Try the contract of a scenario on a few of its samples, one line a check. Takes about "
        "a minute; nothing is kept.",
        epilog="Exit code 1 where a check fails. From a test: framework.testing.check_scenario.",
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show where the scenario's code raised what it raised"
    )
    arguments = parser.parse(argv)
    # Wrong overrides are reported before TensorFlow is loaded.
    config = compose_config(arguments.overrides, config_dir=arguments.config_dir)

    check_ownership()
    from framework.run.device import import_tensorflow

    import_tensorflow()
    from framework.run.console import Console
    from framework.testing import check_scenario

    console = Console()
    failed = 0
    for outcome in check_scenario(*arguments.overrides, config_dir=arguments.config_dir, config=config):
        failed += not outcome.passed
        console.print(outcome.line, style=None if outcome.passed else "red")
        if outcome.details and arguments.traceback:
            console.print(outcome.details)
    return FAILED if failed else OK


if __name__ == "__main__":
    main()
