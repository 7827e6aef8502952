"""Diagrams: boxes, arrows and labels on a bare page. What a diagram holds is data; `picture` draws it."""

from __future__ import annotations

from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from labsupport.figures.drawing import BLACK, PAPER, Line, Look, Picture, fitting_size, legend_below, new_figure

Point = tuple[float, float]  # inches from the left, inches from the top
_MARGIN = 0.1  # inches between a box's frame and its text
_PLAIN = Look("white", BLACK, width=1.8)
_TITLE = _LEGEND = 0.36  # inches that each of them takes


@dataclass(frozen=True)
class Box:
    """A rounded frame with text in it; where it stands, in inches from the page's upper left corner."""

    x: float
    y: float
    width: float
    height: float
    text: str = ""  # may have several lines
    title: str = ""  # in bold, above the text
    look: Look = _PLAIN
    ink: str = BLACK
    centred: bool = True  # else its text begins at its left
    size: float = 9.0  # of the text in points; smaller where it would not fit

    @property
    def left(self) -> Point:
        """The middle of the left side."""
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        """The middle of the right side."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        """The middle of the upper side."""
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        """The middle of the lower side."""
        return self.x + self.width / 2, self.y + self.height


@dataclass(frozen=True)
class Arrow:
    """A straight arrow, or without a head a line, between two points."""

    begin: Point
    end: Point
    colour: str = BLACK
    line: Line = "-"
    width: float = 1.8  # points
    head: bool = True


@dataclass(frozen=True)
class Label:
    """A text beside boxes and arrows, which begins, is centred or ends at its point, with its middle at that height."""

    at: Point
    text: str
    room: float  # inches that it may take; it is written smaller where it would take more
    align: str = "left"  # or center, right
    ink: str = BLACK
    bold: bool = False
    size: float = 9.0


@dataclass
class Diagram:
    """A page of that size in inches and what is on it. Later boxes lie on earlier ones, arrows and labels on all."""

    width: float
    height: float
    title: str = ""
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    legend: dict[str, Arrow] = field(default_factory=dict)  # what arrows of that look mean

    def picture(self, alt: str) -> Picture:
        """Draw it; title and legend have room of their own above and below."""
        above, below = _TITLE if self.title else 0, _LEGEND if self.legend else 0
        figure = new_figure(self.width, above + self.height + below)
        figure.set_layout_engine("none")  # a unit is an inch, and stays one
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set_xlim(0, self.width)
        ax.set_ylim(self.height + below, -above)
        ax.axis("off")
        for box in self.boxes:
            _draw_box(ax, box)
        for arrow in self.arrows:
            _draw_arrow(ax, arrow)
        for label in self.labels:
            _draw_label(ax, label)
        if self.title:
            _draw_label(ax, Label((self.width / 2, -above / 2), self.title, self.width, "center", size=11))
        if self.legend:
            legend_below(
                figure,
                [
                    Line2D([], [], color=like.colour, linestyle=like.line, linewidth=like.width, label=meaning)
                    for meaning, like in self.legend.items()
                ],
            )
        return Picture(figure, alt)


def _draw_arrow(ax: Axes, arrow: Arrow) -> None:
    style = "-|>" if arrow.head else "-"
    patch = FancyArrowPatch(arrow.begin, arrow.end, arrowstyle=style, mutation_scale=13, shrinkA=0, shrinkB=1)
    patch.set(color=arrow.colour, linestyle=arrow.line, linewidth=arrow.width, zorder=3)
    ax.add_patch(patch)


def _draw_box(ax: Axes, box: Box) -> None:
    frame = FancyBboxPatch((box.x, box.y), box.width, box.height, boxstyle="round,pad=0,rounding_size=0.1")
    frame.set(facecolor=box.look.face, edgecolor=box.look.edge, hatch=box.look.hatch, zorder=2)
    frame.set(linestyle=box.look.line, linewidth=box.look.width)
    ax.add_patch(frame)
    align, x = ("center", box.top[0]) if box.centred else ("left", box.x + _MARGIN)
    title_y, text_y = box.y + box.height / 3, box.y + box.height * (0.7 if box.title else 0.5)
    if not box.centred and box.title:
        title_y, text_y = box.y + 0.2, box.y + 0.42 + 0.075 * box.text.count("\n")  # a line is 0.15 high
    for text, y, bold, ink in ((box.title, title_y, True, BLACK), (box.text, text_y, False, box.ink)):
        paper = bool(box.look.hatch) and bool(text)
        _draw_label(ax, Label((x, y), text, box.width - 2 * _MARGIN, align, ink, bold, box.size), paper)


def _draw_label(ax: Axes, label: Label, paper: bool = False) -> None:
    ax.text(
        *label.at,
        label.text,
        ha=label.align,
        va="center",
        fontsize=fitting_size(label.text, label.room, label.size, label.bold),
        fontweight="bold" if label.bold else "normal",
        color=label.ink,
        bbox=PAPER if paper else None,
        zorder=4,
    )
