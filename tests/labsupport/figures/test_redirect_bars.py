"""The figure of redirects by kind of client."""

from __future__ import annotations

from labsupport.figures import redirect_bars
from tests.labsupport.figures.readable import assert_readable, texts

COUNTED = {"without a map": 1000, "remembers each slot": 169, "asks for the whole map": 1}


def test_there_is_a_bar_from_nothing_to_the_count_for_each_client() -> None:
    assert [(bar.row, bar.begin, bar.end) for bar in redirect_bars.bars_of(COUNTED)] == [
        (0, 0, 1000),
        (1, 0, 169),
        (2, 0, 1),
    ]


def test_each_bar_has_its_client_and_its_number() -> None:
    written = {text.get_text() for text in texts(redirect_bars.draw(COUNTED).figure)}
    assert {*COUNTED, "1000", "169", "1"} <= written


def test_the_alt_text_tells_the_counts() -> None:
    picture = redirect_bars.draw(COUNTED)
    assert picture.alt == (
        "Redirects per 1,000 commands. without a map: 1000, remembers each slot: 169, asks for the whole map: 1."
    )
    assert_readable(picture)
    assert redirect_bars.draw(COUNTED, "Three clients").alt.startswith("Three clients. ")
