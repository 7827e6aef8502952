"""The Redis serialization protocol, RESP2: commands as bytes, replies as values.

Source: the protocol's description at https://valkey.io/topics/protocol/, written anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Value = Any  # str, int, None, ErrorReply, or a list of these
END = b"\r\n"


class Incomplete(Exception):
    """The bytes end before the reply does: more must be read."""


@dataclass(frozen=True)
class ErrorReply:
    """An error that a server answered. Its first word says which: MOVED, ASK, TRYAGAIN, ERR ..."""

    text: str

    @property
    def words(self) -> list[str]:
        """The words of the error.

        >>> ErrorReply("MOVED 3999 10.244.1.3:6379").words
        ['MOVED', '3999', '10.244.1.3:6379']
        """
        return self.text.split()

    @property
    def kind(self) -> str:
        """The first word."""
        return self.words[0] if self.text.strip() else ""

    def __str__(self) -> str:
        return self.text


def encode(*words: str | int) -> bytes:
    r"""A command as it goes over the wire: an array of bulk strings.

    >>> encode("GET", "colour")
    b'*2\r\n$3\r\nGET\r\n$6\r\ncolour\r\n'
    """
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def decode(data: bytes) -> tuple[Value, bytes]:
    r"""The first reply in the bytes, and the bytes after it. Raises Incomplete, and ValueError for what is no RESP2.

    >>> decode(b"$4\r\nblue\r\n:1\r\n")
    ('blue', b':1\r\n')
    """
    line, end, rest = data.partition(END)
    if not end:
        raise Incomplete
    mark, text = line[:1], line[1:].decode()
    match mark:
        case b"+":
            return text, rest
        case b"-":
            return ErrorReply(text), rest
        case b":":
            return int(text), rest
        case b"$":
            return _bulk(int(text), rest)
        case b"*":
            return _array(int(text), rest)
    raise ValueError(f"a reply begins with one of + - : $ *, found {line[:20]!r}")


def _bulk(length: int, rest: bytes) -> tuple[Value, bytes]:
    if length < 0:
        return None, rest
    if len(rest) < length + len(END):
        raise Incomplete
    return rest[:length].decode(errors="replace"), rest[length + len(END) :]


def _array(length: int, rest: bytes) -> tuple[Value, bytes]:
    if length < 0:
        return None, rest
    values: list[Value] = []
    for _ in range(length):
        value, rest = decode(rest)
        values.append(value)
    return values, rest
