"""train-scenario --multirun: each job in a process of its own, so that none can stop or slow another."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from framework.cli.command import FAILED, OK
from framework.composition import forced_words, swept_keys
from framework.console import Console, format_value
from framework.errors import Interrupted
from framework.interruption import Interruption
from framework.run_directory import RunDirectory

_JOBS_FILE = "jobs.jsonl"


def sweep(options: Sequence[str], overrides: Sequence[str], *, config_dir: str | None) -> int:
    """Train one run for each combination of the values in `overrides`.

    Args:
        options: Hydra's own options, `-m` among them.
        overrides: words, of which some have several values: `lr=1e-3,1e-4`.
        config_dir: what `--config-dir` names.

    Returns:
        The exit code: 1 where a job failed.
    """
    from framework.cli.train import run_hydra

    given = {word.lstrip("+").partition("=")[0]: word.partition("=")[2] for word in overrides}
    words = list(overrides)
    if "hydra.sweep.dir" in given:
        folder = Path(given["hydra.sweep.dir"])
    else:
        folder = _sweep_folder(given, swept_keys(overrides))
        words = [word for word in words if word.lstrip("+").partition("=")[0] not in _OUTPUT_KEYS - swept_keys(overrides)]
        words.append(f"hydra.sweep.dir='{folder}'")
    console = Console()
    console.print(f"sweep directory: {folder}")
    interruption = Interruption()
    extra = ["--config-dir", config_dir] if config_dir else []
    with interruption.listening():
        run_hydra([*options, *forced_words(words, config_dir)], lambda composed: _job(extra, interruption))
    return _summarise(folder, console)


_OUTPUT_KEYS = {"output_dir", "trainer.output_dir"}


def _sweep_folder(given: dict[str, str], swept: set[str]) -> Path:
    """The folder that the user named for the runs of the sweep, or a new one."""
    for key in _OUTPUT_KEYS - swept:
        if key in given:
            return Path(given[key])
    return RunDirectory.create(name="sweep").path


def _job(extra: Sequence[str], interruption: Interruption) -> None:
    """Train one job; called by Hydra's launcher, which may do so in another process."""
    from hydra.core.hydra_config import HydraConfig

    interruption.check()
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    words = list(job.overrides.task)
    directory = [] if any(word.lstrip("+").startswith(("output_dir=", "trainer.output_dir=")) for word in words) else [folder]
    command = [sys.executable, "-m", "framework.cli.train", *extra, *words, *(f"++output_dir='{d}'" for d in directory)]
    print(f"job {job.job.num}: {' '.join(word.lstrip('+') for word in words)}", flush=True)
    code = _wait(subprocess.Popen(command), interruption)
    record = {
        "job": job.job.num,
        "words": [word.lstrip("+") for word in words],
        "directory": str(folder),
        "exit_code": code,
    }
    with open(folder.parent / _JOBS_FILE, "a") as file:
        file.write(json.dumps(record) + "\n")
    interruption.check()


def _wait(process: subprocess.Popen[bytes], interruption: Interruption) -> int:
    """The exit code of a job. A signal that ends the sweep goes on to the job, which saves and ends first."""
    told = False
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            try:
                interruption.check()
            except Interrupted:
                if not told:
                    process.send_signal(signal.SIGTERM)
                    told = True


def _summarise(folder: Path, console: Console) -> int:
    jobs = [json.loads(line) for line in (folder / _JOBS_FILE).read_text().splitlines()]
    rows = []
    for job in sorted(jobs, key=lambda job: job["job"]):
        result = RunDirectory(job["directory"]).load_result()
        status = result["status"] if result else "failed"
        best = (result or {}).get("best")
        metrics = "  ".join(f"{k} {format_value(v)}" for k, v in best["metrics"].items() if k.startswith("val_")) if best else "-"
        rows.append(
            (job["job"], " ".join(job["words"]), status if job["exit_code"] == 0 else f"{status} ({job['exit_code']})", metrics)
        )
    console.table(f"sweep in {folder}", ("job", "words", "status", "best"), rows)
    failed = [job for job in jobs if job["exit_code"] != 0]
    if failed:
        console.print(f"{len(failed)} of {len(jobs)} jobs failed: {', '.join(str(job['job']) for job in failed)}", style="red")
    return FAILED if failed else OK
