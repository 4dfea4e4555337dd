"""`Stage`: everything of one run that lives on the event loop: doors, origins, clients, probes, and what befalls them.

It is put up from a plan, plays, and is taken down. A plan without machines and traffic is a plain load balancer in
front of somebody's servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from random import Random
from ssl import SSLContext
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.core.algorithms import Algorithm
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Event, OriginChanged
from lbtutor.core.listening import BackendTls, ListenerConfig, Tls
from lbtutor.core.messages import Add, BackendConfig, Command, Remove
from lbtutor.core.workload import Act, Fault, Plan
from lbtutor.live.addresses import Address, client_address_mode
from lbtutor.live.authority import Authority
from lbtutor.live.changes import what_changed
from lbtutor.live.clients import Clients
from lbtutor.live.clock import Clock
from lbtutor.live.doors import Doors
from lbtutor.live.gate import Gate
from lbtutor.live.origin import Origin
from lbtutor.live.probes import Prober
from lbtutor.live.shell import Shell
from lbtutor.live.store import Stores
from lbtutor.live.tls import Beliefs, Expected, believing
from lbtutor.live.upstream import Upstreams

Report = Callable[[Event], None]

_POLL = 0.005
"""Wall seconds between two looks at whether everybody has gone."""

_FEWEST_ROUNDS, _MOST_ROUNDS = 3, 1000
"""Rounds of the event loop after which closed connections are gone: nearly all after a few, and surely after many."""


class Connections(Struct, frozen=True):
    """Open connections: those of clients by listener, and those to backends, idle ones too."""

    of_clients: Mapping[str, int]
    to_backends: int


class Stage:
    """One plan on real sockets, made on the loop's thread.

    Raises `ConfigError` or `EnvironmentFault`, and has then let go of everything.
    """

    def __init__(
        self,
        plan: Plan,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        gate: Gate,
        report: Report | None,
        kinds: frozenset[type] | None,
        algorithms: Mapping[str, Algorithm] | None,
    ) -> None:
        self.plan = plan
        self._report = report
        self._kinds = kinds
        self._over = False
        self._mode = client_address_mode()
        with ExitStack() as undo:
            self._stores = Stores(loop)
            undo.callback(self._stores.close)
            self.authority = Authority(_names_in(plan))
            undo.callback(self.authority.close)
            self._beliefs = Beliefs(plan.pools, self.authority)
            self._origins = self._machines(plan, loop, clock, undo)
            self._check_places(plan)
            rng = Random(f"{plan.seed}/balancer")
            epoch = datetime.now(UTC).timestamp() // 1  # cookies are dated in whole seconds; the simulator's 0 is one
            balancer = Balancer(
                plan.pools, plan.every_route, rng=rng, report=report, kinds=kinds, algorithms=algorithms, epoch=epoch
            )
            self.shell = Shell(loop, clock, gate, balancer)
            self._upstreams = Upstreams(self.shell, plan.pools, self._locate, self._expect)
            self.doors = Doors(self.shell, self._upstreams, self.authority, self._tell)
            self.shell.guests = self.doors.guests
            opening = self.doors.prepare(map(self._trusting, plan.listeners))
            undo.callback(opening.abandon)
            self._clients = self._crowd(opening.addresses, epoch)
            undo.pop_all()
        self.doors.commit(opening)
        self._prober = Prober(self.shell, self._locate, self._expect, self._upstreams.announcement)

    def __repr__(self) -> str:
        return f"<Stage {self.plan.title!r} {self.shell!r}>"

    # -- what there is --------------------------------------------------------------------------------------------

    @property
    def complaints(self) -> Mapping[str, int]:
        """What lab clients could not do, and how often."""
        return dict(self._clients.complaints)

    @property
    def messages(self) -> Mapping[str, int]:
        """What lab clients said in conversations: `sent`, `echoed` and `lost`."""
        return dict(self._clients.messages)

    @property
    def addresses(self) -> dict[str, Address]:
        """Where each listener is bound."""
        return self.doors.addresses

    @property
    def connections(self) -> Connections:
        """How many are open at this moment."""
        return Connections(self.doors.connections, len(self._upstreams.connections))

    def listen(self, report: Report | None, kinds: frozenset[type] | None) -> None:
        """From here on, tell `report` events of these kinds (None: of all)."""
        self._report = report
        self._kinds = kinds
        self.shell.balancer.report_to(report, kinds)

    def _locate(self, backend: Backend) -> Address:
        if backend.address:
            return Address.parse(backend.address, f"backend {backend.pool}/{backend.name}")
        return self._origins[backend.pool, backend.name].address

    def _expect(self, backend: Backend) -> Expected | None:
        return self._beliefs.about(backend.pool, backend.address, self._locate(backend).host)

    def _check_places(self, plan: Plan) -> None:
        for pool in plan.pools:
            for backend in pool.backends:
                self._check_place(pool.name, backend)

    def _check_place(self, pool: str, backend: BackendConfig) -> None:
        """A backend is somebody's server, or one of the plan's machines."""
        if backend.address:
            Address.parse(backend.address, f"backend {pool}/{backend.name}")
        elif (pool, backend.name) not in self._origins:
            raise ConfigError(f"backend {pool}/{backend.name} has neither an `address` nor a machine in this plan")

    def _trusting(self, config: ListenerConfig) -> ListenerConfig:
        """Lab clients that say who they are in a header are believed."""
        if self._mode == "loopback" or not self.plan.traffic:
            return config
        trusted = (*config.trusted_proxies, "127.0.0.1")
        return replace(config, trusted_proxies=trusted)

    def _crowd(self, addresses: Mapping[str, Address], epoch: float) -> Clients:
        plan = self.plan
        for rule in plan.traffic:
            if rule.to not in addresses:
                raise ConfigError(f"traffic goes to listener {rule.to!r}; there is {', '.join(addresses)}")
        contexts = {
            listener.name: _believing(listener.tls, self.authority)
            for listener in plan.listeners
            if listener.tls is not None and plan.traffic
        }
        return Clients(self.shell.loop, self.shell.clock, plan, addresses, self._mode, contexts, epoch, self._tell)

    def _machines(
        self, plan: Plan, loop: asyncio.AbstractEventLoop, clock: Clock, undo: ExitStack
    ) -> dict[tuple[str, str], Origin]:
        origins = {}
        for config in plan.machines:
            origin = Origin(config, plan, loop, clock, self._stores.of(config), self._tell, self.authority)
            undo.callback(origin.close)
            origins[config.pool, config.name] = origin
        return origins

    def _tell(self, event: Event) -> None:
        """Tell what the balancer does not know."""
        if self._report is not None and (self._kinds is None or type(event) in self._kinds):
            self._report(event)

    # -- what happens ---------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Let it begin."""
        for act in self.plan.acts:
            if act.at < self.plan.lasts:
                self._await_act(act)
        self._clients.start()
        self._prober.await_next()

    def _await_act(self, act: Act) -> None:
        def happen() -> None:
            if not self._over:
                self.act(act.what, by="timeline")
                self.shell.stand_still_if_held()

        self.shell.clock.call_at(act.at, happen)

    def act(self, what: Fault | Command, by: Literal["timeline", "hand"]) -> None:
        """Something befalls a machine, or is commanded to the balancer; `ConfigError` when there is no such thing."""
        if isinstance(what, Fault):
            self._befall(what, by)
        else:
            self._command(what)

    def reconfigure(self, plan: Plan) -> str:
        """Go on with the doors, routes and pools of `plan`; what is different, in words.

        Raises `ConfigError` or `EnvironmentFault`, and everything is then as it was.
        """
        after = replace(self.plan, listeners=plan.listeners, routes=plan.routes, pools=plan.pools, drain=plan.drain)
        self._check_places(after)
        beliefs = Beliefs(after.pools, self.authority)
        beliefs.remember(self._beliefs)
        with ExitStack() as undo:
            opening = self.doors.prepare(map(self._trusting, after.listeners))
            undo.callback(opening.abandon)
            self.shell.reconfigure(after.pools, after.every_route)
            undo.pop_all()
        self._beliefs = beliefs
        self._upstreams.reconfigure(after.pools, self.shell.balancer.has)
        renewed = opening.renewed(self.doors.open)
        self.doors.commit(opening)
        self._prober.await_next()
        before, self.plan = self.plan, after
        return what_changed(before, after, renewed)

    def _befall(self, fault: Fault, by: Literal["timeline", "hand"]) -> None:
        origin = self._origins.get((fault.pool, fault.backend))
        if origin is None:
            known = ", ".join(one.name for one in self._origins.values()) or "none"
            raise ConfigError(f"{fault.kind}: there is no machine {fault.pool}/{fault.backend}; known: {known}")
        now = self.shell.clock.now
        self._tell(OriginChanged(now, fault.pool, fault.backend, fault.kind, fault.amount, by))
        origin.befall(fault)

    def _command(self, command: Command) -> None:
        if isinstance(command, Add):
            self._check_place(command.pool, command.backend)
        self.shell.command(command)
        if isinstance(command, Remove):
            self._upstreams.forget(command.pool, command.backend)
        self._prober.await_next()

    # -- how it ends ----------------------------------------------------------------------------------------------

    def curtain(self) -> None:
        """Nothing new begins: no arrival, no act, no probe."""
        self._over = True
        self._clients.stop()
        self._prober.stop()

    async def drain(self, is_hurried: Callable[[], bool]) -> None:
        """Let what is under way end, for as long as the plan allows and nobody hurries."""
        clock = self.shell.clock
        until = clock.now + self.plan.drain

        def has_time() -> bool:
            return clock.now < until and not is_hurried()

        while self._clients.waiting and has_time():
            await asyncio.sleep(_POLL)
        self.doors.drain()
        while self.doors.busy and has_time():
            await asyncio.sleep(_POLL)

    async def take_down(self) -> None:
        """Close everything that is open; requests still under way end as cancelled."""
        self._prober.close()
        self.doors.abort()
        await _gone(lambda: self.doors.busy)
        self._clients.close()
        for connection in list(self._upstreams.connections):
            connection.drop()
        for origin in self._origins.values():
            origin.close()
        self._stores.close()
        self.authority.close()
        await _gone(
            lambda: bool(
                self._clients.connections
                or self._upstreams.connections
                or any(origin.connections for origin in self._origins.values())
            )
        )


def _names_in(plan: Plan) -> Iterator[str]:
    """The names under which lab clients and routes know what stands here."""
    for route in plan.routes:
        yield from filter(None, (route.host, route.sni))
    for traffic in plan.traffic:
        yield from filter(None, (traffic.host.rpartition(":")[0] or traffic.host,))
    for pool in plan.pools:
        if pool.tls is not None and pool.tls.name:
            yield pool.tls.name


def _believing(door: Tls, authority: Authority) -> SSLContext:
    """What lab clients believe: the lab's authority, and anybody at doors with certificates of somebody else's."""
    return believing(BackendTls(verify=not door.certificates), "lab clients", authority)


async def _gone(anybody: Callable[[], bool]) -> None:
    """A closed transport says so a round or two of the loop later."""
    for rounds in range(_MOST_ROUNDS):
        if rounds >= _FEWEST_ROUNDS and not anybody():
            return
        await asyncio.sleep(0)
