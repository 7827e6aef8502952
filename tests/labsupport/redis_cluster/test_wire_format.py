"""RESP2: commands as bytes, replies as values."""

from __future__ import annotations

import pytest

from labsupport.redis_cluster import wire_format
from labsupport.redis_cluster.wire_format import ErrorReply


def test_a_command_is_an_array_of_bulk_strings_counted_in_bytes() -> None:
    assert wire_format.encode("SET", "n", 1) == b"*3\r\n$3\r\nSET\r\n$1\r\nn\r\n$1\r\n1\r\n"
    assert wire_format.encode("é") == b"*1\r\n$2\r\n\xc3\xa9\r\n"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b":-7\r\n", -7),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"$0\r\n\r\n", ""),
        (b"$4\r\na\r\nb\r\n", "a\r\nb"),
        (b"*2\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n", [1, ["x", None]]),
        (b"-MOVED 1 h:2\r\n", ErrorReply("MOVED 1 h:2")),
    ],
)
def test_replies_become_values_and_what_follows_is_left(data: bytes, value: object) -> None:
    assert wire_format.decode(data + b"+next\r\n") == (value, b"+next\r\n")


def test_every_beginning_of_a_reply_is_incomplete() -> None:
    whole = b"*3\r\n$5\r\nhello\r\n:12\r\n*1\r\n-ERR no\r\n"
    assert wire_format.decode(whole)[1] == b""
    for length in range(len(whole)):
        with pytest.raises(wire_format.Incomplete):
            wire_format.decode(whole[:length])


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="a reply begins with"):
        wire_format.decode(b"HTTP/1.1 200 OK\r\n")


def test_an_error_tells_its_kind() -> None:
    assert ErrorReply("ASK 3999 h:1").kind == "ASK"
    assert ErrorReply("").kind == ""
