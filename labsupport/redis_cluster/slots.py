"""Hash slots: which of the 16384 a key belongs to, and which node serves each.

Source: the cluster specification, https://valkey.io/topics/cluster-spec/, "Key distribution model" and "Hash tags".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

SLOTS = 16384


def slot_of(key: str) -> int:
    """The slot of a key: CRC16 of the key, or of its hash tag, modulo 16384.

    >>> slot_of("{user:1}.name") == slot_of("user:1")
    True
    """
    return crc16(hashed_part(key).encode()) % SLOTS


def hashed_part(key: str) -> str:
    """What is hashed: the text between the first { and the first } after it, unless that is empty; else all.

    >>> hashed_part("{user:1}.name")
    'user:1'
    """
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return tag if opened and closed and tag else key


def crc16(data: bytes) -> int:
    """CRC16 as XMODEM computes it: polynomial 0x1021, beginning with 0.

    >>> hex(crc16(b"123456789"))
    '0x31c3'
    """
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0)
        crc &= 0xFFFF
    return crc


def owners(reply: Sequence[Any], asked: str = "") -> dict[int, str]:
    """The primary of each slot as host:port, from the answer to CLUSTER SLOTS.

    `asked` is the node that answered: where it names no host for a node, the host that was asked is meant.

    >>> owners([[0, 2, ["10.244.1.3", 6379, "e564"]]])
    {0: '10.244.1.3:6379', 1: '10.244.1.3:6379', 2: '10.244.1.3:6379'}
    """
    owner_of = {}
    for first, last, primary, *_ in reply:
        host = primary[0] or asked.rpartition(":")[0]
        for slot in range(first, last + 1):
            owner_of[slot] = f"{host}:{primary[1]}"
    return owner_of


def ranges(slots: Mapping[int, str]) -> dict[str, str]:
    """The slots of each node, written as ranges.

    >>> ranges({0: "a", 1: "a", 2: "b", 3: "a"})
    {'a': '0-1 3', 'b': '2'}
    """
    written: dict[str, list[str]] = {}
    # Slots that follow one another and have one owner share the difference between slot and place.
    places = enumerate(sorted(slots.items()))
    for (_, node), run in groupby(places, lambda item: (item[1][0] - item[0], item[1][1])):
        numbers = [slot for _, (slot, _) in run]
        first, last = numbers[0], numbers[-1]
        written.setdefault(node, []).append(str(first) if first == last else f"{first}-{last}")
    return {node: " ".join(written[node]) for node in sorted(written)}
