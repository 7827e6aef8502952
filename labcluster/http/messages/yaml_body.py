"""YAML in request bodies, read so that no body costs more than a second.

One loop serves all: what takes YAML minutes would stop the whole cluster. So aliases (a few hundred bytes of them
unfold to gigabytes), deep nesting (minutes, or the process' stack) and very many nodes are refused, and base-60 numbers
are text, as they are for the YAML library that upstream uses (their value takes quadratic time).
"""

from __future__ import annotations

import re
from typing import Any

import orjson
import yaml

DEPTH = 200  # levels
# Scalars, lists and mappings: a second of work. JSON, which kubectl sends, is read a hundred times faster.
NODES = 50_000

_INT = re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_PATTERNS = {"tag:yaml.org,2002:int": _INT, "tag:yaml.org,2002:float": _FLOAT}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as JSON has it: a date stays the text it was written as, and so does 12:30."""


def _number(loader: Any, node: Any) -> Any:
    """A number that is tagged as one, `!!int "1:30"` for example."""
    text = loader.construct_scalar(node)
    if ":" in text:
        raise ValueError(f"base-60 numbers are not read: {text[:20]}")
    integer = node.tag == "tag:yaml.org,2002:int"
    return loader.construct_yaml_int(node) if integer else loader.construct_yaml_float(node)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, _PATTERNS.get(tag, pattern)) for tag, pattern in entries if tag != "tag:yaml.org,2002:timestamp"]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag in _PATTERNS:
    _Loader.add_constructor(_tag, _number)


def load(data: bytes) -> Any:
    """The one document of a YAML (or JSON) body. Raises ValueError, RecursionError and yaml.YAMLError."""
    if data.lstrip().startswith(b"{"):  # JSON under another name, as kubectl sends it for `apply --server-side`
        try:
            return orjson.loads(data)
        except ValueError:
            pass  # `{a: 1}` is YAML only
    text = data.decode()
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("YAML aliases are not read in request bodies")
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(f"YAML that is nested deeper than {DEPTH} levels is not read")
        if nodes > NODES:
            raise ValueError(f"YAML of more than {NODES} values is not read in request bodies: send it as JSON")
    try:
        return orjson.loads(orjson.dumps(yaml.load(text, Loader=_Loader), option=orjson.OPT_NON_STR_KEYS))
    except (TypeError, LookupError, AttributeError) as error:  # bytes, sets, long integers; `!!bool x`, `!!timestamp x`
        raise ValueError(str(error)) from error
