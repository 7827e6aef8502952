"""The look of the course's figures, and how they reach the page: with alt text, in colours that all can tell apart."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

from matplotlib.figure import Figure

from labsupport.figures.drawn import drawn

# Okabe and Ito's palette: distinguishable with every common colour vision deficiency.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, BLACK, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000", "#999999",
)  # fmt: skip


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, in the course's style (no global state of pyplot is touched)."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    figure.set_facecolor("white")
    return figure


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
