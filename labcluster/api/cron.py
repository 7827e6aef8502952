"""Cron expressions, with the semantics and the error texts of robfig/cron v3 (ParseStandard), which Kubernetes uses.

Five fields (minute, hour, day of month, month, day of week) of lists, ranges, steps and names; @hourly and its like;
@every with a duration. A time has to match the day of the month *and* that of the week when one of them is `*`, else
one of the two.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Protocol

from labcluster.api.times import parse_duration

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _WEEKDAYS),
)
_YEARS_AHEAD = 5  # a schedule without a time for so long has none
_HOUR, _MINUTE = dt.timedelta(hours=1), dt.timedelta(minutes=1)


class Schedule(Protocol):
    """When something is due."""

    def next(self, after: dt.datetime) -> dt.datetime | None:
        """The first time later than `after`, in UTC; None when there is none within five years."""


def parse(text: str, zone: dt.tzinfo = dt.UTC) -> Schedule:
    """The schedule of an expression, read in a time zone. Raises ValueError with robfig/cron's text."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        name, _, text = text.partition("=")[2].partition(" ")
        try:
            zone = load_zone(name)
        except ValueError as error:
            raise ValueError(f"provided bad location {name}: {error}") from None
        text = text.strip()
    if text.startswith(_EVERY):
        try:
            seconds = parse_duration(text[len(_EVERY) :])
        except ValueError as error:
            raise ValueError(f"failed to parse duration {text}: {error}") from None
        return Every(max(int(seconds), 1))
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = (
        _field(part, *bounds) for part, bounds in zip(parts, _FIELDS, strict=True)
    )
    return Calendar(minutes, hours, days, months, weekdays, not any_day and not any_weekday, zone)


def load_zone(name: str) -> dt.tzinfo:
    """The time zone of an IANA name. Raises ValueError as Go's time.LoadLocation does."""
    if name in ("", "UTC"):
        return dt.UTC
    from zoneinfo import ZoneInfo  # few schedules name a zone, and the import takes its time

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no name of a file below the directory, a directory
        raise ValueError(f"unknown time zone {name}") from None


@dataclass(frozen=True)
class Every:
    """At a fixed distance, in seconds."""

    seconds: int

    def next(self, after: dt.datetime) -> dt.datetime | None:
        """So many seconds after the last full one."""
        try:
            return after.astimezone(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=self.seconds)
        except OverflowError:
            return None


@dataclass(frozen=True)
class Calendar:
    """At the first second of each minute whose parts are all in these sets."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # Sunday is 0
    either_day: bool  # whether the day of the month or that of the week will do
    zone: dt.tzinfo

    def next(self, after: dt.datetime) -> dt.datetime | None:
        """The first such minute by the zone's clock, which may skip hours or have them twice (SpecSchedule.Next)."""
        time = (after.astimezone(dt.UTC) + dt.timedelta(seconds=1)).astimezone(self.zone).replace(microsecond=0)
        last_year = time.year + _YEARS_AHEAD
        if time.second:
            time = self._later(time, _MINUTE).replace(second=0)
        while time.year <= last_year:
            if time.month not in self.months:
                year, month = divmod(time.year * 12 + time.month, 12)
                time = self._midnight(dt.date(year, month + 1, 1))
            elif not self._is_due(time.date()):
                time = self._midnight(time.date() + dt.timedelta(days=1))
            elif time.hour not in self.hours:
                # Not the hour's beginning an hour later: where a clock is put back by half an hour, that is the same.
                time = self._later(time, _HOUR - time.minute * _MINUTE)
            elif time.minute not in self.minutes:
                time = self._later(time, _MINUTE)
            else:
                return time.astimezone(dt.UTC)
        return None

    def _is_due(self, day: dt.date) -> bool:
        month, week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return month or week if self.either_day else month and week

    def _midnight(self, day: dt.date) -> dt.datetime:
        """The day's first moment, which may be one o'clock where the clock is put forward at midnight."""
        midnight = dt.datetime.combine(day, dt.time(), self.zone)
        return midnight.astimezone(dt.UTC).astimezone(self.zone)

    def _later(self, time: dt.datetime, by: dt.timedelta) -> dt.datetime:
        """So much later as time passes, whatever the zone's clock does meanwhile."""
        return (time.astimezone(dt.UTC) + by).astimezone(self.zone)


def _field(text: str, low: int, high: int, names: dict[str, int]) -> tuple[frozenset[int], bool]:
    """The values of a field, and whether it leaves them open."""
    values: set[int] = set()
    is_open = False
    for expression in filter(None, text.split(",")):
        matching, star = _range(expression, low, high, names)
        values.update(matching)
        is_open = is_open or star
    return frozenset(values), is_open


def _range(text: str, low: int, high: int, names: dict[str, int]) -> tuple[range, bool]:
    span, *steps = text.split("/")
    first, *rest = span.split("-")
    star = first in ("*", "?")
    start = low if star else _number(first, names)
    if star:
        end = high
    elif len(rest) > 1:
        raise ValueError(f"too many hyphens: {text}")
    else:
        end = _number(rest[0], names) if rest else start
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    step = 1
    if steps:
        step = _number(steps[0], {})
        end = end if rest else high  # 5/10 is 5-59/10
        star = star and step <= 1
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), star


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if len(text) > 18:
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": value out of range')
    if (number := int(text)) < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number
