"""load-and-validate: evaluate the exported model of a run, freshly loaded."""

from __future__ import annotations

from framework.cli.command import OK, RunArgumentParser, check_ownership, command, split_overrides
from framework.console import Console, format_value, without_details


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
    parser.add_argument(
        "--weights",
        metavar="NAME",
        help="in place of a model, weights that the run holds, as ema-weights lists them: raw, ema, ...",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--split", choices=("train", "validation", "test"), default="validation", help="which data")
    which.add_argument("--list", dest="name", metavar="NAME", help="the data of this list of trainer.lav_lists")
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
    from framework.lav_report import load_and_validate

    report = load_and_validate(
        arguments.run,
        *overrides,
        model=arguments.model,
        split=arguments.split,
        name=arguments.name,
        weights=arguments.weights,
        output=arguments.output,
    )
    recorded = report.facts.get("metrics", {})
    prefixes = (
        (f"lav_{arguments.name}_",) if arguments.name else {"validation": ("val_", "lav_"), "train": ("",)}.get(report.split, ())
    )
    rows = [
        (name, format_value(value), next((format_value(recorded[p + name]) for p in prefixes if p + name in recorded), "-"))
        for name, value in without_details(report.metrics).items()
    ]
    console = Console()
    data = f"samples of {arguments.name}" if arguments.name else f"{report.split} samples"
    console.table(
        f"{arguments.weights or arguments.model} of {arguments.run} (epoch {report.facts.get('epoch')}) on {report.samples:,} {data}",
        ("metric", "now", "recorded in training"),
        rows,
    )
    console.details(report.metrics)
    console.print(f"written to {arguments.output or f'{arguments.run}/lav.json'}")
    return OK


if __name__ == "__main__":
    main()
