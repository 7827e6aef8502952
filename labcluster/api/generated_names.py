"""The generated parts of names: random suffixes and hashes (apimachinery pkg/util/rand/rand.go, Go's hash/fnv)."""

from __future__ import annotations

import random
from functools import lru_cache

# No vowels and no look-alikes.
_SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


def random_suffix(length: int = 5) -> str:
    """A random suffix as generateName appends it (rand.String)."""
    return "".join(random.choices(_SAFE_ALPHABET, k=length))


def safe_encode(text: str) -> str:
    """Replace each character by one of an alphabet that spells no words (rand.SafeEncodeString)."""
    return "".join(_SAFE_ALPHABET[byte % len(_SAFE_ALPHABET)] for byte in text.encode())


@lru_cache(maxsize=128)
def fnv1_32(data: bytes) -> int:
    """The 32-bit FNV-1 hash (multiply, then xor)."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value * _FNV_PRIME & 0xFFFFFFFF) ^ byte
    return value


def fnv1a_32(data: bytes) -> int:
    """The 32-bit FNV-1a hash (xor, then multiply)."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value
