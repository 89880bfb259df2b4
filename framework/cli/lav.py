"""load-and-validate: evaluate the exported model of a run, or a file of weights, freshly loaded."""

from __future__ import annotations

import argparse
from pathlib import Path

from framework.cli.command import (
    OK,
    RunArgumentParser,
    add_output_option,
    check_ownership,
    command,
    split_overrides,
)
from framework.cli.lav_data_sets import add_data_set_options, evaluate_on_data_sets, options_of_data_sets
from framework.run.console import Console, format_value, without_details


def make_parser() -> RunArgumentParser:
    """Make the parser of the command."""
    parser = RunArgumentParser(
        "load-and-validate",
        "Load the exported model of a run, or a file of weights, in a fresh process and evaluate it.",
        epilog="key=value overrides change settings: load-and-validate outputs/run1 data.val_dir=OTHER\n"
        "load-and-validate Meso4_DF.h5 scenario=mesonet data=image_folder data.val_dir=DIR "
        "data.positive_class=real\n"
        "load-and-validate outputs/run1 outputs/run2 --data celeb=DIR --data other=DIR2 --class-map forged=fake "
        "--robustness",
        takes_weights=True,
    )
    parser.add_overrides()
    parser.add_model_option()
    parser.add_argument(
        "--weights",
        metavar="NAME",
        help="in place of a model, weights that the run holds, as ema-weights lists them: raw, ema, ...",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--split", choices=("train", "validation", "test"), default="validation", help="which data"
    )
    which.add_argument(
        "--list", dest="name", metavar="NAME", help="the data of this list of trainer.lav_lists"
    )
    add_output_option(
        parser,
        "where to write the report as JSON (default: RUN/lav.json, or nowhere where there is no run); with --data, "
        "the page and the table (default: evaluation.html and evaluation.csv)",
    )
    add_data_set_options(parser)
    return parser


@command
def main(argv: list[str]) -> int:
    """Load the model and evaluate it on the data of the run, or on others."""
    parser = make_parser()
    arguments = parser.parse(argv)
    if arguments.data:
        return _on_data_sets(parser, arguments)
    if given := options_of_data_sets(arguments):
        parser.error(f"{given[0]} needs --data NAME=DIR")
    _, others = split_overrides(arguments.overrides)
    if others and all(Path(other).exists() for other in others):
        parser.error(
            f"several runs need data sets to compare them on: --data NAME=DIR (given: {others[0]}, too)"
        )
    overrides = parser.overrides_of(arguments)

    check_ownership()
    from framework.evaluation.load_and_validate import load_and_validate
    from framework.evaluation.trained_model import is_run
    from framework.run.files import check_report

    if arguments.output:
        check_report(Path(arguments.output), overwrite=arguments.overwrite)

    report = load_and_validate(
        arguments.run,
        *overrides,
        model=arguments.model,
        split=arguments.split,
        name=arguments.name,
        weights=arguments.weights,
        threshold=arguments.threshold,
        config_dir=arguments.config_dir,
        output=arguments.output,
    )
    recorded = report.recorded
    shown = without_details(report.metrics)
    rows = [
        (
            name,
            format_value(value),
            *([format_value(recorded[name]) if name in recorded else "-"] if recorded else []),
        )
        for name, value in shown.items()
    ]
    console = Console()
    data = f"samples of {arguments.name}" if arguments.name else f"{report.split} samples"
    run = is_run(arguments.run)
    model = (
        f"{arguments.weights or arguments.model} of {arguments.run} (epoch {report.facts.get('epoch')})"
        if run
        else arguments.run
    )
    at = f", deciding at {arguments.threshold:g}" if arguments.threshold is not None else ""
    columns = ("metric", "now", *(["recorded in training"] if recorded else []))
    console.print_table(f"{model} on {report.samples:,} {data}{at}", columns, rows)
    if report.not_comparable:
        console.print(f"what was recorded in training is left out: {report.not_comparable}")
    console.print_details(report.metrics)
    if arguments.output or run:
        console.print(f"written to {arguments.output or f'{arguments.run}/lav.json'}")
    return OK


def _on_data_sets(parser: RunArgumentParser, arguments: argparse.Namespace) -> int:
    """Evaluate the models on the data sets of --data."""
    if arguments.name or arguments.split != parser.get_default("split"):
        parser.error("--data names the data; --split and --list are for those of the run")
    overrides, others = split_overrides(arguments.overrides)
    return evaluate_on_data_sets(parser, arguments, [arguments.run, *others], overrides)


if __name__ == "__main__":
    main()
