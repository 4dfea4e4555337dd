"""No file descriptors left: whoever is here is served on, who comes must wait, and when there are descriptors again
everything is as before. The balancer is a process of its own, whose limit is set from outside."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.storms.conftest import Holdings
from tests.storms.crowd import Ask, Crowd, Told, Visit, eventually
from tests.storms.origins import Farm
from tests.storms.process import Running, config

Play = Callable[[Coroutine[Any, Any, Any]], Any]

ROOM = 40
"""Descriptors that the balancer may have beyond those it has at rest."""

MOST = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

EXHAUSTED = 1.0
"""Wall seconds without descriptors: time for five probes of each backend."""


def nobody(*_: object) -> None:
    """Nobody keeps a book."""


@pytest.mark.parametrize(
    ("rounds", "strangers"),
    [
        pytest.param(1, 80, id="small", marks=pytest.mark.slow),
        pytest.param(5, 400, id="full", marks=pytest.mark.benchmark),
    ],
)
def test_without_descriptors_it_serves_those_who_are_here_and_then_those_who_waited(
    rounds: int, strangers: int, play: Play, tmp_path: Path, holdings: Callable[..., Holdings]
) -> None:
    async def story() -> None:
        async with Farm() as farm:
            with Running(tmp_path, config(await farm.grow(2, nobody))) as proxy:
                for number in range(rounds):
                    await exhaust(proxy, farm, strangers, number, holdings)
                proxy.stop()

    play(story())


@pytest.mark.slow
def test_a_request_that_finds_no_descriptor_for_its_backend_waits_for_one(
    play: Play, tmp_path: Path, holdings: Callable[..., Holdings]
) -> None:
    async def story() -> None:
        async with Farm() as farm:
            with Running(tmp_path, config(await farm.grow(2, nobody), health="")) as proxy:
                crowd, pid = Crowd(lambda: proxy.address, Ask, nobody), proxy.process.pid
                visits = [await crowd.connect() for _ in range(16)]
                assert (await ask_all(visits[:1]))[0].status == 200
                in_use = holdings(pid).descriptors.total()
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use, MOST))
                asking = asyncio.ensure_future(ask_all(visits))
                await asyncio.wait([asking], timeout=EXHAUSTED)
                assert not asking.done()
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (MOST, MOST))
                assert counts(await asking) == {200: 16}
                proxy.stop()

    play(story())


async def exhaust(proxy: Running, farm: Farm, strangers: int, number: int, holdings: Callable[..., Holdings]) -> None:
    """One round: regulars, then more strangers than there is room for, then room again."""

    pid, during, after = proxy.process.pid, list[Told](), list[Told]()

    def held() -> int:
        """Descriptors other than idle connections to origins, which may stay for a minute."""
        return holdings(pid).descriptors.total() - sum(len(origin.connections) for origin in farm.origins)

    alone = held()
    crowd = Crowd(lambda: proxy.address, Ask, nobody)
    regulars = [await crowd.connect() for _ in range(8)]
    assert {told.status for told in await ask_all(regulars)} == {200}
    before = holdings(pid).descriptors.total()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (before + ROOM, MOST))
    here = [await crowd.connect() for _ in range(strangers)]
    await eventually(lambda: holdings(pid).descriptors.total() >= before + ROOM // 2, "the room is taken")
    now = asyncio.get_running_loop().time
    long_enough = now() + EXHAUSTED
    while now() < long_enough:
        during += await ask_all(regulars)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (MOST, MOST))
    after += await ask_all(here)
    after += await ask_all(regulars)
    for visit in (*here, *regulars):
        visit.transport.close()
    await eventually(lambda: held() <= alone, "what was opened is closed")
    print(f"\nround {number}: room for {ROOM}, {strangers} strangers")
    print(f"  regulars meanwhile {counts(during)}; all afterwards {counts(after)}; errors told: {errors(proxy)}")
    assert counts(during) == {200: len(during)}
    assert counts(after) == {200: len(after)}


async def ask_all(visits: list[Visit]) -> list[Told]:
    """Each asks once, all at the same time."""
    return await asyncio.gather(*(visit.ask(Ask(number)) for number, visit in enumerate(visits)))


def counts(told: list[Told]) -> Counter[int]:
    return Counter(answer.status for answer in told)


def errors(proxy: Running) -> str:
    """What it complained about, once each."""
    lines = Counter(line.partition("Z ")[2] for line in proxy.said.splitlines())
    return "; ".join(f"{line} ({times} x)" for line, times in lines.items()) or "none"
