"""Where a run comes from: the command, the versions and the machine of each session."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from framework.run.config_file import FORMAT
from framework.run.files import now, strict_json, write_atomically
from framework.run.run_files import JsonObject, MissingFileError, UnusableFileError, read_json
from framework.run.run_records import ProvenanceFile

log = logging.getLogger(__name__)


class Provenance:
    """The sessions of a run, in `provenance.json`.

    Args:
        file: the file; it need not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def record_session(
        self, *, started_at_step: int, changes: Mapping[str, object], hardware: Mapping[str, object]
    ) -> None:
        """Add this start or resume to provenance.json."""
        provenance = self.load()
        sessions = provenance.setdefault("sessions", [])
        sessions.append(
            {
                "time": now(),
                "command": sys.argv,
                "started_at_step": started_at_step,
                "changes": dict(changes),
                "versions": _versions(),
                "host": socket.gethostname(),
                "hardware": dict(hardware),
            }
        )
        write_atomically(self._file, strict_json(provenance, indent=2))

    def changed_versions(self) -> dict[str, tuple[str, str]]:
        """Return the versions that changed since the session before: name to (version then, version now)."""
        sessions = self.load().get("sessions") or [{}]
        then, now = sessions[-1].get("versions", {}), _versions()
        return {name: (then[name], now[name]) for name in now if name in then and then[name] != now[name]}

    def load(self) -> JsonObject:
        """Load provenance.json, or an empty history if it is missing or damaged.

        No command depends on it.
        """
        try:
            return read_json(self._file, ProvenanceFile)
        except MissingFileError:
            pass
        except UnusableFileError as error:
            log.warning("%s; the history of the run begins anew", error)
        return {"format": FORMAT}


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": sys.version.split()[0]}
    for name in ("tf-scenarios", "tensorflow", "keras", "numpy", "hydra-core", "omegaconf"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
