"""Quantities: what they mean, how they compare, how they are written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labcluster.api.quantities import QuantityError, canonical, parse


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("100Mi", "100Mi"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("500m", "500m"),
        ("1000m", "1"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("100", "100"),
        ("0", "0"),
        ("0Mi", "0"),
        ("-1k", "-1k"),
        ("+5", "5"),
        (".5", "500m"),
        ("5.", "5"),
        ("1Ki", "1Ki"),
        ("0.5Ki", "512"),
        ("1.1Ki", "1126400m"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e2", "1200"),
        ("1E", "1E"),
        ("100000E", "100000E"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        (100, "100"),
        (0.1, "100m"),
    ],
)
def test_the_canonical_form(text: Any, written: str) -> None:
    assert canonical(text) == written
    assert parse(written) == parse(text)


@pytest.mark.parametrize("text", ["", "Mi", "1 Gi", "ten", "1..5", "1GB", ".", None, True, [], {}])
def test_malformed_quantities_say_the_rule(text: Any) -> None:
    with pytest.raises(QuantityError, match="quantities must match the regular expression"):
        parse(text)


@pytest.mark.parametrize("text", ["1KK", "1Mie", "1e", "1i"])
def test_unknown_suffixes_are_named_as_such(text: str) -> None:
    with pytest.raises(QuantityError, match="unable to parse quantity's suffix"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("9" * 5000, "9223372036854775807"),
        ("-" + "9" * 30, "-9223372036854775807"),
        ("1" * 40 + "Ei", "9223372036854775807"),
        ("9Ei", "9223372036854775807"),
        ("1e999", "1e999"),
        ("0." + "0" * 3000 + "1", "1n"),
    ],
)
def test_numbers_beyond_what_upstream_holds_are_cut_off(text: str, kept: str) -> None:
    assert canonical(text) == kept
    assert (parse(text) + parse("1") - parse("1")).value is not None


def test_quantities_compare_by_amount() -> None:
    assert parse("1Gi") == parse("1024Mi") and hash(parse("1Gi")) == hash(parse("1024Mi"))
    assert parse("1G") < parse("1Gi") <= parse("2Gi")
    assert max(parse("500m"), parse("0.4")) == parse("0.5")


def test_amounts_round_up_to_whole_units() -> None:
    assert (parse("1500m").value, parse("100u").milli, parse("2").milli) == (2, 1, 2000)
    assert str(parse("1Gi") + parse("512Mi")) == "1536Mi"
    assert str(parse("1") - parse("250m")) == "750m"


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=9), st.sampled_from(["", "k", "Ki", "M", "Mi", "m"]))
def test_the_canonical_form_loses_nothing(number: Decimal, suffix: str) -> None:
    quantity = parse(f"{number:f}{suffix}")
    assert parse(str(quantity)) == quantity
    assert canonical(str(quantity)) == str(quantity)
