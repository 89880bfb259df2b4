"""predict-scenario: predict files with the model of a run, or with a file of weights."""

from __future__ import annotations

import sys
from pathlib import Path

from framework.cli.command import (
    FAILED,
    OK,
    RunArgumentParser,
    add_output_option,
    check_ownership,
    command,
    split_overrides,
)
from framework.run.console import Console, format_value


@command
def main(argv: list[str]) -> int:
    """Predict the named files, and write a CSV or the arrays."""
    parser = RunArgumentParser(
        "predict-scenario",
        "Predict files or folders with the exported model of a run, or with a file of weights:\n"
        "predict-scenario Meso4_DF.h5 photos/ scenario=mesonet data=image_folder data.classes=[df,real] "
        "data.positive_class=real",
        epilog="Exit code 1 where a file could not be read; the others are predicted all the same.",
        takes_weights=True,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="DIR_OR_FILE",
        help="what to predict; key=value overrides change settings",
    )
    parser.add_model_option()
    add_output_option(
        parser,
        "the CSV to write, or a .npz for what the model gives as arrays (default: %(default)s)",
        "predictions.csv",
    )
    arguments = parser.parse(argv)
    overrides, inputs = split_overrides(arguments.inputs)
    if not inputs:
        parser.error("nothing is named to predict")

    check_ownership()
    from framework.evaluation.predict import predict, write_predictions
    from framework.run.files import check_report

    output = Path(arguments.output)
    check_report(output, overwrite=arguments.overwrite)
    predictions = predict(
        arguments.run,
        inputs,
        *overrides,
        model=arguments.model,
        threshold=arguments.threshold,
        arrays=output.suffix == ".npz",
        config_dir=arguments.config_dir,
    )
    write_predictions(predictions, output)
    console = Console()
    if predictions.rows:
        console.print("  ".join(predictions.rows[0]))
    for row in predictions.rows[:10]:
        console.print(
            "  ".join(
                format_value(value) if isinstance(value, float) else str(value) for value in row.values()
            )
        )
    if len(predictions.rows) > 10:
        console.print(f"... and {len(predictions.rows) - 10:,} more")
    known = [row for row in predictions.rows if row.get("true_label") and "label" in row]
    if known:
        right = sum(row["label"] == row["true_label"] for row in known)
        console.print(f"{right:,} of {len(known):,} whose class is known are predicted as what they are")
    console.print(f"{len(predictions.rows):,} predictions written to {output}")
    for fault in predictions.unreadable:
        print(f"not predicted: {fault}", file=sys.stderr)
    return FAILED if predictions.unreadable else OK


if __name__ == "__main__":
    main()
