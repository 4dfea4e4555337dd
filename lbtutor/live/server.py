"""Doors: sockets that listen, and the loop that accepts.

`Door` is the accept loop that every server should have (its model is trio's `serve_listeners`): a client that is gone
before it is greeted is no error, and a process that runs out of file descriptors (see `descriptors`) rests and tries
again, while new clients wait in the kernel's queue; those already here are served on.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from lbtutor.core.errors import EnvironmentFault
from lbtutor.live.addresses import Address, cause_of
from lbtutor.live.descriptors import EXHAUSTED, REST, are_short

BACKLOG = 1024
"""Connections that the kernel may hold until they are accepted."""

MOST_UNSENT = 131_072
"""Bytes of one connection that the kernel may hold and has not sent, because the peer's window is full."""

ACCEPTS_A_ROUND = 64
"""Connections accepted before others get their turn in the event loop."""

_GONE = (errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH)
"""Errors of a connection that died in the queue: `accept` on Linux reports them, and the next one may be well."""

_LINGER_FOR_NOTHING = struct.pack("ii", 1, 0)

_ADVICE = {
    errno.EADDRINUSE: "stop whoever listens there, or choose another port; port 0 lets the system choose one",
    errno.EACCES: "ports below 1024 are for the superuser on most systems; choose a higher one",
    errno.EADDRNOTAVAIL: "this machine has no such address; 127.0.0.1 is this machine, 0.0.0.0 all its addresses",
    errno.EMFILE: "too many files are open; raise the limit with `ulimit -n`",
}


def listening_socket(address: Address, of: str) -> socket.socket:
    """A socket that listens; raises `EnvironmentFault` that names `of`, the address, the cause and a way out."""
    try:
        bound = bound_socket(address)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "choose another address")
        raise EnvironmentFault(f"{of} cannot listen on {address}: {cause_of(error)}; {advice}") from error
    return bound


def bound_socket(address: Address, *, listening: bool = True) -> socket.socket:
    """A socket bound to `address`. One that does not listen refuses connections, and the port stays taken."""
    family, kind, protocol, _, place = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # those that are accepted inherit all of this
        _bound_what_is_unsent(bound)
        bound.settimeout(0)
        bound.bind(place)
        if listening:
            bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _bound_what_is_unsent(bound: socket.socket) -> None:
    """A peer that reads slowly would else have up to 4 MiB of kernel memory, and a thousand of them 4 GiB. What is on
    its way does not count, so nobody else gets slower (HAProxy: `tune.notsent-lowat.client`)."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with suppress(OSError):  # older kernels do without
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT)


def reset(transport: asyncio.Transport) -> None:
    """Close with a reset instead of a farewell, as the kernel of a crashed process does."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_FOR_NOTHING)
    transport.abort()


def address_of(bound: socket.socket) -> Address:
    """Where a socket is bound."""
    return Address(*bound.getsockname()[:2])


class Door:
    """Accepts connections on a listening socket, and makes a protocol for each; with none given, once it is opened."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol] | None = None,
    ) -> None:
        self.address = address_of(listening)
        self._loop = loop
        self._socket = listening
        self._greetings: set[asyncio.Task[bool]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._accepts = False
        self._closed = False
        if protocol is not None:
            self.open(protocol)

    def __repr__(self) -> str:
        return f"<Door {self._socket}>"

    def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Accept connections; from here on those that come get this protocol, also if it was open before."""
        self._protocol = protocol
        if not self._accepts:
            self._accepts = True
            self._loop.add_reader(self._socket, self._accept)

    def retire(self) -> None:
        """Accept those who stand in the queue, and then no more."""
        self._accept_waiting(BACKLOG)
        self._shut()

    def close(self) -> None:
        """Accept no more; connections that nobody has greeted yet are closed. Asking twice is harmless."""
        self._closed = True
        self._shut()

    def _shut(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        if self._rest is not None:
            self._rest.cancel()
        self._socket.close()

    def _accept(self) -> None:
        self._accept_waiting(ACCEPTS_A_ROUND)

    def _accept_waiting(self, most: int) -> None:
        for _ in range(most):
            if are_short(self._socket.fileno()):
                self._take_a_rest()
                return
            try:
                accepted, _peer = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _GONE:
                    continue
                if error.errno not in EXHAUSTED:
                    raise
                self._take_a_rest()
                return
            greeting = self._loop.create_task(self._greet(accepted))
            self._greetings.add(greeting)
            greeting.add_done_callback(partial(self._greeted, accepted))

    async def _greet(self, accepted: socket.socket) -> bool:
        """Not cancelled when the door is closed: a protocol that has heard of its connection must hear of its end."""
        if self._closed:
            return False
        try:
            transport, _protocol = await self._loop.connect_accepted_socket(self._protocol, accepted)
        except OSError:
            return False
        self._admit(transport)
        return True

    def _admit(self, transport: asyncio.Transport) -> None:
        """Unless the door was closed while it came through."""
        if self._closed:
            transport.close()

    def _greeted(self, accepted: socket.socket, greeting: asyncio.Task[bool]) -> None:
        self._greetings.discard(greeting)
        if greeting.cancelled() or not greeting.result():
            accepted.close()

    def _take_a_rest(self) -> None:
        self._loop.remove_reader(self._socket)
        self._rest = self._loop.call_later(REST, self._loop.add_reader, self._socket, self._accept)
