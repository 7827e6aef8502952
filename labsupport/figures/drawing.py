"""The look of the course's figures, and how they reach the page: with alt text, in colours that all can tell apart."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath

from labsupport.figures.drawn import drawn

# Okabe and Ito's palette: distinguishable with every common colour vision deficiency.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, BLACK, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000", "#999999",
)  # fmt: skip
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # behind a text that lies on a line or on a hatch

Line = Literal["-", "--", ":"]


@dataclass(frozen=True)
class Look:
    """How a bar or a box is filled and framed. Whoever sees no colours tells looks apart by hatch and line."""

    face: str
    edge: str
    hatch: str = ""
    line: Line = "-"
    width: float = 1.0  # of the frame, in points

    def patch(self, label: str) -> Patch:
        """The look's entry in a legend."""
        return Patch(facecolor=self.face, edgecolor=self.edge, hatch=self.hatch, linestyle=self.line, label=label)


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure of that size in inches, in the course's style (no global state of pyplot is touched)."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    figure.set_facecolor("white")
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def keep_spines(ax: Axes, *sides: str) -> None:
    """Leave of the frame around the axes only those sides."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in sides)


def legend_below(figure: Figure, handles: Sequence[Artist], columns: int = 6, size: float = 9) -> None:
    """A legend under the figure, where it covers nothing."""
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        frameon=False,
        fontsize=size,
        columnspacing=1.4,
    )


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width in inches of a text of `size` points; of several lines, that of the longest."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return max(
        (TextPath((0, 0), line, prop=font).get_extents().width / 72 for line in text.split("\n") if line), default=0
    )


def fitting_size(text: str, room: float, size: float, bold: bool = False) -> float:
    """The size in points, `size` or less, at which a text is no wider than `room` inches."""
    width = text_width(text, size, bold)
    return size if width <= room else size * room / width


class Picture:
    """A figure with its alt text; the last expression of a cell, or given to display(), it is shown."""

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    def png(self) -> bytes:
        """The figure as PNG. Without a date or version inside: the same picture is the same file."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        width = int(self.figure.get_figwidth() * self.figure.dpi)
        data = base64.b64encode(self.png()).decode()
        image = f'<img width="{width}" alt="{html.escape(self.alt)}" src="data:image/png;base64,{data}">'
        return {"text/html": image, "text/plain": f"figure: {self.alt}"}, {"drawn": drawn(self.figure)}
