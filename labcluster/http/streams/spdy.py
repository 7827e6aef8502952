"""Frames of SPDY/3.1, as far as exec, attach and port-forward use them: SYN_STREAM, data, RST_STREAM, PING.

A reader and writer without I/O of its own. Format: SPDY Protocol draft 3.1, sections 2.2 to 2.6 (frames) and 2.6.10
(the block of names and values, deflated with a dictionary that both sides know). There is no flow control by
windows: the library that Kubernetes uses on both sides (moby/spdystream) has none.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 0x01
REFUSED_STREAM, CANCEL = 3, 5  # statuses of RST_STREAM
LARGEST_FRAME = 1 << 24  # bytes, by the length's three bytes
_LARGEST_HEADERS = 1 << 16  # bytes of a stream's headers: a deflated frame could become 16 GB of them
_VERSION = 3
_HEADER = struct.Struct("!II")
_CONTROL = 1 << 31

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_NAMES = [*_WORDS.split(), "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
_CODES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack("!I", len(n)) + n.encode() for n in _NAMES) + _CODES.encode()


class SpdyError(Exception):
    """What came is not SPDY/3.1."""


@dataclass(frozen=True)
class Opened:
    """The client has opened a stream (SYN_STREAM); `ended` when it will send nothing on it (FIN)."""

    stream: int
    headers: dict[str, str]
    ended: bool


@dataclass(frozen=True)
class Data:
    """Data of a stream; `ended` when it is the last (FIN)."""

    stream: int
    data: bytes
    ended: bool


@dataclass(frozen=True)
class Reset:
    """The client has given a stream up (RST_STREAM)."""

    stream: int


@dataclass(frozen=True)
class Ping:
    """To be answered with the same number."""

    number: int


@dataclass(frozen=True)
class GoAway:
    """The client opens no more streams."""


Event = Opened | Data | Reset | Ping | GoAway


class Reader:
    """Parses the bytes of one client into events, in whatever chunks they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are complete with these bytes. Raises SpdyError."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            first, second = _HEADER.unpack_from(self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            if first & _CONTROL:
                yield from self._control(first, flags, body)
            else:
                yield Data(first, body, bool(flags & FIN))

    def _control(self, first: int, flags: int, body: bytes) -> Iterator[Event]:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != _VERSION:
            raise SpdyError(f"a control frame of version {version}, expected {_VERSION}")
        try:
            if kind == SYN_STREAM:
                (stream,) = struct.unpack_from("!I", body)
                yield Opened(stream & ~_CONTROL, self._headers(body[10:]), bool(flags & FIN))
            elif kind == RST_STREAM:
                yield Reset(struct.unpack_from("!I", body)[0] & ~_CONTROL)
            elif kind == PING:
                yield Ping(struct.unpack_from("!I", body)[0])
            elif kind == GOAWAY:
                yield GoAway()
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"a control frame of type {kind} that cannot be read: {error}") from error

    def _headers(self, block: bytes) -> dict[str, str]:
        plain, offset = self._inflate.decompress(block, _LARGEST_HEADERS), 4
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"the headers of a stream are larger than {_LARGEST_HEADERS} bytes")
        headers = {}
        for _ in range(struct.unpack_from("!I", plain)[0]):
            pair = []
            for _ in range(2):
                (length,) = struct.unpack_from("!I", plain, offset)
                pair.append(plain[offset + 4 : offset + 4 + length].decode())
                offset += 4 + length
            headers[pair[0].lower()] = pair[1]
        return headers


class Writer:
    """Makes the frames of the server's side of one connection."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def reply(self, stream: int) -> bytes:
        """Accept a stream, with no headers."""
        block = self._deflate.compress(struct.pack("!I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control_frame(SYN_REPLY, struct.pack("!I", stream) + block)

    @staticmethod
    def data(stream: int, data: bytes, *, end: bool = False) -> bytes:
        """Data of a stream."""
        return _HEADER.pack(stream, (FIN if end else 0) << 24 | len(data)) + data

    @staticmethod
    def reset(stream: int, status: int) -> bytes:
        """Give a stream up."""
        return _control_frame(RST_STREAM, struct.pack("!II", stream, status))

    @staticmethod
    def ping(number: int) -> bytes:
        """Answer a ping."""
        return _control_frame(PING, struct.pack("!I", number))


def _control_frame(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(_CONTROL | _VERSION << 16 | kind, len(body)) + body
