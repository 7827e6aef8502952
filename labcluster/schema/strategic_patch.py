"""The strategic merge patch: a merge patch that merges the items of lists by a key.

The algorithm is upstream's (apimachinery pkg/util/strategicpatch/patch.go): lists with patch strategy "merge" are
merged by their merge key, lists of scalars as sets; directives in the patch delete, replace, order and retain.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from labcluster.api.errors import ApiError, bad_request
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import Resource
from labcluster.schema.definitions import Field, Type, type_of

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def apply_strategic_patch(obj: JSON, patch: Any, resource: Resource) -> JSON:
    """Apply a strategic merge patch to an object of that resource and return the new object.

    Raises ApiError 400 for a malformed patch or directive, 422 for a list item without its merge key.
    """
    if not isinstance(patch, dict):
        raise bad_request("invalid JSON document")
    return _merge_map(clone(obj), clone(patch), type_of(resource))


def _merge_map(original: JSON, patch: JSON, kind: Type) -> JSON:
    """Merge into `original` in place; `patch` is consumed."""
    match patch.pop(_PATCH, None):
        case "replace":
            return _plain_map(patch)
        case "delete":
            return {}
        case None | "merge":
            pass
        case other:
            raise bad_request(f"Unknown patch type: {other} in map")
    _retain_keys(original, patch)
    for directive in [k for k in patch if k.startswith(_ORDER)]:
        _merge_in_order(original, patch, directive, kind)
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            _delete_scalars(original, key.removeprefix(_DELETE_FROM), value)
        elif value is None:
            original.pop(key, None)
        elif key not in original:
            original[key] = _plain(value)
        else:
            original[key] = _merge_value(original[key], value, kind.member(key), key)
    return original


def _merge_value(original: Any, value: Any, field: Field, key: str) -> Any:
    if isinstance(value, dict) and isinstance(original, dict):
        return _plain(value) if "replace" in field.strategies else _merge_map(original, value, field.type)
    if isinstance(value, list) and isinstance(original, list) and "merge" in field.strategies:
        return _merge_list(original, value, field, key)
    return _plain(value)


def _merge_list(original: list[Any], patch: list[Any], field: Field, key: str) -> list[Any]:
    original, patch, replaced = _special_items(original, patch, field, key)
    if replaced:
        return _plain_list(patch)
    merged = list(original)
    identity = _identity(field, key)
    if not field.merge_key:
        present = {identity(item) for item in merged}
        merged += [item for item in dict.fromkeys(patch) if identity(item) not in present]
    else:
        places = {identity(item): place for place, item in reversed(list(enumerate(merged)))}  # the first one counts
        for item in patch:
            place = places.get(identity(item))
            if place is None:
                places[identity(item)] = len(merged)
                merged.append(_plain(item))
            else:
                merged[place] = _merge_map(merged[place], item, field.type.item or field.type)
    return _ordered(merged, [identity(item) for item in patch], [identity(item) for item in original], identity)


def _special_items(original: list[Any], patch: list[Any], field: Field, key: str) -> tuple[list[Any], list[Any], bool]:
    """Carry out the `$patch` items of a list: what is left of both sides, and whether the patch replaces."""
    rest: list[Any] = []
    replaced = False
    identity = _identity(field, key)
    for item in patch:
        directive = item.get(_PATCH) if isinstance(item, dict) else None
        if directive is None or (directive == "merge" and field.merge_key):
            rest.append(item)
        elif directive == "replace":
            replaced = True
        elif directive == "delete":
            gone = identity(item)
            original = [o for o in original if identity(o) != gone]
        else:
            raise bad_request(f"Unknown patch type: {directive} in list")
    return original, rest, replaced


def _identity(field: Field, key: str) -> Callable[[Any], Hashable]:
    """What makes two items of a merged list the same: the merge key's value, or the scalar itself."""

    def of(item: Any) -> Hashable:
        if not field.merge_key:
            if isinstance(item, (dict, list)):
                raise _unprocessable(f"cannot merge the list {key}: its items have no merge key")
            return (type(item) is bool, item)
        if not isinstance(item, dict):
            raise bad_request(f"the items of the list {key} must be objects, found {item!r}")
        value = item.get(field.merge_key)
        if value is None or isinstance(value, (dict, list)):
            raise _unprocessable(f"map: {item} does not contain declared merge key: {field.merge_key}")
        return (type(value) is bool, value)

    return of


def _merge_in_order(original: JSON, patch: JSON, directive: str, kind: Type) -> None:
    """Carry out one `$setElementOrder/<list>`: merge that list and give it the order asked for."""
    wanted = patch.pop(directive)
    key = directive.removeprefix(_ORDER)
    field = kind.member(key)
    ours, theirs = original.get(key), patch.get(key)
    if not isinstance(wanted, list):
        raise bad_request("invalid patch format of $setElementOrder list")
    if "merge" not in field.strategies or not isinstance(ours, (list, type(None))):
        return  # an atomic list is replaced as it is
    if theirs is None and (ours is None or key in patch):
        return  # no list on either side, or one that the patch deletes
    if not isinstance(theirs, (list, type(None))):
        return
    identity = _identity(field, key)
    order = [identity(item) for item in wanted]
    if theirs is not None:
        kept = [i for i in theirs if not (isinstance(i, dict) and i.get(_PATCH) in ("delete", "replace"))]
        _check_order([identity(item) for item in kept], order, key)
        del patch[key]
    removal = patch.pop(_DELETE_FROM + key, None)
    if removal is not None:
        _delete_scalars(original, key, removal)
    before = [identity(item) for item in ours or ()]
    if ours is None:
        merged = _plain_list(theirs or [])
    elif theirs is None:
        merged = original[key]
    else:
        merged = _merge_list(original[key], theirs, field, key)
    original[key] = _ordered(merged, order, before, identity)


def _check_order(items: list[Hashable], order: list[Hashable], key: str) -> None:
    places = [order.index(item) if item in order else -1 for item in items]
    if -1 in places or places != sorted(places):
        raise _unprocessable(f"The order in patch list {key} doesn't match {_ORDER}{key}")


def _ordered(
    merged: list[Any], wanted: list[Hashable], before: list[Hashable], identity: Callable[[Any], Hashable]
) -> list[Any]:
    """Put the patched items into the wanted order and weave in the rest, each before what it stood before.

    An item that the server alone has goes before the next patched item that it preceded in the old list (upstream's
    mergeSortedSlice); where the old list does not say, the patched item comes first.
    """
    rank = {item: place for place, item in reversed(list(enumerate(wanted)))}
    old = {item: place for place, item in reversed(list(enumerate(before)))}
    patched = sorted((i for i in merged if identity(i) in rank), key=lambda i: rank[identity(i)])
    rest = sorted((i for i in merged if identity(i) not in rank), key=lambda i: old.get(identity(i), len(old)))
    result: list[Any] = []
    while patched and rest:
        left, right = old.get(identity(rest[0])), old.get(identity(patched[0]))
        first = rest if left is not None and right is not None and left < right else patched
        result.append(first.pop(0))
    return result + rest + patched


def _delete_scalars(original: JSON, key: str, gone: Any) -> None:
    if not isinstance(gone, list):
        raise bad_request("invalid patch format of primitive list")
    if isinstance(original.get(key), list):
        original[key] = [item for item in original[key] if item not in gone]


def _retain_keys(original: JSON, patch: JSON) -> None:
    """Carry out `$retainKeys`: drop what is in neither the list nor, by the rules, the patch."""
    if _RETAIN not in patch:
        return
    retained = patch.pop(_RETAIN)
    if not isinstance(retained, list):
        raise bad_request("invalid patch format of $retainKeys")
    for key, value in patch.items():
        if value is not None and not key.startswith("$") and key not in retained:
            raise bad_request("invalid patch format of $retainKeys: it must name every field that the patch sets")
    for key in [k for k in original if k not in retained]:
        del original[key]


def _plain(value: Any) -> Any:
    """A value of the patch as a new value of the object: without nulls in maps and without directives."""
    if isinstance(value, dict):
        return _plain_map(value)
    return _plain_list(value) if isinstance(value, list) else value


def _plain_map(value: JSON) -> JSON:
    return {k: _plain(v) for k, v in value.items() if v is not None and not _is_directive(k)}


def _plain_list(values: list[Any]) -> list[Any]:
    return [_plain(v) for v in values if not (isinstance(v, dict) and v.get(_PATCH) in ("delete", "replace"))]


def _is_directive(key: str) -> bool:
    return key in (_PATCH, _RETAIN) or key.startswith((_DELETE_FROM, _ORDER))


def _unprocessable(why: str) -> ApiError:
    return ApiError(422, "Invalid", why)
