"""Another configuration again and again under load: no request fails, the books agree, and nothing is left over."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lbtutor.core import BackendConfig, ListenerConfig, Plan, PoolConfig, Retry, Route, Seconds
from lbtutor.core.events import EVERYTHING, Reloaded, Why
from lbtutor.live.run import LiveRun
from tests.storms.books import Books, Rules
from tests.storms.conftest import Holdings, running
from tests.storms.crowd import Ask, Crowd, eventually, watched
from tests.storms.origins import Farm
from tests.storms.process import Running, config

Play = Callable[[Coroutine[Any, Any, Any]], Any]

SIZES = [
    pytest.param(8, 400, id="small", marks=pytest.mark.slow),
    pytest.param(50, 1_000, id="full", marks=pytest.mark.benchmark),
]
"""How many reloads, and how many requests to each."""

ALGORITHMS = ("round_robin", "least_connections", "power_of_two", "maglev", "weighted_round_robin")
CLIENTS = 32


def ask(number: int) -> Ask:
    """One in five has a body, and must not be sent twice."""
    return Ask(number, "POST", b"p" * 3000) if number % 5 == 0 else Ask(number)


class Turn:
    """Which configuration is next: other members, weights, algorithms, and rules at the door."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._rng = Random(31)

    def plan(self) -> Plan:
        """As a plan."""
        rng = self._rng
        members = rng.sample(self._farm.origins, rng.randint(2, len(self._farm.origins)))
        pool = PoolConfig(
            "web",
            rng.choice(ALGORITHMS),
            tuple(BackendConfig(origin.name, rng.choice([1, 2, 3]), origin.address) for origin in members),
            retry=Retry(2),
            response_timeout=Seconds(rng.choice([20, 30])),
        )
        door = ListenerConfig("front", idle_timeout=Seconds(rng.choice([30, 60])))
        routes = (Route("web"), Route("web", path="/r"))[rng.randrange(2) :]
        return Plan((door,), routes, (pool,), lasts=Seconds(inf), drain=Seconds(1))

    def text(self, *, probed: bool = True) -> str:
        """As a file. Probes open connections of their own all the time; where those would disturb, there are none."""
        rng = self._rng
        members = rng.sample(self._farm.origins, rng.randint(2, len(self._farm.origins)))
        door = f'idle_timeout = "{rng.choice([30, 60])}s"\n'
        weights = [rng.choice([1, 2, 3]) for _ in members]
        health = {} if probed else {"health": ""}
        return config(members, door=door, algorithm=rng.choice(ALGORITHMS), weights=weights, **health)


@pytest.mark.parametrize(("reloads", "requests"), SIZES)
def test_no_request_fails_while_a_run_is_reconfigured(
    reloads: int, requests: int, play: Play, holdings: Callable[..., Holdings]
) -> None:
    total = reloads * requests
    books = Books(total, ask, Rules(Retry(2), limit=total))
    reloaded = Counter[str]()

    async def story() -> None:
        async with Farm() as farm:
            turn = Turn(farm)
            await farm.grow(5, books.origin_carried_out)
            before = holdings().descriptors
            run = LiveRun(turn.plan())
            feed = run.feed(500_000, EVERYTHING - {Why})
            with running(run):

                def look() -> None:
                    for event in feed.drain():
                        books.take(event)
                        if isinstance(event, Reloaded):
                            reloaded[event.because] += 1

                def asks(number: int) -> Ask:
                    if number % requests == requests // 2:
                        run.reconfigure(turn.plan())
                    return ask(number)

                crowd = Crowd(lambda: run.addresses["front"], asks, books.client_was_told)
                await watched(asyncio.ensure_future(crowd.ask(total, CLIENTS)), look)
                await eventually(lambda: not any(run.connections.of_clients.values()), "everybody has left")
                look()
                assert run.trouble is None
            await eventually(lambda: holdings().descriptors == before, f"holding no more than {before}")

    play(story())
    print(f"\n{reloaded.total()} reloads, such as: {next(iter(reloaded))}\n{books.figures()}")
    assert reloaded.total() == reloads
    assert set(books.told) == {200}
    assert books.disagreements() == []


@pytest.mark.parametrize(("reloads", "requests"), SIZES)
def test_no_request_fails_while_a_proxy_reads_its_file_again(
    reloads: int, requests: int, play: Play, tmp_path: Path, holdings: Callable[..., Holdings]
) -> None:
    told, executed = Counter[int](), Counter[int]()

    async def story() -> None:
        async with Farm() as farm:
            turn = Turn(farm)
            await farm.grow(5, lambda index, number, name: executed.update([number]))
            with Running(tmp_path, turn.text(probed=False)) as proxy:

                def held() -> Counter[str]:
                    descriptors = holdings(proxy.process.pid).descriptors
                    descriptors["socket"] -= sum(len(origin.connections) for origin in farm.origins)
                    return descriptors

                def crowd_that(asks: Callable[[int], Ask]) -> Crowd:
                    return Crowd(lambda: proxy.address, asks, lambda ask, answer: told.update([answer.status]))

                await crowd_that(lambda number: Ask(10**9)).ask(1, 1)  # libuv keeps one descriptor from then on
                await eventually(lambda: held()["socket"] == 1, "there is the door, and no connection of a client")
                before = held()
                crowd = crowd_that(ask)
                asking = asyncio.ensure_future(crowd.ask(10**9, CLIENTS))
                for number in range(reloads):
                    await eventually(partial(have_been_told, told, number * requests), "requests between reloads")
                    await proxy.reload(turn.text())
                crowd.stop()
                await asking
                await proxy.reload(turn.text(probed=False))
                await eventually(lambda: held() == before, "what was opened is closed")
                print(f"\n{proxy.said.count('reloaded')} reloads, told {dict(told)}, {crowd.connects} connections")
                proxy.stop()

    play(story())
    assert set(told) == {200}
    assert executed.total() == told.total()
    assert set(executed.values()) == {1}


def have_been_told(told: Counter[int], enough: int) -> bool:
    """So many answers have come by now."""
    return told.total() >= enough
