"""What a figure draws, as text: a stored picture says so beside its alt text, and a test compares it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FixedLocator


def drawn(figure: Figure) -> list[str]:
    """A line for each visible thing: its kind, its words, its colour, its place in the units of its axes.

    Numbers have five significant digits, and the lines are sorted, so that the order of drawing does not matter.
    """
    things = [_line(artist) for artist in _artists(figure) if artist.get_visible()]
    return sorted(things + [f"words {text.get_text()!r}" for text in _words(figure) if text.get_text()])


def _artists(figure: Figure) -> Iterator[Artist]:
    """What holds data, and texts that stand at a place of theirs. Frames, ticks and grids follow from the rest."""
    yield from [*figure.patches, *figure.lines]
    for ax in figure.axes:
        yield from [*ax.texts, *ax.patches, *ax.lines, *ax.collections]


def _words(figure: Figure) -> Iterator[Text]:
    """Texts that the layout places: titles, legends, labels of axes, and of ticks that were put there."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for ax in figure.axes:
        yield from [ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):
                yield from axis.get_ticklabels()
        if (own := ax.get_legend()) is not None:
            yield from own.get_texts()


def _line(artist: Artist) -> str:
    kind = type(artist).__name__
    if isinstance(artist, Annotation):
        return f"{kind} {artist.get_text()!r} {_numbers([artist.xyann, artist.xy])}"
    if isinstance(artist, Text):
        return f"{kind} {artist.get_text()!r} {_numbers([artist.get_position()])}"
    if isinstance(artist, Line2D):
        return f"{kind} {to_hex(artist.get_color())} {_numbers(artist.get_xydata())}"
    if isinstance(artist, FancyArrowPatch):
        ends = getattr(artist, "_posA_posB", None) or []  # matplotlib has no public name for them
        return f"{kind} {to_hex(artist.get_edgecolor())} {_numbers(ends)}"
    if isinstance(artist, Patch):
        corners = artist.get_patch_transform().transform(artist.get_path().vertices)
        look = f"{to_hex(artist.get_facecolor(), keep_alpha=True)} {artist.get_hatch() or ''}".rstrip()
        return f"{kind} {look} {_numbers([corners.min(axis=0), corners.max(axis=0)])}"
    if isinstance(artist, PathCollection):
        return f"{kind} {_numbers(artist.get_offsets())}"
    paths = artist.get_paths() if hasattr(artist, "get_paths") else ()
    return f"{kind} {' / '.join(_numbers(path.vertices) for path in paths)}"


def _numbers(points: object) -> str:
    """Pairs of numbers. What is next to nothing is 0: it is what rounding has left."""
    pairs = np.array(points, dtype=float).reshape(-1, 2)  # a copy: the figure keeps its own
    pairs[np.abs(pairs) < 1e-9] = 0
    return " ".join(f"{x:.5g},{y:.5g}" for x, y in pairs)
