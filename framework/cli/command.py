"""Shared parts of all commands: errors without tracebacks, exit codes, logging, arguments."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence

from framework.errors import Interrupted, ScenarioError, reason_of
from framework.run.output import Output, OutputLost, end_command, guard_standard_streams, note_lost

OK, FAILED, USAGE = 0, 1, 2
_COMPLETION = ("--shell-completion", "-sc")

# The exit code of a program that SIGPIPE has ended, as shells report it.
_BROKEN_PIPE = 128 + 13


def command(main: Callable[[list[str]], int], *, outlives_output: bool = False) -> Callable[[], None]:
    """Make a console script of a function that takes the arguments and returns the exit code.

    Of an error that a user can fix, only the message is printed, to stderr. Any other error is a defect of
    the framework or of the scenario's code, and keeps its traceback.

    Args:
        outlives_output: whether the command goes on, and may succeed, if its output cannot be written.
    """

    @functools.wraps(main)
    def script() -> None:
        sys.exit(run(main, sys.argv[1:], outlives_output=outlives_output))

    return script


def training_command(main: Callable[[list[str]], int]) -> Callable[[], None]:
    """Make a console script of a command that trains. Its run goes on without the terminal."""
    return command(main, outlives_output=True)


def run(main: Callable[[list[str]], int], argv: list[str], *, outlives_output: bool = False) -> int:
    """Run a command in this process, and return its exit code."""
    guard_standard_streams(note_lost if outlives_output else end_command)
    try:
        try:
            return _run(main, argv)
        finally:
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, Output):
                    stream.finish()
    except OutputLost as error:
        if error.broken_pipe:
            # The reader of the output, such as `head`, has ended.
            return _BROKEN_PIPE
        print(error, file=sys.stderr)
        return FAILED


def _run(main: Callable[[list[str]], int], argv: list[str]) -> int:
    from framework.run.logs import start_logging

    try:
        _check_current_folder()
        start_logging()
        if "--version" in argv:
            print(_versions())
            return OK
        if argv and argv[0] in _COMPLETION:
            from framework.cli.completion import complete

            complete(argv)
            return OK
        return main(argv)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Interrupted as error:
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        # TensorFlow's own error is recognised by its name, because TensorFlow may not be loaded.
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        print(f"this machine has not enough memory for that: {reason_of(error)[:200]}", file=sys.stderr)
        print(
            "    hint:    a smaller batch_size, smaller samples (data.image_size, say) or a smaller model "
            "take less",
            file=sys.stderr,
        )
        return FAILED


def _check_current_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise ScenarioError(
            f"the current folder cannot be used: {error.strerror}", hint="change to one that exists"
        ) from error


def _versions() -> str:
    """Return the version of the package, and those of its main dependencies."""
    import importlib.metadata

    import framework

    found = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "hydra-core")}
    others = ", ".join(
        f"{name} {version}" for name, version in (found | {"python": sys.version.split()[0]}).items()
    )
    return f"tf-scenarios {framework.__version__} ({others})"


def check_ownership() -> None:
    """Check that no other distribution has installed a package with one of our names.

    Raises:
        ScenarioError: if there is one. One of the two has overwritten the other.
    """
    import importlib.metadata

    for package in ("framework", "scenarios"):
        owners = sorted(
            {
                dist.metadata["Name"]
                for dist in importlib.metadata.distributions()
                if package in (dist.read_text("top_level.txt") or "").split()
            }
        )
        if len(owners) > 1:
            raise ScenarioError(
                f"two distributions have installed a package {package!r}: {', '.join(owners)}; one has "
                "overwritten the other",
                hint="uninstall both, then install tf-scenarios into an environment of its own",
            )


class CommandParser(argparse.ArgumentParser):
    """Parser of the arguments of a command. `run` answers `--version` and `--shell-completion`, which all
    commands have."""

    def __init__(
        self,
        prog: str,
        description: str,
        *,
        epilog: str | None = None,
        formatter_class: type[argparse.HelpFormatter] = argparse.HelpFormatter,
    ) -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, formatter_class=formatter_class)
        self.add_argument("--version", action="store_true", help="show the versions and exit")
        self.add_argument(
            "--shell-completion", "-sc", action="store_true", help="install=bash, zsh or fish: see README.md"
        )

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments; options may stand among the positional ones."""
        return self.parse_intermixed_args(argv)


class ScenarioArgumentParser(CommandParser):
    """Parser for a command on a scenario: its overrides are those of `train-scenario`."""

    def __init__(self, prog: str, description: str, *, epilog: str | None = None) -> None:
        super().__init__(prog=prog, description=description, epilog=epilog)
        self.add_argument(
            "overrides", nargs="+", metavar="key=value", help="overrides, as for train-scenario"
        )
        self.add_argument("--config-dir", "-cd", help="a further folder of group options")


class RunArgumentParser(CommandParser):
    """Parser for a command on an existing run: the run directory, whatever else, and overrides anywhere."""

    def __init__(
        self, prog: str, description: str, *, epilog: str | None = None, takes_weights: bool = False
    ) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if not takes_weights:
            self.add_argument("run", metavar="RUN", help="the run directory, such as outputs/run1")
            return
        self.add_argument(
            "run",
            metavar="RUN|WEIGHTS",
            help="the run directory, such as outputs/run1; or a .keras, .weights.h5 or .h5 file, with "
            "scenario=NAME and whatever else "
            "says what it is",
        )
        self.add_argument("--config-dir", "-cd", help="for WEIGHTS, a further folder of group options")
        self.add_argument(
            "--threshold",
            type=_probability,
            metavar="P",
            help="of two classes, decide for the positive one where its probability is above P (default: "
            "0.5)",
        )

    def add_model_option(self) -> None:
        """Add `--model best|export|DIR`."""
        self.add_argument(
            "--model",
            metavar="best|export|DIR",
            default="best",
            help="the best model, the final state (export), or another folder",
        )

    def add_overrides(self) -> None:
        """Add any number of overrides, `key=value`."""
        self.add_argument("overrides", nargs="*", metavar="key=value", help="settings to change")

    def overrides_of(self, arguments: argparse.Namespace) -> list[str]:
        """Return the overrides. The command ends if there are other positional arguments."""
        overrides, others = split_overrides(arguments.overrides)
        if others:
            self.error(f"{others[0]!r} must be an override, key=value")
        return overrides


def add_output_option(parser: argparse.ArgumentParser, about: str, default: str | None = None) -> None:
    """Add `--output FILE` and `--overwrite`."""
    parser.add_argument("--output", metavar="FILE", default=default, help=about)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what --output names where it is there already"
    )


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text!r}")
    return value


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate overrides, `key=value`, from other arguments, such as the names of existing files."""
    overrides = [
        text for text in arguments if "=" in text and not text.startswith("-") and not os.path.exists(text)
    ]
    return overrides, [text for text in arguments if text not in overrides]
