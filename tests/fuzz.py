"""Mutate the files of a run and open them with the commands: no traceback, no hang, nothing else is changed.

`scripts/fuzz` tries many mutations, tests/unit/test_fuzz.py a few. The commands run in a worker process that
loads TensorFlow once, with limits of memory and time for each mutation.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tests.conftest import REPOSITORY, TOY, TOY_WORDS, environment
from tests.fuzz_mutations import Mutation, mutations

_SECONDS = 60  # for one command; the slowest takes five on a machine that is not busy
_GIGABYTES = 8
_QUICK = ("trainer.tensorboard=false",)

# The commands, as modules with their arguments. RUN is the run, OUT a folder that may be written to.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "read": ("tests.fuzz", "RUN"),
    "resume": ("framework.cli.resume", "RUN"),
    "resume on": ("framework.cli.resume", "RUN", "epochs=2"),
    "lav": ("framework.cli.lav", "RUN", "--output", "OUT/lav.json"),
    "lav of a folder": ("framework.cli.lav", "SOUND", "--model", "RUN/export", "--output", "OUT/lav.json"),
    "lav of raw weights": ("framework.cli.lav", "RUN", "--weights", "raw", "--output", "OUT/lav.json"),
    "ema": ("framework.cli.weights", "RUN", "--lengths", "0.1,0.2"),
    "predict": ("framework.cli.predict", "RUN", "SOUND/config.yaml", "--output", "OUT/predictions.csv"),
    "warm start": (
        *("framework.cli.train", *TOY_WORDS, *_QUICK, "epochs=1", "trial_run=true"),
        *("warmstart.model=RUN", "warmstart.allow_partial=true"),
    ),
    "warm start from a SavedModel": (
        *("framework.cli.train", *TOY_WORDS, *_QUICK, "epochs=1", "trial_run=true"),
        *("warmstart.model=RUN/best/saved_model", "warmstart.allow_partial=true"),
    ),
    "sweep": ("framework.cli.train", "-m", *TOY_WORDS, *_QUICK, "seed=1,2", "output_dir=SWEEP"),
    "new run": ("framework.cli.train", *TOY_WORDS, *_QUICK, "epochs=1", "output_dir=RUN"),
}
# The commands that read each file.
READERS: Mapping[str, Sequence[str]] = {
    "config.yaml": ("resume", "lav", "lav of raw weights", "ema", "predict"),
    "state.json": ("resume", "resume on", "ema", "lav of raw weights"),
    "manifest.json": ("resume", "ema"),
    "variables.npz": ("resume", "ema"),
    "result.json": ("resume", "resume on", "sweep"),
    "provenance.json": ("resume on",),
    "metrics.jsonl": ("resume on",),
    "model.json": ("lav", "lav of a folder", "resume"),
    "model.keras": ("lav", "lav of a folder", "warm start", "resume"),
    "jobs.jsonl": ("sweep",),
    "saved_model.pb": ("warm start from a SavedModel",),
    "variables.index": ("warm start from a SavedModel",),
    "variables.data-00000-of-00001": ("warm start from a SavedModel",),
    "new": ("new run",),
}


@dataclass(frozen=True)
class Outcome:
    """The result of a command on a mutation.

    Args:
        words: file, mutation and command.
        code: the exit code; None if it hung or died.
        output: what it printed.
        faults: the promises that did not hold.
    """

    words: str
    code: int | None
    output: str
    faults: Sequence[str]


def make_runs(folder: Path) -> None:
    """Make a run, a finished sweep, and a file outside of both."""
    subprocess.run(
        [
            *(
                str(Path(sys.executable).parent / "train-scenario"),
                *TOY_WORDS,
                "epochs=1",
                f"output_dir={folder / 'sound'}",
            ),
            *("trainer.calc_ema=0.9", "trainer.post_hoc_ema=[0.1]", "trainer.tensorboard=false"),
        ],
        env=environment(),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=600,
    )
    words = [["seed=1"], ["seed=2"]]
    shutil.copytree(folder / "sound", folder / "sweep" / "0")
    shutil.copytree(folder / "sound", folder / "sweep" / "1")
    lines = [
        {"job": i, "words": [*TOY_WORDS[2:], *_QUICK, *w], "directory": str(i), "exit_code": 0}
        for i, w in enumerate(words)
    ]
    (folder / "sweep" / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "outside").mkdir()
    (folder / "outside" / "mine.txt").write_text("mine")


class Worker:
    """A process that runs one command after another."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Run a command, and return its result; None if the process hung or died.

        After that, the next call starts another process.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz", "--worker"],
                cwd=REPOSITORY,
                env=environment() | {"TF_CPP_MIN_LOG_LEVEL": "2"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._answer(120)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer(_SECONDS + 20)
        if answer is None:
            self.close()
        return answer

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        assert self._process is not None and self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else b""
        return json.loads(line) if line else None

    def close(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def fuzz(folder: Path, count: int, seed: int, *, quick: float) -> Iterator[Outcome]:
    """Try mutations of the runs that `make_runs` made in a folder.

    Args:
        folder: the folder.
        count: the number of mutations.
        seed: determines the mutations.
        quick: the fraction of mutations for which the files are only read, in the same way as by the
            commands, and nothing is built.
    """
    rng = random.Random(seed)
    worker = Worker()
    try:
        for number, mutation in zip(range(count), mutations(rng, folder), strict=False):
            name = (
                "read"
                if rng.random() < quick and mutation.kind != "new"
                else rng.choice(READERS[mutation.kind])
            )
            yield _try(worker, folder, mutation, name, number)
    finally:
        worker.close()


def _try(worker: Worker, folder: Path, mutation: Mutation, name: str, number: int) -> Outcome:
    place = folder / "case"
    shutil.rmtree(place, ignore_errors=True)
    (place / "out").mkdir(parents=True)
    (place / "cwd").mkdir()
    run, sweep = place / "run", place / "sweep"
    if mutation.kind == "new":
        run.mkdir()
    elif name == "sweep" or mutation.kind == "jobs.jsonl":
        shutil.copytree(folder / "sweep", sweep)
        run = sweep / "0"
    else:
        shutil.copytree(folder / "sound", run)
        if name in ("resume", "resume on"):
            (run / "result.json").unlink() if mutation.kind != "result.json" else None
    (place / "outside").mkdir()
    (place / "outside" / "mine.txt").write_text("mine")
    words = f"{number}: {mutation.name}, {name}"
    faults = []
    mutation.apply(run)
    before = _outside(place)
    places = {"RUN": run, "SOUND": folder / "sound", "OUT": place / "out", "SWEEP": sweep}
    module, *given = COMMANDS[name]
    for key, path in places.items():
        given = [
            word.replace(key, str(path)) if key in word.split("=")[-1].split("/") else word for word in given
        ]
    answer = worker.run({"module": module, "words": given, "cwd": str(place / "cwd")})
    if answer is None:
        return Outcome(words, None, "", ["hung, or the process died"])
    if answer["raised"]:
        faults.append("raised")
    if "Traceback" in answer["output"]:
        faults.append("a traceback")
    if answer["code"] not in (0, 1, 2):
        faults.append(f"exit code {answer['code']}")
    if _outside(place) != before:
        faults.append("something outside was changed")
    return Outcome(words, answer["code"], answer["output"] + answer["raised"], faults)


def _outside(place: Path) -> dict[str, str]:
    """Return the files beside the run, with their checksums."""
    found = {}
    for part in ("outside", "cwd"):
        for path in sorted((place / part).rglob("*")):
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return found | dict.fromkeys(sorted(os.listdir(place)), "")


# The worker -------------------------------------------------------------------------------------------------


class TimeIsUpError(BaseException):
    """Raised when a command takes too long."""


def work() -> None:
    """Run the commands that are named on stdin, and answer each with a line."""
    answers = os.fdopen(os.dup(1), "w")
    sys.path.insert(0, str(TOY))
    import keras

    from framework.cli import sweep
    from framework.run.device import import_tensorflow

    import_tensorflow()
    resource.setrlimit(resource.RLIMIT_AS, (_virtual_memory() + _GIGABYTES * 2**30,) * 2)
    sweep.subprocess.Popen = _NoProcess  # type: ignore[attr-defined]

    def out_of_time(number: int, frame: FrameType | None) -> None:
        raise TimeIsUpError

    signal.signal(signal.SIGALRM, out_of_time)
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        keras.utils.clear_session()
        os.chdir(request["cwd"])
        answers.write(json.dumps(_run(request["module"], request["words"])) + "\n")
        answers.flush()


def read_everything(words: list[str]) -> int:
    """Read all files of a run in the same way as the commands, without building anything."""
    from framework.cli.sweep import folder_of_job, read_jobs
    from framework.errors import ScenarioError
    from framework.model.export import fault_of, load_facts
    from framework.model.weight_files import open_weights
    from framework.run.checkpoint import CheckpointStore
    from framework.run.run_directory import RunDirectory
    from framework.run.run_records import RunStateFile

    path = Path(words[0])
    run = RunDirectory(path)

    def record_session() -> None:
        with contextlib.suppress(OSError):  # the trainer reports what cannot be written
            run.provenance.record_session(started_at_step=1, changes={}, hardware={})

    refused = 0
    for read in (
        lambda: RunDirectory.open(path),
        run.load_config,
        lambda: run.load_config(["epochs=7", "lr=0.1"]),
        run.load_result,
        run.provenance.load,
        run.provenance.changed_versions,
        record_session,
        run.check_not_in_use,
        CheckpointStore(run.checkpoints, holds=RunStateFile).load_newest,
        CheckpointStore(run.checkpoints, holds=RunStateFile).newest_state,
        CheckpointStore(run.averages).intact_steps,
        CheckpointStore(run.averages).load_newest,
        lambda: load_facts(run.best),
        lambda: load_facts(run.export),
        lambda: fault_of(run.best),
        lambda: fault_of(run.export),
        lambda: open_weights(str(run.best / "saved_model")),
        lambda: (read_jobs(path.parent), folder_of_job(["scenario=toy", "seed=1"], path.parent / "0")),
    ):
        try:
            read()
        except ScenarioError as error:
            print(error)
            refused = 1
    return refused


class _NoProcess:
    """Replacement for the process that trains a job, because training is not under test here."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def wait(self, timeout: float | None = None) -> int:
        return 1


def _run(module: str, words: Sequence[str]) -> dict[str, Any]:
    import importlib
    import traceback

    from framework.cli.command import run

    script = read_everything if module == "tests.fuzz" else importlib.import_module(module).main.__wrapped__
    raised, code = "", None
    with tempfile.TemporaryFile() as output:
        kept = os.dup(1), os.dup(2)
        sys.stdout.flush()
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        signal.alarm(_SECONDS)
        try:
            code = run(script, list(words))
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            raised = traceback.format_exc()
        finally:
            signal.alarm(0)
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
        output.seek(0)
        text = output.read(100_000).decode(errors="replace")
    return {"code": code, "output": text, "raised": raised}


def _virtual_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000, help="mutations (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides which (default: %(default)s)")
    parser.add_argument(
        "--quick",
        type=float,
        default=0.5,
        help="part of them that are read and no command is run on (default: %(default)s)",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work()
        return 0
    codes: collections.Counter[str] = collections.Counter()
    wrong, started = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_runs(folder)
        for outcome in fuzz(folder, arguments.count, arguments.seed, quick=arguments.quick):
            codes[str(outcome.code)] += 1
            if not sum(codes.values()) % 100:
                print(f"{sum(codes.values())} of {arguments.count}", file=sys.stderr, flush=True)
            if outcome.faults:
                wrong += 1
                print(f"{outcome.words}: {', '.join(outcome.faults)}\n{outcome.output}", flush=True)
    ended = ", ".join(f"{count} with {code}" for code, count in sorted(codes.items()))
    print(
        f"{sum(codes.values())} mutations in {time.monotonic() - started:.0f} s ended {ended}; {wrong} "
        "broke a promise"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
