"""Patches: JSON patch (RFC 6902) and JSON merge patch (RFC 7386); the strategic one is in strategic_patch.py.

All three are pure: they return a new object and leave their inputs as they were. The error texts are those of the
library that the API server uses (evanphx/json-patch v4).
"""

from __future__ import annotations

import re
from typing import Any

from labcluster.api.errors import ApiError, bad_request
from labcluster.api.json_values import clone, equal
from labcluster.api.objects import JSON
from labcluster.schema.decoding import go_kind
from labcluster.schema.strategic_patch import apply_strategic_patch

__all__ = ["apply_json_patch", "apply_merge_patch", "apply_strategic_patch"]

MAX_OPERATIONS = 10_000  # of one JSON patch, as the API server limits it

_INDEX = re.compile(r"0|[1-9][0-9]*")


def apply_json_patch(obj: JSON, patch: Any) -> JSON:
    """Apply a JSON patch (RFC 6902, sections 4 and 5) and return the new object.

    Raises ApiError 400 for a patch that is none, 413 for one that is too long, 422 when an operation does not apply
    or a test fails; the whole patch is then without effect.
    """
    if not isinstance(patch, list):
        raise bad_request(f"json: cannot unmarshal {go_kind(patch)} into Go value of type jsonpatch.Patch")
    if len(patch) > MAX_OPERATIONS:
        raise ApiError(
            413,
            "RequestEntityTooLarge",
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}",
        )
    document: Any = clone(obj)
    for operation in patch:
        if not isinstance(operation, dict):
            raise bad_request(f"json: cannot unmarshal {go_kind(operation)} into Go value of type jsonpatch.Operation")
        document = _apply(document, operation)
    if not isinstance(document, dict):
        raise _unprocessable("the patched document is not an object")
    return document


def _apply(document: Any, operation: JSON) -> Any:
    name = operation.get("op")
    if name not in ("add", "remove", "replace", "move", "copy", "test"):
        raise _unprocessable(f"Unexpected kind: {name if isinstance(name, str) else 'unknown'}")
    path = _pointer(operation, "path", name)
    if name in ("add", "replace") and "value" not in operation:
        raise _unprocessable(f"{name} operation does not apply: the operation has no value")
    if name == "add":
        return _add(document, path, clone(operation["value"]), name)
    if name == "remove":
        return _remove(document, path, name)
    if name == "replace":
        return _replace(document, path, clone(operation["value"]))
    if name == "test":
        tested = _lookup(document, path)
        if not equal(None if tested is _MISSING else tested, operation.get("value")):  # as the library has it
            raise _unprocessable(f"testing value {operation['path']} failed: test failed")
        return document
    source = _pointer(operation, "from", name)
    value = _lookup(document, source)
    if value is _MISSING:
        raise _unprocessable(f"{name} operation does not apply: doc is missing from path: {operation['from']}")
    if name == "move":
        if path[: len(source)] == source and len(path) > len(source):
            raise _unprocessable(f"move operation does not apply: {operation['path']} lies within {operation['from']}")
        document = _remove(document, source, name)
    return _add(document, path, clone(value), name)


_MISSING: Any = object()


def _pointer(operation: JSON, member: str, name: str) -> list[str]:
    """The tokens of a JSON pointer (RFC 6901)."""
    text = operation.get(member)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _unprocessable(f'{name} operation does not apply: "{member}" is no JSON pointer: {text!r}')
    return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]


def _step(container: Any, token: str) -> Any:
    if isinstance(container, dict):
        return container.get(token, _MISSING)
    if isinstance(container, list) and _INDEX.fullmatch(token) and int(token) < len(container):
        return container[int(token)]
    return _MISSING


def _lookup(document: Any, path: list[str]) -> Any:
    for token in path:
        document = _step(document, token)
    return document


def _parent(document: Any, path: list[str], name: str) -> Any:
    container = _lookup(document, path[:-1])
    if not isinstance(container, (dict, list)):
        raise _unprocessable(f'{name} operation does not apply: doc is missing path: "{_text(path)}": missing value')
    return container


def _add(document: Any, path: list[str], value: Any, name: str) -> Any:
    if not path:
        return value
    container, last = _parent(document, path, name), path[-1]
    if isinstance(container, dict):
        container[last] = value
    elif last == "-":
        container.append(value)
    else:
        container.insert(_index(last, name, path, len(container)), value)
    return document


def _remove(document: Any, path: list[str], name: str) -> Any:
    if not path:
        raise _unprocessable(f"{name} operation does not apply: the whole document cannot be removed")
    container, last = _parent(document, path, name), path[-1]
    if isinstance(container, list):
        del container[_index(last, name, path, len(container) - 1)]
    elif last in container:
        del container[last]
    else:
        why = f"Unable to remove nonexistent key: {last}: missing value"
        raise _unprocessable(f"error in {name} for path: '{_text(path)}': {why}")
    return document


def _replace(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    container, last = _parent(document, path, "replace"), path[-1]
    if _step(container, last) is _MISSING:
        raise _unprocessable(f"replace operation does not apply: doc is missing key: {_text(path)}: missing value")
    container[int(last) if isinstance(container, list) else last] = value
    return document


def _index(token: str, name: str, path: list[str], maximum: int) -> int:
    if not _INDEX.fullmatch(token) or int(token) > maximum:
        why = f"Unable to access invalid index: {token}: invalid index referenced"
        raise _unprocessable(f"error in {name} for path: '{_text(path)}': {why}")
    return int(token)


def _text(path: list[str]) -> str:
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)


def _unprocessable(why: str) -> ApiError:
    """422 with upstream's message; the cause, which upstream keeps to itself, is added to the details."""
    message = "the server rejected our request due to an error in our request"
    cause = {"reason": "FieldValueInvalid", "message": why, "field": "patch"}
    return ApiError(422, "Invalid", message, {"causes": [cause]})


def apply_merge_patch(obj: JSON, patch: Any) -> JSON:
    """Apply a JSON merge patch (RFC 7386, section 2) and return the new object; ApiError 400 for a non-object."""
    if not isinstance(patch, dict):
        raise bad_request(f"json: cannot unmarshal {go_kind(patch)} into Go value of type map[string]interface {{}}")
    merged: JSON = _merge(obj, patch)
    return merged


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return clone(patch)
    result = clone(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result
