"""The config.yaml of a run: plain to read, and known to be what was written."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml

from framework.config.sections import RunConfig
from framework.errors import RunDirectoryError
from framework.run.files import sha256_of
from framework.run.run_files import UnusableFileError, read_yaml

FORMAT = 2
"""The version of the layout of a run directory; one of a later version is refused.

1: as of version 0.1.0. 2: images have the settings `exif` and `jpeg`; before, the fast decoding was
all there was, and EXIF was ignored.
"""


# The settings by which image folders and lists are known: format 1 has all of them, and a name for the class
# only with a registry.
_IMAGES_OF_FORMAT_1 = {"image_size", "on_error", "classes", "positive_class"}


class UnreadableConfigError(RunDirectoryError):
    """A config.yaml that is missing, or holds no config at all."""


def config_text(config: RunConfig) -> str:
    """What config.yaml holds: the format, every setting, and a checksum of them.

    A bit that flips in a number leaves a config that can be read, and that would train something else.
    """
    body = yaml.safe_dump({"format": FORMAT} | config.to_plain(), sort_keys=False, allow_unicode=True)
    head = (
        "# Everything this run is made of. resume-training, load-and-validate and predict-scenario read it.\n"
    )
    return f"{head}# sha256 {sha256_of(body)}\n{body}"


def read_config(path: Path) -> dict[str, Any]:
    """The plain values in a config.yaml. One without a checksum, from which somebody took it, is believed.

    Raises:
        UnreadableConfigError: where there is nothing to be read.
        RunDirectoryError: where it is of a later format, or is not as it was written.
    """
    try:
        text, plain = read_yaml(path)
    except UnusableFileError as error:
        raise UnreadableConfigError(str(error)) from error
    if not isinstance(plain, dict) or "scenario" not in plain:
        raise UnreadableConfigError(f"{path} is damaged: it holds no config of a run")
    found = plain.pop("format", None)
    if isinstance(found, bool) or found not in range(1, FORMAT + 1):
        raise RunDirectoryError(
            f"{path} is of format {reprlib.repr(found)}, and this version of tf-scenarios reads formats 1 "
            f"to {FORMAT}",
            hint="use the version that wrote it; provenance.json names it",
        )
    checksum = re.search(r"^# sha256 (\w+)\n", text, re.MULTILINE)
    if checksum and sha256_of(text[checksum.end() :]) != checksum[1]:
        raise RunDirectoryError(
            f"{path} is not as it was written: it is damaged, or was edited",
            hint=f"settings are changed by words, `resume-training {path.parent} epochs=60`; "
            "checkpoints/config.yaml is a copy to bring back; where an edit is meant, take the line "
            "with the checksum out",
        )
    return upgrade(plain, found)


def upgrade(plain: dict[str, Any], written_as: int) -> dict[str, Any]:
    """The plain values of an earlier format as this one has them, so that a run goes on with what it was made
    with.

    Args:
        plain: as they were written.
        written_as: the format that they have.
    """
    data = plain.get("data")
    if written_as < 2 and isinstance(data, dict) and set(data) >= _IMAGES_OF_FORMAT_1:
        plain = plain | {"data": {"exif": "ignore", "jpeg": "fast"} | data}
    return plain
