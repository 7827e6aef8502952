"""The look of the figures, and how they reach the page."""

from __future__ import annotations

import io
from importlib import import_module
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from labsupport import figures
from labsupport.figures import drawing, failover, lanes, revisions, slot_map
from labsupport.figures.drawing import Look, Picture, fitting_size, new_figure, text_width

HELPERS = {"__init__", "drawing", "diagram", "bars", "drawn", "lives", "lanes"}
MODULES = {file.stem for file in Path(figures.__path__[0]).glob("*.py")} - HELPERS


def test_a_picture_reaches_the_page_with_its_alt_text() -> None:
    bundle, metadata = Picture(new_figure(2, 1, "A title"), 'the "primary" < the rest')._repr_mimebundle_()
    assert bundle["text/plain"] == 'figure: the "primary" < the rest'
    assert bundle["text/html"].startswith(
        '<img width="220" alt="the &quot;primary&quot; &lt; the rest" src="data:image/png;base64,'
    )
    assert metadata == {"drawn": ["words 'A title'"]}


def test_the_same_picture_is_the_same_file() -> None:
    assert Picture(new_figure(2, 1, "A title"), "").png() == Picture(new_figure(2, 1, "A title"), "").png()


def test_a_figure_has_the_size_it_was_asked_for() -> None:
    assert imread(io.BytesIO(Picture(new_figure(2, 1), "").png())).shape[:2] == (110, 220)


def test_a_text_is_made_smaller_until_it_fits() -> None:
    text = "a-rather-long-name.somewhere.lab.example."
    size = fitting_size(text, 2.0, 9)
    assert size < 9 and text_width(text, size) == pytest.approx(2.0, rel=0.02)
    assert fitting_size("short", 2.0, 9) == 9


def test_the_longest_line_counts() -> None:
    assert text_width("a\nmuch longer", 9) == text_width("much longer", 9)
    assert text_width("", 9) == 0
    assert text_width("bold", 9, bold=True) > text_width("bold", 9)


@pytest.mark.parametrize(
    "looks",
    [
        list(lanes.LOOKS.values()),
        list(failover.LOOKS.values()),
        [revisions.filled(number) for number in range(1, 7)],
        list(slot_map.chart({"now": {0: "a", 1: "b", 2: "c"}}, 1).looks.values()),
    ],
    ids=["lives", "failover", "revisions", "slots"],
)
def test_looks_beside_each_other_differ_without_their_hues(looks: list[Look]) -> None:
    for one, other in combinations(looks, 2):
        assert one.hatch != other.hatch or abs(_luminance(one.face) - _luminance(other.face)) > 0.3


def _luminance(colour: str) -> float:
    red, green, blue = to_rgb(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_figure_is_drawn_by_the_same_verb(name: str) -> None:
    assert callable(import_module(f"labsupport.figures.{name}").draw)


def test_every_figure_has_tests_of_its_own() -> None:
    assert len(MODULES) > 10
    tested = {file.stem.removeprefix("test_") for file in Path(__file__).parent.glob("test_*.py")}
    assert tested >= MODULES | HELPERS - {"__init__"}


def test_colours_are_distinct() -> None:
    names = ("BLUE", "ORANGE", "GREEN", "VERMILION", "PURPLE", "SKY", "YELLOW", "BLACK", "GREY")
    assert len({getattr(drawing, name) for name in names}) == len(names)
