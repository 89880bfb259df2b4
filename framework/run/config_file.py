"""The config.yaml of a run: plain to read, with a checksum."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path

import yaml

from framework.config.sections import RunConfig
from framework.errors import RunDirectoryError
from framework.run.files import sha256_of
from framework.run.run_files import UnusableFileError, read_yaml

FORMAT = 2
"""The version of the layout of a run directory. Later versions are refused.

1: as of version 0.1.0. 2: images have the settings `exif` and `jpeg`. In format 1 the decoding is always the
fast one, and EXIF is ignored.
"""


# The settings that identify image folders and lists in format 1, which names the class of a section only if
# it has a registry.
_IMAGES_OF_FORMAT_1 = {"image_size", "on_error", "classes", "positive_class"}


class UnreadableConfigError(RunDirectoryError):
    """A config.yaml that is missing, or does not hold a config."""


def config_text(config: RunConfig) -> str:
    """Return the text of config.yaml: the format, every setting, and a checksum of them.

    Without the checksum, a flipped bit in a number would leave a readable config that trains something else.

    """
    body = yaml.safe_dump({"format": FORMAT} | config.to_plain(), sort_keys=False, allow_unicode=True)
    head = (
        "# Everything this run is made of. resume-training, load-and-validate and predict-scenario read it.\n"
    )
    return f"{head}# sha256 {sha256_of(body)}\n{body}"


def read_config(path: Path) -> dict[str, object]:
    """Read the plain values in a config.yaml.

    A file without a checksum, from which somebody removed it, is accepted.

    Raises:
        UnreadableConfigError: if it does not hold a config.
        RunDirectoryError: if it is of a later format, or was changed after it was written.
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
            hint=f"settings are changed by overrides, `resume-training {path.parent} epochs=60`; "
            "checkpoints/config.yaml is a copy to bring back; where an edit is meant, take the line "
            "with the checksum out",
        )
    return upgrade(plain, found)


def upgrade(plain: dict[str, object], written_as: int) -> dict[str, object]:
    """Convert the plain values of an earlier format to this one, without a change of what the run does.

    Args:
        plain: the values as they were written.
        written_as: their format.
    """
    data = plain.get("data")
    if written_as < 2 and isinstance(data, dict) and set(data) >= _IMAGES_OF_FORMAT_1:
        plain = plain | {"data": {"exif": "ignore", "jpeg": "fast"} | data}
    return plain
