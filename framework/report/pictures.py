"""Pictures of arrays: samples as a person sees them, maps over them, and many small ones side by side."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from framework.run.files import write_report

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_SIDE = 64  # pixels of a small picture, at least
_COLOURS = "inferno"
_STRENGTH = 0.6  # of the hottest place of a map


def pixels_of(array: np.ndarray) -> np.ndarray | None:
    """An array as the pixels of an image, uint8 [height, width] or [height, width, 3]; None where it is none.

    Floats of 0 to 1 or 0 to 255 keep their brightness; others are stretched.
    """
    import numpy as np

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or min(array.shape[:2]) < 4:
        return None
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all() or low == high:
        return None
    if low >= 0:
        low, high = 0.0, 1.0 if high <= 1 else 255.0 if high <= 255 else high
    return _stretched(array, low, high)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draw an image, and beside it the image under a map.

    Args:
        image: uint8 [height, width] or [height, width, 3].
        heat: float, >= 0, of any height and width; its highest value is the hottest place.

    Returns:
        uint8 [height, 2 * width, 3]
    """
    import numpy as np
    from matplotlib import colormaps

    colours = np.stack([image] * 3, axis=2) if image.ndim == 2 else image
    height, width = colours.shape[:2]
    factor = max(1, math.ceil(2 * _SIDE / max(height, width)))
    colours = np.repeat(np.repeat(colours, factor, 0), factor, 1)
    top = float(heat.max())
    share = _resized(heat / top if top > 0 else heat, colours.shape[0], colours.shape[1])
    hot = colormaps[_COLOURS](share)[:, :, :3] * 255
    strength = _STRENGTH * share[:, :, None]
    return np.concatenate([colours, (colours * (1 - strength) + hot * strength).astype(np.uint8)], axis=1)


def grid(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Draw arrays side by side, each from its lowest to its highest value.

    Args:
        maps: float [height, width] each, all of one shape.

    Returns:
        uint8 [height, width]
    """
    import numpy as np

    columns = math.ceil(math.sqrt(len(maps)))
    factor = max(1, math.ceil(_SIDE / max(maps[0].shape)))
    cells = []
    for one in maps:
        low, high = float(one.min()), float(one.max())
        drawn = _stretched(one, low, high) if high > low else np.zeros(one.shape, np.uint8)
        cells.append(np.pad(np.repeat(np.repeat(drawn, factor, 0), factor, 1), 1, constant_values=255))
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % columns)
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    return np.concatenate(rows, axis=0)


def as_jpeg_url(pixels: np.ndarray, longer_side: int) -> str:
    """An image as a `data:` URL of a JPEG, for a page.

    Args:
        pixels: uint8 [height, width] or [height, width, 3].
        longer_side: pixels of the longer side in the page.
    """
    content = io.BytesIO()
    fitted(pixels, longer_side).save(content, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def fitted(pixels: np.ndarray, longer_side: int) -> Image.Image:
    """An image in another size.

    Args:
        pixels: uint8 [height, width] or [height, width, 3].
        longer_side: in pixels, of the result.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    # A small image, such as a digit of 8x8 pixels, is shown by its pixels.
    small = max(image.size) < longer_side
    factor = longer_side / max(image.size)
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)


def write_picture(pixels: np.ndarray, path: Path) -> Path:
    """Write an image as PNG.

    Raises:
        RunDirectoryError: if it cannot be written.
    """
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    write_report(path, content.getvalue())
    return path


def _stretched(array: np.ndarray, low: float, high: float) -> np.ndarray:
    import numpy as np

    return ((array.astype(np.float64) - low) / (high - low) * 255).round().astype(np.uint8)


def _resized(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Values between those of an array, linear in both directions, float [height, width]."""
    import numpy as np
    from PIL import Image

    image = Image.fromarray(array.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
