"""The JSONPath of printer columns, scale paths and selectable fields (upstream: client-go util/jsonpath).

Understood are fields (`.spec.a`, `['a.b']`), places (`[0]`, `[-1]`, `[1:3]`), `[*]`, `..name` and filters such as
`[?(@.type=="Ready")]`.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from labcluster.api.objects import JSON

_MOST_VISITS = 10_000  # of values, for one path: ..*..*..* visits the cube of what there is


class TooManyVisits(Exception):
    """The path visits more values than are allowed."""


class _Visits:
    """How many more values one search may visit."""

    def __init__(self) -> None:
        self.left = _MOST_VISITS

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise TooManyVisits


Step = Callable[[Any, _Visits], Iterator[Any]]

# Possessive quantifiers (*+): with backtracking, many spaces would take quadratic time.
_STEP = re.compile(
    r"\.\.(?P<deep>[\w-]+|\*)"
    r"|\.?\[\s*+(?P<quote>['\"])(?P<quoted>.*?)(?P=quote)\s*+\]"
    r"|\.?\[\s*+\?\((?P<filter>.*?)\)\s*+\]"
    r"|\.?\[\s*+(?P<start>-?\d*+)\s*+(?P<colon>:)\s*+(?P<stop>-?\d*+)\s*+\]"
    r"|\.?\[\s*+(?P<index>-?\d++)\s*+\]"
    r"|\.?\[\s*+(?P<all>\*)\s*+\]"
    r"|\.(?P<name>(?:\\.|[^.\[\]\\\s])+)"
)
_FILTER = re.compile(r"@(?P<path>[^=!<>]*+)(?:(?P<operator>==|!=|<=|>=|<|>)(?P<value>.+))?")
_LONGEST = 4096  # characters


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Step, ...]:
    """The steps of a path. Raises ValueError for what is none."""
    if len(text) > _LONGEST:
        raise ValueError(f"paths have at most {_LONGEST} characters")
    steps: list[Step] = []
    position = 1 if text.startswith("$") else 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            if text[position:] == ".":  # the whole object
                break
            raise ValueError(f"unrecognized character in path at {text[position:]!r}")
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def find(text: str, obj: Any) -> Iterator[Any]:
    """What the path leads to, missing parts left out. Raises ValueError for what is no path, and TooManyVisits."""
    return _follow(parse(text), obj, _Visits())


def first(text: str, obj: Any) -> Any:
    """The first of it, or None. Raises as find does."""
    return next(find(text, obj), None)


def is_simple(text: str) -> bool:
    """Whether a path names fields only, as scale and selectable fields must."""
    return len(text) <= _LONGEST and bool(re.fullmatch(r"(\.[\w-]+)+", text))


def shown(value: Any) -> str:
    """A found value as text: scalars as they are, the rest as JSON."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if not isinstance(value, float) else f"{value:g}"


def _follow(steps: tuple[Step, ...], value: Any, visits: _Visits) -> Iterator[Any]:
    if not steps:
        yield value
        return
    for below in steps[0](value, visits):
        yield from _follow(steps[1:], below, visits)


def _step(match: re.Match[str]) -> Step:
    if match["deep"] is not None:
        return functools.partial(_deep, match["deep"])
    if match["quoted"] is not None:
        return functools.partial(_field, match["quoted"])
    if match["filter"] is not None:
        return functools.partial(_filtered, _predicate(match["filter"].strip()))
    if match["colon"]:
        start, stop = (int(match[k]) if match[k] else None for k in ("start", "stop"))
        return functools.partial(_places, slice(start, stop))
    if match["index"] is not None:
        index = int(match["index"])
        return functools.partial(_places, slice(index, index + 1 or None))
    if match["all"]:
        return _everything
    name = re.sub(r"\\(.)", r"\1", match["name"])
    return _everything if name == "*" else functools.partial(_field, name)


def _field(name: str, value: Any, visits: _Visits) -> Iterator[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]


def _places(where: slice, value: Any, visits: _Visits) -> Iterator[Any]:
    if isinstance(value, list):
        yield from _everything(value[where], visits)


def _everything(value: Any, visits: _Visits) -> Iterator[Any]:
    if isinstance(value, (list, dict)):
        for below in value.values() if isinstance(value, dict) else value:
            visits.count()
            yield below


def _deep(name: str, value: Any, visits: _Visits) -> Iterator[Any]:
    yield from _everything(value, visits) if name == "*" else _field(name, value, visits)
    for below in _everything(value, visits):
        yield from _deep(name, below, visits)


def _filtered(predicate: Callable[[Any, _Visits], bool], value: Any, visits: _Visits) -> Iterator[Any]:
    yield from (item for item in _everything(value, visits) if predicate(item, visits))


def _predicate(text: str) -> Callable[[Any, _Visits], bool]:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise ValueError(f"unrecognized filter {text!r}")
    steps = parse(match["path"].rstrip())
    if match["operator"] is None:
        return lambda item, visits: any(True for _ in _follow(steps, item, visits))
    wanted, order = _literal(match["value"].strip()), match["operator"]

    def holds(item: Any, visits: _Visits) -> bool:
        return any(_compare(value, order, wanted) for value in itertools.islice(_follow(steps, item, visits), 1))

    return holds


def _literal(text: str) -> Any:
    if text[:1] in "'\"" and text[-1:] == text[:1] and len(text) > 1:
        return text[1:-1]
    try:
        return orjson.loads(text)
    except ValueError:
        raise ValueError(f"unrecognized value {text!r} in a filter") from None


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def _compare(value: Any, order: str, wanted: Any) -> bool:
    try:
        return _ORDERS[order](value, wanted)
    except TypeError:
        return False


def at(text: str, obj: JSON) -> Any:
    """The one value that a simple path leads to, or None."""
    return first(text, obj)


def put(text: str, obj: JSON, value: Any) -> None:
    """Set what a simple path leads to, in place; the objects on the way are made where they are missing.

    Raises ValueError where something else stands in the way.
    """
    *way, last = text.removeprefix(".").split(".")
    for index, name in enumerate(way, 1):
        obj = obj.setdefault(name, {})
        if not isinstance(obj, dict):
            path = ".".join(way[:index])
            raise ValueError(f"value cannot be set because .{path} is not a map[string]interface{{}}")
    obj[last] = value
