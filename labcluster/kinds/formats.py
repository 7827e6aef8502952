"""Checks of formats: names, labels, keys, ports, paths (apimachinery util/validation).

Each function returns the messages of what is wrong with a value, none when it has the format. A `NameRule` gets the
name and whether it is a prefix (metadata.generateName), which may end in a dash.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

NameRule = Callable[[str, bool], list[str]]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED_NAME})?"
_WILDCARD = r"\*\." + _SUBDOMAIN
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_KEY = "[-._a-zA-Z0-9]+"

LABEL_MAX_LENGTH = 63  # bytes, of a DNS label, of a label's name and of its value
SUBDOMAIN_MAX_LENGTH = 253  # bytes

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"


def _mismatch(text: str, pattern: str, *examples: str) -> str:
    """The message of validation.RegexError (the comma before `or` is upstream's)."""
    quoted = " or ".join(f"'{example}', " for example in examples)
    return f"{text} ({'e.g. ' if examples else ''}{quoted}regex used for validation is '{pattern}')"


def _too_long(value: str, limit: int) -> list[str]:
    return [f"must be no more than {limit} bytes"] if len(value.encode()) > limit else []


def is_address(text: str) -> bool:
    """Whether a text is an address of IPv4 or IPv6."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def label(value: str) -> list[str]:
    """A DNS label of RFC 1123: `web-0`."""
    errors = _too_long(value, LABEL_MAX_LENGTH)
    if not re.fullmatch(_LABEL, value):
        dots = re.fullmatch(_SUBDOMAIN, value)
        errors.append("must not contain dots" if dots else _mismatch(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
    return errors


def subdomain(value: str) -> list[str]:
    """A DNS subdomain of RFC 1123: `web-0.example.com`."""
    errors = _too_long(value, SUBDOMAIN_MAX_LENGTH)
    if not re.fullmatch(_SUBDOMAIN, value):
        errors.append(_mismatch(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return errors


def label_1035(value: str) -> list[str]:
    """A DNS label of RFC 1035, which starts with a letter: the name of a Service."""
    errors = _too_long(value, LABEL_MAX_LENGTH)
    if not re.fullmatch(_LABEL_1035, value):
        errors.append(_mismatch(_LABEL_1035_TEXT, _LABEL_1035, "my-name", "abc-123"))
    return errors


def qualified_name(value: str) -> list[str]:
    """The key of a label or annotation, a finalizer: `name` or `example.com/name`."""
    parts = value.split("/")
    text = _mismatch(_QUALIFIED_TEXT, _QUALIFIED_NAME, "MyName", "my.name", "123-abc")
    if len(parts) > 2:
        more = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {text} {more}"]
    errors: list[str] = []
    if len(parts) == 2:
        prefix_errors = subdomain(parts[0]) if parts[0] else ["must be non-empty"]
        errors += [f"prefix part {message}" for message in prefix_errors]
    name = parts[-1]
    name_errors = _too_long(name, LABEL_MAX_LENGTH) if name else ["must be non-empty"]
    if not re.fullmatch(_QUALIFIED_NAME, name):
        name_errors.append(text)
    return errors + [f"name part {message}" for message in name_errors]


def label_value(value: str) -> list[str]:
    """The value of a label: at most 63 bytes, may be empty."""
    errors = _too_long(value, LABEL_MAX_LENGTH)
    if not re.fullmatch(_LABEL_VALUE, value):
        errors.append(_mismatch(_LABEL_VALUE_TEXT, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return errors


def config_key(value: str) -> list[str]:
    """A key of a ConfigMap's or Secret's data (it becomes a file name)."""
    errors = _too_long(value, SUBDOMAIN_MAX_LENGTH)
    if not re.fullmatch(_KEY, value):
        errors.append(_mismatch(_KEY_TEXT, _KEY, "key.name", "KEY_NAME", "key-name"))
    return errors + _dots(value)


def environment_name(value: str) -> list[str]:
    """The name of an environment variable: any printable ASCII but `=` (relaxed since 1.34)."""
    if not value:
        return ["environment variable name must be non-empty"]
    if not all(" " <= c <= "~" and c != "=" for c in value):
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def port_number(value: int) -> list[str]:
    """A TCP or UDP port."""
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def port_name(value: str) -> list[str]:
    """The name of a container's port (an IANA service name)."""
    errors = []
    if len(value.encode()) > 15:
        errors.append("must be no more than 15 bytes")
    if not re.fullmatch("[-a-z0-9]+", value):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        errors.append("must contain at least one letter (a-z)")
    if "--" in value:
        errors.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def wildcard_subdomain(value: str) -> list[str]:
    """A DNS subdomain behind `*.`: the host of an Ingress."""
    errors = _too_long(value, SUBDOMAIN_MAX_LENGTH)
    if not re.fullmatch(_WILDCARD, value):
        errors.append(_mismatch(_WILDCARD_TEXT, _WILDCARD, "*.example.com"))
    return errors


def domain_prefixed_path(value: str) -> list[str]:
    """A domain and a path behind it: `example.com/controller`."""
    domain, slash, path = value.partition("/")
    if not slash or not domain or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    errors = subdomain(domain)
    return errors if re.fullmatch(_HTTP_PATH, path) else [*errors, _mismatch("Invalid path", _HTTP_PATH)]


def path_segment(name: str, prefix: bool = False) -> list[str]:
    """What can be a part of a URL's path: the name rule of roles and bindings (api/validation/path/name.go)."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{part}'" for part in "/%" if part in name]


def _dots(value: str) -> list[str]:
    """No file name that climbs or hides: `.`, `..` and `..anything`."""
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def _unmask(name: str, prefix: bool) -> str:
    """A prefix with its trailing dash replaced, since a suffix follows it (validation.maskTrailingDash)."""
    return name[:-2] + "a" if prefix and len(name) > 1 and name.endswith("-") else name


def dns_subdomain(name: str, prefix: bool) -> list[str]:
    """The name rule of most kinds."""
    return subdomain(_unmask(name, prefix))


def dns_label(name: str, prefix: bool) -> list[str]:
    """The name rule of Namespace and StatefulSet."""
    return label(_unmask(name, prefix))


def dns_1035_label(name: str, prefix: bool) -> list[str]:
    """The name rule of Service."""
    return label_1035(_unmask(name, prefix))
