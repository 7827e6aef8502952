r"""Patterns of schemas and rules: the syntax of Go's regexp, in linear time.

It is RE2's syntax (github.com/google/re2/wiki/Syntax): `$` is the very end of the text, classes such as `\d` are ASCII,
there are no lookarounds and no backreferences. The library is loaded with the first pattern: most clusters have none.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re2

# A text of so many bytes times a pattern of so many instructions: half a second to a second at the worst.
_MOST_STEPS = 100_000_000
# RE2's texts of errors, and Go's (regexp/syntax/parse.go).
_GO_WORDS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "no argument for repetition operator": "missing argument to repetition operator",
    "trailing \\": "trailing backslash at end of expression",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "pattern too large - compile failed": "expression too large",
}
_ESCAPE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\(.)", re.DOTALL)  # what stands between \Q and \E is itself


class PatternError(ValueError):
    """The text is no pattern, or too long for it; the message says which."""


def check(pattern: str) -> None:
    """Raises PatternError, in Go's words, for what is no pattern."""
    _compiled(pattern)


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in a text. Raises PatternError."""
    return _bounded(_compiled(pattern), text).search(text) is not None


def find(pattern: str, text: str) -> str:
    """The first match of a pattern in a text, or "". Raises PatternError."""
    match = _bounded(_compiled(pattern), text).search(text)
    return str(match[0]) if match else ""


def find_all(pattern: str, text: str, most: int = -1) -> list[str]:
    """Every match of a pattern in a text, or the first `most` of them. Raises PatternError."""
    compiled = _compiled(pattern)
    matches: list[str] = []
    end = -1
    for match in _bounded(compiled, text).finditer(text):
        if len(matches) == most:
            break
        if match.span() == (end, end):
            continue  # an empty match at the end of another: Go leaves it out
        end = match.end()
        matches.append(match[0])
        _bounded(compiled, text, len(matches))  # each search may run to the end of the text
    return matches


def _bounded(compiled: re2._Regexp, text: str, times: int = 1) -> re2._Regexp:
    """The pattern, if the text is not too long for it: where it has too many states, RE2 follows each of them."""
    if len(text) * compiled.programsize * times > _MOST_STEPS:
        raise PatternError("the text is too long for this pattern")
    return compiled


@functools.lru_cache(maxsize=128)  # each may come to hold 8 MiB
def _compiled(pattern: str) -> re2._Regexp:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2._Regexp(pattern, options)  # not re2.compile, which keeps as many again
    except re2.error as error:
        message = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error.args[0])
        what, _, where = message.partition(": ")
        raise PatternError(f"error parsing regexp: {_GO_WORDS.get(what, what)}: `{where or pattern}`") from error
    if any(escape[1] == "C" for escape in _ESCAPE.finditer(pattern)):  # a byte: RE2 has it, Go has not
        raise PatternError(r"error parsing regexp: invalid escape sequence: `\C`")
    return compiled
