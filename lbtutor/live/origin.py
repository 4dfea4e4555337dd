"""`Origin`: the machine behind a lab backend, on a real socket, and all that can befall it.

It is a small HTTP server with `workers` at a time at work and the rest in line. What befalls it is the table in
`lbtutor.core.workload.Fault`; here each column of that table is one thing:

    new connections         the door: it listens, or the port is bound and refuses
    requests under way      `_reset_all` (crash), `Workers.freeze` and `thaw` (hang)
    new requests            `Workers.errors`, `Workers.slow_by`
    probes                  `_answer_probe`

While a machine is down its port stays bound by a socket that does not listen: connections are refused, as by a machine
without that service, and the system gives the port to nobody else meanwhile.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from lbtutor.core.workload import Fault, MachineConfig
from lbtutor.live.addresses import Address
from lbtutor.live.clock import Clock, Timer
from lbtutor.live.server import Door, address_of, bound_socket, listening_socket, reset

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Workers:
    """The machine's people: so many at work, the others' work waiting in line, first come, first served.

    The dice are the machine's own and are thrown twice for each request, in order of arrival: for its work, then for
    whether it errs. So the n-th request at a machine fares alike in each shell.
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
        if job.errs and self._frozen is None:
            job.connection.answer(500)
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
        """Work goes on where it stood; what came meanwhile starts, or is answered with its error."""
        frozen, self._frozen = self._frozen or [], None
        for job, left in frozen:
            if job in self._at_work:
                self._work(job, left)
        erring = [job for job in self._waiting if job.errs]
        self._waiting = deque(job for job in self._waiting if not job.errs)
        self._start_waiting()
        for job in erring:
            job.connection.answer(500)

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
        job.connection.answer(200)


class Job:
    """One request at a machine: how much work it is, when that ends, and who waits for the answer."""

    __slots__ = ("connection", "ends", "errs", "work")

    def __init__(self, connection: OriginConnection) -> None:
        self.connection = connection
        self.work = 0.0
        self.ends = 0.0
        self.errs = False


class Origin:
    """One machine: its door, its connections and its workers. Raises `EnvironmentFault` when it finds no port."""

    def __init__(
        self, config: MachineConfig, seed: int, loop: asyncio.AbstractEventLoop, clock: Clock, probe_path: str
    ) -> None:
        self.name = f"{config.pool}/{config.name}"
        self.workers = Workers(config, seed, clock)
        self.probe_path = probe_path
        self.connections: set[OriginConnection] = set()
        self.answers = {status: _answer(status, self.name) for status in (200, 500)}
        self._config = config
        self._loop = loop
        self._hung = False
        self._held_probes: list[OriginConnection] = []
        self._door: Door | None = None
        self._closed_door: socket.socket | None = None
        self._open_door(listening_socket(Address("127.0.0.1", 0), of=f"machine {self.name}"))

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
            self.workers.freeze()
        elif was_hung and not self._hung:
            self._wake_up()

    def answer_probe(self, connection: OriginConnection) -> None:
        """Health checks are answered at once and by nobody's worker; by a hung machine, when it wakes up."""
        if self._hung:
            self._held_probes.append(connection)
        else:
            connection.answer(500 if self.workers.errors >= 1 else 200)

    def close(self) -> None:
        """The end of the machine."""
        self._refuse()
        if self._closed_door is not None:
            self._closed_door.close()
        self.workers.clear()
        for connection in list(self.connections):
            connection.transport.abort()

    def _wake_up(self) -> None:
        self.workers.thaw()
        probes, self._held_probes = self._held_probes, []
        for connection in probes:
            self.answer_probe(connection)

    def _reset_all(self) -> None:
        """All that was under way is lost, and every peer is told so by a reset."""
        self.workers.clear()
        self._held_probes.clear()
        for connection in list(self.connections):
            reset(connection.transport)

    # -- the door -------------------------------------------------------------------------------------------------

    def _open_door(self, listening: socket.socket) -> None:
        self.address = address_of(listening)
        self._door = Door(self._loop, listening, lambda: OriginConnection(self))

    def _refuse(self) -> None:
        """Close the door, and stay in front of it."""
        door, self._door = self._door, None
        if door is not None:
            door.close()
            self._closed_door = _keep(self.address)

    def _accept(self) -> None:
        """Open the door, at the same port if it can be had."""
        if self._door is None:
            kept, self._closed_door = self._closed_door, None
            if kept is None:
                kept = listening_socket(Address("127.0.0.1", 0), of=f"machine {self.name}")
            kept.listen()
            self._open_door(kept)


class OriginConnection(asyncio.Protocol):
    """A connection to a lab machine; one request at a time."""

    __slots__ = ("_expects", "_job", "_keep_alive", "_origin", "_parser", "_path", "_pending", "transport")

    transport: asyncio.Transport

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._parser: Any = HttpRequestParser(self)
        self._path = b""
        self._expects = False
        self._keep_alive = True
        self._pending = False
        self._job: Job | None = None

    def __repr__(self) -> str:
        return f"<OriginConnection of {self._origin.name}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._origin.connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.transport.close()

    def on_url(self, target: bytes) -> None:
        self._path += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if value.lower() == b"100-continue" and name.lower() == b"expect":
            self._expects = True

    def on_headers_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()
        if self._expects:
            self.transport.write(_CONTINUE)

    def on_message_complete(self) -> None:
        """The request is here; a second one before the first is answered is more than it knows."""
        path, self._path, self._expects = self._path, b"", False
        if self._pending:
            self.transport.abort()
            return
        self._pending = True
        if path.decode("latin-1") == self._origin.probe_path:
            self._origin.answer_probe(self)
        else:
            self._job = Job(self)
            self._origin.workers.take(self._job)

    def answer(self, status: int) -> None:
        """Send the answer, if anybody is still there."""
        self._pending = False
        self._job = None
        if self._parser is None or self.transport.is_closing():
            return
        head, body = self._origin.answers[status]
        self.transport.write(head if self._parser.get_method() == b"HEAD" else head + body)
        if not self._keep_alive:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._origin.connections.discard(self)
        self._parser = None
        if self._job is not None:
            self._origin.workers.drop(self._job)


def _keep(address: Address) -> socket.socket | None:
    try:
        return bound_socket(address, listening=False)
    except OSError:  # somebody was faster
        return None


def _answer(status: int, name: str) -> tuple[bytes, bytes]:
    phrase, says = ("OK", f"{name}\n") if status == 200 else ("Internal Server Error", f"{name} failed\n")
    body = says.encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nX-Origin: {name}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body
