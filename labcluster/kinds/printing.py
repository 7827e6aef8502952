"""Helpers for the cells of Tables (upstream: pkg/printers/internalversion/printers.go, apimachinery util/duration)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labcluster.api.objects import JSON
from labcluster.api.times import age_seconds

NONE = "<none>"
UNKNOWN = "<unknown>"

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR = 365 * _DAY

# (below this many seconds, the unit, its letter, the finer unit or None, that one's letter):
# the first row that fits says how a duration is written (duration.HumanDuration).
_STEPS = (
    (2 * _MINUTE, 1, "s", None, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", None, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", None, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", None, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)


def human_duration(seconds: float) -> str:
    """A duration in seconds as kubectl writes it: 4s, 3m12s, 5h, 2d."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"  # more than the tolerated difference between two clocks
    whole = max(whole, 0)
    for limit, unit, letter, finer, finer_letter in _STEPS:
        if whole < limit:
            count, rest = divmod(whole, unit)
            more = rest // finer if finer else 0
            return f"{count}{letter}" + (f"{more}{finer_letter}" if more else "")
    return f"{whole // _YEAR}y"


def translate_timestamp(text: str | None) -> str:
    """The time since a metav1.Time or MicroTime, or <unknown> without one."""
    return human_duration(age_seconds(text)) if text else UNKNOWN


def age(obj: JSON) -> str:
    """The cell of the AGE column."""
    return translate_timestamp(obj["metadata"].get("creationTimestamp"))


def or_none(value: Any) -> str:
    """The value as text, or <none> for an empty one."""
    return str(value) if value not in (None, "") else NONE


def join(values: Iterable[Any]) -> str:
    """Values with commas between, or <none>."""
    return ",".join(str(v) for v in values) or NONE


def format_labels(labels: Mapping[str, str] | None) -> str:
    """Labels as `a=b,c=d`, sorted, or <none> (labels.FormatLabels)."""
    return join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def format_selector(selector: JSON | None) -> str:
    """A LabelSelector object as `a=b,c in (d,e),!f`, sorted by key, or <none> (metav1.FormatLabelSelector)."""
    selector = selector or {}
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for requirement in selector.get("matchExpressions") or ():
        key, operator = requirement.get("key", ""), requirement.get("operator")
        values = ",".join(sorted(requirement.get("values") or ()))
        text = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        terms.append((key, text.get(str(operator), "<error>")))
    return join(text for _, text in sorted(terms))


def container_names(containers: Sequence[JSON]) -> str:
    """The cell of a wide CONTAINERS column."""
    return ",".join(c.get("name", "") for c in containers)


def container_images(containers: Sequence[JSON]) -> str:
    """The cell of a wide IMAGES column."""
    return ",".join(c.get("image", "") for c in containers)


def replicas_of(obj: JSON, field: str, where: str = "status") -> int:
    """A replica counter of spec or status; absent is 0."""
    return int(obj.get(where, {}).get(field) or 0)
