"""What a figure draws, as text: everything that a reader sees, and no more."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from labsupport.figures import slot_map
from labsupport.figures.drawing import BLUE, new_figure
from labsupport.figures.drawn import drawn


def axes() -> tuple[Figure, Axes]:
    figure = new_figure(3, 2)
    return figure, figure.subplots()


def test_bars_lines_points_arrows_and_texts_are_told_with_their_places() -> None:
    figure, ax = axes()
    ax.barh(1, 2.5, left=1, height=1, color=BLUE, hatch="//")
    ax.plot([0, 1], [2, 3], color="black")
    ax.scatter([5], [6])
    ax.vlines(4, 0, 1)
    ax.add_patch(FancyArrowPatch((0, 0), (1, 1), color="black"))
    ax.text(0.25, 0.5, "here")
    ax.annotate("", xy=(1, 2), xytext=(3, 4), arrowprops={})
    assert drawn(figure) == [
        "Annotation '' 3,4 1,2",
        "FancyArrowPatch #000000 0,0 1,1",
        "Line2D #000000 0,2 1,3",
        "LineCollection 4,0 4,1",
        "PathCollection 5,6",
        "Rectangle #0072b2ff // 1,0.5 3.5,1.5",
        "Text 'here' 0.25,0.5",
    ]


def test_words_of_titles_legends_and_named_ticks_are_told() -> None:
    figure, ax = axes()
    figure.suptitle("above")
    ax.set_title("title")
    ax.set_xlabel("seconds")
    ax.set_yticks([0, 1], ["db-0", "db-1"])
    figure.legend(handles=[Rectangle((0, 0), 1, 1, label="outside")], loc="outside lower center")
    ax.legend(handles=[Rectangle((0, 0), 1, 1, label="inside")])
    said = ("above", "db-0", "db-1", "inside", "outside", "seconds", "title")
    assert drawn(figure) == [f"words '{word}'" for word in said]


def test_the_order_of_drawing_and_the_rest_of_a_rounding_do_not_matter() -> None:
    figures = []
    for numbers in ([0.1 + 0.2, 1e-17], [0.0, 0.3]):
        figure, ax = axes()
        for number in numbers:
            ax.text(number, number, "x")
        figures.append(drawn(figure))
    assert figures[0] == figures[1] == ["Text 'x' 0,0", "Text 'x' 0.3,0.3"]


def test_what_is_hidden_is_not_told() -> None:
    figure, ax = axes()
    ax.text(0, 0, "hidden", visible=False)
    assert drawn(figure) == []


@pytest.mark.parametrize("changed", [{7000: "a"}, {1: "b"}, {16383: "a"}])
def test_a_figure_of_other_data_tells_something_else(changed: dict[int, str]) -> None:
    owners = {slot: "a" if slot < 7000 else "b" for slot in range(16384)}
    pictures = [slot_map.draw({"now": now}, 5000).figure for now in (owners, owners | changed)]
    assert drawn(pictures[0]) != drawn(pictures[1])
