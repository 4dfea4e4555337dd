"""TLS as a layer: to the socket it is a protocol, to the protocol that speaks through it a transport.

    socket ──ciphertext──▶ Secured ──plaintext──▶ ClientConnection, UpstreamConnection, …
           ◀──────────────         ◀─────────────

OpenSSL works between two buffers in memory here, and nothing waits: each read is decrypted and handed on at once, each
write is encrypted and handed on at once. So pausing, high-water marks and aborting are those of the socket, and nothing
piles up in between. The protocol above hears of its connection when the handshake is over; until then there is none,
and a handshake that fails is told to whoever answers for it.

The event loops have TLS of their own, which costs as much. This one knows the client's first words before it decides on
a certificate, keeps scenario time, can close one direction, and tells an end from a cut: a connection that ends without
TLS's own farewell (close_notify) may have been cut off by anybody, and is lost with an error (RFC 8446, 6.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from ssl import MemoryBIO, SSLError, SSLObject, SSLWantReadError, SSLZeroReturnError
from typing import Any, cast

from lbtutor.live.addresses import Address
from lbtutor.live.descriptors import EXHAUSTED, REST
from lbtutor.live.tls import Expected

_RECORD = 16_384
"""The most plaintext that one record holds."""


class Secured(asyncio.Transport, asyncio.Protocol):
    """One connection; its two kinds, `Calling` and `termination.Answering`, differ in how they come to shake hands.

    `server_name` is the name that the client asked for, or "".
    """

    __slots__ = (
        "_ahead",
        "_below",
        "_choked",
        "_error",
        "_farewell_heard",
        "_farewell_said",
        "_incoming",
        "_inner",
        "_is_open",
        "_is_over",
        "_outgoing",
        "_tls",
        "server_name",
    )

    _below: asyncio.Transport
    _tls: SSLObject

    def __init__(self) -> None:
        super().__init__()
        self._ahead = b""
        self._choked = False
        self._error: Exception | None = None
        self._farewell_heard = False
        self._farewell_said = False
        self._incoming = MemoryBIO()
        self._inner: Any = None
        self._is_open = False
        self._is_over = False
        self._outgoing = MemoryBIO()
        self.server_name = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._inner or 'nobody yet'}>"

    # -- the handshake --------------------------------------------------------------------------------------------

    def begin(self) -> asyncio.Protocol:
        """Hands are shaken: whoever speaks from here on."""
        raise NotImplementedError

    def failed(self, error: OSError) -> None:
        """There will be no connection."""
        raise NotImplementedError

    def _greet(self, data: bytes) -> None:
        """Bytes before the handshake is over."""
        self._incoming.write(data)
        self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except SSLWantReadError:
            self._flush()
        except SSLError as error:
            self._flush()  # the alert
            self._give_up(error)
        else:
            self._flush()
            self._open()

    def _open(self) -> None:
        self._is_open = True
        self._inner = self.begin()
        self._inner.connection_made(self)
        if self._choked:
            self._inner.pause_writing()
        if self._ahead:
            self._inner.data_received(self._ahead)
        self._hear()

    def _give_up(self, error: OSError) -> None:
        if not (self._is_over or self._is_open):
            self._is_over = True
            self._below.close()
            self.failed(error)

    # -- what the socket says -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._is_open:
            if not self._farewell_heard:
                self._incoming.write(data)
                self._hear()
        elif not self._is_over:
            self._greet(data)

    def _hear(self) -> None:
        """Decrypt what came, hand it on in one piece, and then the news that no more will follow, if it is so."""
        incoming, read, pieces = self._incoming, self._tls.read, []
        try:
            while incoming.pending:
                piece = read(_RECORD)
                if not piece:
                    self._farewell_heard = True
                    break
                pieces.append(piece)
        except SSLWantReadError:  # the rest of a record is still to come
            pass
        except SSLZeroReturnError:  # both have said farewell
            self._farewell_heard = True
        except SSLError as error:
            self._error = error
            self._farewell_said = True  # nothing can be said any more
        if pieces:
            self._inner.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._outgoing.pending:
            self._flush()
        if self._error is not None:
            self._below.close()
        elif self._farewell_heard and not self._below.is_closing() and not self._inner.eof_received():
            self.close()

    def eof_received(self) -> bool:
        """The end of the connection's bytes: right after a farewell, and only there."""
        if self._is_open and not self._farewell_heard:
            self._error = self._error or ConnectionAbortedError("cut off before the farewell of TLS")
            self._below.abort()
        return self._is_open and self._farewell_heard and not self._below.is_closing()

    def pause_writing(self) -> None:
        self._choked = True
        if self._is_open:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._choked = False
        if self._is_open:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up(exc if isinstance(exc, OSError) else ConnectionResetError("closed in mid-handshake"))
        if self._is_open:
            inner, self._inner = self._inner, _NOBODY
            inner.connection_lost(self._error or exc)

    # -- what the protocol above wants ----------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._farewell_said:
            self._tls.write(data)  # all of it, since the buffer behind it takes everything
            self._below.write(self._outgoing.read())

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Say that nothing follows; what the other side says is still heard."""
        self._say_farewell()
        if not self._below.is_closing():
            self._below.write_eof()

    def close(self) -> None:
        """Close when all is sent."""
        if self._is_open and not self._below.is_closing():
            self._say_farewell()
        self._below.close()

    def abort(self) -> None:
        """Close now."""
        self._below.abort()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def is_reading(self) -> bool:
        return self._below.is_reading()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._below.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(asyncio.BaseProtocol, self._inner)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as the interface has it
        """What the socket knows, and of TLS: `ssl_object` and `sslcontext`, as in asyncio, and `server_name`."""
        match name:
            case "ssl_object":
                return self._tls
            case "sslcontext":
                return self._tls.context
            case "server_name":
                return self.server_name
        return self._below.get_extra_info(name, default)

    def _say_farewell(self) -> None:
        if not self._farewell_said:
            self._farewell_said = True
            with suppress(SSLError):  # it would wait for the other's, which may never come
                self._tls.unwrap()
            self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._below.is_closing():
            self._below.write(self._outgoing.read())


class Calling(Secured):
    """A client's side of TLS: speaks first, to somebody whom it expects to meet; `ahead` stays in the clear."""

    __slots__ = ("_done", "_expected", "_protocol")

    def __init__(
        self, expected: Expected, protocol: asyncio.Protocol, done: asyncio.Future[None], ahead: bytes = b""
    ) -> None:
        super().__init__()
        self._outgoing.write(ahead)
        self._done = done
        self._expected = expected
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        context, name = self._expected
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._shake_hands()

    def begin(self) -> asyncio.Protocol:
        if not self._done.done():
            self._done.set_result(None)
        return self._protocol

    def failed(self, error: OSError) -> None:
        if not self._done.done():
            self._done.set_exception(error)


async def connect(
    loop: asyncio.AbstractEventLoop,
    protocol: Callable[[], asyncio.Protocol],
    address: Address,
    expected: Expected | None = None,
    ahead: bytes = b"",
) -> None:
    """Open a connection for a protocol, and return when it has heard of it; encrypted, if somebody is `expected` there.

    `ahead` is sent before all else, and in the clear (PROXY protocol). Raises `OSError`, also in the form of
    `ssl.SSLError`, for which see `trouble_of`, and `UnicodeError` for a name that cannot be one. Whoever does not want
    to wait any longer cancels it, and nothing is left.
    """
    if expected is None:
        await _open(loop, (lambda: _Announcing(ahead, protocol())) if ahead else protocol, address)
        return
    done: asyncio.Future[None] = loop.create_future()
    try:
        transport = await _open(loop, lambda: Calling(expected, protocol(), done, ahead), address)
        try:
            await done
        except BaseException:
            transport.abort()
            raise
    finally:
        done.cancel()


async def _open(
    loop: asyncio.AbstractEventLoop, protocol: Callable[[], asyncio.Protocol], address: Address
) -> asyncio.Transport:
    """A connection, as soon as there is a file descriptor for it: the other end is not to blame that there is none."""
    while True:
        try:
            transport, _ = await loop.create_connection(protocol, *address)
            return transport
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
        await asyncio.sleep(REST)


class _Announcing(asyncio.Protocol):
    """Says something, and leaves the connection to another."""

    def __init__(self, says: bytes, successor: asyncio.Protocol) -> None:
        self._says = says
        self._successor = successor

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast(asyncio.Transport, transport)
        connection.write(self._says)
        connection.set_protocol(self._successor)
        self._successor.connection_made(connection)


_NOBODY = asyncio.Protocol()
"""Takes the place of a protocol whose connection is lost."""
