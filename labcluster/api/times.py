"""Times as metav1.Time and MicroTime write them."""

from __future__ import annotations

import datetime as dt


def now() -> str:
    """The time as metav1.Time writes it: RFC 3339, UTC, whole seconds."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro() -> str:
    """The time as metav1.MicroTime writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> dt.datetime:
    """Read a metav1.Time or MicroTime. Raises ValueError on anything else."""
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def age_seconds(text: str) -> float:
    """Seconds since a metav1.Time."""
    return (dt.datetime.now(dt.UTC) - parse_time(text)).total_seconds()
