"""What validation rules may call beyond CEL itself: the standard extensions, and Kubernetes' own functions.

Upstream: apiserver pkg/cel/environment/base.go and pkg/cel/library/{lists,regex,quantity,ip,cidr,urls}.go. Quantities,
addresses, networks and URLs are strings in canonical form here, so that equal ones compare as equal. A rule with an
unknown function does not compile: the definition is refused, with the function's name.
"""

from __future__ import annotations

import decimal
import ipaddress
import itertools
import re
import urllib.parse
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from cel_expr_python import cel

from labcluster.api import quantities
from labcluster.schema.structural import patterns

TypeName = str | tuple[str, "TypeName"]  # string, ("list", "int"), ("map", ("list", "dyn")): hashable, for caches

# Upstream has no `lists` extension of CEL's own, whose ranges are unbounded, and no `math`.
_EXTENSIONS = ("strings", "optional", "sets", "bindings", "two-var-comprehensions")
_CONFIG = cel.NewEnvConfigFromYaml("name: rules\nextensions:\n" + "".join(f"  - name: {e}\n" for e in _EXTENSIONS))
_BOOL, _DYN, _INT, _STRING = cel.Type.BOOL, cel.Type.DYN, cel.Type.INT, cel.Type.STRING
# As _quantity writes it: the largest exponent that is read is 999, and there may be sums of some.
_CANONICAL = re.compile(r"-?[0-9]{1,1050}(\.[0-9]{1,9})?")
_CONTEXT = decimal.Context(prec=1100)
_LIST, _STRINGS = cel.Type.List(_DYN), cel.Type.List(_STRING)


def environment(type_name: TypeName) -> cel.Env:
    """An environment in which `self` is of that type, and `oldSelf` as well."""
    kind = _type(type_name)
    variables = {"self": kind, "oldSelf": kind, "old": _DYN, "hasOld": _BOOL}
    return cel.NewEnv(config=_CONFIG, variables=variables, functions=_FUNCTIONS)


def _type(name: TypeName) -> cel.Type:
    if isinstance(name, str):
        return getattr(cel.Type, name.upper())
    return cel.Type.List(_type(name[1])) if name[0] == "list" else cel.Type.Map(_STRING, _type(name[1]))


def _method(name: str, returns: Any, takes: list[Any], implementation: Callable[..., Any]) -> Any:
    return cel.FunctionDecl(name, [_overload(name, returns, takes, implementation)])


def _overload(name: str, returns: Any, takes: list[Any], implementation: Callable[..., Any]) -> Any:
    return cel.Overload(
        f"{name}_method_{len(takes)}", return_type=returns, parameters=takes, is_member=True, impl=implementation
    )


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    return patterns.find_all(pattern, text, most)


def _function(name: str, returns: Any, implementation: Callable[..., Any]) -> Any:
    overload = cel.Overload(f"{name}_function", return_type=returns, parameters=[_STRING], impl=implementation)
    return cel.FunctionDecl(name, [overload])


def _is(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return test


def _is_sorted(items: list[Any]) -> bool:
    return all(a <= b for a, b in itertools.pairwise(items))


def _sum(items: list[Any]) -> Any:
    return sum(items, 0) if items else 0


def _quantity(text: str) -> str:
    return _canonical(_amount(text))


def _amount(text: str) -> Decimal:
    return Decimal(quantities.parse(text).amount)


def _exact(quantity: str) -> Decimal:
    """The amount that the text of a quantity stands for. Raises ValueError for another text: 1e999999999, NaN."""
    if not _CANONICAL.fullmatch(quantity):
        raise ValueError(f"no quantity: {quantity[:40]!r}")
    return Decimal(quantity)


def _canonical(amount: Decimal) -> str:
    return format(amount.normalize(_CONTEXT), "f")


def _as_integer(quantity: str) -> int:
    amount = _exact(quantity)
    if amount != amount.to_integral_value() or not -(2**63) <= amount < 2**63:
        raise ValueError("cannot convert value to integer")
    return int(amount)


def _compare(a: str, b: str) -> int:
    return (_exact(a) > _exact(b)) - (_exact(a) < _exact(b))


def _ip(text: str) -> str:
    if "%" in text:
        raise ValueError(f"IP Address {text!r} with zone value is not allowed")
    return str(ipaddress.ip_address(text))


def _cidr(text: str) -> str:
    if "/" not in text:
        raise ValueError(f"network address parse error during conversion from string: {text!r}")
    return str(ipaddress.ip_interface(text))


def _contains(network: str, inner: str) -> bool:
    outer, below = ipaddress.ip_network(network, strict=False), ipaddress.ip_network(inner, strict=False)
    return outer.version == below.version and below.subnet_of(outer)  # type: ignore[arg-type]


def _url(text: str) -> str:
    parts = urllib.parse.urlsplit(text)
    if " " in text or not (parts.scheme or text.startswith("/")):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return text


def _query(url: str) -> dict[str, list[str]]:
    return urllib.parse.parse_qs(urllib.parse.urlsplit(url).query, keep_blank_values=True)


_FUNCTIONS = [
    _method("isSorted", _BOOL, [_LIST], _is_sorted),
    _method("sum", _DYN, [_LIST], _sum),
    _method("min", _DYN, [_LIST], min),
    _method("max", _DYN, [_LIST], max),
    _method("find", _STRING, [_STRING, _STRING], lambda text, pattern: patterns.find(pattern, text)),
    cel.FunctionDecl(
        "findAll",
        [_overload("findAll", _STRINGS, [_STRING, _STRING, *most], _find_all) for most in ([], [_INT])],
    ),
    _function("quantity", _DYN, _quantity),
    _function("isQuantity", _BOOL, _is(_amount)),
    _method("sign", _INT, [_STRING], lambda q: _compare(q, "0")),
    _method("isInteger", _BOOL, [_STRING], lambda q: _exact(q) == _exact(q).to_integral_value()),
    _method("asInteger", _INT, [_STRING], _as_integer),
    _method("asApproximateFloat", cel.Type.DOUBLE, [_STRING], lambda q: float(_exact(q))),
    _method("isGreaterThan", _BOOL, [_STRING, _STRING], lambda a, b: _compare(a, b) > 0),
    _method("isLessThan", _BOOL, [_STRING, _STRING], lambda a, b: _compare(a, b) < 0),
    _method("compareTo", _INT, [_STRING, _STRING], _compare),
    _method("add", _DYN, [_STRING, _STRING], lambda a, b: _canonical(_CONTEXT.add(_exact(a), _exact(b)))),
    _method("sub", _DYN, [_STRING, _STRING], lambda a, b: _canonical(_CONTEXT.subtract(_exact(a), _exact(b)))),
    _function("ip", _DYN, _ip),
    _function("isIP", _BOOL, _is(_ip)),
    _method("family", _INT, [_STRING], lambda a: ipaddress.ip_address(a).version),
    _method("isLoopback", _BOOL, [_STRING], lambda a: ipaddress.ip_address(a).is_loopback),
    _method("isUnspecified", _BOOL, [_STRING], lambda a: ipaddress.ip_address(a).is_unspecified),
    _method("isLinkLocalUnicast", _BOOL, [_STRING], lambda a: ipaddress.ip_address(a).is_link_local),
    _function("cidr", _DYN, _cidr),
    _function("isCIDR", _BOOL, _is(_cidr)),
    _method("prefixLength", _INT, [_STRING], lambda c: ipaddress.ip_interface(c).network.prefixlen),
    _method("masked", _DYN, [_STRING], lambda c: str(ipaddress.ip_interface(c).network)),
    _method("containsIP", _BOOL, [_STRING, _STRING], _contains),
    _method("containsCIDR", _BOOL, [_STRING, _STRING], _contains),
    _function("url", _DYN, _url),
    _function("isURL", _BOOL, _is(_url)),
    _method("getScheme", _STRING, [_STRING], lambda u: urllib.parse.urlsplit(u).scheme),
    _method("getHost", _STRING, [_STRING], lambda u: urllib.parse.urlsplit(u).netloc.rpartition("@")[2]),
    _method("getHostname", _STRING, [_STRING], lambda u: urllib.parse.urlsplit(u).hostname or ""),
    _method("getPort", _STRING, [_STRING], lambda u: str(urllib.parse.urlsplit(u).port or "")),
    _method("getEscapedPath", _STRING, [_STRING], lambda u: urllib.parse.urlsplit(u).path),
    _method("getQuery", cel.Type.Map(_STRING, _STRINGS), [_STRING], _query),
]
