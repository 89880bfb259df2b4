"""A contact sheet: samples side by side in one image, each with some words below it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from framework.report.drawing import INK, SERIES
from framework.report.pictures import fitted

if TYPE_CHECKING:
    import numpy as np
    from PIL import ImageFont

_COLUMNS, _ROWS = 4, 3
_SIDE = 128  # pixels of the longer side of a picture
_GAP, _LINE, _SIZE = 10, 21, 16  # pixels between pictures, of a line of text, and of its letters
_RIGHT, _WRONG = SERIES[2], SERIES[1]


@dataclass(frozen=True)
class Tile:
    """A sample of a contact sheet.

    Args:
        pictures: uint8 [height, width] or [height, width, 3] each, beside each other.
        lines: what stands below.
        right: colours the first line, as right or wrong; None leaves it black.
    """

    pictures: Sequence[np.ndarray]
    lines: Sequence[str] = ()
    right: bool | None = None


def contact_sheet(tiles: Sequence[Tile]) -> tuple[bytes, int, int]:
    """Draw samples side by side.

    Returns:
        The content of a JPEG file, its width and its height in pixels.
    """
    from PIL import Image, ImageDraw, ImageFont

    drawn = [[fitted(picture, _SIDE) for picture in tile.pictures] for tile in tiles]
    font = ImageFont.truetype(_font_file(), _SIZE)
    columns = min(_COLUMNS, len(tiles))
    width = max(sum(image.width for image in images) for images in drawn)
    width = max(width, _SIDE) + _GAP
    top = max(image.height for images in drawn for image in images)
    written = [
        [
            (row, place == 0)
            for place, line in enumerate(tile.lines)
            for row in _rows(line, font, width - _GAP)
        ]
        for tile in tiles
    ]
    height = top + _LINE * max(map(len, written)) + _GAP
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (tile, images) in enumerate(zip(tiles, drawn, strict=True)):
        left, upper = _GAP + number % columns * width, _GAP + number // columns * height
        for place, image in enumerate(images):
            sheet.paste(image, (left + sum(one.width for one in images[:place]), upper))
        for place, (row, is_first) in enumerate(written[number]):
            ink = INK if not is_first or tile.right is None else _RIGHT if tile.right else _WRONG
            pen.text((left, upper + top + 2 + place * _LINE), row, ink, font)
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=88, subsampling=0)
    return content.getvalue(), sheet.width, sheet.height


def _font_file() -> str:
    """The font that matplotlib brings along, which has more letters than Pillow's own."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def _rows(line: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a line where it has no room, up to three rows."""
    rows: list[str] = []
    for word in line.split():
        if rows and (len(rows) == _ROWS or font.getlength(f"{rows[-1]} {word}") <= width):
            rows[-1] += f" {word}"
        else:
            rows.append(word)
    return [_cut(row, font, width) for row in rows]


def _cut(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
