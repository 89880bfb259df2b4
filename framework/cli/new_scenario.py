"""new-scenario: write a small package for a new scenario."""

from __future__ import annotations

import shlex

from framework.cli.command import OK, CommandParser, command
from framework.testing.new_scenario import new_scenario


@command
def main(argv: list[str]) -> int:
    """Write the package, and print how to train it."""
    parser = CommandParser(
        prog="new-scenario",
        description="Write a small package that holds a scenario of your own. It trains as it is; put your "
        "data and your model in.",
    )
    parser.add_argument(
        "name", metavar="NAME", help="of package and scenario: lower-case letters, digits and _"
    )
    parser.add_argument(
        "--dir", metavar="DIR", default=".", help="where the folder NAME is made (default: here)"
    )
    arguments = parser.parse(argv)
    place = new_scenario(arguments.name, arguments.dir)
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        print(path)
    print(
        "next:\n"
        f"  cd {shlex.quote(str(place))}\n"
        "  export PYTHONPATH=$PWD        # or install the package: see README.md\n"
        f"  train-scenario --config-dir conf scenario={arguments.name}\n"
        f"  check-scenario --config-dir conf scenario={arguments.name}"
    )
    return OK


if __name__ == "__main__":
    main()
