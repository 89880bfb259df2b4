"""benchmark-input-pipeline: measure how many samples per second reach the model."""

from __future__ import annotations

import argparse

from framework.cli.command import OK, ScenarioArgumentParser, check_ownership, command
from framework.config.compose import compose_config
from framework.run.console import Console


@command
def main(argv: list[str]) -> int:
    """Measure the time for the training batches of a scenario."""
    parser = ScenarioArgumentParser(
        prog="benchmark-input-pipeline",
        description="Time the training batches of a scenario, without a model behind them.",
    )
    parser.add_argument(
        "--seconds", type=_positive, default=5.0, help="how long to measure (default: %(default)s)"
    )
    arguments = parser.parse(argv)
    config = compose_config(arguments.overrides, config_dir=arguments.config_dir)

    check_ownership()
    from framework.run.device import import_tensorflow
    from framework.scenario import scenario_of

    scenario = scenario_of(config)
    config = scenario.config  # reads the data, before TensorFlow is loaded
    import_tensorflow()
    from framework.evaluation.input_benchmark import benchmark_input_pipeline

    measured = benchmark_input_pipeline(scenario, seconds=arguments.seconds)
    console = Console()
    console.print_table(
        f"input pipeline of {config.scenario.name}, batches of {measured.batch_size}",
        ("", "measured"),
        [
            ("samples/s", f"{measured.samples_per_second:,.0f}"),
            ("batches/s", f"{measured.batches_per_second:,.1f}"),
            ("batches timed", f"{measured.batches:,} in {measured.seconds:.1f} s"),
            ("opening the data", f"{measured.prepare_seconds:.2f} s"),
            ("first batch", f"{measured.first_batch_seconds:.2f} s"),
        ],
    )
    return OK


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be a number > 0")
    return value


if __name__ == "__main__":
    main()
