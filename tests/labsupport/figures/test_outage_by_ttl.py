"""The figure of the outage against the TTL."""

from __future__ import annotations

from labsupport.figures import outage_by_ttl
from labsupport.figures.outage_by_ttl import Column
from tests.labsupport.figures.readable import assert_readable

OUTAGES = {5: [1.0, 5.0], 60: [3.0, 58.0, 29.0]}


def test_each_ttl_has_its_mean_and_its_bound() -> None:
    assert outage_by_ttl.columns_of(OUTAGES, interval=2) == [
        Column(5, (1.0, 5.0), 3.0, 7),
        Column(60, (3.0, 58.0, 29.0), 30.0, 62),
    ]


def test_there_is_a_dot_for_each_client_and_a_line_for_mean_and_bound() -> None:
    heights = [list(line.get_ydata()) for line in outage_by_ttl.draw(OUTAGES, 2).figure.axes[0].lines]
    assert heights == [[1.0, 5.0], [3.0, 3.0], [7, 7], [3.0, 58.0, 29.0], [30.0, 30.0], [62, 62]]


def test_the_alt_text_tells_longest_and_mean() -> None:
    picture = outage_by_ttl.draw(OUTAGES, 2)
    assert picture.alt == (
        "Outage of simulated clients against the TTL, in seconds. "
        "TTL 5: at most 5, on average 3; TTL 60: at most 58, on average 30."
    )
    assert_readable(picture)
