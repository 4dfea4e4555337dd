"""UDP: datagrams have no connection, so the balancer makes one up, the session.

Whoever sends from the same address and port within the idle time is in one session, and a session has one backend. To
the balancer it is one request of the method `UDP`, in flight for as long as it lives. Answers go back from the port
that the client sent to.

A session has a socket of its own, connected to its backend. So answers find their session, and so the kernel tells when
nobody listens there (ICMP port unreachable): the session is over, and the client's next datagram begins another, maybe
with a better backend. Nothing is sent twice: a datagram that is lost is lost, as everywhere on the way.

Only an idle session ends in peace. At the limit of `max_connections`, or of file descriptors, new clients get no
session and their datagrams are dropped (Envoy's rule): source addresses are easily forged, and a flood of them must not
push out those who are here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from lbtutor.core.errors import EnvironmentFault
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.messages import Forward, Outcome, OutcomeKind, Reject, Request, Wait
from lbtutor.live.addresses import Address, cause_of
from lbtutor.live.clock import Alarm
from lbtutor.live.server import address_of
from lbtutor.live.shell import Shell
from lbtutor.live.upstream import Upstreams

MOST_HELD = 65_536
"""Bytes of datagrams that wait until their session has a backend; more are dropped."""

_LARGEST = 65_535
"""More than any datagram has (65 507 bytes over IPv4)."""

_A_ROUND = 64
"""Datagrams read before others get their turn in the event loop."""

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

Sender = tuple[Any, ...]
"""An address and port as the socket module has it, for IPv6 with two more numbers."""


def datagram_socket(address: Address, of: str) -> socket.socket:
    """A socket for datagrams to `address`; raises `EnvironmentFault` that names `of`, the address and the cause."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EnvironmentFault(f"{of} cannot listen on {address}: {cause_of(error)}") from error
    try:
        bound.settimeout(0)
        bound.bind(place)
    except OSError as error:
        bound.close()
        raise EnvironmentFault(f"{of} cannot listen on {address}: {cause_of(error)}; choose another address") from error
    return bound


class UdpDoor:
    """A port for datagrams: hands those that come to its front, and sends answers from here."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bound: socket.socket) -> None:
        self.address = address_of(bound)
        self._loop = loop
        self._socket = bound
        self._front: UdpFront | None = None
        self._closing = False

    def __repr__(self) -> str:
        return f"<UdpDoor {self.address}>"

    def open(self, front: Callable[[], UdpFront]) -> None:
        """Receive datagrams; from here on they go to this front, also if it was open before."""
        if self._front is None:
            self._loop.add_reader(self._socket, self._receive)
        self._front = front()
        self._front.door = self

    def retire(self) -> None:
        """Receive no more; the sessions that are left end when they have been idle."""
        self._shut()

    def close(self) -> None:
        """No new sessions; the port closes with the last of those that are here. Asking twice is harmless."""
        self._closing = True
        self.close_if_idle()

    def close_if_idle(self) -> None:
        """Nobody is left who could get an answer."""
        if self._closing and (self._front is None or not self._front.connections):
            self._shut()

    @property
    def takes_new(self) -> bool:
        """Whether a stranger's datagram begins a session."""
        return not self._closing

    def send(self, data: bytes, client: Sender) -> None:
        """An answer. One that cannot be sent at once is lost, as it might be on the way."""
        with suppress(OSError):
            self._socket.sendto(data, client)

    def _receive(self) -> None:
        for _ in range(_A_ROUND):
            try:
                data, client = self._socket.recvfrom(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an answer to a client that has gone came back: nobody's concern
                continue
            if self._front is not None:
                self._front.received(data, client)
            if self._socket.fileno() < 0:
                return

    def _shut(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        self._socket.close()


class UdpFront:
    """The sessions of one listener, by the address and port of their client."""

    door: UdpDoor

    def __init__(self, config: ListenerConfig, shell: Shell, upstreams: Upstreams) -> None:
        self.config = config
        self.shell = shell
        self.upstreams = upstreams
        self.connections: dict[Sender, Session] = {}

    def __repr__(self) -> str:
        return f"<UdpFront {self.config.name} sessions={len(self.connections)}>"

    def connection(self) -> UdpFront:
        """Who hears of datagrams: there are no connections, so it is the front itself."""
        return self

    @property
    def guests(self) -> list[Session]:
        """The requests under way."""
        return list(self.connections.values())

    def received(self, data: bytes, client: Sender) -> None:
        """A datagram from a client, of a session or the first of one."""
        session = self.connections.get(client)
        if session is not None and session.send(data):
            return
        if self.door.takes_new and not self._is_full:
            Session(self, client, self.door).begin(data)

    @property
    def _is_full(self) -> bool:
        most = self.config.max_connections
        return most is not None and len(self.connections) >= most

    def left(self, session: Session) -> None:
        """That session is over."""
        if self.connections.get(session.client) is session:
            del self.connections[session.client]
        self.door.close_if_idle()

    def retire(self) -> None:
        """No new datagrams come; answers that are on their way still go out while the port is open."""

    def drain(self) -> None:
        """Sessions end when they have been idle."""

    def abort(self) -> None:
        """End all sessions now."""
        for session in self.guests:
            session.end("cancelled")


class Session:
    """One client's datagrams to one backend, and the answers."""

    __slots__ = ("_alarm", "_answered", "_door", "_front", "_held", "_socket", "_task", "client", "id")

    def __init__(self, front: UdpFront, client: Sender, door: UdpDoor) -> None:
        self.client = client
        self.id = front.shell.next_id()
        self._front = front
        self._door = door
        self._alarm = Alarm(front.shell.clock, self._idle)
        self._answered = False
        self._held: list[bytes] = []
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Session r{self.id} of {self.client[0]}>"

    # -- its backend ------------------------------------------------------------------------------------------------

    def begin(self, data: bytes) -> None:
        """Ask the balancer where to, and go there."""
        front, client = self._front, str(self.client[0])
        shell, name = front.shell, front.config.name
        request = Request(self.id, shell.clock.now, client, client, 1, "UDP", "", "", _NO_HEADERS, name)
        decision = shell.arrive(request)
        if not isinstance(decision, (Forward, Wait)):
            return  # nobody takes it, and there is no way to say so
        front.connections[self.client] = self
        self._held.append(data)
        if isinstance(decision, Forward):
            self.go_on(decision)
        else:
            shell.wait_for(self)

    def go_on(self, forward: Forward) -> None:
        """To that backend."""
        self._heard()
        self._task = self._front.shell.loop.create_task(self._connect(forward))

    def turn_away(self, reject: Reject) -> None:
        """To nobody."""
        self._close()

    async def _connect(self, forward: Forward) -> None:
        loop = self._front.shell.loop
        try:
            host, port = self._front.upstreams.of(forward.backend).address
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):  # a name that cannot be looked up
            self._go_elsewhere()
            return
        finally:
            self._task = None
        try:
            self._socket = _connected(*found[0])
        except OSError:  # no file descriptor is left, or no way leads there
            self.end("cancelled")
            return
        loop.add_reader(self._socket, self._receive)
        held, self._held = self._held, []
        for data in held:
            self.send(data)

    def _go_elsewhere(self) -> None:
        """There is no such backend; nothing was sent, so another may be tried."""
        shell = self._front.shell
        again = shell.finish(self.id, Outcome.failed("refused"))
        if isinstance(again, Forward):
            self.go_on(again)
        elif isinstance(again, Wait):
            self._alarm.clear()
            shell.wait_for(self)
        else:
            self._close()

    # -- its datagrams ----------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> bool:
        """A datagram for the backend; False when the session turns out to be over."""
        if self._socket is None:
            self._hold(data)
            return True
        self._heard()
        try:
            self._socket.send(data)
        except ConnectionError:  # what was sent before was refused
            self._refused()
            return False
        except OSError:  # it is lost, as it might be on the way
            pass
        return True

    def _hold(self, data: bytes) -> None:
        if sum(map(len, self._held)) + len(data) <= MOST_HELD:
            self._held.append(data)

    def _receive(self) -> None:
        """Answers from the backend."""
        for _ in range(_A_ROUND):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._refused()
                return
            self._answered = True
            self._heard()
            self._door.send(data, self.client)

    def _heard(self) -> None:
        shell = self._front.shell
        self._alarm.set(shell.clock.now + self._front.config.idle_timeout)

    # -- how it ends ------------------------------------------------------------------------------------------------

    def _idle(self) -> None:
        self.end("served")

    def _refused(self) -> None:
        self.end("cut" if self._answered else "refused")

    def cut(self) -> None:
        """The balancer wants this attempt to end now: its backend's drain is over."""
        self.end("cut" if self._answered else "closed")

    def end(self, kind: OutcomeKind) -> None:
        """It is over; what was sent is gone, so it cannot be tried elsewhere."""
        self._close()
        shell = self._front.shell
        if kind == "cancelled":
            shell.leave(self)
        else:
            shell.finish(self.id, Outcome.failed(kind), repeatable=False)

    def _close(self) -> None:
        self._alarm.cancel()
        if self._task is not None:
            self._task.cancel()
        bound, self._socket = self._socket, None
        if bound is not None:
            self._front.shell.loop.remove_reader(bound)
            bound.close()
        self._front.left(self)


def _connected(family: int, kind: int, protocol: int, _name: str, place: Sender) -> socket.socket:
    connected = socket.socket(family, kind, protocol)
    try:
        connected.settimeout(0)
        connected.connect(place)
    except OSError:
        connected.close()
        raise
    return connected
