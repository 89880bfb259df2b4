"""train-scenario --multirun: each job in a process of its own, so that no job can stop or slow down another.

`jobs.jsonl` in the folder of the sweep has a line for each start of a job: its overrides (`words`), its
folder, and at its end the exit code. The same sweep again finds its jobs by their overrides, in any order and
number.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePath
from typing import Any

from framework.cli.command import FAILED, OK
from framework.cli.hydra_options import HydraOptions
from framework.config.defaults import told_to_hydra
from framework.config.overrides import key_of
from framework.config.sweep import compose_sweep
from framework.errors import ConfigError, Interrupted, RunDirectoryError, ScenarioError
from framework.run.console import Console, format_value
from framework.run.run_directory import RunDirectory
from framework.run.run_files import MissingFileError, read_json_lines
from framework.run.run_records import JobRecord
from framework.run.signals import Interruption

log = logging.getLogger(__name__)

_JOBS_FILE = "jobs.jsonl"
_VARIED = "trainer.varied"
_OUTPUT_KEYS = {"output_dir", "trainer.output_dir"}
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def sweep(options: HydraOptions) -> int:
    """Train a run for each combination of the values in the overrides, or for each that the sweeper chooses.

    Args:
        options: the arguments; some overrides have several values, as `lr=1e-3,1e-4`.

    Returns:
        The exit code, 1 if a job failed.

    Raises:
        ConfigError: if an override cannot be used; no folder is made.
        ScenarioError: if the sweeper fails.
    """
    from framework.cli.hydra_app import JobFailedError, run_hydra
    from framework.cli.optimising import direction_overrides, tries_all

    swept = compose_sweep(options.overrides, config_dir=options.config_dir, config_name=options.config_name)
    told, sought = direction_overrides(swept)
    named = _OUTPUT_KEYS - {override.key for override in swept.read if override.swept}
    given = swept.output_dir
    folder = Path(given) if given else RunDirectory.create(name="sweep").path
    overrides = [
        *(override for override in swept.overrides if key_of(override) not in named),
        *told,
        f"hydra.sweep.dir={_quoted(str(folder))}",
    ]
    console = Console()
    console.print(f"sweep directory: {folder}")
    if sought:
        console.print(sought)
    interruption = Interruption()
    asks = not tries_all(swept.sweeper)
    fixed = {key_of(override.composed) for override in swept.read if not override.swept}
    extra = [text for pair in options.of_config().items() for text in pair]
    started = len(read_jobs(folder))
    place = [] if given else [f"output_dir={folder}"]
    again = shlex.join(["train-scenario", *options.typed(), *options.overrides, *place])
    command = None if asks else again  # another sweeper may choose other values
    try:
        with interruption.listening(), told_to_hydra(swept.defaults):
            run_hydra([*options.typed(), *overrides], lambda: _job(extra, interruption, fixed, asks=asks))
    except Interrupted:
        _summarise(folder, console, started, command, fixed)
        raise
    except JobFailedError as error:
        console.print(f"the sweeper ended the sweep, since {error}", style="red")
    except ConfigError:
        with contextlib.suppress(OSError):
            folder.rmdir()  # it is empty if nothing was trained
        raise
    except Exception as error:
        # Jobs handle their own errors, so this one is of the sweeper or the launcher.
        log.debug("the sweep", exc_info=error)
        _summarise(folder, console, started, command, fixed)
        raise ScenarioError(
            f"the sweeper or the launcher failed: {type(error).__name__}: {error}",
            hint="with SCENARIO_LOG_LEVEL=DEBUG in the environment its traceback is shown",
        ) from error
    return _summarise(folder, console, started, command, fixed)


def _quoted(text: str) -> str:
    """Quote a text, such as a path, as one value of an override, with any characters."""
    return "'" + text.replace("'", "\\'") + "'"


def _job(extra: Sequence[str], interruption: Interruption, fixed: Set[str], *, asks: bool) -> float | None:
    """Train or continue one job. Hydra's launcher calls it, perhaps in another process.

    Args:
        extra: options for the command of the job.
        fixed: the keys of the overrides that all jobs have in common.
        asks: whether the sweeper needs a value.

    Returns:
        The best monitored value of the job, if the sweeper needs it.

    Raises:
        JobFailedError: if there is none.
    """
    from hydra.core.hydra_config import HydraConfig

    from framework.cli.hydra_app import JobFailedError
    from framework.cli.optimising import value_of

    interruption.check()
    job = HydraConfig.get()
    overrides = [override.lstrip("+") for override in job.overrides.task]
    sweep_folder = Path(job.runtime.output_dir).parent
    folder = folder_of_job(overrides, Path(job.runtime.output_dir))
    run = RunDirectory(folder)
    resumes = run.config_file.exists() or run.config_copy.exists()
    done = resumes and (run.load_result() or {}).get("status") in ("finished", "stopped_early")
    print(
        f"job {job.job.num}: "
        f"{' '.join(overrides)}{' (done before)' if done else ' (continued)' if resumes else ''}",
        flush=True,
    )
    # Relative if possible, so that the jobs of a moved sweep are found.
    place = folder.relative_to(sweep_folder) if folder.is_relative_to(sweep_folder) else folder.absolute()
    record: dict[str, object] = {"job": job.job.num, "words": overrides, "directory": str(place)}
    append_job(sweep_folder, record)
    if done:
        append_job(sweep_folder, record | {"exit_code": OK})
        return value_of(run) if asks else None
    if resumes:
        command = ["framework.cli.resume", str(folder)]
    else:
        placed = not _OUTPUT_KEYS.isdisjoint(map(key_of, overrides))
        directory = [] if placed else [f"++output_dir={_quoted(str(folder))}"]
        varied = _varied(overrides, fixed)
        named = [] if _VARIED in fixed else [f"++{_VARIED}=[{','.join(map(_quoted, varied))}]"]
        command = ["framework.cli.train", *extra, *job.overrides.task, *directory, *named]
    # -P: unlike the installed command, `-m` would import modules from the current folder.
    code = _wait(
        subprocess.Popen([sys.executable, "-P", "-m", *command], preexec_fn=_end_with_parent), interruption
    )
    append_job(sweep_folder, record | {"exit_code": code})
    interruption.check()
    if asks and code != OK:
        raise JobFailedError(f"job {job.job.num} failed")
    return value_of(run) if asks else None


def _varied(overrides: Sequence[str], fixed: Set[str]) -> list[str]:
    """Return the overrides of a job that set it apart: those of keys that the jobs do not have in common."""
    return [word for word in overrides if key_of(word) not in fixed | _OUTPUT_KEYS]


def folder_of_job(overrides: Sequence[str], proposed: Path) -> Path:
    """Return the folder of a job: in its overrides, that of a job with the same overrides, or a new one."""
    for key, _, value in (override.partition("=") for override in overrides):
        if key in _OUTPUT_KEYS:
            return Path(value.strip("'\""))
    taken = set()
    for record in read_jobs(proposed.parent):
        taken.add(folder := proposed.parent / record["directory"])
        if sorted(record["words"]) == sorted(overrides):
            if _is_below(proposed.parent, record["directory"]):
                return folder
            log.warning(
                "%s leads out of the sweep, and is not used: %s",
                proposed.parent / _JOBS_FILE,
                record["directory"],
            )
    folder, number = proposed, 0
    while folder in taken or folder.is_symlink() or RunDirectory(folder).config_file.exists():
        folder, number = proposed.parent / str(number), number + 1
    return folder


def _is_below(sweep_folder: Path, directory: str) -> bool:
    """Return whether the folder of a job is inside that of the sweep, also if `..` and links are followed."""
    parts = PurePath(directory).parts
    if not parts or PurePath(directory).is_absolute() or ".." in parts or "\0" in directory:
        return False
    return Path(os.path.realpath(sweep_folder / directory)).is_relative_to(os.path.realpath(sweep_folder))


def _end_with_parent() -> None:
    """Let a job save and end if its sweep is killed, on Linux. Otherwise it would block the next sweep."""
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def append_job(folder: Path, record: Mapping[str, object]) -> None:
    try:
        # O_NOFOLLOW and O_NONBLOCK: not through a link, and not into a pipe.
        handle = os.open(
            folder / _JOBS_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666
        )
    except OSError as error:
        raise RunDirectoryError(f"{folder / _JOBS_FILE} cannot be written: {error.strerror}") from error
    with open(handle, "a") as file:
        file.write(json.dumps(record) + "\n")


def read_jobs(folder: Path) -> list[dict[str, Any]]:
    """Read the intact lines of jobs.jsonl: after a kill, the last one may be cut off."""
    try:
        return read_json_lines(folder / _JOBS_FILE, JobRecord)
    except MissingFileError:
        return []


def _wait(process: subprocess.Popen[bytes], interruption: Interruption) -> int:
    """Wait for a job, and return its exit code. A signal for the sweep is passed on to the job."""
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


def _summarise(folder: Path, console: Console, started: int, command: str | None, fixed: Set[str]) -> int:
    """Print how the jobs of this sweep ended: those with lines after the first `started` ones.

    Args:
        command: the command for the jobs that are not finished; None if it might do others.
        fixed: the keys of the overrides that all jobs have in common.
    """
    jobs = {tuple(record["words"]): record for record in read_jobs(folder)[started:]}
    ordered = sorted(jobs.values(), key=lambda job: int(job["job"]))
    results = [RunDirectory(folder / job["directory"]).load_result() or {} for job in ordered]
    first = _best_of(results)
    rows, failed = [], []
    for number, (job, result) in enumerate(zip(ordered, results, strict=True)):
        path, code = folder / job["directory"], job.get("exit_code")
        status = str(result.get("status", "failed"))
        if code != OK:
            failed.append(job)
            status = "not finished" if code is None else f"{status} ({code})"
        best = result.get("best")
        metrics = (
            "  ".join(f"{k} {format_value(v)}" for k, v in best["metrics"].items() if k.startswith("val_"))
            if best
            else "-"
        )
        varied = " ".join(_varied(job["words"], fixed)) or "-"
        rows.append(
            (f"{job['job']} (best)" if number == first else job["job"], varied, path, status, metrics)
        )
    console.print_table(
        f"sweep in {folder}", ("job", "varied", "run directory", "status", "best epoch"), rows
    )
    if first is not None:
        console.print(f"best by {results[first]['monitor']}: {folder / ordered[first]['directory']}")
    if any(RunDirectory(folder / job["directory"]).tensorboard.is_dir() for job in jobs.values()):
        console.print(f"compare the jobs: tensorboard --logdir {shlex.quote(str(folder))}")
    runs = [str(folder / job["directory"]) for job in ordered]
    if len(runs := [run for run in runs if RunDirectory(run).config_file.is_file()]) > 1:
        page = folder / "comparison.html"
        console.print(f"side by side: report-run {shlex.join(runs)} --output {shlex.quote(str(page))}")
    if failed:
        named = ", ".join(f"{job['job']} ({' '.join(_varied(job['words'], fixed)) or '-'})" for job in failed)
        console.print(f"{len(failed)} of {len(jobs)} jobs are not finished: {named}", style="red")
        if command:
            console.print(f"the same sweep again does only what is missing: {command}")
    return FAILED if failed else OK


def _best_of(results: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the index of the best result, where several are judged by one value in one direction."""
    judged = {(result.get("monitor"), result.get("mode")) for result in results if result.get("best")}
    if len(judged) != 1:
        return None
    monitor, mode = judged.pop()
    values = {
        index: value
        for index, result in enumerate(results)
        if isinstance(value := ((result.get("best") or {}).get("metrics") or {}).get(monitor), int | float)
    }
    if len(values) < 2 or mode not in ("min", "max"):
        return None
    return (min if mode == "min" else max)(values, key=lambda index: values[index])
