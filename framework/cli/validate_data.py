"""validate-data: try every sample of a scenario before training on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from framework.cli.command import (
    FAILED,
    OK,
    ScenarioArgumentParser,
    add_output_option,
    check_ownership,
    command,
)
from framework.config.compose import compose_config
from framework.run.console import Console

_SHOWN = 50


@command
def main(argv: list[str]) -> int:
    """Load each sample of each split, and print which cannot be used and which are unusual."""
    parser = ScenarioArgumentParser(
        prog="validate-data",
        description="Load each sample of a scenario's data, and tell what cannot be used and what is "
        "unusual, such as a file whose "
        "content is in two splits.",
        epilog="Exit code 1 where a sample cannot be used.",
    )
    add_output_option(parser, "write all that was found as CSV")
    parser.add_argument(
        "--near-duplicates",
        action="store_true",
        help="find images that are nearly the same in two splits or two classes, too; each is decoded once "
        "more for it",
    )
    arguments = parser.parse(argv)
    config = compose_config(arguments.overrides, config_dir=arguments.config_dir)

    check_ownership()
    from framework.run.device import import_tensorflow
    from framework.scenario import scenario_of

    scenario = scenario_of(config)
    config = scenario.config  # reads the data, before TensorFlow is loaded
    import_tensorflow()
    from framework.evaluation.validate_data import check_data, write_faults
    from framework.run.files import check_report

    if arguments.output:
        check_report(Path(arguments.output), overwrite=arguments.overwrite)
    reports = check_data(scenario, near_duplicates=arguments.near_duplicates)
    console = Console()
    faults = [fault for report in reports for fault in report.faults]
    counts = Counter(fault.kind for fault in faults)
    # What cannot be used first, then what is rare, or thousands of one kind would hide it.
    for fault in sorted(faults, key=lambda fault: (not fault.fatal, counts[fault.kind]))[:_SHOWN]:
        console.print(f"{'unusable' if fault.fatal else 'unusual'} ({fault.kind}): {fault}")
    if len(faults) > _SHOWN:
        console.print(f"... and {len(faults) - _SHOWN:,} more; --output FILE writes them all")
    rows = []
    for report in reports:
        if report.samples is None:
            continue  # nothing of it was looked at; its problem follows
        rows.append((report.split.value, "samples", f"{report.samples:,}"))
        rows.append(("", "unusable", f"{len(report.unusable):,}"))
        rows += [
            ("", f"  {kind}" if fatal else f"unusual: {kind}", f"{count:,}")
            for kind, count, fatal in report.kinds()
        ]
    if rows:
        console.print_table(f"data of {config.scenario.name}", ("split", "kind", "samples"), rows)
    for report in reports:
        if report.problem:
            console.print(f"{report.split.value}: {report.problem}", style="red")
    if arguments.output:
        write_faults(reports, Path(arguments.output))
        console.print(f"written to {arguments.output}")
    return FAILED if any(report.unusable or report.problem for report in reports) else OK


if __name__ == "__main__":
    main()
