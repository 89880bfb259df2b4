"""load-and-validate: evaluate the exported model of a run, freshly loaded."""

from __future__ import annotations

from framework.cli.command import OK, RunArgumentParser, check_ownership, command, split_overrides
from framework.console import Console, format_value


@command
def main(words: list[str]) -> int:
    """Load the model and evaluate it on the data of the run, or on others."""
    parser = RunArgumentParser(
        "load-and-validate",
        "Load the exported model of a run in a fresh process and evaluate it.",
        epilog="key=value words change settings: load-and-validate outputs/run1 data.val_dir=OTHER",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings to change")
    parser.add_model_option()
    parser.add_argument("--split", choices=("train", "validation", "test"), default="validation", help="which data")
    parser.add_argument("--output", metavar="FILE", help="where to write the report as JSON (default: RUN/lav.json)")
    arguments = parser.parse_args(words)
    overrides, others = split_overrides(arguments.overrides)
    if others:
        parser.error(f"{others[0]!r} is no key=value word")

    check_ownership()
    from framework.device import import_tensorflow
    from framework.run_directory import RunDirectory

    # What is wrong with the words or the folder is said before TensorFlow is waited for.
    RunDirectory.open(arguments.run).load_config(overrides)
    import_tensorflow()
    from framework.evaluation import load_and_validate

    report = load_and_validate(arguments.run, *overrides, model=arguments.model, split=arguments.split, output=arguments.output)
    recorded = report.facts.get("metrics", {})
    prefix = "val_" if arguments.split == "validation" else ""
    rows = [
        (name, format_value(value), format_value(recorded[prefix + name]) if prefix + name in recorded else "-")
        for name, value in report.metrics.items()
    ]
    console = Console()
    console.table(
        f"{arguments.model} of {arguments.run} (epoch {report.facts.get('epoch')}) on {report.samples:,} {arguments.split} samples",
        ("metric", "now", "recorded in training"),
        rows,
    )
    console.print(f"written to {arguments.output or f'{arguments.run}/lav.json'}")
    return OK
