"""The difference of two specs as the API server appends it to "is immutable" errors (apimachinery util/diff)."""

from __future__ import annotations

import difflib
import json
from typing import Any


def unified(old: Any, new: Any) -> str:
    """A unified diff of two JSON values, pretty-printed with one space of indentation and sorted keys."""
    before, after = (json.dumps(v, indent=1, sort_keys=True, ensure_ascii=False).splitlines() for v in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm=""))[2:]  # without the names of the two files
    return "".join(f"{line}\n" for line in lines)
