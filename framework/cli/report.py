"""report-run: write the report of a run, or of several side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from framework.cli.command import OK, CommandParser, add_output_option, check_ownership, command


@command
def main(argv: list[str]) -> int:
    """Write report.html and plots/ of one run, or one page that compares several."""
    parser = CommandParser(
        prog="report-run",
        description="Write report.html and plots/ of a run: one that has ended, failed, or is in training. "
        "Of several runs, write a page that shows them side by side.",
        epilog="report-run outputs/run1\nreport-run outputs/run1 outputs/run2 --output comparison.html",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run directory, such as outputs/run1")
    add_output_option(parser, "where to write the comparison of several runs (default: comparison.html)")
    arguments = parser.parse(argv)
    if arguments.output and len({Path(path).resolve() for path in arguments.runs}) == 1:
        parser.error("--output is for several runs; the report of one run is RUN/report.html")

    check_ownership()
    from framework.report.recorded import Recorded
    from framework.run.console import Console
    from framework.run.files import check_report
    from framework.run.run_directory import RunDirectory

    runs = [
        RunDirectory.open(path) for path in {Path(path).resolve(): path for path in arguments.runs}.values()
    ]
    if len(runs) > 1:
        page = Path(arguments.output or "comparison.html")
        check_report(page, overwrite=arguments.overwrite)
        from framework.report.report import write_comparison

        write_comparison([Recorded.of(run) for run in runs], page)
    else:
        check_report(runs[0].report_file)
        from framework.run.device import import_tensorflow

        import_tensorflow()
        from framework.report.report_run import report_run

        page = report_run(runs[0].path)
    Console().print(f"written to {page}")
    return OK


if __name__ == "__main__":
    main()
