"""Durations, selectors and lists as kubectl's tables show them."""

from __future__ import annotations

import pytest

from labcluster.kinds.printing import format_labels, format_selector, human_duration, translate_timestamp

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0.9, "0s"),
        (4, "4s"),
        (119, "119s"),
        (120, "2m"),
        (3 * MINUTE + 12, "3m12s"),
        (10 * MINUTE + 5, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (5 * HOUR + 30 * MINUTE, "5h30m"),
        (8 * HOUR + 30 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (7 * DAY + 5 * HOUR, "7d5h"),
        (8 * DAY + 5 * HOUR, "8d"),
        (729 * DAY, "729d"),
        (2 * YEAR, "2y"),
        (3 * YEAR + 10 * DAY, "3y10d"),
        (9 * YEAR + 10 * DAY, "9y"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_no_time_is_unknown() -> None:
    assert translate_timestamp(None) == "<unknown>"


def test_labels_and_selectors() -> None:
    assert format_labels({"b": "2", "a": "1"}) == "a=1,b=2"
    assert format_labels(None) == format_selector({}) == "<none>"
    expressions = [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "env", "operator": "NotIn", "values": ["test"]},
    ]
    selector = {"matchLabels": {"app": "redis"}, "matchExpressions": expressions}
    assert format_selector(selector) == "app=redis,env notin (test),!old,tier in (a,b)"
