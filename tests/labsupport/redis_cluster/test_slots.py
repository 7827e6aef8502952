"""Hash slots: CRC16, hash tags, and who owns what."""

from __future__ import annotations

import binascii
import random

import pytest

from labsupport.redis_cluster import slots


def test_crc16_is_the_one_of_xmodem() -> None:
    assert slots.crc16(b"123456789") == 0x31C3  # the check value of the cluster specification
    chance = random.Random(9)
    for length in range(40):
        data = chance.randbytes(length)
        assert slots.crc16(data) == binascii.crc_hqx(data, 0)


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        ("user", "user"),
        ("{user}.name", "user"),
        ("name.{user}", "user"),
        ("{user1000}.following", "user1000"),
        ("foo{}{bar}", "foo{}{bar}"),
        ("foo{{bar}}zap", "{bar"),
        ("foo{bar}{zap}", "bar"),
        ("foo{bar", "foo{bar"),
        ("foo}bar{", "foo}bar{"),
        ("}a{b}", "b"),
        ("", ""),
    ],
)
def test_what_is_hashed_of_a_key(key: str, hashed: str) -> None:
    assert slots.hashed_part(key) == hashed


def test_known_slots() -> None:
    assert (slots.slot_of("foo"), slots.slot_of("user1000"), slots.slot_of("")) == (12182, 3443, 0)


def test_the_owners_are_the_first_of_each_range() -> None:
    reply = [[0, 1, ["10.0.0.1", 6379, "a"], ["10.0.0.9", 6379, "r"]], [5, 5, [None, 30001, "b"]]]
    assert slots.owners(reply, "127.0.0.1:30000") == {0: "10.0.0.1:6379", 1: "10.0.0.1:6379", 5: "127.0.0.1:30001"}


def test_ranges_are_written_as_cluster_nodes_does() -> None:
    assert slots.ranges({0: "a", 1: "a", 2: "b", 3: "a", 7: "a", 8: "a"}) == {"a": "0-1 3 7-8", "b": "2"}
    assert slots.ranges({}) == {}
