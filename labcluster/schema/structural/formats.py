"""The formats of strings that schemas may ask for (upstream: kube-openapi pkg/validation/strfmt).

A format that is not listed is not checked, as upstream does with the ones it does not know.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import urllib.parse
import uuid
from collections.abc import Callable

from labcluster.api import quantities
from labcluster.api.times import parse_time
from labcluster.schema.decoding import base64_error

_GO_DURATION = re.compile(r"[-+]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_WORD_DURATION = re.compile(
    r"(\d+)\s*(n|ns|nano|nanos|nanosecond|nanoseconds|u|us|micro|micros|ms|milli|millis"
    r"|s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hrs|hour|hours"
    r"|d|day|days|w|week|weeks)"
)
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_SHORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LONG_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(\1[0-9A-Fa-f]{2}){4}((\1[0-9A-Fa-f]{2}){2})?")
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+")


def is_valid(text: str, name: str) -> bool:
    """Whether a string has the format of that name."""
    check = _FORMATS.get(name.replace("-", ""))
    if check is None:
        return True
    try:
        return check(text)
    except ValueError:
        return False


def is_recognized(name: str, kind: str) -> bool:
    """Whether a format says anything of a value of that JSON type."""
    if kind == "string":
        return name.replace("-", "") in {*_FORMATS, *_UNCHECKED}
    return name in _OF_NUMBERS.get(kind, ())


def _date_time(text: str) -> bool:
    return "T" in text.upper() and parse_time(text.upper()).tzinfo is not None


def _date(text: str) -> bool:
    return len(text) == len("2006-01-02") and dt.date.fromisoformat(text) is not None


def _duration(text: str) -> bool:
    return bool(_GO_DURATION.fullmatch(text) or _WORD_DURATION.fullmatch(text.strip().lower()))


def _uuid(version: int | None) -> Callable[[str], bool]:
    return lambda text: version in (None, uuid.UUID(text).version)


def _address(version: int) -> Callable[[str], bool]:
    return lambda text: ipaddress.ip_address(text).version == version and "%" not in text


def _hostname(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    return 0 < len(text) <= 255 and all(_HOST_LABEL.fullmatch(label) for label in labels)


def _uri(text: str) -> bool:
    parts = urllib.parse.urlsplit(text)
    return " " not in text and (bool(parts.scheme) or text.startswith("/"))


# What upstream checks as well, and nobody asks for.
_UNCHECKED = ("bsonobjectid", "creditcard", "hexcolor", "isbn", "isbn10", "isbn13", "password", "rgbcolor", "ssn")
_OF_NUMBERS = {"integer": ("int32", "int64"), "number": ("float", "double")}
_FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": lambda text: not base64_error(text),
    "cidr": lambda text: "/" in text and ipaddress.ip_interface(text) is not None,
    "date": _date,
    "datetime": _date_time,
    "duration": _duration,
    "email": lambda text: bool(_EMAIL.fullmatch(text)),
    "hostname": _hostname,
    "ipv4": _address(4),
    "ipv6": _address(6),
    "k8slongname": lambda text: len(text) <= 253 and bool(_LONG_NAME.fullmatch(text)),
    "k8sshortname": lambda text: len(text) <= 63 and bool(_SHORT_NAME.fullmatch(text)),
    "mac": lambda text: bool(_MAC.fullmatch(text)),
    "quantity": lambda text: quantities.parse(text) is not None,
    "uri": _uri,
    "uuid": _uuid(None),
    "uuid3": _uuid(3),
    "uuid4": _uuid(4),
    "uuid5": _uuid(5),
}
