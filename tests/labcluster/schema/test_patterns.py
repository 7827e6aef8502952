"""Patterns: Go's language, and no text that takes long."""

from __future__ import annotations

import subprocess
import sys

import pytest

from labcluster.schema.structural import patterns

LONG = "a" * 100_000 + "b"  # a pattern that goes back and tries again does not come to an end of it


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^\d+$", "12", "12"),
        (r"^\d+$", "12\n", ""),
        (r"\d", "٣", ""),  # about ASCII
        (r"[[:upper:]]+", "abCDe", "CD"),
        (r"(?i)ABC", "xabc", "abc"),
        (r"(?P<n>b)|(?<m>c)", "acb", "c"),
        (r"[^\n]+", "ä€😀", "ä€😀"),
        (r"\\C", r"a\C", r"\C"),
        (r"\Q\C\E+", r"a\CC", r"\CC"),
        (r"(a*)+", "b", ""),
    ],
)
def test_it_is_the_language_of_go(pattern: str, text: str, found: str) -> None:
    assert patterns.find(pattern, text) == found
    assert patterns.matches(pattern, text) == bool(found or pattern == "(a*)+")


def test_all_matches_and_the_first_of_them() -> None:
    assert patterns.find_all(r"\pL", "ä1b") == ["ä", "b"]
    assert patterns.find_all(r"\pL", "ä1b", 1) == ["ä"]
    assert patterns.find_all(r"\pL", "ä1b", 0) == []
    assert patterns.find_all(r"x*", "ax") == ["", "x"]


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|aa)+$", r"^([a-z]+)*$x", r"(a*)*c"])
def test_a_long_text_is_no_trouble(pattern: str) -> None:
    patterns.matches(pattern, LONG)
    assert len(patterns.find_all(r"^(a+)+", LONG)) == 1


@pytest.mark.parametrize("pattern", ["(x?){1000}(y?){1000}(a?){1000}c$", "[ab]*a[ab]{900}c"])
def test_a_text_that_is_too_long_for_a_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(patterns.PatternError, match="the text is too long for this pattern"):
        patterns.matches(pattern, LONG * 3)


def test_so_are_too_many_matches_of_a_long_text() -> None:
    with pytest.raises(patterns.PatternError, match="the text is too long for this pattern"):
        patterns.find_all("a", LONG)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "error parsing regexp: missing closing ): `(`"),
        ("a)", "error parsing regexp: unexpected ): `a)`"),
        ("[a", "error parsing regexp: missing closing ]: `[a`"),
        ("*", "error parsing regexp: missing argument to repetition operator: `*`"),
        ("a**", "error parsing regexp: invalid nested repetition operator: `**`"),
        ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
        ("(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
        (r"\Z", r"error parsing regexp: invalid escape sequence: `\Z`"),
        (r"\\\Ca", r"error parsing regexp: invalid escape sequence: `\C`"),
        ("[b-a]", "error parsing regexp: invalid character class range: `b-a`"),
        (r"(\pL?){900}", r"error parsing regexp: expression too large: `(\pL?){900}`"),
    ],
)
def test_what_is_no_pattern_is_refused_in_the_words_of_go(pattern: str, words: str) -> None:
    with pytest.raises(patterns.PatternError) as error:
        patterns.check(pattern)
    assert str(error.value) == words


def test_the_library_is_loaded_late() -> None:
    program = "import labcluster.daemon, sys; sys.exit('re2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
