"""The great storm: requests at load while servers are killed, hung, healed, drained, weighed, removed and added, and
the configuration is reloaded, in a seeded sequence.

What must hold afterwards: every request ended once; clients, origins and the trace agree on each one; nothing that must
not be carried out twice was; nothing was lost that the rules would have saved; and the balancer holds nothing that it
did not hold before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from time import monotonic
from typing import Any, NamedTuple

import pytest

from lbtutor.core import (
    BackendConfig,
    HealthCheck,
    ListenerConfig,
    PassiveCheck,
    Plan,
    PoolConfig,
    Retry,
    Route,
    Seconds,
    Sticky,
)
from lbtutor.core.events import EVERYTHING, Why
from lbtutor.core.messages import Add, Command, Disable, Drain, Enable, Remove, SetWeight
from lbtutor.live.run import LiveRun
from tests.storms.books import Books, Rules
from tests.storms.conftest import Holdings
from tests.storms.crowd import Ask, Crowd, eventually, watched
from tests.storms.origins import Farm, Mood

Play = Callable[[Coroutine[Any, Any, Any]], Any]

SEED = 20_261_107
ORIGINS = 6
CLIENTS = 64
LIMIT = 16

MOST_GROWTH = 4 * 2**20
"""Bytes by which the memory of the process may grow in the second half of a storm."""

RETRY = Retry(3, 0.005, ("connect", "close", "timeout", "503"), Seconds(0.005))
ALGORITHMS = ("least_connections", "round_robin", "power_of_two", "consistent_hash", "peak_ewma", "maglev")
BAD_MOODS: tuple[Mood, ...] = ("slow", "sick", "deaf", "abrupt", "hung", "refusing", "dead")


class Trouble(NamedTuple):
    """Kinds of trouble that are mended in the same way, and how many origins may be in it at a time."""

    trouble: tuple[str, ...]
    most: int


MENDS = {
    "heal": Trouble(BAD_MOODS, 2),
    "enable": Trouble(("drain", "disable"), 1),
    "weigh": Trouble(("weigh",), 2),
    "add": Trouble(("remove",), 1),
    "reload": Trouble((), 0),
}
"""By what mends it. A reload mends what the operator's hand did to weights and members, too."""


class Act(NamedTuple):
    """When so many requests were asked, this befalls an origin, or is commanded to the balancer."""

    at: int
    what: str
    whom: int
    amount: float


def acts_of(seed: int, requests: int, every: int) -> deque[Act]:
    """A storm: one act every so many requests; most of the origins are well, and nobody is kept out for long."""
    rng, acts = Random(f"{seed}/storm"), deque[Act]()
    troubled: dict[str, deque[int]] = {mend: deque() for mend in MENDS}
    for at in range(every, requests - every, every):
        mend = rng.choice(sorted(MENDS))
        whom, those = rng.randrange(ORIGINS), troubled[mend]
        if mend == "reload":
            acts.append(Act(at, "reload", 0, 0))
        elif len(those) < MENDS[mend].most and whom not in those and rng.random() < 0.7:
            those.append(whom)
            acts.append(Act(at, rng.choice(MENDS[mend].trouble), whom, rng.choice([0, 0.5, 1, 2, 3])))
        elif those:
            acts.append(Act(at, mend, those.popleft(), 1))
    return acts


def ask(number: int) -> Ask:
    """The n-th request of every storm: mostly GET, now and then with a body, and some clients are impatient."""
    dice = number * 2_654_435_761 % 1000
    impatient = dice % 50 == 7
    if dice < 600:
        return Ask(number, "GET", impatient=impatient)
    if dice < 850:
        return Ask(number, "POST", b"p" * (dice if dice < 840 else 20_000), impatient)
    if dice < 950:
        return Ask(number, "PUT", b"q" * (dice if dice < 940 else 80_000), impatient)
    return Ask(number, "DELETE" if dice < 980 else "PATCH", impatient=impatient)


def plan_for(farm: Farm, algorithm: str = "least_connections", listener: ListenerConfig | None = None) -> Plan:
    """One door and one pool with everything that the core can do for a request in trouble."""
    backends = tuple(BackendConfig(origin.name, address=origin.address, limit=LIMIT) for origin in farm.origins)
    pool = PoolConfig(
        "web",
        algorithm,
        backends,
        health=HealthCheck(interval=Seconds(0.2), timeout=Seconds(0.15), rise=1, fall=2),
        passive=PassiveCheck(fails=4, window=Seconds(1), eject=Seconds(0.3)),
        retry=RETRY,
        sticky=Sticky("SERVER"),
        slow_start=Seconds(0.3),
        queue=Seconds(0.5),
        connect_timeout=Seconds(1),
        response_timeout=Seconds(0.4),
    )
    door = listener or ListenerConfig("front")
    return Plan((door,), (Route("web", path="/r"),), (pool,), seed=SEED, lasts=Seconds(float("inf")), drain=Seconds(1))


class Storm:
    """One storm over one run, and what there is to hold against it afterwards."""

    def __init__(self, requests: int, every: int, holdings: Callable[..., Holdings], seed: int = SEED) -> None:
        self.requests = requests
        self.acts = acts_of(seed, requests, every)
        self.done = 0
        self.farm = Farm()
        self.books = Books(requests, ask, Rules(RETRY, LIMIT))
        self.resident: list[int] = []
        self.seconds = 0.0
        self.connects = 0
        self._holdings = holdings
        self._acting: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()
        self._rng = Random(f"{seed}/reloads")

    async def rage(self) -> None:
        """Let it come and go, and look that it left nothing behind."""
        async with self.farm:
            await self.farm.grow(ORIGINS, self.books.origin_carried_out)
            await self._come_and_go()

    async def _come_and_go(self) -> None:
        before = self._holdings().descriptors
        self.run = LiveRun(plan_for(self.farm))
        self._present = {origin.name for origin in self.farm.origins}
        self._feed = self.run.feed(500_000, EVERYTHING - {Why})
        self.run.start()
        try:
            await self._rage_on()
        finally:
            self.run.stop()
        for origin in self.farm.origins:
            await origin.become("well")
        await eventually(lambda: self._holdings().descriptors == before, f"holding no more than {before}")

    async def _rage_on(self) -> None:
        tasks = self._tasks()
        crowd = Crowd(lambda: self.run.addresses["front"], self._asks, self.books.client_was_told, stays=500)
        began = monotonic()
        await watched(asyncio.ensure_future(crowd.ask(self.requests, CLIENTS)), self._look)
        self.seconds, self.connects = monotonic() - began, crowd.connects
        await asyncio.gather(*self._acting)
        await eventually(self._is_quiet, f"quiet, but {self.run.connections} {self.run.snapshot()}")
        await eventually(lambda: self._tasks() <= tasks + 1, "no task more than before but a probe's")
        self._look()
        assert self.run.trouble is None

    def _asks(self, number: int) -> Ask:
        while self.acts and self.acts[0].at <= number:
            self._acting.append(asyncio.ensure_future(self._perform(self.acts.popleft())))
        return ask(number)

    def _look(self) -> None:
        for event in self._feed.drain():
            self.books.take(event)
        if self.books.arrived >= (len(self.resident) + 1) * self.requests // 20:
            self.resident.append(self._holdings().resident)

    def _tasks(self) -> int:
        return self.run._gate.ask(lambda: len(asyncio.all_tasks()))

    def _is_quiet(self) -> bool:
        """Nobody is here, nothing is under way, and nobody waits."""
        self._look()
        balancer = self.run._stage.shell.balancer if self.run._stage is not None else None
        return (
            balancer is not None
            and not any(self.run.connections.of_clients.values())
            and (balancer.open_requests, balancer.waiting_requests) == (0, 0)
            and not any(backend.in_flight for pool in self.run.snapshot() for backend in pool.backends)
            and self.books.is_complete
        )

    # -- acts -----------------------------------------------------------------------------------------------------

    async def _perform(self, act: Act) -> None:
        async with self._turn:
            self.done += 1
            origin = self.farm.origins[act.whom]
            if act.what in BAD_MOODS:
                await origin.become(act.what)
            elif act.what == "heal":
                await origin.become("well")
            elif act.what == "reload":
                self._reload()
            else:
                self._command(act.what, origin.name, act.amount, origin.address)

    def _command(self, what: str, name: str, amount: float, address: str) -> None:
        if (what == "add") is (name in self._present):
            return  # a reload came before
        if what in ("add", "remove"):
            self._present ^= {name}
        self.run.act(_COMMANDS[what](name, amount, address))

    def _reload(self) -> None:
        """Another algorithm, and every other time other rules at the door, so that connections are asked to leave."""
        self._present = {origin.name for origin in self.farm.origins}
        door = ListenerConfig("front", idle_timeout=Seconds(self._rng.choice([30, 60])))
        self.run.reconfigure(plan_for(self.farm, self._rng.choice(ALGORITHMS), door))


_COMMANDS: dict[str, Callable[[str, float, str], Command]] = {
    "drain": lambda name, amount, address: Drain("web", name, Seconds(amount / 10)),
    "disable": lambda name, amount, address: Disable("web", name),
    "enable": lambda name, amount, address: Enable("web", name),
    "weigh": lambda name, amount, address: SetWeight("web", name, amount),
    "add": lambda name, amount, address: Add("web", BackendConfig(name, address=address, limit=LIMIT)),
    "remove": lambda name, amount, address: Remove("web", name),
}


@pytest.mark.parametrize(
    ("requests", "every"),
    [
        pytest.param(5_000, 60, id="small", marks=pytest.mark.slow),
        pytest.param(200_000, 300, id="full", marks=pytest.mark.benchmark),
    ],
)
def test_after_a_storm_the_three_books_agree_and_nothing_is_left(
    requests: int, every: int, holdings: Callable[..., Holdings], play: Play
) -> None:
    storm = Storm(requests, every, holdings)
    play(storm.rage())
    growth = [f"{resident / 2**20:.1f}" for resident in storm.resident[::4]]
    print(f"\n{storm.books.figures()}\n  {storm.done} acts, {storm.connects} connections, {storm.seconds:.1f} s")
    print(f"  resident MiB along the way: {', '.join(growth)}")
    assert storm.resident[-1] - storm.resident[len(storm.resident) // 2] < MOST_GROWTH
    disagreements = storm.books.disagreements()
    assert not disagreements, "\n".join([f"{len(disagreements)} in all", *disagreements[:20]])
