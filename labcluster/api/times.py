"""Times as metav1.Time and MicroTime write them, and durations as Go does."""

from __future__ import annotations

import datetime as dt
import re

DURATION_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}  # seconds
_LONGEST = 2**63 / 1e9  # seconds of a Go duration


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


def parse_duration(text: str) -> float:
    """The seconds of a Go duration: 1h30m, 1.5h, 90s. Raises ValueError as time.ParseDuration does."""
    invalid = ValueError(f'time: invalid duration "{text}"')
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0.0
    # Possessive quantifiers (*+): with backtracking, each further digit would double the ways to divide a row of them.
    if not re.fullmatch(r"(([0-9]++\.?+[0-9]*+|\.[0-9]++)[^0-9.]*+)++", unsigned):
        raise invalid
    total = 0.0
    for number, unit in re.findall(r"([0-9.]+)([^0-9.]*)", unsigned):
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in DURATION_UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        if number.count(".") > 1:
            raise invalid
        total += float(number) * DURATION_UNITS[unit]
    if total > _LONGEST:
        raise invalid
    return -total if text.startswith("-") else total
