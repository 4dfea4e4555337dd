"""What storms have found, each as small as it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

from lbtutor.core import BackendConfig, ListenerConfig, Plan, PoolConfig, Retry, Route, Seconds
from lbtutor.core.messages import Drain
from lbtutor.live.run import LiveRun
from tests.storms.conftest import running
from tests.storms.crowd import Ask, Crowd, eventually
from tests.storms.origins import Farm

Play = Callable[[Coroutine[Any, Any, Any]], Any]


def nobody(*_: object) -> None:
    """Nobody keeps a book."""


def plan_for(farm: Farm, retry: Retry) -> Plan:
    """A pool of these origins, who are asked in turns."""
    backends = tuple(BackendConfig(origin.name, address=origin.address) for origin in farm.origins)
    pool = PoolConfig("web", "round_robin", backends, retry=retry)
    return Plan((ListenerConfig("front"),), (Route("web"),), (pool,), lasts=Seconds(inf), drain=Seconds(0))


def test_whoever_is_cut_off_by_a_drain_and_waits_for_another_try_gets_it(play: Play) -> None:
    async def story() -> int:
        async with Farm() as farm:
            hung, _ = await farm.grow(2, nobody)
            await hung.become("hung")
            with running(LiveRun(plan_for(farm, Retry(2, backoff=Seconds(0.01))))) as run:
                visit = await Crowd(lambda: run.addresses["front"], Ask, nobody).connect()
                asking = asyncio.ensure_future(visit.ask(Ask(1)))
                await eventually(lambda: run.snapshot()[0].backends[0].in_flight, "it is with the one that hangs")
                run.act(Drain("web", hung.name, Seconds(0)))
                told = await asyncio.wait_for(asking, 20)
                visit.transport.close()
                return told.status

    assert play(story()) == 200


def test_an_answer_that_was_passed_on_is_the_last_even_if_its_status_is_worth_another_try(play: Play) -> None:
    async def story() -> tuple[int, list[int]]:
        async with Farm() as farm:
            sick, _ = await farm.grow(2, nobody)
            await sick.become("sick")
            with running(LiveRun(plan_for(farm, Retry(2, on=("503",))))) as run:
                visit = await Crowd(lambda: run.addresses["front"], Ask, nobody).connect()
                told = await asyncio.wait_for(visit.ask(Ask(1, "PUT", b"more than is kept" * 10_000)), 20)
                visit.transport.close()
                return told.status, [backend.in_flight for backend in run.snapshot()[0].backends]

    assert play(story()) == (503, [0, 0])
