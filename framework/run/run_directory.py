"""The folder of a run: claimed once, held by one process, and whole after a kill at any moment."""

from __future__ import annotations

import contextlib
import datetime
import errno
import itertools
import logging
import os
import shlex
import stat
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from framework.config.resume import apply_overrides
from framework.config.run_config import parse
from framework.config.sections import RunConfig
from framework.errors import ConfigError, RunDirectoryError
from framework.run import run_lock
from framework.run.config_file import UnreadableConfigError, config_text, read_config
from framework.run.files import (
    recover_directories,
    standing,
    write_atomically,
    write_durably,
)
from framework.run.import_guard import refuse_imports_from
from framework.run.provenance import Provenance
from framework.run.run_files import JsonObject, UnusableFileError, read_json
from framework.run.run_records import ResultFile

log = logging.getLogger(__name__)

# The errors of a file system without hard links, and of one that allows a file no more of them.
_WITHOUT_LINKS = (
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EMLINK,
    errno.EXDEV,
)


class RunDirectory:
    """The folder of a run, and its files.

        config.yaml       resolved; what every later command reads (checkpoints/ has a copy of it)
        provenance.json   versions and hardware of each session
        train.log         everything that was logged
        metrics.jsonl     one line for each phase and epoch
        result.json       how the run ended
        checkpoints/      the last n states
        best/  export/    the best and the final model
        averages/         weights for averages made afterwards
        tensorboard/      event files: curves, images, texts; and profiles
        model.txt         the layers of the model
        report.html       what a person looks at first; plots/ holds its figures

    Args:
        path: an existing run directory; `create` and `open` check that it is one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.claimed = False
        self.config_lost = False
        """Whether config.yaml was damaged, so that its copy was read."""

    config_file = property(lambda self: self.path / "config.yaml")
    provenance_file = property(lambda self: self.path / "provenance.json")
    log_file = property(lambda self: self.path / "train.log")
    model_file = property(lambda self: self.path / "model.txt")
    metrics_file = property(lambda self: self.path / "metrics.jsonl")
    result_file = property(lambda self: self.path / "result.json")
    checkpoints = property(lambda self: self.path / "checkpoints")
    config_copy = property(lambda self: self.path / "checkpoints" / "config.yaml")
    averages = property(lambda self: self.path / "averages")
    best = property(lambda self: self.path / "best")
    earlier_best = property(lambda self: self.path / ".earlier-best")
    export = property(lambda self: self.path / "export")
    tensorboard = property(lambda self: self.path / "tensorboard")
    report_file = property(lambda self: self.path / "report.html")
    plots = property(lambda self: self.path / "plots")
    lav = property(lambda self: self.path / ".lav")
    lock_file = property(lambda self: self.path / ".lock")

    @classmethod
    def create(cls, path: str | Path | None = None, *, name: str = "run") -> RunDirectory:
        """Create a folder for a new run. The `Trainer` that gets it claims it.

        Args:
            path: the folder; None: `outputs/<name>-<date>-<time>`, with a number behind it if that exists.
            name: the name of the scenario.

        Raises:
            RunDirectoryError: if the folder holds a run or other files, or cannot be made.
        """
        try:
            if path is not None:
                run = cls(path)
                run.check_free()
                made = not run.path.exists()
                run.path.mkdir(parents=True, exist_ok=True)
                try:
                    run._check_writable()
                except OSError:
                    if made:
                        run.path.rmdir()
                    raise
                return run
            parent = Path("outputs")
            parent.mkdir(exist_ok=True)
            stem = f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
            for attempt in itertools.count(1):
                folder = parent / (stem if attempt == 1 else f"{stem}-{attempt}")
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()  # only one of several processes succeeds
                    return cls(folder)
            raise AssertionError
        except OSError as error:
            raise RunDirectoryError(
                f"cannot make the run directory {path or 'in outputs'}: {error.strerror or error}"
            ) from error

    def check_free(self) -> None:
        """Raise a `RunDirectoryError` if the folder holds a run, other files, or a way out of it.

        A way out is a link, a pipe or a device.
        """
        if self.config_file.exists():
            raise self._taken()
        if self.path.is_dir():
            for entry in sorted(os.scandir(self.path), key=lambda entry: entry.name):
                if not entry.name.startswith("."):
                    raise RunDirectoryError(
                        f"{self.path} holds other files, and a run wants a folder of its own",
                        hint="name a new or an empty folder",
                    )
                # Through a symbolic or a hard link, the run would write to a file elsewhere.
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # the draft of another process that makes this folder its run
                if self.config_file.exists():
                    raise self._taken()
                if not (stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)):
                    raise RunDirectoryError(
                        f"{entry.path} is a link, a pipe or a device, and a run wants a folder of its own",
                        hint="name a new or an empty folder",
                    )
        elif self.path.exists():
            raise RunDirectoryError(
                f"{self.path} is a file, and a run wants a folder", hint="name a new or an empty folder"
            )

    def _check_writable(self) -> None:
        """Raise an `OSError` if the folder cannot be written, before anything is built."""
        draft = self._config_draft()
        write_durably(draft, "")
        draft.unlink()

    def _config_draft(self) -> Path:
        """Return a path that no other process, and no other thread, uses."""
        return self.path / f".config.{uuid.uuid4().hex}.yaml"

    def claim(self, config: RunConfig) -> None:
        """Make the folder a run by writing its `config.yaml`. Only one of several processes succeeds.

        Raises:
            RunDirectoryError: as for `create`.
        """
        try:
            self.check_free()
            self.path.mkdir(parents=True, exist_ok=True)
            draft = self._config_draft()
            write_durably(draft, config_text(config))
            try:
                # A hard link appears whole or not at all, and never replaces another file.
                os.link(draft, self.config_file)
            except FileExistsError:
                raise self._taken() from None
            except OSError as error:
                if error.errno not in _WITHOUT_LINKS:
                    raise
                self._claim_without_links(draft)
            finally:
                draft.unlink(missing_ok=True)
            self._save_config_copy(config)
        except OSError as error:
            raise RunDirectoryError(
                f"cannot make the run directory {self.path}: {error.strerror or error}"
            ) from error
        self.claimed = True

    def _claim_without_links(self, draft: Path) -> None:
        """Put config.yaml in its place, protected by the lock of the run.

        FAT, and some network and FUSE file systems, have no hard links.
        """
        with self.lock():
            if self.config_file.exists():
                raise self._taken()
            os.rename(draft, self.config_file)

    def _taken(self) -> RunDirectoryError:
        return RunDirectoryError(
            f"{self.path} already holds a run; nothing was changed in it",
            hint=f"continue it with `resume-training {self.path}`, or name another output_dir",
        )

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Open an existing run directory. From then on nothing is imported from it.

        Raises:
            RunDirectoryError: if it is not a run directory, or something in it leads out of it.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise RunDirectoryError(f"{path} is not a run directory: there is no such folder")
        if not run.config_file.is_file() and not run.config_copy.is_file():
            raise RunDirectoryError(
                f"{path} is not a run directory: it has no config.yaml",
                hint=_hint_of_runs(run.path, Path(path)),
            )
        run._check_self_contained()
        refuse_imports_from(run.path)
        run.claimed = True
        return run

    def _check_self_contained(self) -> None:
        """Raise a `RunDirectoryError` if anything in the folder is a link out of it, a pipe or a device.

        Through a link the run would write or delete elsewhere. A read from a device or a pipe might never
        return.
        """
        root = Path(os.path.realpath(self.path))
        for here, folders, files in os.walk(self.path):
            for path in (Path(here, name) for name in [*folders, *files]):
                try:
                    mode = path.lstat().st_mode
                except FileNotFoundError:
                    continue  # a run in training deletes files
                if stat.S_ISLNK(mode) and not Path(os.path.realpath(path)).is_relative_to(root):
                    raise RunDirectoryError(
                        f"{path} is a link that leads out of the run directory, to {os.readlink(path)}",
                        hint="put the whole folder of the run where there is room, and link to that",
                    )
                if not (stat.S_ISLNK(mode) or stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                    raise RunDirectoryError(f"{path} is neither a file nor a folder", hint="take it away")

    def exported(self, model: str) -> Path:
        """Return the folder of an exported model.

        It is `best`, `export`, another folder in the run directory, or a folder elsewhere.
        """
        inside = standing(self.path / model)
        return inside if inside.is_dir() or model in ("best", "export") else Path(model)

    def load_config(self, overrides: Sequence[str] = ()) -> RunConfig:
        """Load the config of the run, with overrides (`key=value`) applied to it.

        Raises:
            RunDirectoryError: if config.yaml and its copy are damaged, or it was edited by hand, or is of a
                later format.
            ConfigError: if an override is wrong, or the config no longer fits the installed scenario.
        """
        plain = self._read_config()
        try:
            return parse(apply_overrides(plain, overrides))
        except ConfigError as error:
            raise ConfigError(error.problems, subject=f"the configuration of {self.path}") from error

    def _read_config(self) -> dict[str, object]:
        try:
            return read_config(self.config_file)
        except UnreadableConfigError as error:
            try:
                plain = read_config(self.config_copy)
            except RunDirectoryError:
                raise RunDirectoryError(
                    str(error), hint=f"the weights in {self.best} are usable without it"
                ) from error
            if not self.config_lost:
                log.warning("%s; its copy %s is used", error, self.config_copy)
            self.config_lost = True
            return plain

    def save_config(self, config: RunConfig) -> None:
        """Replace config.yaml in one step, after a resume with other settings, or if it was damaged."""
        write_atomically(self.config_file, config_text(config))
        self._save_config_copy(config)

    def _save_config_copy(self, config: RunConfig) -> None:
        self.checkpoints.mkdir(exist_ok=True)
        write_atomically(self.config_copy, config_text(config))

    def load_result(self) -> JsonObject | None:
        """Load result.json, or return None if it cannot be read."""
        try:
            return read_json(self.result_file, ResultFile)
        except UnusableFileError:
            return None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process.

        The system frees the lock when the process ends, however it ends. On a file system without locks a
        file with a heartbeat stands in (`framework.run.run_lock`).

        Raises:
            RunDirectoryError: if another process holds it, naming that process.
        """
        with run_lock.lock(self.path, self.lock_file):
            for folder in (self.path, self.checkpoints, self.averages):
                recover_directories(folder)
            yield

    def check_not_in_use(self) -> None:
        """Raise a `RunDirectoryError` if another process holds the run. Nothing is written."""
        run_lock.check_not_held(self.path, self.lock_file)

    @property
    def provenance(self) -> Provenance:
        """The sessions of the run, and what they ran with."""
        return Provenance(self.provenance_file)


def _hint_of_runs(folder: Path, given: Path) -> str:
    """What to name in place of a folder that is not a run: the runs in it, such as the jobs of a sweep.

    Args:
        folder: the folder.
        given: as the user named it.
    """
    names = [path.parent.name for path in folder.glob("*/config.yaml")]
    runs = [str(given / name) for name in sorted(names, key=lambda name: (len(name), name))]
    if not runs:
        return "name the folder that train-scenario wrote to"
    if len(runs) == 1:
        return f"it holds a run: {shlex.join(runs)}"
    return f"it holds {len(runs)} runs; side by side: report-run {shlex.join(runs)}"
