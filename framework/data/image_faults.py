"""Faults of image files, and remarks on readable ones. No pixel is decoded here."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import warnings
from collections.abc import Iterable, Iterator

from framework.data.exif import MEANINGS, orientation_of
from framework.data.source import Fault

_FORMATS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP", b"GIF8": "GIF"}
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WebP": (".webp",),
}
SUFFIXES = tuple(suffix for of_format in _SUFFIXES.values() for suffix in of_format)

_TINY, _HUGE = 8, 10_000
_END = 64  # bytes at the end of a file that are searched for its end mark, since some writers pad


def quick_faults(paths: Iterable[str]) -> list[Fault]:
    """Return the faults of files that cannot be opened or do not begin as an image does.

    A file that breaks off later is not found.
    """
    return [fault for path in paths if (fault := _quick_fault(path))]


def diagnose(path: str, reason: str) -> Fault:
    """Find out why a file cannot be loaded.

    Args:
        path: the file.
        reason: what the decoder said.
    """
    return _quick_fault(path) or Fault(path, "truncated" if _breaks_off(path) else "damaged", reason)


def remarks_on(path: str, *, exif: str = "apply") -> Iterator[Fault]:
    """Yield what is unusual about an image that can be read, and how it is read.

    Args:
        path: the file.
        exif: whether an orientation in its EXIF data is applied, or ignored.
    """
    from PIL import Image

    with open(path, "rb") as file:
        content = file.read()
    head = content[:26]
    if meaning := MEANINGS.get(orientation_of(content)):
        done = (
            f"is {meaning}, as its EXIF data say"
            if exif == "apply"
            else f"is not {meaning}, though its EXIF data say so"
        )
        yield Fault(path, "rotated by EXIF", done, fatal=False)
    found = _format_of(head)
    if found and not path.lower().endswith(_SUFFIXES[found]):
        yield Fault(
            path, "suffix of another format", f"is a {found} by its content, and is read as one", fatal=False
        )
    if found == "PNG" and len(head) > 24 and head[24] == 16:
        yield Fault(path, "16 bits", "of each value the upper 8 bits are taken", fatal=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings, such as those on EXIF data, name no file
        try:
            with Image.open(path) as image:
                width, height = image.size
                mode, animated = image.mode, getattr(image, "is_animated", False)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return  # TensorFlow may read what Pillow cannot
    if mode == "CMYK":
        yield Fault(path, "CMYK", "its colours are converted to RGB without a colour profile", fatal=False)
    if animated:
        yield Fault(path, "animation", "the first frame is taken", fatal=False)
    if min(width, height) < _TINY:
        yield Fault(path, "tiny", f"is {width} x {height} pixels", fatal=False)
    if max(width, height) > _HUGE:
        yield Fault(path, "huge", f"is {width:,} x {height:,} pixels, which are all decoded", fatal=False)


def special_fault(path: str) -> Fault | None:
    """Return the fault of a pipe or a device, which a read might wait for forever; None for anything else."""
    with contextlib.suppress(OSError, ValueError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return Fault(path, "no file", "is a pipe or a device, and not a file")
    return None


def _quick_fault(path: str) -> Fault | None:
    if fault := special_fault(path):
        return fault
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError as error:
        kinds = {
            errno.ENOENT: "missing",
            errno.ELOOP: "link loop",
            errno.EACCES: "no permission",
            errno.EISDIR: "folder",
        }
        kind = (
            "broken link"
            if error.errno == errno.ENOENT and os.path.islink(path)
            else kinds.get(error.errno or 0, "unreadable")
        )
        return Fault(path, kind, error.strerror or str(error))
    if not head:
        return Fault(path, "empty", "is empty")
    if _format_of(head) is None:
        return Fault(path, "not an image", "is not a JPEG, PNG, BMP, WebP or GIF")
    return None


def _format_of(head: bytes) -> str | None:
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    return next((name for start, name in _FORMATS.items() if head.startswith(start)), None)


def _breaks_off(path: str) -> bool:
    """Return whether an image lacks its end mark, or is shorter than it says."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        head = file.read(12)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END))
        end = file.read()
        match _format_of(head):
            case "JPEG":
                return b"\xff\xd9" not in end
            case "PNG":
                return b"IEND" not in end
            case "GIF":
                return b"\x3b" not in end
            case "BMP":
                return size < int.from_bytes(head[2:6], "little")
            case "WebP":
                return size < 8 + int.from_bytes(head[4:8], "little")
    return False
