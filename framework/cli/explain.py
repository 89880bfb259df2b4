"""explain-prediction: draw what a trained network looks at in images."""

from __future__ import annotations

import sys
from pathlib import Path

from framework.cli.command import FAILED, OK, RunArgumentParser, check_ownership, command, split_overrides
from framework.run.console import Console, format_value, plural


@command
def main(argv: list[str]) -> int:
    """Write pictures of Grad-CAM maps, and of activations and filters."""
    parser = RunArgumentParser(
        "explain-prediction",
        "Draw what a trained network looks at in images: over each image the Grad-CAM map of the predicted class.",
        epilog="explain-prediction outputs/run1 photos/ portrait.jpg --output explained\n"
        "explain-prediction outputs/run1 portrait.jpg --activations conv1,conv2 --filters conv1 --output layers\n"
        "Exit code 1 where an image could not be read; the others are explained all the same.",
        takes_weights=True,
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="IMAGE", help="images and folders; key=value overrides change settings"
    )
    parser.add_model_option()
    parser.add_argument(
        "--layer", metavar="NAME", help="the layer of the map (default: the last with height and width)"
    )
    parser.add_argument(
        "--activations", metavar="NAME,...", default="", help="layers of which the activations are drawn, too"
    )
    parser.add_argument(
        "--filters", metavar="NAME", help="a convolutional layer of which the filters are drawn"
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        default="explained",
        help="the folder for the pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="write into the folder of --output though it holds files; those of other names stay",
    )
    arguments = parser.parse(argv)
    overrides, inputs = split_overrides(arguments.inputs)
    if not inputs:
        parser.error("no image is named")

    check_ownership()
    from framework.evaluation.explain import explain
    from framework.run.files import check_report_folder

    check_report_folder(Path(arguments.output), overwrite=arguments.overwrite)
    found = explain(
        arguments.run,
        inputs,
        *overrides,
        folder=Path(arguments.output),
        layer=arguments.layer,
        layers=[name for name in arguments.activations.split(",") if name],
        filters_of=arguments.filters,
        model=arguments.model,
        config_dir=arguments.config_dir,
    )
    console = Console()
    for explanation in found.images:
        values = (format_value(v) if isinstance(v, float) else str(v) for v in explanation.columns.values())
        console.print("  ".join([explanation.name, *values, f"-> {explanation.pictures[0]}"]))
    if found.filters:
        console.print(f"filters of {arguments.filters} -> {found.filters}")
    console.print(f"{plural(len(found.images), 'image')} explained in {arguments.output}")
    for fault in found.unreadable:
        print(f"not explained: {fault}", file=sys.stderr)
    return FAILED if found.unreadable else OK


if __name__ == "__main__":
    main()
