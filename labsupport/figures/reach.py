"""The figure of who can reach what: rungs of the ladder against the places from which they were tried."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.patches import Rectangle

from labsupport.figures.drawing import BLACK, BLUE, GREY, ORANGE, Picture, new_figure

_LOOK: dict[bool | None, tuple[str, str, str, str]] = {  # word, face, edge, hatch
    True: ("works", BLUE, BLUE, ""),
    False: ("no", "white", ORANGE, "////"),
    None: ("–", "white", GREY, ""),
}


def reach_matrix(rows: Mapping[str, Mapping[str, bool | None]], title: str = "Who can use the cluster") -> Picture:
    """Draw a matrix of what was tried: True works, False does not, None was not tried.

    >>> reach_matrix({"one NodePort": {"a pod": True, "this notebook": False}})
    """
    columns = list(next(iter(rows.values())))
    figure = new_figure(9.2, 0.95 + 0.52 * len(rows))
    ax = figure.subplots()
    for y, (rung, cells) in enumerate(rows.items()):
        ax.text(-0.08, y + 0.5, rung, ha="right", va="center", fontsize=9.5)
        for x, place in enumerate(columns):
            word, face, edge, hatch = _LOOK[cells[place]]
            ax.add_patch(Rectangle((x + 0.03, y + 0.08), 0.94, 0.84, facecolor=face, edgecolor=edge, hatch=hatch))
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5} if hatch else None
            colour = "white" if face == BLUE else BLACK
            ax.text(x + 0.5, y + 0.5, word, ha="center", va="center", fontsize=9.5, color=colour, bbox=box)
    for x, place in enumerate(columns):
        ax.text(x + 0.5, -0.12, place.replace(", ", ",\n"), ha="center", va="bottom", fontsize=9.5, fontweight="bold")
    ax.set_xlim(-2.0, len(columns))
    ax.set_ylim(len(rows), -0.75)
    ax.axis("off")
    ax.set_title(title, fontsize=11)
    told = "; ".join(
        f"{rung}: " + ", ".join(f"{place} {_LOOK[cells[place]][0].replace('–', 'not tried')}" for place in columns)
        for rung, cells in rows.items()
    )
    return Picture(figure, f"{title}. {told}.")
