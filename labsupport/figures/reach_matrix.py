"""The figure of who can reach what: rungs of the ladder against the places from which they were tried."""

from __future__ import annotations

from collections.abc import Mapping

from labsupport.figures.diagram import Box, Diagram, Label
from labsupport.figures.drawing import BLACK, BLUE, GREY, ORANGE, Look, Picture

Rows = Mapping[str, Mapping[str, bool | None]]
TITLE = "Who can use the cluster"
_CELLS: dict[bool | None, tuple[str, Look, str]] = {  # what is written, how it looks, the text's colour
    True: ("works", Look(BLUE, BLUE), "white"),
    False: ("no", Look("white", ORANGE, "////"), BLACK),
    None: ("–", Look("white", GREY), BLACK),
}
_WIDTH, _HEADINGS, _HEAD, _ROW = 9.2, 3.0, 0.5, 0.52  # inches: page, column of headings, head line, from row to row


def draw(rows: Rows, title: str = TITLE) -> Picture:
    """Draw a matrix of what was tried: True works, False does not, None was not tried.

    >>> reach_matrix.draw({"one NodePort": {"a pod": True, "this notebook": False}})
    """
    return diagram(rows, title).picture(alt_text(rows, title))


def diagram(rows: Rows, title: str = TITLE) -> Diagram:
    """A row for each rung, a column for each place, a box for each attempt."""
    columns = list(next(iter(rows.values())))
    column_width = (_WIDTH - _HEADINGS) / len(columns)
    page = Diagram(_WIDTH, _HEAD + _ROW * len(rows), title)
    for column, place in enumerate(columns):
        middle = _HEADINGS + column_width * (column + 0.5)
        text = place.replace(", ", ",\n")
        page.labels.append(Label((middle, _HEAD / 2), text, column_width - 0.1, "center", bold=True))
    for row, (rung, cells) in enumerate(rows.items()):
        y = _HEAD + _ROW * row
        page.labels.append(Label((_HEADINGS - 0.12, y + _ROW / 2), rung, _HEADINGS - 0.2, "right"))
        for column, place in enumerate(columns):
            text, look, ink = _CELLS[cells[place]]
            x = _HEADINGS + column_width * column + 0.04
            page.boxes.append(Box(x, y + 0.04, column_width - 0.08, _ROW - 0.08, text, look=look, ink=ink))
    return page


def alt_text(rows: Rows, title: str = TITLE) -> str:
    """The matrix in words, row by row."""
    words = {True: "works", False: "no", None: "not tried"}
    columns = list(next(iter(rows.values())))
    lines = [
        f"{rung}: " + ", ".join(f"{place} {words[cells[place]]}" for place in columns) for rung, cells in rows.items()
    ]
    return f"{title}. {'; '.join(lines)}."
