"""The orientation of a photograph, in the EXIF data of a JPEG, PNG or WebP file.

EXIF is CIPA DC-008 (Exif 2.32), sections 4.5 and 4.6.2, tag 0x0112. The containers are those of JPEG (ISO/IEC
10918-1, annex B), PNG (third edition, section 11.3.4.5, eXIf) and WebP (RFC 9649, section 2.7.1.5).
Orientations in XMP, or in the text chunks that ImageMagick writes into PNG files, are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator

UPRIGHT = 1
MEANINGS = {
    2: "mirrored left to right",
    3: "rotated by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored, and rotated by 90 degrees",
    6: "rotated by 90 degrees clockwise",
    7: "mirrored, and rotated by 270 degrees",
    8: "rotated by 90 degrees counter-clockwise",
}
"""What turns the stored pixels upright, by orientation."""

EXIF_MARK, PNG_MARK = b"Exif\0\0", b"eXIf"
"""The first bytes of EXIF data in a JPEG, and the name of their chunk in a PNG.

A file without its mark has no EXIF data.
"""

_TAG = 0x0112
_INTEGERS = {1: 1, 3: 2, 4: 4}  # the lengths of BYTE, SHORT and LONG in bytes, by type number


def orientation_of(content: bytes) -> int:
    """Return the orientation of an image file.

    Args:
        content: the bytes of the file.

    Returns:
        1 to 8. It is 1, upright, if the file does not say, or its EXIF data are damaged.
    """
    for block in _exif_blocks(content):
        return _orientation(block.removeprefix(EXIF_MARK))
    return UPRIGHT


def _exif_blocks(content: bytes) -> Iterator[bytes]:
    """Yield the EXIF data of a file, in TIFF format, with or without the mark of JPEG in front."""
    if content.startswith(b"\xff\xd8"):
        yield from (
            data for marker, data in _segments(content) if marker == 0xE1 and data.startswith(EXIF_MARK)
        )
    elif content.startswith(b"\x89PNG\r\n\x1a\n"):
        yield from (data for name, data in _png_chunks(content) if name == PNG_MARK)
    elif content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        yield from (data for name, data in _webp_chunks(content) if name == b"EXIF")


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of each segment of a JPEG before its pixels."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # padding before a marker
            place += 1
            continue
        if marker in (0xD9, 0xDA):  # the end, or the pixels
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these have no length
            place += 2
            continue
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        if length < 2:
            return
        yield marker, content[place + 4 : place + 2 + length]
        place += 2 + length


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the data of each chunk of a PNG.

    In the file a chunk is its length, name, data and checksum.
    """
    place = 8
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        place += 12 + length


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the data of each chunk of a WebP.

    In the file a chunk is its name, length and data, and begins at an even place.
    """
    place = 12
    while place + 8 <= len(content):
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        yield content[place : place + 4], content[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _orientation(tiff: bytes) -> int:
    """Return the orientation in the first directory of TIFF data."""
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        return UPRIGHT

    def number(place: int, length: int) -> int:
        return int.from_bytes(tiff[place : place + length], "little" if tiff.startswith(b"II") else "big")

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if entry + 12 > len(tiff):
            break
        if number(entry, 2) == _TAG:
            length = _INTEGERS.get(number(entry + 2, 2))
            value = number(entry + 8, length) if length and number(entry + 4, 4) == 1 else UPRIGHT
            return value if value in MEANINGS else UPRIGHT
    return UPRIGHT
