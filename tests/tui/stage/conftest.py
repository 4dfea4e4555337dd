"""Traces for the stage: one request told by hand, and whole runs of the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import pytest
from textual.app import App
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot

from lbtutor.core import Event, Plan, Seconds
from lbtutor.core.events import Arrived, Finished, Picked, Why
from lbtutor.core.health import HealthCheck
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.messages import BackendConfig
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.core.service import Service
from lbtutor.core.workload import Act, Fault, MachineConfig, Traffic
from lbtutor.sim.simulate import simulate


class Journey(Protocol):
    def __call__(
        self, request: int, at: float, took: float, *, backend: str = "a", client: str = "127.0.1.1", ok: bool = True
    ) -> list[Event]: ...


class Run(Protocol):
    def __call__(
        self,
        *,
        servers: int = 4,
        rate: float = 20,
        clients: int = 3,
        lasts: float = 12,
        acts: Sequence[Act] = (),
        attempts: int = 1,
    ) -> list[Event]: ...


@pytest.fixture(scope="session")
def journey() -> Journey:
    """One request of pool `web` that is picked at once and finishes after `took` seconds."""

    def told(
        request: int, at: float, took: float, *, backend: str = "a", client: str = "127.0.1.1", ok: bool = True
    ) -> list[Event]:
        why = Why("", "lowest", "", ())
        status, says = (200, "answered 200") if ok else (502, "connection refused")
        return [
            Arrived(at, request, client, "GET", "", "/", "front"),
            Picked(at, request, 1, "web", backend, "algorithm", why),
            Finished(at + took, request, 1, "web", backend, says, status, took, ok, final=True),
        ]

    return told


@pytest.fixture(scope="session")
def run() -> Run:
    """A simulated run of a round-robin pool `web` of srv-1, srv-2 …, probed every second (rise 2, fall 3).

    There is one machine more than servers, for one that joins.
    """

    def played(
        *,
        servers: int = 4,
        rate: float = 20,
        clients: int = 3,
        lasts: float = 12,
        acts: Sequence[Act] = (),
        attempts: int = 1,
    ) -> list[Event]:
        names = [f"srv-{number + 1}" for number in range(servers)]
        health = HealthCheck(interval=Seconds(1), timeout=Seconds(0.5), rise=2, fall=3)
        machines = [*names, f"srv-{servers + 1}"]
        backends = tuple(BackendConfig(name) for name in names)
        plan = Plan(
            listeners=(ListenerConfig("front"),),
            routes=(Route("web"),),
            pools=(PoolConfig("web", "round_robin", backends, health, Retry(attempts)),),
            machines=tuple(MachineConfig("web", name, service=Service("exponential", 0.3)) for name in machines),
            traffic=(Traffic("front", rate, clients=clients),),
            acts=tuple(acts),
            seed=7,
            lasts=Seconds(lasts),
        )
        events: list[Event] = []
        simulate(plan, events.append)
        return events

    return played


@pytest.fixture(scope="session")
def crash_and_heal() -> tuple[Act, ...]:
    """srv-2 dies at 2 s and is well again at 7 s."""
    return Act(2.0, Fault("crash", "web", "srv-2")), Act(7.0, Fault("heal", "web", "srv-2"))


class Recorder(HeadlessDriver):
    """A terminal that only listens: everything the app would have sent, in `sent`."""

    sent: str = ""

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.sent += data


Script = Callable[[Pilot[object], Recorder], Awaitable[None]]


@pytest.fixture(scope="session")
def play() -> Callable[[Callable[[], App[None]], tuple[int, int], Script], None]:
    """Run an app of that size on a `Recorder` and hand both to a script; what the script raises, the test raises."""

    def played(make: Callable[[], App[None]], size: tuple[int, int], script: Script) -> None:
        async def all_of_it() -> None:
            app = make()
            app.driver_class = Recorder

            async def act(pilot: Pilot[object]) -> None:
                driver = app._driver
                assert isinstance(driver, Recorder)
                await pilot.pause()
                await script(pilot, driver)
                app.exit()

            await app.run_async(size=size, auto_pilot=act)

        asyncio.run(all_of_it())

    return played
