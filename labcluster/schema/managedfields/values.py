"""Walks over typed objects: the fields that one sets, the difference of two, merging, removing fields.

The schema says how to walk: structs and maps by name, lists by their keys or values where they are maps or sets; all
else is a leaf. Upstream: structured-merge-diff typed/{tofieldset,compare,merge,
remove}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.schema.definitions import Field
from labcluster.schema.managedfields.sets import Path, Paths

# Keys of list items that may be left out: the schemas that are published with the package have lost these defaults.
_KEY_DEFAULTS = {"protocol": "TCP", "name": ""}
# Structs that Go always writes, empty or not: they are never added, and so never owned themselves.
_ALWAYS_THERE = frozenset(
    ("f:metadata", "f:spec", "f:status", "f:template", "f:strategy", "f:updateStrategy", "f:containers", "f:resources")
)

Children = dict[str, tuple[Any, Field]]


def children(value: Any, kind: Field) -> Children | None:
    """What lies below a value, by path element; None for a leaf."""
    if isinstance(value, dict):
        if kind.is_atomic or kind.type.kind not in ("struct", "map"):
            return None
        return {f"f:{key}": (below, kind.type.member(key)) for key, below in value.items()}
    if isinstance(value, list) and kind.list_type in ("map", "set") and kind.type.item is not None:
        item = Field(kind.type.item)
        items = {_item_element(below, kind): (below, item) for below in value}
        return items if len(items) == len(value) else None  # with duplicates the list is one leaf
    return None


def _item_element(item: Any, kind: Field) -> str:
    if kind.list_type == "set" or not isinstance(item, dict):
        return "v:" + orjson.dumps(item).decode()
    defaults = _KEY_DEFAULTS if kind.key_defaults is None else kind.key_defaults
    keys = {key: item.get(key, defaults.get(key)) for key in kind.list_keys}
    given = {key: value for key, value in keys.items() if value is not None}
    return "k:" + orjson.dumps(given, option=orjson.OPT_SORT_KEYS).decode()


def field_set(obj: JSON, kind: Field) -> Paths:
    """The fields that an object sets (ToFieldSet)."""
    return frozenset(_fields(obj, kind, ()))


def _fields(value: Any, kind: Field, path: Path) -> Iterator[Path]:
    below = children(value, kind)
    if below is None:
        yield path
        return
    by_name = isinstance(value, dict)
    for element, (child, child_kind) in below.items():
        here = (*path, element)
        # An item of a list or map is there by itself; a field of a struct only by what is in it.
        if not by_name or kind.type.kind == "map" or child in ({}, []):
            yield here
        yield from _fields(child, child_kind, here)


@dataclass
class Difference:
    """How a second object differs from a first one."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


def compare(old: JSON, new: JSON, kind: Field) -> Difference:
    """What must be added to, modified in and removed from `old` to get `new`."""
    difference = Difference()
    _compare(old, new, kind, (), difference)
    return difference


def _compare(old: Any, new: Any, kind: Field, path: Path, difference: Difference) -> None:
    if old == new:
        return
    before, after = children(old, kind), children(new, kind)
    if before is None or after is None:
        difference.modified.add(path)
        return
    for element, (value, child_kind) in after.items():
        here = (*path, element)
        if element in before:
            _compare(before[element][0], value, child_kind, here, difference)
        else:
            difference.added.update(_everything(value, child_kind, here))
    for element, (value, child_kind) in before.items():
        if element not in after:
            difference.removed.update(_everything(value, child_kind, (*path, element)))


def _everything(value: Any, kind: Field, path: Path) -> Iterator[Path]:
    below = children(value, kind)
    if not below or path[-1] not in _ALWAYS_THERE or kind.type.custom:
        yield path
    for element, (child, child_kind) in (below or {}).items():
        yield from _everything(child, child_kind, (*path, element))


def merge(live: Any, config: Any, kind: Field) -> Any:
    """`live` with the fields of `config` set in it; shares nothing with either."""
    before, after = children(live, kind), children(config, kind)
    if before is None or after is None:
        return clone(config)
    values = {
        element: merge(before[element][0], value, child_kind) if element in before else clone(value)
        for element, (value, child_kind) in after.items()
    }
    if isinstance(live, dict):
        kept = {key: clone(value) for key, value in live.items() if f"f:{key}" not in values}
        return kept | {element[2:]: value for element, value in values.items()}
    return [
        values[element] if element in values else clone(before[element][0])
        for element in _order(list(before), list(after))
    ]


def _order(live: list[str], config: list[str]) -> list[str]:
    """The items of both lists: those of `config` in its order, the others where `live` has them."""
    ours = set(config)
    result: list[str] = []
    position = 0
    for element in config:
        while position < len(live) and live[position] not in ours:
            result.append(live[position])
            position += 1
        result.append(element)
        while position < len(live) and live[position] in result:
            position += 1
    return result + [element for element in live[position:] if element not in ours]


def remove(obj: JSON, paths: Iterable[Path], kind: Field) -> JSON:
    """A copy of the object without these fields and items."""
    tree: dict[str, Any] = {}
    for path in paths:
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        node["."] = True
    result: JSON = _removed(obj, tree, kind)
    return result


def _removed(value: Any, tree: dict[str, Any], kind: Field) -> Any:
    below = children(value, kind)
    if below is None:
        return clone(value)
    left: dict[str, Any] = {}
    for element, (child, child_kind) in below.items():
        node = tree.get(element)
        if node is None:
            left[element] = clone(child)
        elif "." not in node:
            left[element] = _removed(child, node, child_kind)
    if isinstance(value, dict):
        return {element[2:]: child for element, child in left.items()}
    return list(left.values())
