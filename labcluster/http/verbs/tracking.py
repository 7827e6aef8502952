"""metadata.managedFields of what clients write: which manager a request is, and what it manages afterwards.

Only requests are tracked. What controllers write belongs to nobody, and an object that nobody has managed so far stays
so until it is applied (as upstream's skipnonapplied.go has it for objects without managedFields).
"""

from __future__ import annotations

import contextlib
from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.http.call import Call
from labcluster.http.messages.options import invalid_options
from labcluster.schema.managedfields.managers import Manager, after_update, decode, encode
from labcluster.storage.registry import Tracker

_LONGEST_NAME = 128
_RESET: tuple[list[JSON], ...] = (
    [],
    [{}],
)  # what a client writes into managedFields to have an object forget its managers


def manager_of(call: Call, type_name: str, *, applies: bool = False, subresource: str | None = None) -> Manager:
    """The manager that a request writes as: its fieldManager, else the head of its user agent. Raises ApiError 422."""
    given = call.request.query.get("fieldManager", "")
    problems: list[FieldError] = []
    if len(given) > _LONGEST_NAME:
        problems.append(field.too_long("fieldManager", _LONGEST_NAME))
    if not given.isprintable():
        problems.append(field.invalid("fieldManager", given, "should only contain printable characters"))
    if applies and not given:
        problems.append(field.required("fieldManager", "is required for apply patch"))
    if not applies and call.request.query.get("force"):
        problems.append(field.forbidden("force", "may not be specified for non-apply patch"))
    if problems:
        raise invalid_options(type_name, problems)
    agent = call.request.headers.get("User-Agent", "").partition("/")[0]
    printable = "".join(character for character in agent if character.isprintable())
    where = call.target.subresource if subresource is None else subresource
    name = given or printable[:_LONGEST_NAME] or "unknown"
    return Manager(name, "Apply" if applies else "Update", call.resource.api_version, where)


def of_creation(call: Call) -> Tracker:
    """Tracks an object that a client creates. Raises ApiError 422."""
    manager = manager_of(call, "CreateOptions")
    return lambda old, new: encode(after_update({}, old, new, manager, call.resource))


def of_update(call: Call, given: Any, type_name: str) -> Tracker:
    """Tracks an object that a client replaces, with `given` as its metadata.managedFields. Raises ApiError 422."""
    manager = manager_of(call, type_name)

    def managed(old: JSON, new: JSON) -> list[JSON]:
        before = old["metadata"].get("managedFields") or []
        if given is not None and not manager.subresource and given != before:
            if given in _RESET:
                return []
            with contextlib.suppress(ValueError):  # malformed: as if it had not been given
                before = encode(decode(given))
        if not before:
            return []
        return encode(after_update(decode(before), old, new, manager, call.resource))

    return managed
