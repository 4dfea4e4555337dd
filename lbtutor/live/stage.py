"""`Stage`: everything of one run that lives on the event loop: doors, origins, clients, probes, and what befalls them.

It is put up from a plan, plays, and is taken down. A plan without machines and traffic is a plain load balancer in
front of somebody's servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from random import Random
from typing import Literal

from lbtutor.core.algorithms import Algorithm
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Event, OriginChanged
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.messages import Add, BackendConfig, Command, Remove
from lbtutor.core.workload import Act, Fault, Plan, arrivals
from lbtutor.live.addresses import Address, client_address_mode
from lbtutor.live.clients import Clients
from lbtutor.live.clock import Clock
from lbtutor.live.gate import Gate
from lbtutor.live.l7 import Front
from lbtutor.live.origin import Origin
from lbtutor.live.probes import Prober
from lbtutor.live.server import Door, address_of, listening_socket
from lbtutor.live.shell import Shell
from lbtutor.live.upstream import Upstreams

Report = Callable[[Event], None]

_POLL = 0.005
"""Wall seconds between two looks at whether everybody has gone."""

_FEWEST_ROUNDS, _MOST_ROUNDS = 3, 1000
"""Rounds of the event loop after which closed connections are gone: nearly all after a few, and surely after many."""


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
        algorithms: Mapping[str, Algorithm] | None,
    ) -> None:
        self._plan = plan
        self._report = report
        self._over = False
        self._mode = client_address_mode()
        with ExitStack() as undo:
            self._origins = _origins(plan, loop, clock, undo)
            self._check_places()
            sockets = {}
            for config in plan.listeners:
                of = f"listener {config.name}"
                sockets[config.name] = undo.enter_context(listening_socket(Address.parse(config.at, of), of))
            rng = Random(f"{plan.seed}/balancer")
            balancer = Balancer(plan.pools, plan.routes, rng=rng, report=report, algorithms=algorithms)
            self.shell = Shell(loop, clock, gate, balancer)
            self._upstreams = Upstreams(self.shell, plan.pools, self._locate)
            self._fronts = [Front(self._trusting(config), self.shell, self._upstreams) for config in plan.listeners]
            self.addresses = {name: address_of(listening) for name, listening in sockets.items()}
            self._clients = self._crowd()
            undo.pop_all()
        self._doors = [Door(loop, sockets[front.config.name], front.connection) for front in self._fronts]
        self._prober = Prober(self.shell, self._locate)

    def __repr__(self) -> str:
        return f"<Stage {self._plan.title!r} {self.shell!r}>"

    # -- what there is --------------------------------------------------------------------------------------------

    @property
    def complaints(self) -> Mapping[str, int]:
        """What lab clients could not do, and how often."""
        return dict(self._clients.complaints)

    def listen(self, report: Report) -> None:
        """From here on, somebody listens."""
        self._report = report
        self.shell.balancer.report_to(report)

    def _locate(self, backend: Backend) -> Address:
        if backend.address:
            return Address.parse(backend.address, f"backend {backend.pool}/{backend.name}")
        return self._origins[backend.pool, backend.name].address

    def _check_places(self) -> None:
        for pool in self._plan.pools:
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
        if self._mode == "loopback" or not self._plan.traffic:
            return config
        trusted = (*config.trusted_proxies, "127.0.0.1")
        return ListenerConfig(
            config.name, config.at, trusted, config.head_timeout, config.idle_timeout, config.max_header_bytes
        )

    def _crowd(self) -> Clients:
        plan = self._plan
        for rule in plan.traffic:
            if rule.to not in self.addresses:
                raise ConfigError(f"traffic goes to listener {rule.to!r}; there is {', '.join(self.addresses)}")
        stream = arrivals(plan.traffic, plan.seed, plan.lasts)
        return Clients(self.shell.loop, self.shell.clock, stream, self.addresses, self._mode)

    # -- what happens ---------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Let it begin."""
        for act in self._plan.acts:
            if act.at < self._plan.lasts:
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

    def _befall(self, fault: Fault, by: Literal["timeline", "hand"]) -> None:
        origin = self._origins.get((fault.pool, fault.backend))
        if origin is None:
            known = ", ".join(one.name for one in self._origins.values()) or "none"
            raise ConfigError(f"{fault.kind}: there is no machine {fault.pool}/{fault.backend}; known: {known}")
        if self._report is not None:
            now = self.shell.clock.now
            self._report(OriginChanged(now, fault.pool, fault.backend, fault.kind, fault.amount, by))
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
        until = clock.now + self._plan.drain

        def has_time() -> bool:
            return clock.now < until and not is_hurried()

        while self._clients.waiting and has_time():
            await asyncio.sleep(_POLL)
        for door in self._doors:
            door.close()
        for front in self._fronts:
            front.drain()
        while any(front.connections for front in self._fronts) and has_time():
            await asyncio.sleep(_POLL)

    async def take_down(self) -> None:
        """Close everything that is open; requests still under way end as cancelled."""
        self._prober.close()
        for door in self._doors:
            door.close()
        for front in self._fronts:
            front.abort()
        await _gone(lambda: any(front.connections for front in self._fronts))
        self._clients.close()
        for connection in list(self._upstreams.connections):
            connection.drop()
        for origin in self._origins.values():
            origin.close()
        await _gone(
            lambda: bool(
                self._clients.connections
                or self._upstreams.connections
                or any(origin.connections for origin in self._origins.values())
            )
        )


async def _gone(anybody: Callable[[], bool]) -> None:
    """A closed transport says so a round or two of the loop later."""
    for rounds in range(_MOST_ROUNDS):
        if rounds >= _FEWEST_ROUNDS and not anybody():
            return
        await asyncio.sleep(0)


def _origins(
    plan: Plan, loop: asyncio.AbstractEventLoop, clock: Clock, undo: ExitStack
) -> dict[tuple[str, str], Origin]:
    probe_paths = {pool.name: pool.health.path for pool in plan.pools if pool.health is not None}
    origins = {}
    for config in plan.machines:
        origin = Origin(config, plan.seed, loop, clock, probe_paths.get(config.pool, "/health"))
        undo.callback(origin.close)
        origins[config.pool, config.name] = origin
    return origins
