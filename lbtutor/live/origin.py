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
from collections.abc import Callable

from lbtutor.core.errors import EnvironmentFault
from lbtutor.core.events import Event
from lbtutor.core.listening import ListenerConfig, Tls
from lbtutor.core.sessions import Names, Visit, told_of
from lbtutor.core.workload import Fault, MachineConfig, Plan
from lbtutor.live.addresses import Address
from lbtutor.live.authority import Authority
from lbtutor.live.clock import Clock
from lbtutor.live.echo import echo
from lbtutor.live.server import Door, address_of, bound_socket, listening_socket, reset
from lbtutor.live.serving import OriginConnection, machine_answer
from lbtutor.live.store import Store
from lbtutor.live.termination import Termination
from lbtutor.live.tls import Keyring
from lbtutor.live.workers import Workers

_TRIES = 20
"""How often to look for a port that is free for both TCP and UDP."""


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
        self.answers = {status: machine_answer(status, self.name) for status in (200, 500)}
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


def _keep(address: Address) -> socket.socket | None:
    try:
        return bound_socket(address, listening=False)
    except OSError:  # somebody was faster
        return None
