"""`Origin`: the machine behind a lab backend, on a real socket, and all that can befall it.

It is a small HTTP server with `workers` at a time at work and the rest in line. What befalls it is the table in
`lbtutor.core.workload.Fault`; here each column of that table is one thing:

    new connections         the door: it listens, or the port is bound and refuses
    requests under way      `_reset_all` (crash), `Workers.freeze` and `thaw` (hang)
    new requests            `Workers.errors`, `Workers.slow_by`
    probes                  `answer_probe`

A WebSocket occupies no worker; the machine says again what it hears (`lbtutor.live.talk`), and datagrams are echoed too
(`lbtutor.live.echo`). Where it keeps sessions, a visitor is looked up when the work for him is done.

While a machine is down its port stays bound by a socket that does not listen: connections are refused, as by a machine
without that service, and the system gives the port to nobody else meanwhile.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from lbtutor.core.errors import EnvironmentFault
from lbtutor.core.events import Event
from lbtutor.core.keys import read_cookie
from lbtutor.core.listening import ListenerConfig, Tls
from lbtutor.core.sessions import SESSION_COOKIE, Names, Visit, session_cookie, told_of
from lbtutor.core.workload import Fault, MachineConfig, Plan
from lbtutor.live import proxy_protocol
from lbtutor.live.addresses import Address
from lbtutor.live.authority import Authority
from lbtutor.live.clock import Clock, Timer
from lbtutor.live.echo import echo
from lbtutor.live.server import Door, address_of, bound_socket, listening_socket, reset
from lbtutor.live.store import Store
from lbtutor.live.talk import Echoer
from lbtutor.live.termination import Termination
from lbtutor.live.tls import Keyring

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_TRIES = 20
"""How often to look for a port that is free for both TCP and UDP."""


class Workers:
    """The machine's people: so many at work, the others' work waiting in line, first come, first served.

    The dice are the machine's own and are thrown twice for each request, in order of arrival: for its work, then for
    whether it errs. So the n-th request at a machine fares alike in each shell. A conversation is nobody's work; it
    begins at once, unless the machine hangs.
    """

    def __init__(self, config: MachineConfig, seed: int, clock: Clock) -> None:
        self.errors = config.errors
        self.slow_by = 1.0
        self._config = config
        self._clock = clock
        self._rng = config.rng(seed)
        self._waiting: deque[Job] = deque()
        self._at_work: dict[Job, Timer] = {}
        self._frozen: list[tuple[Job, float]] | None = None

    def __repr__(self) -> str:
        return f"<Workers at_work={len(self._at_work)} of {self._config.workers} waiting={len(self._waiting)}>"

    def take(self, job: Job) -> None:
        """A request is here."""
        job.work = self._config.service.sample(self._rng)
        job.errs = self._rng.random() < self.errors
        if self._frozen is None and (job.errs or job.talks):
            job.done()
        else:
            self._waiting.append(job)
            self._start_waiting()

    def drop(self, job: Job) -> None:
        """Nobody waits for that one any more, so nobody works on it."""
        timer = self._at_work.pop(job, None)
        if timer is not None:
            timer.cancel()
            self._start_waiting()
        elif job in self._waiting:
            self._waiting.remove(job)

    @property
    def under_way(self) -> list[Job]:
        """Those at work and those who wait, in the order in which they came."""
        return [*self._at_work, *self._waiting]

    def clear(self) -> None:
        """All that was under way is gone."""
        for timer in self._at_work.values():
            timer.cancel()
        self._at_work.clear()
        self._waiting.clear()
        self._frozen = None

    def freeze(self) -> None:
        """Work stands still; how much of each is left is remembered."""
        now = self._clock.now
        self._frozen = [(job, max(job.ends - now, 0.0)) for job in self._at_work]
        for timer in self._at_work.values():
            timer.cancel()

    def thaw(self) -> None:
        """Work goes on where it stood; what came meanwhile starts, or is answered where that takes no work."""
        frozen, self._frozen = self._frozen or [], None
        for job, left in frozen:
            if job in self._at_work:
                self._work(job, left)
        idle = [job for job in self._waiting if job.errs or job.talks]
        self._waiting = deque(job for job in self._waiting if not (job.errs or job.talks))
        self._start_waiting()
        for job in idle:
            job.done()

    def _start_waiting(self) -> None:
        while self._waiting and self._frozen is None and len(self._at_work) < self._config.workers:
            job = self._waiting.popleft()
            self._work(job, job.work * self.slow_by)

    def _work(self, job: Job, took: float) -> None:
        job.ends = self._clock.now + took
        self._at_work[job] = self._clock.call_at(job.ends, lambda: self._done(job))

    def _done(self, job: Job) -> None:
        del self._at_work[job]
        self._start_waiting()
        job.done()


class Job:
    """One request at a machine: how much work it is, when that ends, and who waits for the answer.

    One that `talks` asks for a conversation.
    """

    __slots__ = ("connection", "ends", "errs", "talks", "work")

    def __init__(self, connection: OriginConnection, *, talks: bool) -> None:
        self.connection = connection
        self.talks = talks
        self.work = 0.0
        self.ends = 0.0
        self.errs = False

    def done(self) -> None:
        """Nothing more is to be done for it but to answer."""
        if self.errs:
            self.connection.answer(500)
        elif self.talks:
            self.connection.converse()
        else:
            self.connection.serve()


class Origin:
    """One machine of a plan: its door, its connections and its workers.

    `store` is where it keeps its sessions, `tell` who hears of them. Where the plan has a door for datagrams, it has a
    UDP port of the same number as its TCP port. Raises `EnvironmentFault` when it finds no port.
    """

    def __init__(
        self,
        config: MachineConfig,
        plan: Plan,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        store: Store | None,
        tell: Callable[[Event], None],
        authority: Authority,
    ) -> None:
        pool = next((pool for pool in plan.pools if pool.name == config.pool), None)
        self.name = f"{config.pool}/{config.name}"
        self.workers = Workers(config, plan.seed, clock)
        self.probe_path = "/health" if pool is None or pool.health is None else pool.health.path
        self.announced = pool is not None and pool.send_proxy != ""
        self.store = store
        self.connections: set[OriginConnection] = set()
        self.answers = {status: _answer(status, self.name) for status in (200, 500)}
        self._config = config
        self._loop = loop
        self._clock = clock
        self._tell = tell
        self._names = Names(plan.seed, config.pool, config.name)
        self._hung = False
        self._held_probes: list[OriginConnection] = []
        self._conversations: set[OriginConnection] = set()
        self._door: Door | None = None
        self._closed_door: socket.socket | None = None
        self._echoes = any(listener.mode == "udp" for listener in plan.listeners)
        self._ear: socket.socket | None = None
        self._reception: Callable[[], asyncio.Protocol] = lambda: OriginConnection(self)
        if pool is not None and pool.tls is not None:
            self._reception = self._termination(authority).connection
        self._open_door(self._listening_socket())

    def __repr__(self) -> str:
        return f"<Origin {self.name} at {self.address}>"

    def befall(self, fault: Fault) -> None:
        """Something happens to it, and replaces what happened before."""
        was_hung, self._hung = self._hung, fault.kind == "hang"
        self.workers.errors = fault.amount if fault.kind == "error" else self._config.errors
        self.workers.slow_by = fault.amount if fault.kind == "slow" else 1.0
        if fault.kind in ("crash", "refuse"):
            self._refuse()
        else:
            self._accept()
        if fault.kind == "crash":
            self._reset_all()
        elif self._hung and not was_hung:
            self._fall_asleep()
        elif was_hung and not self._hung:
            self._wake_up()

    def answer_probe(self, connection: OriginConnection) -> None:
        """Health checks are answered at once and by nobody's worker; by a hung machine, when it wakes up."""
        if self._hung:
            self._held_probes.append(connection)
        else:
            connection.answer(500 if self.workers.errors >= 1 else 200)

    def receive(self, connection: OriginConnection, shown: str, client: str) -> None:
        """A visitor whose work is done shows a session, or none: see whether he is known, and answer him."""

        def answer(visit: Visit | None) -> None:
            if visit is not None:
                for event in told_of(visit, self._clock.now, self._config.pool, self._config.name, client):
                    self._tell(event)
            connection.answer(500 if visit is None else 200, visit)

        assert self.store is not None, "only where sessions are kept"
        self.store.visit(shown, self._names.next(), answer)

    def converses(self, connection: OriginConnection) -> None:
        """That connection is a conversation now."""
        self._conversations.add(connection)

    def forget(self, connection: OriginConnection) -> None:
        """That connection is gone."""
        self.connections.discard(connection)
        self._conversations.discard(connection)

    def close(self) -> None:
        """The end of the machine."""
        self._refuse()
        if self._closed_door is not None:
            self._closed_door.close()
        self.workers.clear()
        for connection in list(self.connections):
            connection.transport.abort()

    def _fall_asleep(self) -> None:
        self.workers.freeze()
        for connection in self._conversations:
            connection.transport.pause_reading()

    def _wake_up(self) -> None:
        for connection in self._conversations:
            connection.transport.resume_reading()
        self.workers.thaw()
        probes, self._held_probes = self._held_probes, []
        for connection in probes:
            self.answer_probe(connection)

    def _reset_all(self) -> None:
        """All that was under way is lost, and every peer is told so by a reset: first whose request came first."""
        connections = dict.fromkeys(job.connection for job in self.workers.under_way)
        connections.update(dict.fromkeys(self.connections))
        self.workers.clear()
        self._held_probes.clear()
        if self.store is not None:
            self.store.crash()
        for connection in connections:
            reset(connection.transport)

    # -- the door -------------------------------------------------------------------------------------------------

    def _listening_socket(self) -> socket.socket:
        """A socket that listens, and with it an ear for datagrams at the same port, if there may be any."""
        for _ in range(_TRIES):
            listening = listening_socket(Address("127.0.0.1", 0), of=f"machine {self.name}")
            if not self._echoes or self._open_ear(address_of(listening)):
                return listening
            listening.close()
        raise EnvironmentFault(f"machine {self.name} finds no port that is free for both TCP and UDP")

    def _termination(self, authority: Authority) -> Termination:
        """TLS with a certificate of the lab's own."""
        tls = Tls(auto=True)
        keyring = Keyring(ListenerConfig(self.name, tls=tls), authority)
        serve, guests = self._reception, self.connections
        return Termination(keyring, self._clock, tls.handshake_timeout, serve, guests, announced=self.announced)

    def _open_door(self, listening: socket.socket) -> None:
        self.address = address_of(listening)
        self._door = Door(self._loop, listening, self._reception)

    def _refuse(self) -> None:
        """Close the door, and stay in front of it."""
        door, self._door = self._door, None
        if door is not None:
            door.close()
            self._close_ear()
            self._closed_door = _keep(self.address)

    def _accept(self) -> None:
        """Open the door, at the same port if it can be had."""
        if self._door is None:
            kept, self._closed_door = self._closed_door, None
            if kept is None:
                kept = self._listening_socket()
            elif self._echoes:
                self._open_ear(self.address)
            kept.listen()
            self._open_door(kept)

    def _open_ear(self, address: Address) -> bool:
        """Hear datagrams at that port, if nobody else does."""
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.settimeout(0)
        try:
            ear.bind(address)
        except OSError:
            ear.close()
            return False
        self._ear = ear
        self._loop.add_reader(ear, echo, ear, self.name, lambda: self._hung)
        return True

    def _close_ear(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            self._loop.remove_reader(ear)
            ear.close()


class OriginConnection(asyncio.Protocol):
    """A connection to a lab machine; one request at a time, or a conversation."""

    __slots__ = (
        "_announced",
        "_beside",
        "_client",
        "_fields",
        "_job",
        "_keep_alive",
        "_origin",
        "_parser",
        "_path",
        "_pending",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._parser: Any = HttpRequestParser(self)
        self._path = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._keep_alive = True
        self._pending = False
        self._job: Job | None = None
        self._beside = b""
        self._announced = origin.announced
        self._client = ""

    def __repr__(self) -> str:
        return f"<OriginConnection of {self._origin.name}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._client = (transport.get_extra_info("peername") or ("unknown",))[0]
        self._origin.connections.add(self)

    # -- reading --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._announced:
            data = self._without_announcement(self._beside + data)
        elif self._job is not None and self._job.talks:
            self._beside += data
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as switch:
            self._switch(data[switch.args[0] :])
        except HttpParserError:
            self.transport.close()

    def _without_announcement(self, data: bytes) -> bytes:
        """What follows the PROXY protocol, which names the client; a probe may come without it."""
        try:
            parsed = proxy_protocol.parse(data)
        except proxy_protocol.ProxyError:
            parsed = proxy_protocol.Parsed(0, None, None)
        if parsed is None:
            self._beside = data
            return b""
        self._announced, self._beside = False, b""
        if parsed.source is not None:
            self._client = parsed.source.host
        return data[parsed.size :]

    def _switch(self, beside: bytes) -> None:
        """The request was to switch protocols: WebSocket is the only one that is known."""
        if self._job is None or not self._job.talks:
            self.transport.close()
        else:
            self._beside = beside
            self._origin.workers.take(self._job)

    def on_url(self, target: bytes) -> None:
        self._path += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()
        if self._field(b"expect").lower() == b"100-continue":
            self.transport.write(_CONTINUE)

    def _field(self, name: bytes) -> bytes:
        """A field of the request, all its lines in one."""
        separator = b"; " if name == b"cookie" else b", "
        return separator.join([value for known, value in self._fields if known.lower() == name])

    def on_message_complete(self) -> None:
        """The request is here; a second one before the first is answered is more than it knows."""
        if self._pending:
            self.transport.abort()
            return
        self._pending = True
        if self._path.decode("latin-1") == self._origin.probe_path:
            self._origin.answer_probe(self)
        else:
            talks = self._parser.should_upgrade() and self._field(b"upgrade").lower() == b"websocket"
            self._job = Job(self, talks=talks)
            if not talks:
                self._origin.workers.take(self._job)

    # -- answering ------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """The work is done."""
        if self._origin.store is None:
            self.answer(200)
        else:
            shown = read_cookie(self._field(b"cookie").decode("latin-1"), SESSION_COOKIE)
            forwarded = self._field(b"x-forwarded-for").decode("latin-1").partition(",")[0].strip()
            self._origin.receive(self, shown, forwarded or self._client)

    def converse(self) -> None:
        """From here on it is a conversation."""
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._fields]
        path, beside = self._path.decode("latin-1"), self._beside
        self._job = None
        self._origin.converses(self)
        Echoer(self.transport, self).begin(path, fields, beside)

    def answer(self, status: int, visit: Visit | None = None) -> None:
        """Send the answer, if anybody is still there, and be ready for the next request."""
        self._pending = False
        self._job = None
        self._path, self._fields = b"", []
        if self._parser is None or self.transport.is_closing():
            return
        head, body = self._origin.answers[status] if visit is None else _answer(status, self._origin.name, visit)
        self.transport.write(head if self._parser.get_method() == b"HEAD" else head + body)
        if not self._keep_alive:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._origin.forget(self)
        self._parser = None
        if self._job is not None:
            self._origin.workers.drop(self._job)


def _keep(address: Address) -> socket.socket | None:
    try:
        return bound_socket(address, listening=False)
    except OSError:  # somebody was faster
        return None


def _answer(status: int, name: str, visit: Visit | None = None) -> tuple[bytes, bytes]:
    """Head and body; to a visitor it says which of his visits this is, and to a new one his session."""
    phrase, says = ("OK", f"{name}\n") if status == 200 else ("Internal Server Error", f"{name} failed\n")
    about = ""
    if visit is not None:
        says += f"visit {visit.visits}\n"
        about = f"X-Visits: {visit.visits}\r\n"
        if visit.visits == 1:
            about += f"Set-Cookie: {session_cookie(visit.session)}\r\n"
    body = says.encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nX-Origin: {name}\r\n{about}"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body
