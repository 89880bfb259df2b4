"""Kill training processes at random moments, resume them, and compare with undisturbed runs.

`scripts/torture` runs many kills, tests/cli/test_kills.py a few.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.evaluation.compare_runs import differences
from framework.loops.loop import LOOPS
from tests.conftest import REPOSITORY, TOY_WORDS, environment

# Small runs with all that has state: accumulation, a schedule, averages, LAV, checkpoints in mid-epoch.
_COMMON = (
    *(
        "optimizer=adamw",
        "optimizer.accumulate_steps=2",
        "learning_rate=cosine_decay",
        "trainer.calc_ema=0.9",
    ),
    *("trainer.post_hoc_ema=[0.1]", "trainer.lav_every_n=2", "trainer.keep_checkpoints=2"),
)
SCENARIOS: Mapping[str, Sequence[str]] = {
    "toy": (
        *TOY_WORDS,
        *_COMMON,
        "epochs=6",
        "samples_per_epoch=4000",
        "batch_size=8",
        "trainer.checkpoint_every_n_steps=40",
    ),
    "mesonet": (
        *("scenario=mesonet", *_COMMON, "epochs=4", "batch_size=8", "trainer.checkpoint_every_n_steps=3"),
        *(
            "data.train_samples=192",
            "data.validation_samples=48",
            "data.image_size=64",
            "scenario.augment=true",
        ),
    ),
    "lenet": (
        *(
            "scenario=lenet",
            *_COMMON,
            "epochs=4",
            "batch_size=8",
            "data.limit=400",
            "trainer.checkpoint_every_n_steps=7",
        ),
        *("scenario.augment=true", "model.dropout=0.2"),
    ),
    "reuters": (
        *(
            "scenario=reuters",
            f"data.train={REPOSITORY / 'tests' / 'data' / 'texts.csv'}",
            *_COMMON,
            "epochs=6",
            "batch_size=8",
        ),
        *(
            "model=wide_text_cnn",
            "model.tokens=20",
            "model.embedding=8",
            "model.filters=8",
            "trainer.checkpoint_every_n_steps=3",
        ),
    ),
}


@dataclass(frozen=True)
class Moment:
    """A moment to kill a process.

    Args:
        name: a description.
        has_come: called again and again with the run directory and the seconds since the process started.
    """

    name: str
    has_come: Callable[[Path, float], bool]


def moments(rng: random.Random) -> Iterator[Moment]:
    """Yield moments of all kinds, in random order, without end."""

    def file_appears(pattern: str) -> Callable[[Path, float], bool]:
        return lambda run, seconds: any(run.glob(pattern))

    def after_a_checkpoint(delay: float) -> Callable[[Path, float], bool]:
        seen: list[tuple[set[str], float]] = []

        def has_come(run: Path, seconds: float) -> bool:
            now = {path.name for path in run.glob("checkpoints/step-*")}
            if not seen or (len(seen) == 1 and now != seen[0][0]):
                seen.append((now, seconds))
            return len(seen) == 2 and seconds >= seen[1][1] + delay

        return has_come

    kinds: list[Callable[[], Moment]] = [
        lambda: Moment(
            "in the first second", (lambda limit: lambda run, seconds: seconds > limit)(rng.uniform(0, 1))
        ),
        lambda: Moment(
            "while it starts", (lambda limit: lambda run, seconds: seconds > limit)(rng.uniform(1, 8))
        ),
        lambda: Moment("while a checkpoint is written", file_appears("checkpoints/.step-*.draft")),
        lambda: Moment("while the best model is written", file_appears(".best.draft")),
        lambda: Moment("in LAV", file_appears(".lav")),
        lambda: Moment("while the averages are written", file_appears("averages/.step-*.draft")),
        lambda: Moment("while the last state is exported", file_appears(".export.draft")),
        *[lambda: Moment("in a step or a validation", after_a_checkpoint(rng.uniform(0, 0.4)))] * 3,
    ]
    while True:
        rng.shuffle(kinds)
        for kind in kinds:
            yield kind()


def command(name: str, *words: str) -> list[str]:
    return [str(Path(sys.executable).parent / name), *words]


def run_undisturbed(folder: Path, words: Sequence[str]) -> Path:
    """Train a run without interruption."""
    run = folder / "undisturbed"
    subprocess.run(
        command("train-scenario", *words, f"output_dir={run}"),
        env=environment(),
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=600,
    )
    return run


def run_with_kills(folder: Path, words: Sequence[str], plan: Sequence[Moment]) -> tuple[Path, list[str]]:
    """Kill the processes of a run at these moments, one after the other, and resume it to its end.

    Each process trains with another loop than the one before.

    Returns:
        The run directory, and the names of the moments that came before the process had ended by itself.
    """
    run = folder / "killed"
    killed = []
    for moment, loop in zip([*plan, None], itertools.cycle(LOOPS), strict=False):
        resumes = (run / "config.yaml").exists()
        start = command(
            *(["resume-training", str(run)] if resumes else ["train-scenario", *words, f"output_dir={run}"]),
            f"loop={loop}",
        )
        process = subprocess.Popen(
            start, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        started = time.monotonic()
        while process.poll() is None:
            if moment is not None and moment.has_come(run, time.monotonic() - started):
                process.kill()
                killed.append(moment.name)
                break
            time.sleep(0.0005)
        _, errors = process.communicate()
        if process.returncode not in (0, -9) or "Traceback" in errors:
            raise AssertionError(f"{' '.join(start)} ended with {process.returncode}:\n{errors}")
        if process.returncode == 0:
            break
    return run, killed


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="kills in all (default: %(default)s)")
    parser.add_argument(
        "--kills-per-run", type=int, default=5, help="kills of one run (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides the moments (default: %(default)s)")
    arguments = parser.parse_args()
    plan = moments(random.Random(arguments.seed))
    done: collections.Counter[str] = collections.Counter()
    unequal = 0
    with tempfile.TemporaryDirectory() as temporary:
        undisturbed = {}
        for name, words in SCENARIOS.items():
            folder = Path(temporary) / name
            folder.mkdir()
            undisturbed[name] = run_undisturbed(folder, words)
        runs = 0
        while sum(done.values()) < arguments.kills:
            name = list(SCENARIOS)[runs % len(SCENARIOS)]
            runs += 1
            with tempfile.TemporaryDirectory(dir=temporary) as scratch:
                run, killed = run_with_kills(
                    Path(scratch), SCENARIOS[name], [next(plan) for _ in range(arguments.kills_per_run)]
                )
                wrong = differences(run, undisturbed[name])
            done.update(killed)
            unequal += bool(wrong)
            print(
                f"{name}: killed {', '.join(killed)}: "
                f"{'EQUAL' if not wrong else 'DIFFERS in ' + ', '.join(wrong)}",
                flush=True,
            )
    print(f"{sum(done.values())} kills in {runs} runs, {runs - unequal} of them equal to an undisturbed one")
    for moment, count in sorted(done.items()):
        print(f"  {count:3} {moment}")
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main())
