"""Decoding a request's object against its kind's type, as the API server's JSON decoder does it (sigs.k8s.io/json).

A wrong type is always an error. Unknown and duplicate fields are errors, warnings or nothing, as the request's
`fieldValidation` says. The result is in normal form: no nulls, no optional maps and lists that are empty (Go's
omitempty), quantities in canonical form.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from labcluster.api.errors import ApiError, bad_request
from labcluster.api.objects import JSON
from labcluster.api.quantities import QuantityError, canonical
from labcluster.api.resources import Resource
from labcluster.api.times import parse_time
from labcluster.schema.definitions import ANY, Type, object_meta, type_of

_RESET = "managedFields"  # an empty list of them counts: it removes the managers
MAX_STRICT_ERRORS = 100  # more are not listed, as upstream

_INTEGER_BITS = {"int32": 31, "int64": 63}
# Named types of Go that hold a string: the schemas do not tell them from plain strings, the error texts do.
_NAMED = {
    "Container.imagePullPolicy": "v1.PullPolicy",
    "ContainerPort.protocol": "v1.Protocol",
    "CronJobSpec.concurrencyPolicy": "v1.ConcurrencyPolicy",
    "DaemonSetUpdateStrategy.type": "v1.DaemonSetUpdateStrategyType",
    "HTTPIngressPath.pathType": "v1.PathType",
    "NetworkPolicyPort.protocol": "v1.Protocol",
    "NetworkPolicySpec.policyTypes": "[]v1.PolicyType",
    "PersistentVolumeClaimSpec.accessModes": "[]v1.PersistentVolumeAccessMode",
    "PersistentVolumeClaimSpec.volumeMode": "v1.PersistentVolumeMode",
    "PodSpec.dnsPolicy": "v1.DNSPolicy",
    "PodSpec.restartPolicy": "v1.RestartPolicy",
    "ServicePort.protocol": "v1.Protocol",
    "ServiceSpec.sessionAffinity": "v1.ServiceAffinity",
    "ServiceSpec.type": "v1.ServiceType",
    "StatefulSetSpec.podManagementPolicy": "v1.PodManagementPolicyType",
    "StatefulSetUpdateStrategy.type": "v1.StatefulSetUpdateStrategyType",
}


def decode(
    obj: JSON, resource: Resource, field_validation: str = "Strict", raw: bytes | None = None
) -> tuple[JSON, list[str]]:
    """The normal form of an object and the warnings about it. Raises ApiError 400 with upstream's text.

    `field_validation` is Strict (unknown and duplicate fields are an error), Warn or Ignore; duplicates are found
    only in `raw`, the JSON text of the object, when it is given.
    """
    decoder = _Decoder()
    normal = decoder.value(obj, type_of(resource), "", "", "")
    if decoder.errors:
        raise cannot_handle(resource, decoder.errors[0])
    strict: list[str] = []
    if field_validation != "Ignore":
        strict = (duplicate_fields(raw) if raw else []) + decoder.unknown
    if strict and field_validation == "Strict":
        raise cannot_handle(resource, "strict decoding error: " + ", ".join(strict[:MAX_STRICT_ERRORS]))
    return normal, strict[:MAX_STRICT_ERRORS]


def cannot_handle(resource: Resource, why: str) -> ApiError:
    """400: the body is no object of that kind."""
    kind = resource.kind
    return bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {why}')


def unknown_fields(obj: JSON, resource: Resource) -> list[str]:
    """The fields that the kind does not have, each as `unknown field "spec.serviceNme"`."""
    decoder = _Decoder()
    decoder.value(obj, type_of(resource), "", "", "")
    return decoder.unknown


def type_errors(obj: JSON, resource: Resource) -> list[str]:
    """Values of a wrong type, each in the words of Go's JSON decoder; upstream answers with the first one only."""
    decoder = _Decoder()
    decoder.value(obj, type_of(resource), "", "", "")
    return decoder.errors


def normalize(obj: JSON, resource: Resource) -> JSON:
    """A copy as a Go server would write it back: no nulls, quantities canonical, unknown fields dropped."""
    normal: JSON = _Decoder().value(obj, type_of(resource), "", "", "")
    return normal


def decode_metadata(metadata: Any) -> tuple[Any, list[str], list[str]]:
    """The metadata of any object in its normal form, its unknown fields and its type errors."""
    decoder = _Decoder()
    normal = decoder.value(metadata, object_meta(), "ObjectMeta", "metadata", "metadata")
    return normal, decoder.unknown, decoder.errors


_ZERO: dict[str, Any] = {"string": "", "struct": {}, "bool": False, **dict.fromkeys(_INTEGER_BITS, 0)}


class _Decoder:
    """One walk over an object; collects unknown fields and errors, and returns the normal form."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.errors: list[str] = []

    def value(self, value: Any, kind: Type, struct: str, stack: str, path: str) -> Any:
        """Decode one value. `struct` and `stack` are what Go's errors name: the innermost struct and the field names;
        `path` is what the strict decoder names: with the places in lists."""
        match kind.kind:
            case "any":
                return value
            case "struct" if isinstance(value, dict):
                return self._struct(value, kind, stack, path)
            case "map" if isinstance(value, dict):
                item = kind.item or ANY
                return {
                    k: "" if v is None and item.kind == "string" else self.value(v, item, struct, stack, f"{path}.{k}")
                    for k, v in value.items()
                    if v is not None or item.kind == "string"
                }
            case "array" if isinstance(value, list):
                item = kind.item or ANY
                zero = _ZERO.get(item.kind)  # what Go makes of a null in a list
                return [
                    self.value(zero if v is None else v, item, struct, stack, f"{path}[{i}]")
                    for i, v in enumerate(value)
                ]
            case "schema" if isinstance(value, dict):
                return self._struct(value, kind, stack, path)
            case "schema" if isinstance(value, (list, bool)):
                items = value if isinstance(value, list) else []
                decoded = [i if isinstance(i, str) else self.value(i, kind, struct, stack, path) for i in items]
                return decoded or value
            case "struct" | "map" | "array" | "schema":
                pass
            case scalar:
                return self._scalar(value, scalar, kind, struct, stack)
        self._wrong_type(value, kind, struct, stack)
        return value

    def _struct(self, value: JSON, kind: Type, stack: str, path: str) -> JSON:
        result: JSON = {}
        for key, item in value.items():
            field = kind.fields.get(key)
            if field is not None and type(item) is str and field.type.kind == "string":
                result[key] = item  # most fields, by far
                continue
            inner = f"{path}.{key}" if path else key
            if field is None:
                self.unknown.append(f'unknown field "{inner}"')
            elif item is not None:
                decoded = self.value(item, field.type, kind.struct, f"{stack}.{key}" if stack else key, inner)
                if decoded or field.required or field.type.kind not in ("map", "array") or key == _RESET:
                    result[key] = decoded
        return result

    def _scalar(self, value: Any, scalar: str, kind: Type, struct: str, stack: str) -> Any:
        if value is None:
            return None
        error = ""
        if scalar in ("string", "time", "[]uint8"):
            if isinstance(value, str):
                error = _time_error(value) if scalar == "time" else ""
                error = error or (base64_error(value) if scalar == "[]uint8" else "")
            elif scalar == "time":
                error = f"json: cannot unmarshal {go_kind(value)} into Go value of type string"
            else:
                self._wrong_type(value, kind, struct, stack)
        elif scalar == "quantity":
            try:
                return canonical(value)
            except QuantityError as wrong:
                error = str(wrong)
        elif scalar == "int-or-string":
            if not isinstance(value, str) and not _fits(value, 31):
                error = f"json: cannot unmarshal {go_kind(value)} into Go value of type int32"
        elif scalar == "bool":
            if not isinstance(value, bool):
                self._wrong_type(value, kind, struct, stack)
        elif scalar == "float64":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                self._wrong_type(value, kind, struct, stack)
        elif not _fits(value, _INTEGER_BITS[scalar]):
            self._wrong_type(value, kind, struct, stack, literal=True)
        if error:
            self.errors.append(error)
        return value

    def _wrong_type(self, value: Any, kind: Type, struct: str, stack: str, literal: bool = False) -> None:
        given = go_kind(value)
        if literal and given == "number":
            given = f"number {json.dumps(value)}"
        name = _NAMED.get(f"{struct}.{stack.rpartition('.')[2]}", kind.go_name)
        where = f"struct field {struct}.{stack}" if stack else "value"
        self.errors.append(f"json: cannot unmarshal {given} into Go {where} of type {name}")


def go_kind(value: Any) -> str:
    """A JSON value's kind as Go's decoder names it."""
    if isinstance(value, bool):
        return "bool"
    names = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), "null")


def _fits(value: Any, bits: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << bits) <= value < (1 << bits)


def _time_error(text: str) -> str:
    try:
        if parse_time(text).tzinfo is not None and "T" in text:
            return ""
    except ValueError:
        pass
    return f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"'


def base64_error(text: str) -> str:
    """What Go's encoding/base64 says about a text that is not standard base64, or "" when it is."""
    data = text.replace("\n", "").replace("\r", "").encode()
    try:
        base64.b64decode(data, validate=True)
        return ""
    except binascii.Error:
        pass
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for place, byte in enumerate(data):
        if byte not in alphabet:
            complete = byte == ord("=") and place % 4 == 2 and place + 1 == len(data)
            return f"illegal base64 data at input byte {len(data) if complete else place}"
    return f"illegal base64 data at input byte {len(data) - len(data) % 4}"


def duplicate_fields(raw: bytes) -> list[str]:
    """The keys that a JSON text gives twice within one object, each once, as `duplicate field "spec.replicas"`.

    Raises ApiError 400 for a text that is no JSON.
    """
    seen_twice = False

    def pairs(items: list[tuple[str, Any]]) -> _Pairs | JSON:
        nonlocal seen_twice
        members = dict(items)
        if len(members) == len(items) and not seen_twice:
            return members
        seen_twice = True
        return _Pairs(items)

    try:
        document = json.loads(raw, object_pairs_hook=pairs)
    except ValueError as error:
        raise bad_request(f"the object provided is no JSON: {error}") from None
    return list(dict.fromkeys(_duplicates(document, ""))) if seen_twice else []


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object in their order, duplicates included."""


def _duplicates(value: Any, path: str) -> list[str]:
    duplicates: list[str] = []
    if isinstance(value, (dict, _Pairs)):
        seen = set()
        for key, item in value.items() if isinstance(value, dict) else value:
            inner = f"{path}.{key}" if path else key
            if key in seen:
                duplicates.append(f'duplicate field "{inner}"')
            seen.add(key)
            duplicates += _duplicates(item, inner)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            duplicates += _duplicates(item, f"{path}[{place}]")
    return duplicates
