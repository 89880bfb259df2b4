"""ema-weights: compare the weights of a run, and export some of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from framework.cli.command import OK, RunArgumentParser, check_ownership, command
from framework.errors import ScenarioError
from framework.run.console import Console, format_value


@command
def main(argv: list[str]) -> int:
    """Compare the weights that a run has, and export some of them."""
    parser = RunArgumentParser(
        "ema-weights",
        "Compare the weights that a run holds at its newest checkpoint, on its validation data: raw; ema, "
        "where it was trained with\n"
        "trainer.calc_ema; the average of its checkpoints; and averages of any length, where it was trained "
        "with\n"
        "trainer.post_hoc_ema. The run may be finished or in training; nothing of it is changed.",
        epilog="key=value overrides change settings: ema-weights outputs/run1 data.val_dir=OTHER",
    )
    parser.add_overrides()
    parser.add_argument(
        "--last", type=_count, metavar="N", help="average that many checkpoints (default: all that are kept)"
    )
    parser.add_argument(
        "--lengths",
        type=_numbers,
        metavar="L,L,...",
        help="lengths to average over, parts of the training in (0, 0.28] (default: 0.05,0.1,0.15,0.2)",
    )
    parser.add_argument(
        "--export",
        metavar="NAME",
        help="export the weights of that name: raw, ema, average, power-LENGTH, or `best`",
    )
    parser.add_argument("--output", metavar="DIR", help="where to export to (default: RUN/ema-weights/NAME)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the model in the folder of --output"
    )
    arguments = parser.parse(argv)
    overrides = parser.overrides_of(arguments)
    if arguments.output and not arguments.export:
        parser.error("--output says where to export to; --export NAME says what")

    check_ownership()
    from framework.evaluation.compare_weights import RunWeights
    from framework.model.export import check_export_folder

    if arguments.output:
        check_export_folder(Path(arguments.output), overwrite=arguments.overwrite)

    weights = RunWeights(arguments.run, *overrides)
    candidates = weights.candidates(last=arguments.last, lengths=arguments.lengths)
    if arguments.export and arguments.export not in ("best", *(candidate.name for candidate in candidates)):
        candidates.append(weights.candidate(arguments.export))
    judged = [(candidate, weights.judge(candidate)) for candidate in candidates]
    best = weights.best_of([metrics for _, metrics in judged])
    console = Console()
    console.print_table(
        f"weights of {arguments.run} after step {weights.step:,}, on its validation data",
        ("weights", *(judged[0][1]), "", "what they are"),
        [
            (
                candidate.name,
                *map(format_value, metrics.values()),
                "best" if i == best else "",
                candidate.about,
            )
            for i, (candidate, metrics) in enumerate(judged)
        ],
    )
    if arguments.export:
        names = [candidate.name for candidate in candidates]
        chosen = best if arguments.export == "best" else names.index(arguments.export)
        if chosen is None:
            raise ScenarioError("none of the weights is best: no value is a number")
        folder = arguments.output or Path(arguments.run) / "ema-weights" / names[chosen]
        weights.export(candidates[chosen], folder, judged[chosen][1])
        console.print(f"{names[chosen]} exported to {folder}")
        console.print("next:")
        console.print(f"  load-and-validate {arguments.run} --model {folder}")
    return OK


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be a whole number >= 1")
    return value


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError("must be numbers with commas between them: 0.05,0.1") from None


if __name__ == "__main__":
    main()
