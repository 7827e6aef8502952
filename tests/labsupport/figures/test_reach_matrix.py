"""The matrix of who can reach what."""

from __future__ import annotations

from labsupport.figures import reach_matrix
from tests.labsupport.figures.readable import assert_clear, assert_readable

ROWS = {
    "one NodePort": {"a pod": True, "this notebook, remapping": False, "a node": None},
    "names": {"a node": True, "this notebook, remapping": True, "a pod": False},
}


def test_each_attempt_is_a_box_in_the_row_of_its_rung_and_the_column_of_its_place() -> None:
    page = reach_matrix.diagram(ROWS)
    by_row: dict[float, list[tuple[float, str]]] = {}
    for box in page.boxes:
        by_row.setdefault(box.y, []).append((box.x, box.text))
    assert [[text for _, text in sorted(row)] for _, row in sorted(by_row.items())] == [
        ["works", "no", "–"],
        ["no", "works", "works"],
    ]
    assert_clear(page)


def test_headings_stand_over_their_columns_and_rungs_beside_their_rows() -> None:
    page = reach_matrix.diagram(ROWS)
    heading = next(label for label in page.labels if label.text == "a pod")
    rung = next(label for label in page.labels if label.text == "names")
    first, last = page.boxes[0], page.boxes[-1]
    assert (heading.at[0], heading.at[1] < first.y) == (first.top[0], True)
    assert (rung.at[1], rung.at[0] < first.x) == (last.left[1], True)


def test_the_three_outcomes_look_different_without_colours() -> None:
    looks = {(box.text, box.look.face == "white", box.look.hatch) for box in reach_matrix.diagram(ROWS).boxes}
    assert looks == {("works", False, ""), ("no", True, "////"), ("–", True, "")}


def test_the_matrix_tells_in_words_what_it_draws() -> None:
    picture = reach_matrix.draw(ROWS)
    assert picture.alt == (
        "Who can use the cluster. one NodePort: a pod works, this notebook, remapping no, a node not tried; "
        "names: a pod no, this notebook, remapping works, a node works."
    )
    assert_readable(picture)


def test_a_long_rung_is_written_smaller() -> None:
    assert_readable(reach_matrix.draw({"a rung of the ladder with a very long name indeed": {"a pod": True}}))
