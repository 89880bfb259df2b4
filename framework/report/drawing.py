"""How a figure looks, and how it is written: as SVG within a page, and as files.

Figures are made without `pyplot`, which keeps all it makes, and has one state for a process. A page is dark or
light as its reader has it, so a colour in its SVG is a variable of the page; in a file it is that of the light
theme.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.run.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# By role: as a page calls it, light and dark. A hue tells two series apart for readers with a colour vision
# deficiency, too (Okabe and Ito, Color Universal Design, 2008).
COLOURS = {
    "ink": ("#1b1f24", "#e6edf3"),
    "muted": ("#656d76", "#8d96a0"),
    "grid": ("#dfe3e8", "#30363d"),
    "paper": ("#fefefe", "#12161c"),
    "first": ("#0072b2", "#58a6ff"),
    "second": ("#d55e00", "#ff9e64"),
    "third": ("#009e73", "#3fb98f"),
    "fourth": ("#aa4499", "#d2a8ff"),
    "fifth": ("#b88900", "#e3b341"),
}
INK, MUTED, GRID, PAPER = (COLOURS[role][0] for role in ("ink", "muted", "grid", "paper"))
SERIES = tuple(COLOURS[role][0] for role in ("first", "second", "third", "fourth", "fifth"))

_PIXELS = 83  # of a page, for an inch: three figures of 4.2 inches in a row
_WIDE = 6.0  # inches: a figure that takes the whole width of a sheet of paper
_SHEET = "#ffffff"

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.prop_cycle": f"cycler('color', {list(SERIES)})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "svg.hashsalt": "tf-scenarios",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


@contextmanager
def drawing(width: float = 5.2, height: float = 3.4) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes, in the style of the report.

        with drawing() as (figure, axes):
            axes.plot([1, 2, 3])

    Args:
        width, height: in inches.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


@dataclass(frozen=True)
class Drawn:
    """A figure as it is written.

    Args:
        svg: on white paper, in the light theme.
        png: likewise, 150 pixels an inch.
        width: in inches.
    """

    svg: str
    png: bytes
    width: float

    def element(self, label: str) -> str:
        """The figure as an `<svg>` element of a page, in the theme of the page.

        Args:
            label: what can be seen, for readers who cannot; unique in the page.
        """
        from html import escape

        head, rest = self.svg[self.svg.index("<svg") :].split(">", 1)
        # One inch is as wide in each figure, so that their texts are of one size; the page makes it smaller where
        # it has no room.
        head = re.sub(r'\s(width|height)="[^"]*"', "", head) + f' width="{self.width * _PIXELS:.0f}"'
        head += ' class="wide"' if self.width > _WIDE else ""
        rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL).replace(_SHEET, "none")
        for role, (light, _) in COLOURS.items():
            rest = rest.replace(light, f"var(--{role})")
        # Ids are unique in a figure, and are made so in the page.
        prefix = re.sub(r"\W+", "-", label)
        rest = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', rest)
        rest = re.sub(r'(href="#|url\(#)([^")]+)', rf"\1{prefix}-\2", rest)
        return f'{head} role="img" aria-label="{escape(label, quote=True)}">{rest}'

    def write(self, folder: Path, name: str) -> None:
        """Write `NAME.svg` and `NAME.png`.

        Raises:
            OSError: if the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{name}.svg", self.svg)
        write_atomically(folder / f"{name}.png", self.png)


def draw(figure: Figure) -> Drawn:
    """Draw a figure. The same figure has the same bytes."""
    from matplotlib import rc_context

    with rc_context(_STYLE):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # it is laid out once for both
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", facecolor=_SHEET, metadata={"Date": None})
        figure.savefig(png, format="png", dpi=150, facecolor=_SHEET, metadata={"Software": None})
    return Drawn(svg.getvalue().decode(), png.getvalue(), float(figure.get_figwidth()))
