"""Quantities such as `100m`, `1Gi` or `2e3` as exact numbers (apimachinery's pkg/api/resource/quantity.go)."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE]))?")
_SCALE = {
    **{suffix: Decimal(1024) ** (i + 1) for i, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))},
    **{suffix: Decimal(1000) ** (i - 3) for i, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"))},
}


@lru_cache(maxsize=1024)
def parse(text: str | int | float) -> Decimal:
    """The number a quantity stands for, in its base unit (cores, bytes). Raises ValueError on anything else."""
    found = _FORM.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{text!r} is not a quantity: expected a number with a suffix such as m, k, Mi or Gi")
    number, exponent, suffix = found.groups()
    return Decimal(number + exponent) if exponent else Decimal(number) * _SCALE[suffix or ""]
