"""The chain of a look-up: each question, who answered it, and what came back."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from labsupport.domain_names.resolver import Resolved, Step
from labsupport.figures.drawing import BLUE, ORANGE, Picture, new_figure

_HEIGHT, _GAP = 10.0, 6.0


def chain(resolved: Resolved, title: str = "") -> Picture:
    """Draw the steps of a look-up from top to bottom: what was asked, and what was answered.

    A step that was asked over the wire has a solid blue frame, one from the cache a dashed orange one.

    >>> chain(resolver.resolve("news.lab.example."))
    """
    count = len(resolved.steps)
    top = count * (_HEIGHT + _GAP)
    figure = new_figure(8.0, 0.5 + 0.85 * count)
    ax = figure.subplots()
    ax.set_xlim(0, 100)
    ax.set_ylim(0, top + 2)
    ax.axis("off")
    for row, step in enumerate(resolved.steps):
        y = top - (row + 1) * (_HEIGHT + _GAP) + _GAP
        _draw(ax, y, step)
        if row + 1 < count:
            down = FancyArrowPatch((80, y - 0.4), (20, y - _GAP + 0.6), arrowstyle="-|>", mutation_scale=13)
            down.set(color="black", linewidth=1)
            ax.add_patch(down)
    if title:
        figure.suptitle(title)
    told = "; ".join(
        f"{step.name} {step.type} gives {step.answer}{' from the cache' if step.cached else ''}"
        for step in resolved.steps
    )
    return Picture(figure, f"{title or 'The chain of a look-up'}. {told}. Ends with {resolved.status}.")


def _draw(ax: Axes, y: float, step: Step) -> None:
    colour, line, how = (ORANGE, "--", "from the cache") if step.cached else (BLUE, "-", "asked the server")
    for x, width, text in ((1, 40, f"{step.name}  {step.type}?"), (59, 40, step.answer)):
        box = FancyBboxPatch((x, y), width, _HEIGHT - 2, boxstyle="round,pad=0.1,rounding_size=1.2")
        box.set(facecolor="white", edgecolor=colour, linewidth=1.8, linestyle=line)
        ax.add_patch(box)
        ax.text(x + width / 2, y + (_HEIGHT - 2) / 2, text, ha="center", va="center", fontsize=9)
    arrow = FancyArrowPatch((41.8, y + 4), (58.2, y + 4), arrowstyle="-|>", mutation_scale=13)
    arrow.set(color=colour, linewidth=1.8, linestyle=line)
    ax.add_patch(arrow)
    ax.text(50, y + 5.2, how, ha="center", fontsize=8)
