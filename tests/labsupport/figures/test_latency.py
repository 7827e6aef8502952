"""The figures of measured delays."""

from __future__ import annotations

import pytest

from labsupport.figures import latency
from labsupport.figures.latency import Row
from tests.labsupport.figures.readable import assert_readable, texts

GROUPS = {
    "from a pod": {"the pod's address": [0.1, 0.2, 0.3], "a proxy": [0.4, 0.5, 9.0]},
    "from here": {"a NodePort": [1.0, 1.5, 2.0]},
}


def test_each_way_is_a_row_with_its_median() -> None:
    panel = latency.panel("from a pod", GROUPS["from a pod"])
    assert panel.rows == (
        Row("the pod's address", (0.1, 0.2, 0.3), 0.2),
        Row("a proxy", (0.4, 0.5, 9.0), 0.5),
    )


def test_the_axis_ends_behind_the_longest_delay_or_cuts_off_the_slowest() -> None:
    slow = {"a way": [1.0] * 99 + [100.0]}
    assert latency.panel("", slow).end == pytest.approx(115)
    assert latency.panel("", slow, cut_off=True).end == pytest.approx(1.15)


def test_the_medians_are_written_beside_their_rows() -> None:
    written = [text.get_text() for text in texts(latency.draw(GROUPS, "A GET").figure)]
    assert {"median 0.20 ms", "median 0.50 ms", "median 1.50 ms", "from a pod", "a NodePort"} <= set(written)


def test_the_alt_text_tells_each_median() -> None:
    picture = latency.draw(GROUPS, "A GET by each way")
    assert picture.alt == (
        "A GET by each way. from a pod, the pod's address: median 0.20 ms; from a pod, a proxy: median 0.50 ms; "
        "from here, a NodePort: median 1.50 ms."
    )
    assert_readable(picture)


def test_the_alt_text_of_the_pods_delays_is_the_same_in_every_run() -> None:
    one, other = latency.draw_pods([22, 31, 90], "From Ready on"), latency.draw_pods([1, 2, 3], "From Ready on")
    assert one.alt == other.alt == "From Ready on: a dot for each of 3 pods on an axis of milliseconds."
    assert_readable(one)
    assert "median 31.00 ms" in [text.get_text() for text in texts(one.figure)]
