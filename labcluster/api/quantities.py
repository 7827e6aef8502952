"""Quantities such as 100Mi, 500m, 1.5 or 1e3: parse, compare, write canonically (apimachinery pkg/api/resource)."""

from __future__ import annotations

import decimal
import functools
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_SPLIT = re.compile(r"([+-]?)([0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)")

_BINARY = {f"{letter}i": power for power, letter in enumerate("KMGTPE", 1)}  # of 1024
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}  # of 10
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_SMALLEST = Decimal("1e-9")
_CONTEXT = decimal.Context(prec=1100)  # the largest exponent that is read is 999
_LARGEST = Decimal(2**63 - 1)
_FEW_DIGITS = 18  # up to so many, upstream keeps a decimal number as it is; others are cut off at _LARGEST


class QuantityError(ValueError):
    """The text is no quantity; its message is upstream's."""


@functools.total_ordering
@dataclass(frozen=True, eq=False)
class Quantity:
    """An exact amount. Compares by amount alone; `style` is how it was written: decimal, binary or exponent."""

    amount: Decimal
    style: str = "decimal"

    def __post_init__(self) -> None:
        """Nothing finer than a billionth is kept; the rest rounds away from zero (as upstream does)."""
        exact = self.amount.quantize(_SMALLEST, decimal.ROUND_UP, _CONTEXT)
        object.__setattr__(self, "amount", exact)

    def __eq__(self, other: object) -> bool:
        """1Gi equals 1024Mi."""
        return isinstance(other, Quantity) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)

    def __lt__(self, other: Quantity) -> bool:
        return self.amount < other.amount

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount + other.amount, self.style)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount - other.amount, self.style)

    @property
    def value(self) -> int:
        """The amount as a whole number, rounded up (Quantity.Value): bytes, pods ..."""
        return int(self.amount.to_integral_value(decimal.ROUND_CEILING))

    @property
    def milli(self) -> int:
        """The amount in thousandths, rounded up (Quantity.MilliValue): the unit of CPU shares."""
        return int((self.amount * 1000).to_integral_value(decimal.ROUND_CEILING))

    def __str__(self) -> str:
        """The canonical form: no fraction, the largest suffix that needs none (Quantity.CanonicalizeBytes)."""
        whole = self.amount == self.amount.to_integral_value()
        if self.style == "binary" and whole and abs(self.amount) >= 1024:
            number, power = int(self.amount), 0
            while number % 1024 == 0 and power < 6:
                number, power = number // 1024, power + 1
            return f"{number}{'KMGTPE'[power - 1]}i" if power else str(number)
        number, exponent = int(self.amount.scaleb(9, _CONTEXT)), -9
        if not number:
            return "0"
        while number % 1000 == 0 and (exponent < 18 or self.style == "exponent"):
            number, exponent = number // 1000, exponent + 3
        if self.style == "exponent":
            return f"{number}e{exponent}" if exponent else str(number)
        return f"{number}{_DECIMAL_SUFFIX[exponent]}"


def parse(value: Any) -> Quantity:
    """Read a quantity: a string, or a JSON number. Raises QuantityError with upstream's text."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise QuantityError(f"quantities must match the regular expression '{_PATTERN}'")
    return _parse(value if isinstance(value, str) else repr(value))


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> Quantity:
    match = _SPLIT.fullmatch(text)
    if match is None:
        raise QuantityError(f"quantities must match the regular expression '{_PATTERN}'")
    sign, digits, suffix = match.groups()
    if not _NUMBER.fullmatch(digits):
        raise QuantityError(f"quantities must match the regular expression '{_PATTERN}'")
    number = Decimal(sign + digits)
    if suffix in _DECIMAL:
        return _made(digits, number.scaleb(_DECIMAL[suffix], _CONTEXT), "decimal")
    if suffix in _BINARY:
        return _made(digits, _CONTEXT.multiply(number, Decimal(1024) ** _BINARY[suffix]), "binary")
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None or len(exponent[1]) > 3:
        raise QuantityError("unable to parse quantity's suffix")
    return _made(digits, number.scaleb(int(exponent[1]), _CONTEXT), "exponent")


def _made(digits: str, amount: Decimal, style: str) -> Quantity:
    """The quantity, within what upstream's ParseQuantity can hold."""
    if style == "binary" or len(digits) > _FEW_DIGITS:
        amount = max(-_LARGEST, min(amount, _LARGEST))
    return Quantity(amount, style)


def canonical(value: Any) -> str:
    """The canonical text of a quantity. Raises QuantityError."""
    return str(parse(value))
