"""The options of load-and-validate for data sets, and what it prints of them."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from framework.cli.command import OK, RunArgumentParser, check_ownership
from framework.run.console import Console

_PAGE, _TABLE = ".html", ".csv"


def add_data_set_options(parser: argparse.ArgumentParser) -> None:
    """Add `--data`, `--class-map`, `--group-by`, `--robustness` and `--degrade`."""
    options = parser.add_argument_group("data sets")
    options.add_argument(
        "--data",
        metavar="[NAME=]DIR",
        action="append",
        default=[],
        help="evaluate each RUN on this folder, with a sub-folder for each class; may be given several times. Without "
        "NAME, that of the folder",
    )
    options.add_argument(
        "--class-map",
        metavar="FOLDER=CLASS,...",
        action="append",
        default=[],
        help="what the models call the classes of the data sets; NAME:FOLDER=CLASS is for one data set, and FOLDER= "
        "leaves it out",
    )
    options.add_argument(
        "--group-by",
        metavar="REGEX",
        help="finds in the path of an image its video, to evaluate videos, too (default: data.group_by of the run; an "
        "empty one: no videos)",
    )
    options.add_argument(
        "--robustness",
        action="store_true",
        help="evaluate images that are compressed, blurred and scaled, too",
    )
    options.add_argument(
        "--degrade",
        metavar="KIND=STRENGTH,...",
        action="append",
        default=[],
        help="the strengths for --robustness: jpeg=90,50 blur=1 scale=0.5",
    )


def options_of_data_sets(arguments: argparse.Namespace) -> list[str]:
    """Return the options that were given and mean nothing without `--data`."""
    names = ("class_map", "group_by", "robustness", "degrade")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name)]


def evaluate_on_data_sets(
    parser: RunArgumentParser, arguments: argparse.Namespace, runs: Sequence[str], overrides: Sequence[str]
) -> int:
    """Evaluate models on data sets, print the tables, and write them as CSV and as a page."""
    named = [text if "=" in text else f"{Path(text).resolve().name}={text}" for text in arguments.data]
    data = _pairs(parser, "--data", named, "NAME=DIR")
    words = [word for text in arguments.class_map for word in text.split(",") if word]
    class_map = _pairs(parser, "--class-map", words, "FOLDER=CLASS")
    page, table = _outputs(parser, arguments.output)
    degrade = _degradations(parser, arguments.degrade)

    check_ownership()
    from framework.evaluation.data_sets import evaluate_data_sets
    from framework.evaluation.robustness import STRENGTHS
    from framework.report.data_set_tables import (
        by_degradation_in_short,
        by_manipulation,
        models_by_data_sets,
    )
    from framework.report.data_sets_page import write_evaluation
    from framework.run.files import check_report, write_report

    for file in (page, table):
        check_report(file, overwrite=arguments.overwrite)
    found = evaluate_data_sets(
        runs,
        data,
        *overrides,
        class_map=class_map,
        group_by=arguments.group_by,
        robustness=degrade or (STRENGTHS if arguments.robustness else None),
        model=arguments.model,
        weights=arguments.weights,
        threshold=arguments.threshold,
        config_dir=arguments.config_dir,
    )
    console = Console()
    titles = ("models by data sets", "by manipulation", "robustness: value (difference from clean images)")
    tables = (models_by_data_sets(found), by_manipulation(found), by_degradation_in_short(found))
    for title, of_title in zip(titles, tables, strict=True):
        for number, one in enumerate(of_title):
            console.print_table("" if number else title, one.columns, one.rows)
    for note in found.notes:
        console.print(note)
    write_report(table, found.as_csv())
    write_evaluation(found, page, shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    console.print(f"written to {page} and {table}")
    return OK


def _outputs(parser: RunArgumentParser, output: str | None) -> tuple[Path, Path]:
    """The page and the table."""
    given = Path(output or f"evaluation{_PAGE}")
    if given.suffix not in (_PAGE, _TABLE):
        parser.error(f"--output names the page or the table, FILE{_PAGE} or FILE{_TABLE}, and not {output}")
    return given.with_suffix(_PAGE), given.with_suffix(_TABLE)


def _pairs(parser: RunArgumentParser, option: str, words: Sequence[str], form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=") if option == "--data" else word.rpartition("=")
        if not name or not separator or (option == "--data" and not value):
            parser.error(f"{option} takes {form}, and not {word!r}")
        if found.setdefault(name, value) != value or (option == "--data" and words.count(word) > 1):
            parser.error(f"{option} names {name} twice")
    return found


def _degradations(parser: RunArgumentParser, words: Sequence[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for kind, values in _pairs(parser, "--degrade", words, "KIND=STRENGTH,...").items():
        try:
            found[kind] = [float(value) for value in values.split(",")]
        except ValueError:
            parser.error(f"--degrade takes numbers, as in jpeg=90,50, and not {kind}={values}")
    return found
