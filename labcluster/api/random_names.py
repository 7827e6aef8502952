"""Random suffixes of names (apimachinery pkg/util/rand/rand.go)."""

from __future__ import annotations

import random

# No vowels and no look-alikes.
SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def random_suffix(length: int = 5) -> str:
    """A random suffix as generateName appends it."""
    return "".join(random.choices(SAFE_ALPHABET, k=length))
