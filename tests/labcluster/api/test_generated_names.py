"""The generated parts of names: hashes, and the alphabet that spells no words."""

from __future__ import annotations

import re

from labcluster.api.generated_names import fnv1_32, fnv1a_32, random_suffix, safe_encode


def test_fnv_1_is_multiply_then_xor_and_1a_the_other_way_round() -> None:
    assert (fnv1_32(b"foobar"), fnv1a_32(b"foobar")) == (0x31F0B262, 0xBF9CF968)


def test_the_hash_spells_no_words() -> None:
    assert safe_encode("0123456789") == "456789bcdf"


def test_a_suffix_spells_none_either() -> None:
    assert re.fullmatch("[bcdfghjklmnpqrstvwxz2456789]{50}", random_suffix(50))
