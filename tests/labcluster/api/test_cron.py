"""Cron expressions: what they mean, as robfig/cron reads them, and what is wrong with those that are refused."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labcluster.api import cron

START = dt.datetime(2026, 7, 9, 14, 45, 30, tzinfo=dt.UTC)  # a Thursday


def times(text: str, count: int = 3, *, after: dt.datetime = START, zone: str = "") -> list[str]:
    """The next times of an expression, in its zone."""
    schedule, where = cron.parse(text, cron.load_zone(zone)), cron.load_zone(zone)
    found: list[str] = []
    while len(found) < count:
        time = schedule.next(after)
        if time is None:
            break
        found.append(time.astimezone(where).strftime("%y-%m-%d %H:%M"))
        after = time
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", ["26-07-09 14:46", "26-07-09 14:47", "26-07-09 14:48"]),
        ("*/20 * * * *", ["26-07-09 15:00", "26-07-09 15:20", "26-07-09 15:40"]),
        ("5/25 14 * * *", ["26-07-09 14:55", "26-07-10 14:05", "26-07-10 14:30"]),
        ("0-10/5,50 14 * * *", ["26-07-09 14:50", "26-07-10 14:00", "26-07-10 14:05"]),
        ("30 3 * * *", ["26-07-10 03:30", "26-07-11 03:30", "26-07-12 03:30"]),
        ("0 0 29 2 *", ["28-02-29 00:00", "32-02-29 00:00", "36-02-29 00:00"]),
        ("0 12 * JAN,oct *", ["26-10-01 12:00", "26-10-02 12:00", "26-10-03 12:00"]),
        ("0 12 * * mon-Fri", ["26-07-10 12:00", "26-07-13 12:00", "26-07-14 12:00"]),
        ("0 0 31 * *", ["26-07-31 00:00", "26-08-31 00:00", "26-10-31 00:00"]),
        ("0 0 ? 12 ?", ["26-12-01 00:00", "26-12-02 00:00", "26-12-03 00:00"]),
        ("@hourly", ["26-07-09 15:00", "26-07-09 16:00", "26-07-09 17:00"]),
        ("@daily", ["26-07-10 00:00", "26-07-11 00:00", "26-07-12 00:00"]),
        ("@midnight", ["26-07-10 00:00", "26-07-11 00:00", "26-07-12 00:00"]),
        ("@weekly", ["26-07-12 00:00", "26-07-19 00:00", "26-07-26 00:00"]),
        ("@monthly", ["26-08-01 00:00", "26-09-01 00:00", "26-10-01 00:00"]),
        ("@yearly", ["27-01-01 00:00", "28-01-01 00:00", "29-01-01 00:00"]),
        ("@annually", ["27-01-01 00:00", "28-01-01 00:00", "29-01-01 00:00"]),
        ("@every 1h30m", ["26-07-09 16:15", "26-07-09 17:45", "26-07-09 19:15"]),
        ("*/61 * * * *", ["26-07-09 15:00", "26-07-09 16:00", "26-07-09 17:00"]),  # the first of the range only
    ],
)
def test_when_an_expression_is_due(text: str, expected: list[str]) -> None:
    assert times(text) == expected


def test_two_days_are_alternatives_unless_one_is_open() -> None:
    assert times("0 0 1 * mon") == ["26-07-13 00:00", "26-07-20 00:00", "26-07-27 00:00"]
    assert times("0 0 1 * mon", 5)[3:] == ["26-08-01 00:00", "26-08-03 00:00"]
    assert times("0 0 1 * *", 1) == ["26-08-01 00:00"]
    assert times("0 0 */2 * mon", 2) == ["26-07-11 00:00", "26-07-13 00:00"], "with a step it is not open"


def test_a_time_on_the_second_is_not_due_again() -> None:
    exact = dt.datetime(2026, 7, 9, 15, 0, tzinfo=dt.UTC)
    assert times("0 * * * *", 1, after=exact) == ["26-07-09 16:00"]
    assert times("0 * * * *", 1, after=exact - dt.timedelta(microseconds=1)) == ["26-07-09 15:00"]


def test_a_clock_that_is_put_back_by_half_an_hour_is_passed() -> None:
    before = dt.datetime(2026, 4, 4, 10, tzinfo=dt.UTC)  # Lord Howe Island has half past one twice in this night
    found = times("0 5 * * *", 2, after=before, zone="Australia/Lord_Howe")
    assert found == ["26-04-05 05:00", "26-04-06 05:00"]
    assert times("0 2 * * *", 1, after=before, zone="Australia/Lord_Howe") == ["26-04-05 02:00"]
    assert times("45 1 * * *", 2, after=before, zone="Australia/Lord_Howe") == ["26-04-05 01:45", "26-04-05 01:45"]


def test_a_duration_of_many_digits_is_refused_and_does_not_hang() -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        cron.parse(f"@every {'1' * 1000}..")


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 30 feb *", "0 0 31 4,6,9,11 *", ", * * * *"])
def test_what_is_never_due(text: str) -> None:
    assert cron.parse(text).next(START) is None


def test_a_zone_has_its_own_midnight() -> None:
    assert cron.parse("0 0 * * *", cron.load_zone("Asia/Kolkata")).next(START) == dt.datetime(
        2026, 7, 9, 18, 30, tzinfo=dt.UTC
    )


def test_where_the_clock_is_put_forward_an_hour_is_left_out() -> None:
    before = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)
    assert times("30 2 * * *", 2, after=before, zone="Europe/Berlin") == ["26-03-30 02:30", "26-03-31 02:30"]


def test_where_it_is_put_back_an_hour_counts_twice() -> None:
    before = dt.datetime(2026, 10, 24, 12, tzinfo=dt.UTC)
    found = times("30 2 * * *", 3, after=before, zone="Europe/Berlin")
    assert found == ["26-10-25 02:30", "26-10-25 02:30", "26-10-26 02:30"]


def test_a_day_may_begin_at_one() -> None:
    before = dt.datetime(2026, 4, 22, 12, tzinfo=dt.UTC)  # Cairo puts its clocks forward at midnight
    assert times("0 * 24 4 *", 2, after=before, zone="Africa/Cairo") == ["26-04-24 01:00", "26-04-24 02:00"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("1 2  3 4 5 6", "expected exactly 5 fields, found 6: [1 2 3 4 5 6]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* 5-3 * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/1/2 * * * *", "too many slashes: */1/2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("-1 * * * *", 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax'),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
        ("@every 5d", 'failed to parse duration @every 5d: time: unknown unit "d" in duration "5d"'),
        ("TZ=Nowhere/No * * * * *", "provided bad location Nowhere/No: unknown time zone Nowhere/No"),
    ],
)
def test_what_is_wrong_with_an_expression(text: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:
        cron.parse(text)
    assert str(caught.value) == error


@pytest.mark.parametrize("name", ["Nowhere/No", "/etc/passwd", "../../etc/passwd", "Europe", "a\0b"])
def test_an_unknown_zone_is_said(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        cron.load_zone(name)


@given(st.text(alphabet="*?/,-0123456789 @everymonTZ=.hs", max_size=30), st.datetimes(timezones=st.just(dt.UTC)))
def test_any_text_is_a_schedule_or_an_error(text: str, after: dt.datetime) -> None:
    try:
        schedule = cron.parse(text)
    except ValueError:
        return
    after = after.replace(year=2026)
    time = schedule.next(after)
    assert time is None or time > after - dt.timedelta(seconds=1)
