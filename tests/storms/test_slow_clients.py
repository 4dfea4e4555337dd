"""Slow clients: those who never come to the end of a head, who promise a body and hardly send it, and who ask for much
and do not read it. Others must not notice, and in the end the slow ones are shown out.

The slow clients are a program of their own (`slow`), and in the full size so is the balancer, so that what is measured
here is not the harness.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from math import inf
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import pytest

from lbtutor.core import BackendConfig, ListenerConfig, Plan, PoolConfig, Route, Seconds
from lbtutor.live.run import LiveRun
from tests.storms.conftest import Holdings, running
from tests.storms.crowd import Ask, Crowd, Told, eventually, let_pass
from tests.storms.origins import BIG_BYTES, Farm
from tests.storms.process import Running, config

Play = Callable[[Coroutine[Any, Any, Any]], Any]

DOOR = ListenerConfig("front", head_timeout=Seconds(20), body_timeout=Seconds(20), idle_timeout=Seconds(25))


class SlowOnes:
    """So many slow clients of each kind, in a process of their own."""

    def __init__(self, address: str, each: int, every: float) -> None:
        self.each = each
        program = str(Path(__file__).with_name("slow.py"))
        command = [sys.executable, program, address, str(every), *[str(each)] * 3]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    def __repr__(self) -> str:
        return f"<SlowOnes {self.each} of each kind>"

    async def are_here(self) -> None:
        """All are connected, and have said what they say at first."""
        assert self._process.stdout is not None
        assert await asyncio.to_thread(self._process.stdout.readline) == "ready\n"

    async def hurry(self) -> dict[str, dict[str, int]]:
        """Let the readers read: what everybody was told."""
        said, _ = await asyncio.to_thread(self._process.communicate, "now\n")
        told: dict[str, dict[str, int]] = json.loads(said)
        return told

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def slow_ones() -> Iterator[Callable[[str, int, float], SlowOnes]]:
    """Start that many of each kind, who say a byte every so many seconds."""
    here: list[SlowOnes] = []

    def start(address: str, each: int, every: float) -> SlowOnes:
        here.append(SlowOnes(address, each, every))
        return here[-1]

    yield start
    for ones in here:
        ones.close()


ROUNDS = 3
"""Measured rounds of five seconds, without slow clients and beside them."""


def nobody(*_: object) -> None:
    """Nobody keeps a book."""


@pytest.mark.slow
def test_slow_clients_are_shown_out_and_others_are_served_meanwhile(
    slow_ones: Callable[[str, int, float], SlowOnes], play: Play
) -> None:
    told: list[Told] = []

    async def story() -> dict[str, dict[str, int]]:
        async with Farm() as farm:
            (origin,) = await farm.grow(1, nobody)
            pool = PoolConfig("web", backends=(BackendConfig("a", address=origin.address),))
            plan = Plan((DOOR,), (Route("web"),), (pool,), lasts=Seconds(inf), drain=Seconds(0), speed=20)
            with running(LiveRun(plan)) as run:
                ones = slow_ones(run.addresses["front"], 20, 0.1)
                await ones.are_here()
                crowd = Crowd(lambda: run.addresses["front"], Ask, lambda ask, answer: told.append(answer))
                await crowd.ask(1000, 8)
                await eventually(lambda: not run.connections.of_clients["front"], "all slow clients are shown out")
                assert run.snapshot()[0].backends[0].in_flight == 0
                return await ones.hurry()

    slow = play(story())
    assert {answer.status for answer in told} == {200}
    assert slow == {"heads": {"408": 20}, "bodies": {"408": 20}, "readers": {"cut": 20}}


class Pace:
    """Clients who ask at fixed times, whether or not others were answered: how long each waited since its time."""

    def __init__(self, address: str, clients: int, gap: float) -> None:
        self._crowd = Crowd(lambda: address, Ask, nobody)
        self._clients = clients
        self._gap = gap

    async def walk(self, seconds: float) -> list[float]:
        """For so long; the latencies in seconds."""
        waits: list[float] = []
        await asyncio.gather(*(self._ask(index, seconds, waits) for index in range(self._clients)))
        return waits

    async def _ask(self, index: int, seconds: float, waits: list[float]) -> None:
        loop, visit = asyncio.get_running_loop(), await self._crowd.connect()
        began = loop.time() + self._gap * index / self._clients
        for step in range(1, int(seconds / self._gap)):
            due = began + step * self._gap
            if due > loop.time():
                await let_pass(due - loop.time())
            told = await visit.ask(Ask(step))
            assert told.status == 200, told
            waits.append(loop.time() - due)
        visit.transport.close()


class Waits(NamedTuple):
    """What half of all, and 99 of a hundred, did not have to wait longer than, in seconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, waits: list[float]) -> Waits:
        """From the waits of all."""
        cuts = quantiles(waits, n=100)
        return cls(cuts[49], cuts[98])

    def __str__(self) -> str:
        return f"{1000 * self.p50:.2f}/{1000 * self.p99:.2f} ms"


@pytest.mark.benchmark
def test_a_thousand_slow_clients_at_most_double_what_others_wait(
    slow_ones: Callable[[str, int, float], SlowOnes], play: Play, tmp_path: Path, holdings: Callable[..., Holdings]
) -> None:
    keys = ("head_timeout", "body_timeout", "idle_timeout")
    door = "".join(f'{key} = "{getattr(DOOR, key)}"\n' for key in keys)
    without, coming, beside = list[Waits](), list[Waits](), list[Waits]()
    ends: list[dict[str, dict[str, int]]] = []

    def held(proxy: Running, farm: Farm) -> int:
        """Descriptors other than connections to origins, of which some idle ones stay for a minute."""
        return holdings(proxy.process.pid).descriptors.total() - sum(len(origin.connections) for origin in farm.origins)

    async def story() -> None:
        async with Farm() as farm:
            with Running(tmp_path, config(await farm.grow(2, nobody), door=door, health="")) as proxy:
                pace = Pace(proxy.address, 16, 0.02)
                await pace.walk(1)
                alone = held(proxy, farm)
                for _ in range(ROUNDS):
                    without.append(Waits.of(await pace.walk(5)))
                for _ in range(ROUNDS):
                    ones = slow_ones(proxy.address, 333, 1.0)
                    await ones.are_here()
                    coming.append(Waits.of(await pace.walk(6)))
                    beside.append(Waits.of(await pace.walk(5)))
                    await eventually(lambda: held(proxy, farm) <= alone, "slow ones are out")
                    ends.append(await ones.hurry())
                proxy.stop()

    play(story())
    ratio = median(waits.p99 for waits in beside) / median(waits.p99 for waits in without)
    print(f"\np50/p99 without slow clients  {', '.join(map(str, without))}")
    print(f"while they come, and {333 * BIG_BYTES >> 20} MiB with them  {', '.join(map(str, coming))}")
    print(f"beside 999 of them  {', '.join(map(str, beside))}: {ratio:.2f} x; they were told {ends[-1]}")
    assert all(told == {"heads": {"408": 333}, "bodies": {"408": 333}, "readers": {"cut": 333}} for told in ends)
    assert ratio <= 2
