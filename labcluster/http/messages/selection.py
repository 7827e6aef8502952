"""Which objects a list or watch is about: label and field selectors together."""

from __future__ import annotations

from collections.abc import Callable

from labcluster.api.errors import bad_request
from labcluster.api.objects import JSON
from labcluster.http.messages.options import ListOptions
from labcluster.kinds.kind import Kind

Matcher = Callable[[JSON], bool]

_BLANK: JSON = {"metadata": {}, "spec": {}, "status": {}}


def matcher(kind: Kind, options: ListOptions, name: str = "") -> Matcher | None:
    """Whether an object is selected; None selects all. Raises ApiError 400 for a field that cannot be selected by."""
    labels, fields = options.labels, options.fields
    tests: list[Matcher] = []
    if name:
        tests.append(lambda obj: bool(obj["metadata"]["name"] == name))
    if labels.requirements:
        tests.append(lambda obj: labels.matches(obj["metadata"].get("labels") or {}))
    if fields.terms:
        unknown = fields.unknown(_fields(kind, _BLANK))
        if unknown:
            raise bad_request(f"field label not supported: {unknown[0]}")
        tests.append(lambda obj: fields.matches(_fields(kind, obj)))
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda obj: all(test(obj) for test in tests)


def _fields(kind: Kind, obj: JSON) -> dict[str, str]:
    metadata = obj["metadata"]
    return {
        "metadata.name": metadata.get("name", ""),
        "metadata.namespace": metadata.get("namespace", ""),
        **kind.fields(obj),
    }
