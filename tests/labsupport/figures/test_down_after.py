"""The figure of the outage against down-after-milliseconds."""

from __future__ import annotations

from labsupport.figures import down_after
from tests.labsupport.figures.readable import assert_readable

POINTS = [(3000, 4.1), (500, 1.7), (1000, 2.3)]


def test_settings_are_in_seconds_and_in_order() -> None:
    assert down_after.in_seconds(POINTS) == ([0.5, 1.0, 3.0], [1.7, 2.3, 4.1])


def test_measurements_are_drawn_against_the_waiting_alone() -> None:
    measured, waiting = down_after.draw(POINTS).figure.axes[0].lines
    assert list(measured.get_ydata()) == [1.7, 2.3, 4.1]
    assert list(waiting.get_xdata()) == list(waiting.get_ydata()) == [0, 0.5, 1.0, 3.0]


def test_the_alt_text_tells_the_number_of_points() -> None:
    picture = down_after.draw(POINTS)
    assert picture.alt == (
        "Patience and outage. A curve of 3 points: the longer the voters wait, the longer nobody takes writes. "
        "A dashed line shows the waiting alone."
    )
    assert_readable(picture)
