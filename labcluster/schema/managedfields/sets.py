"""Sets of fields, and their two forms: FieldsV1 (the JSON in managedFields) and the texts of error messages.

A path is a tuple of elements as FieldsV1 writes them: `f:spec`, `k:{"name":"web"}` (an item of a list with keys),
`v:"a"` (a member of a list that is a set). Upstream: structured-merge-diff fieldpath/{element,serialize}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from labcluster.api.json_values import is_too_deep
from labcluster.api.objects import JSON

Path = tuple[str, ...]
Paths = frozenset[Path]

NOTHING: Paths = frozenset()
_SELF = "."  # in FieldsV1: the path itself is in the set, and not only what lies below


def encode(paths: Iterable[Path]) -> JSON:
    """The paths as FieldsV1."""
    root: JSON = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node[_SELF] = {}
    return _without_redundant_self(root)


def _without_redundant_self(node: JSON) -> JSON:
    if len(node) == 1 and _SELF in node:
        return {}
    return {k: v if k == _SELF else _without_redundant_self(v) for k, v in node.items()}


def decode(fields: JSON) -> Paths:
    """The paths of a FieldsV1. Raises ValueError when it is malformed."""
    return frozenset(_paths(fields, ()))


def _paths(node: Any, path: Path) -> Iterator[Path]:
    if not isinstance(node, dict):
        raise ValueError(f"expected an object at {text(path) or 'the top'}")
    if path and (not node or _SELF in node):
        yield path
    for element, below in node.items():
        if element == _SELF:
            continue
        if element[:2] not in ("f:", "k:", "v:", "i:"):
            raise ValueError(f"unknown path element {element!r}")
        if element[0] in "kv" and is_too_deep(orjson.loads(element[2:])):
            raise ValueError(f"path element {element[:20]!r} is nested too deeply")
        yield from _paths(below, (*path, element))


def text(path: Path) -> str:
    """A path as messages write it: `.spec.containers[name="web"].image`."""
    return "".join(_element_text(element) for element in path)


def _element_text(element: str) -> str:
    kind, content = element[0], element[2:]
    if kind == "f":
        return "." + content
    if kind == "k":
        keys = orjson.loads(content)
        return "[" + ",".join(f"{k}={orjson.dumps(v).decode()}" for k, v in sorted(keys.items())) + "]"
    return f"[={content}]" if kind == "v" else f"[{content}]"


def with_named_parents(paths: Iterable[Path]) -> set[Path]:
    """The paths, and the fields that lead to them (EnsureNamedFieldsAreMembers)."""
    members = set(paths)
    for path in paths:
        members.update(path[:n] for n in range(1, len(path)) if path[n - 1].startswith("f:"))
    return members


def with_all_parents(paths: Iterable[Path]) -> set[Path]:
    """The paths, and every path that leads to one of them."""
    return {path[:n] for path in paths for n in range(1, len(path) + 1)}
