"""Reading protobuf request bodies: `k8s\\0`, a runtime.Unknown and in it the object, decoded to the JSON of the API.

Upstream: apimachinery pkg/runtime/serializer/protobuf; the wire format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from labcluster.api.objects import JSON
from labcluster.schema.protobuf.messages import KINDS, MessageField, fields, is_message

_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ZEROS: dict[str, Any] = {"string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0, "ExtraValue": []}


class NotServed(Exception):
    """A well-formed body with something in it that the table of messages does not have."""


def decode(data: bytes) -> JSON:
    """The object in a body. Raises ValueError when it is malformed and NotServed when a part is not known here."""
    if not data.startswith(_MAGIC):
        raise ValueError("provided data does not appear to be a protobuf message, expected prefix 6b 38 73 00")
    envelope = _message(data[len(_MAGIC) :], "Unknown")
    known = envelope.get("typeMeta", {})
    api_version, kind = known.get("apiVersion", ""), known.get("kind", "")
    if envelope.get("contentEncoding"):
        raise NotServed(f"the content encoding {envelope['contentEncoding']}")
    if (api_version, kind) not in KINDS:
        raise NotServed(f"{kind or 'an object without kind'} of {api_version or 'no version'}")
    return {"apiVersion": api_version, "kind": kind, **_message(base64.b64decode(envelope.get("raw", "")), kind)}


def _message(data: bytes, name: str) -> JSON:
    known = fields(name)
    result: JSON = {}
    for number, wire, content in _records(data):
        field = known.get(number)
        if field is None:
            raise NotServed(f"field {number} of {name}")
        if not field.type:
            continue
        if field.is_map:
            key, value = _entry(content, field, wire)
            result.setdefault(field.name, {})[key] = value
        elif field.repeated:
            result.setdefault(field.name, []).append(_value(content, field.type, wire))
        elif field.embedded:
            result.update(_value(content, field.type, wire))
        else:
            value = _value(content, field.type, wire)
            if field.pointer or value not in (_ZEROS.get(field.type), {}):
                result[field.name] = value
    return result


def _entry(content: bytes | int, field: MessageField, wire: int) -> tuple[str, Any]:
    """The key and value of a map's entry: a message of its own."""
    parts = {number: (inner, part) for number, inner, part in _records(_bytes(content, wire))}
    key = _value(parts[1][1], "string", parts[1][0]) if 1 in parts else ""
    if 2 in parts:
        return key, _value(parts[2][1], field.type, parts[2][0])
    return key, _ZEROS.get(field.type, "0")


def _value(content: bytes | int, kind: str, wire: int) -> Any:
    if is_message(kind):
        inner = _message(_bytes(content, wire), kind)
        if kind == "IntOrString":
            return inner.get("strVal", "") if inner.get("type") else inner.get("intVal", 0)
        if kind == "ExtraValue":
            return inner.get("items", [])
        return inner.get("string", "0") if kind == "Quantity" else inner
    if kind == "string":
        return _bytes(content, wire).decode()
    if kind == "bytes":
        return base64.b64encode(_bytes(content, wire)).decode()
    if wire != _VARINT or not isinstance(content, int):
        raise ValueError(f"proto: wrong wireType = {wire} for a number")
    if kind == "bool":
        return content != 0
    return content - (1 << 64) if content >= 1 << 63 else content


def _bytes(content: bytes | int, wire: int) -> bytes:
    if wire != _BYTES or not isinstance(content, bytes):
        raise ValueError(f"proto: wrong wireType = {wire} for bytes")
    return content


def _records(data: bytes) -> Iterator[tuple[int, int, bytes | int]]:
    """The records of a message: field number, wire type and content. Raises ValueError when they are malformed."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("proto: illegal tag 0")
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"proto: illegal wireType {wire}")
        if position + length > len(data):
            raise ValueError("unexpected EOF")
        yield number, wire, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("unexpected EOF")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), position
    raise ValueError("proto: integer overflow")
