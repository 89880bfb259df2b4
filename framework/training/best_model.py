"""The best model of a run on disk, and the one that was best before the end of the run.

What is validated at the end of a run alone can make its last epoch the best one. Where the run gets more
epochs, it goes on as if there had been no end: so the model that was best before is kept beside the new one,
and takes its place again.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

from framework.errors import RunDirectoryError
from framework.model.export import export_model, fault_of, load_facts
from framework.run.files import replacing_directory, strict_json, swap_directories
from framework.run.run_directory import RunDirectory
from framework.training.components import Components
from framework.training.state import BestEpoch

log = logging.getLogger(__name__)


class BestModel:
    """The best model in a run directory.

    Args:
        run: where.
        components: what the run trains with; the model holds its evaluation weights when it is kept.
    """

    def __init__(self, run: RunDirectory, components: Components) -> None:
        self._run, self._components = run, components

    def keep(self, record: BestEpoch, *, keep_earlier: bool = False) -> BestEpoch | None:
        """Export the model as the best one so far.

        Args:
            record: its epoch.
            keep_earlier: keep the model that was best before, beside it.

        Returns:
            The record, or None where the model cannot be written: then the one before stays the best.
        """
        try:
            if keep_earlier and self._run.best.is_dir():
                with replacing_directory(self._run.earlier_best) as draft:
                    shutil.copytree(self._run.best, draft, dirs_exist_ok=True)
            export_model(
                self._components.model, self._run.best, self._components.facts(record), saved_model=False
            )
        except OSError as error:
            log.warning(
                "the model of epoch %d is the best, but cannot be written to %s: %s",
                record["epoch"],
                self._run.best,
                error,
            )
            return None
        return record

    def take_up(self, record: BestEpoch | None) -> BestEpoch | None:
        """Put the model of a record back in its place, where it was kept beside another one.

        Returns:
            The record, or None, with a warning, where the model is lost.
        """
        if record is None:
            return None
        if not _is_of(self._run.best, record) and _is_of(self._run.earlier_best, record):
            swap_directories(self._run.best, self._run.earlier_best)
        if fault := fault_of(self._run.best):
            log.warning(
                "the best model, of epoch %d, is lost: %s; the best of what follows takes its place",
                record["epoch"],
                fault,
            )
            return None
        return record

    def drop_earlier(self) -> None:
        """Delete the model that was best before."""
        shutil.rmtree(self._run.earlier_best, ignore_errors=True)


def _is_of(folder: Path, record: BestEpoch) -> bool:
    """Return whether an exported model is the one of a record."""
    try:
        facts = load_facts(folder)
    except RunDirectoryError:
        return False
    return {name: facts.get(name) for name in record} == json.loads(strict_json(record))
