"""Label and field selectors: parsing and matching, as apimachinery's labels and fields packages do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from labcluster.api.errors import bad_request
from labcluster.api.objects import JSON

_REQUIREMENT = re.compile(
    r"\s*(?:"
    r"!\s*(?P<absent>[^\s,!=()<>]+)"
    r"|(?P<key>[^\s,!=()<>]+)\s*(?:"
    r"(?P<equals>==|=|!=)\s*(?P<value>[^\s,!=()<>]*)"
    r"|(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?P<order>[<>])\s*(?P<number>-?\d+)"
    r")?"
    r")\s*"
)


@dataclass(frozen=True)
class Requirement:
    """One term: a key, an operator (In, NotIn, Exists, DoesNotExist, Gt, Lt) and its values."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy the term. NotIn holds for an absent key."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        if value is None:
            return False
        try:
            number, bound = int(value), int(self.values[0])
        except ValueError:
            return False
        return number > bound if self.operator == "Gt" else number < bound


@dataclass(frozen=True)
class LabelSelector:
    """A conjunction of requirements; the empty one matches everything."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Read the query form `a=b,c!=d,e in (f,g),h,!i`. Raises ApiError 400 on anything else."""
        requirements: list[Requirement] = []
        position = 0
        while position < len(text.rstrip()):
            match = _REQUIREMENT.match(text, position)
            if match is None or match.end() == position:
                raise bad_request(f"unable to parse requirement: found '{text[position:]}', expected: identifier")
            requirements.append(_requirement(match))
            position = match.end()
            if position < len(text):
                if text[position] != ",":
                    raise bad_request(
                        f"unable to parse requirement: found '{text[position:]}', expected: ',' or 'end of string'"
                    )
                position += 1
        return cls(tuple(requirements))

    @classmethod
    def from_object(cls, selector: JSON | None) -> LabelSelector:
        """From a metav1.LabelSelector (matchLabels, matchExpressions). None and {} match everything."""
        selector = selector or {}
        terms = [Requirement(k, "In", (v,)) for k, v in sorted((selector.get("matchLabels") or {}).items())]
        for expression in selector.get("matchExpressions") or ():
            terms.append(Requirement(expression["key"], expression["operator"], tuple(expression.get("values") or ())))
        return cls(tuple(terms))

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> LabelSelector:
        """From a map of labels that must all be equal (a Service's selector)."""
        return cls(tuple(Requirement(k, "In", (v,)) for k, v in sorted(labels.items())))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all requirements hold."""
        return all(r.matches(labels) for r in self.requirements)

    def __str__(self) -> str:
        parts = []
        for r in self.requirements:
            match r.operator:
                case "In" if len(r.values) == 1:
                    parts.append(f"{r.key}={r.values[0]}")
                case "NotIn" if len(r.values) == 1:
                    parts.append(f"{r.key}!={r.values[0]}")
                case "In" | "NotIn":
                    parts.append(f"{r.key} {r.operator.lower()} ({','.join(sorted(r.values))})")
                case "Exists":
                    parts.append(r.key)
                case "DoesNotExist":
                    parts.append(f"!{r.key}")
                case _:
                    parts.append(f"{r.key}{'>' if r.operator == 'Gt' else '<'}{r.values[0]}")
        return ",".join(parts)


def _requirement(match: re.Match[str]) -> Requirement:
    if match["absent"]:
        return Requirement(match["absent"], "DoesNotExist")
    if match["equals"]:
        return Requirement(match["key"], "NotIn" if match["equals"] == "!=" else "In", (match["value"],))
    if match["set"]:
        values = tuple(v.strip() for v in match["values"].split(","))
        return Requirement(match["key"], "In" if match["set"] == "in" else "NotIn", values)
    if match["order"]:
        return Requirement(match["key"], "Gt" if match["order"] == ">" else "Lt", (match["number"],))
    return Requirement(match["key"], "Exists")


@dataclass(frozen=True)
class FieldSelector:
    """A conjunction of `field=value` and `field!=value` terms."""

    terms: tuple[tuple[str, bool, str], ...] = ()  # (field, wanted equal, value)

    @classmethod
    def parse(cls, text: str) -> FieldSelector:
        """Read `a=b,c!=d`. Raises ApiError 400 on anything else."""
        terms = []
        for part in filter(None, (p.strip() for p in text.split(","))):
            match = re.fullmatch(r"([^=!]+?)\s*(==|=|!=)\s*(.*)", part)
            if match is None:
                raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
            terms.append((match[1].strip(), match[2] != "!=", match[3]))
        return cls(tuple(terms))

    def unknown(self, fields: Mapping[str, str]) -> list[str]:
        """The fields of the selector that the kind cannot select by."""
        return [name for name, _, _ in self.terms if name not in fields]

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether all terms hold; a field that is not given counts as empty."""
        return all((fields.get(name, "") == value) == equal for name, equal, value in self.terms)
