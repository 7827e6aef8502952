"""JSON values: how deep they are, copying and comparing them, and sharing what two states of one have in common."""

from __future__ import annotations

from typing import Any

from labcluster.api.errors import bad_request

# Levels of lists and objects. orjson writes 254; the others are for the lists, tables, events and OpenAPI documents in
# which an object is served.
MOST_LEVELS = 234
LEVELS_ABOVE = 20


def is_too_deep(value: Any) -> bool:
    """Whether a value has more than MOST_LEVELS.

    Asked of all that comes in, before it is walked or written: beyond some depth each function that calls itself and
    each library fails, at a depth and with an error that change with the version (RecursionError, or a TypeError).
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MOST_LEVELS):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, (dict, list))
        ]
    return bool(level)


def check_depth(value: Any) -> None:
    """Raises ApiError 400 for a value that is too deep."""
    if is_too_deep(value):
        raise bad_request("the object provided is nested too deeply")


def clone(value: Any) -> Any:
    """Copy a JSON value deeply (several times faster than copy.deepcopy: JSON has no cycles)."""
    if isinstance(value, dict):
        return {k: clone(v) if isinstance(v, (dict, list)) else v for k, v in value.items()}
    if isinstance(value, list):
        return [clone(v) if isinstance(v, (dict, list)) else v for v in value]
    return value


def equal(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal; to Python, True is 1 as well."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def sharing(new: Any, old: Any) -> Any:
    """The JSON value `new`, in which every part that equals its counterpart in `old` is that object; changes `new`.

    So a history of states takes little more memory than the changes between them. Parts of different types are not
    equal, though Python calls 1, 1.0 and True so.
    """
    if new is old or type(new) is not type(old):
        return new
    if isinstance(new, dict):
        same = len(new) == len(old)
        for key, value in new.items():
            if key in old:
                kept = new[key] = sharing(value, old[key])
                same = same and kept is old[key]
            else:
                same = False
        return old if same else new
    if isinstance(new, list):
        new[: len(old)] = map(sharing, new, old)
        same = len(new) == len(old) and all(value is was for value, was in zip(new, old, strict=True))
        return old if same else new
    return old if new == old else new
