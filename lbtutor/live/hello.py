"""Reads the first message of a TLS client without taking part: which server it asks for, and what it wants to speak.

A ClientHello is not encrypted (RFC 8446, section 4.1.2; RFC 6066, section 3; RFC 7301), so a balancer can route by it
and pass the very same bytes on. It may come in any number of TLS records, and a record in any number of reads.

Nothing is believed that does not parse to its last byte: where two readers could see two names, this one sees none.
"""

from __future__ import annotations

from typing import NamedTuple

MOST_BYTES = 16_384
"""Bytes within which the message must be whole (HAProxy: its buffer, 16 KiB; NGINX `preread_buffer_size`, 16 KiB)."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_RECORD_HEADER = 5
_MESSAGE_HEADER = 4
_RANDOM = 34
"""Bytes of the version and the random number, which begin the message."""

_SERVER_NAME = 0
_ALPN = 16
_HOST_NAME = 0
_LONGEST_NAME = 255

_TOO_LONG = f"no whole ClientHello within {MOST_BYTES} bytes"


class Hello(NamedTuple):
    """What a client says first: the server it asks for, in lower case (empty: none), and its protocols, best first."""

    server_name: str
    alpn: tuple[str, ...]


class NotHello(NamedTuple):
    """What came is not a ClientHello, and why not."""

    because: str


class HelloReader:
    """Takes the bytes of one connection until it knows; `received` is all that came, to be passed on untouched."""

    def __init__(self) -> None:
        self.received = bytearray()
        self._message = bytearray()
        self._next_record = 0

    def __repr__(self) -> str:
        return f"<HelloReader received={len(self.received)}>"

    def feed(self, data: bytes) -> Hello | NotHello | None:
        """More bytes; None when it takes still more to know. Never raises, whatever the bytes are."""
        self.received += data
        try:
            return self._read()
        except _Malformed as error:
            return NotHello(str(error))

    def _read(self) -> Hello | None:
        while not self._is_whole():
            if not self._take_record():
                return None
        return _hello(_Bytes(bytes(self._message[_MESSAGE_HEADER : self._size()])))

    def _size(self) -> int:
        return _MESSAGE_HEADER + int.from_bytes(self._message[1:_MESSAGE_HEADER])

    def _is_whole(self) -> bool:
        message = self._message
        if message and message[0] != _CLIENT_HELLO:
            raise _Malformed("a handshake that does not begin with a ClientHello")
        if len(message) >= _MESSAGE_HEADER and self._size() > MOST_BYTES:
            raise _Malformed(_TOO_LONG)
        return len(message) >= _MESSAGE_HEADER and len(message) >= self._size()

    def _take_record(self) -> bool:
        """Take the next record's payload, a piece of the message; False while it is not here."""
        received, begin = self.received, self._next_record
        payload = begin + _RECORD_HEADER
        _check_record(bytes(received[begin:payload]))
        end = payload + int.from_bytes(received[begin + 3 : payload])
        if len(received) >= payload and len(received) >= end:
            self._message += received[payload:end]
            self._next_record = end
            return True
        if len(received) >= MOST_BYTES:
            raise _Malformed(_TOO_LONG)
        return False


class _Malformed(Exception):
    """Not a ClientHello."""


def _check_record(header: bytes) -> None:
    """Complain about a header of a record, as far as it came."""
    if header[:1] not in (b"", bytes((_HANDSHAKE,))) or header[1:2] not in (b"", b"\x03"):
        raise _Malformed("not a TLS handshake")
    if len(header) == _RECORD_HEADER and header[3:] == b"\0\0":
        raise _Malformed("an empty TLS record")


class _Bytes:
    """Bytes to be taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """Exactly so many."""
        begin, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise _Malformed("a ClientHello whose lengths do not add up")
        return self._data[begin : self._at]

    def number(self, size: int) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """What follows a length of so many bytes."""
        return self.take(self.number(size))


def _hello(body: _Bytes) -> Hello:
    body.take(_RANDOM)
    for size_of_length in (1, 2, 1):  # session id, cipher suites, compression methods
        body.vector(size_of_length)
    extensions = _extensions(_Bytes(body.vector(2))) if body else {}
    if body:
        raise _Malformed("bytes after the extensions")
    return Hello(_server_name(extensions.get(_SERVER_NAME)), _protocols(extensions.get(_ALPN)))


def _extensions(block: _Bytes) -> dict[int, bytes]:
    extensions: dict[int, bytes] = {}
    while block:
        kind = block.number(2)
        if kind in extensions:
            raise _Malformed(f"extension {kind} twice")
        extensions[kind] = block.vector(2)
    return extensions


def _server_name(extension: bytes | None) -> str:
    """The host name in a list of names, of which there may be one of each kind."""
    if extension is None:
        return ""
    names: dict[int, bytes] = {}
    rest = _list_in(extension)
    while rest:
        kind = rest.number(1)
        if kind in names:
            raise _Malformed("two server names")
        names[kind] = rest.vector(2)
    return _readable(names[_HOST_NAME]).lower() if _HOST_NAME in names else ""


def _protocols(extension: bytes | None) -> tuple[str, ...]:
    if extension is None:
        return ()
    protocols = []
    rest = _list_in(extension)
    while rest:
        protocols.append(rest.vector(1).decode("latin-1"))
    return tuple(protocols)


def _list_in(extension: bytes) -> _Bytes:
    """The one vector that such an extension holds."""
    outer = _Bytes(extension)
    inner = _Bytes(outer.vector(2))
    if outer or not inner:
        raise _Malformed("an extension whose length is not that of its list")
    return inner


def _readable(name: bytes) -> str:
    """Names are ASCII on the wire, those of other scripts as well (RFC 6066, section 3)."""
    if not name or len(name) > _LONGEST_NAME or any(not 0x21 <= byte <= 0x7E for byte in name):
        raise _Malformed("a server name that is none")
    return name.decode("ascii")
