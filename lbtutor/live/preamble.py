"""`Preamble`: the first bytes of a connection, as far as a door must read them before anything can be decided.

    [PROXY header] [ClientHello] rest
     taken out      looked at     for the backend

The header of the PROXY protocol says who the client is, and is for this door alone. A ClientHello says which server the
client asks for, and is passed on as it came.
"""

from __future__ import annotations

from lbtutor.live.addresses import Address
from lbtutor.live.hello import HelloReader, NotHello
from lbtutor.live.proxy_protocol import Parsed, ProxyError, parse


class Unwelcome(Exception):
    """What the client says first is not what this door expects."""


class Preamble:
    """Reads what it is told to expect; `source` and `destination` are the ends that a proxy names, if it names any.

    A client that speaks no TLS, or names no server, is refused only with `strict`.
    """

    def __init__(self, *, proxy: bool, hello: bool, strict: bool) -> None:
        self.source: Address | None = None
        self.destination: Address | None = None
        self.server_name = ""
        self._proxy = bytearray() if proxy else None
        self._hello = HelloReader() if hello else None
        self._strict = strict

    def feed(self, data: bytes) -> bytes | None:
        """More bytes; None when it takes still more, otherwise those that are for the backend.

        Raises `Unwelcome` when this is not the PROXY protocol where it must be, or names no server where it must.
        """
        if self._proxy is not None:
            self._proxy += data
            header = _parse(self._proxy)
            if header is None:
                return None
            data, self._proxy = bytes(self._proxy[header.size :]), None
            self.source, self.destination = header.source, header.destination
        return data if self._hello is None else self._read_hello(self._hello, data)

    def _read_hello(self, reader: HelloReader, data: bytes) -> bytes | None:
        hello = reader.feed(data)
        if hello is None:
            return None
        if not isinstance(hello, NotHello):
            self.server_name = hello.server_name
        if self._strict and not self.server_name:
            raise Unwelcome("the client names no server")
        return bytes(reader.received)


def _parse(data: bytearray) -> Parsed | None:
    try:
        return parse(data)
    except ProxyError as error:
        raise Unwelcome(str(error)) from error
