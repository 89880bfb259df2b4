"""predict-scenario: predict files with the exported model of a run."""

from __future__ import annotations

import sys
from pathlib import Path

from framework.cli.command import FAILED, OK, RunArgumentParser, check_ownership, command, split_overrides
from framework.console import Console, format_value


@command
def main(words: list[str]) -> int:
    """Predict what is named, and write a CSV."""
    parser = RunArgumentParser(
        "predict-scenario",
        "Predict files or folders with the exported model of a run.",
        epilog="Exit code 1 where a file could not be read; the others are predicted all the same.",
    )
    parser.add_argument("inputs", nargs="+", metavar="DIR_OR_FILE", help="what to predict; key=value words change settings")
    parser.add_model_option()
    parser.add_argument("--output", metavar="FILE", default="predictions.csv", help="the CSV to write (default: %(default)s)")
    arguments = parser.parse_args(words)
    overrides, inputs = split_overrides(arguments.inputs)
    if not inputs:
        parser.error("nothing is named to predict")

    check_ownership()
    from framework.device import import_tensorflow
    from framework.run_directory import RunDirectory

    RunDirectory.open(arguments.run).load_config(overrides)
    import_tensorflow()
    from framework.files import check_report
    from framework.prediction import predict, write_csv

    output = Path(arguments.output)
    check_report(output)
    predictions = predict(arguments.run, inputs, *overrides, model=arguments.model)
    write_csv(predictions, output)
    console = Console()
    for row in predictions.rows[:10]:
        console.print("  ".join(format_value(value) if isinstance(value, float) else str(value) for value in row.values()))
    if len(predictions.rows) > 10:
        console.print(f"... and {len(predictions.rows) - 10:,} more")
    console.print(f"{len(predictions.rows):,} predictions written to {output}")
    for fault in predictions.unreadable:
        print(f"not predicted: {fault}", file=sys.stderr)
    return FAILED if predictions.unreadable else OK


if __name__ == "__main__":
    main()
