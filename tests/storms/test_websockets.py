"""WebSockets across a failover and a drain, with a library that others use at both ends.

Of every message its sender learns what became of it: either the echo came, or the connection was closed under it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lbtutor.core import BackendConfig, HealthCheck, ListenerConfig, Plan, PoolConfig, Retry, Route, Seconds
from lbtutor.core.events import EVERYTHING, Arrived, Event, Finished, Rejected, Why
from lbtutor.core.messages import Drain, Enable
from lbtutor.live.run import LiveRun
from tests.storms.conftest import Holdings, running
from tests.storms.crowd import eventually

Play = Callable[[Coroutine[Any, Any, Any]], Any]


class Echo:
    """An origin that sends every message back, and counts them."""

    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()
        self.here: set[ServerConnection] = set()
        self.port = 0

    async def open(self) -> None:
        """Listen; a second time, where it listened before."""
        self._server: Server = await serve(self._echo, "127.0.9.101", self.port, compression=None)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def crash(self) -> None:
        """As the kernel does when the process is gone: nobody says farewell."""
        self._server.close(close_connections=False)
        for connection in list(self.here):
            connection.transport.abort()
        await self._server.wait_closed()

    async def _echo(self, connection: ServerConnection) -> None:
        self.here.add(connection)
        try:
            async for message in connection:
                self.heard[str(message)] += 1
                await connection.send(message)
        except ConnectionClosed:
            pass
        finally:
            self.here.discard(connection)


class Talks:
    """What became of each message: `echoed`, or its sender was `told` that the connection is closed."""

    def __init__(self) -> None:
        self.over = False
        self.said = 0
        self.echoed: set[str] = set()
        self.told: set[str] = set()
        self.closings: Counter[int] = Counter()
        self.refusals: Counter[int] = Counter()

    async def talk(self, address: str, who: int) -> None:
        """Say one message after another, and come back whenever the connection is closed."""
        while not self.over:
            try:
                async with connect(f"ws://{address}/", compression=None, open_timeout=None) as talk:
                    while not self.over:
                        await self._say(talk, f"{who}/{self.said}")
            except InvalidStatus as refused:
                self.refusals[refused.response.status_code] += 1
            except ConnectionClosed as closed:
                self.closings[closed.rcvd.code if closed.rcvd is not None else 1006] += 1

    async def _say(self, talk: ClientConnection, message: str) -> None:
        self.said += 1
        try:
            await talk.send(message)
            assert await talk.recv() == message
        except ConnectionClosed:
            self.told.add(message)
            raise
        self.echoed.add(message)

    async def have_said(self, more: int) -> None:
        """So many messages more than now."""
        enough = self.said + more
        await eventually(lambda: self.said >= enough, f"{enough} messages, of which {self.said} are said")


async def befall(run: LiveRun, echoes: list[Echo], talks: Talks, messages: int) -> None:
    """One origin crashes and comes back, another is drained: in the middle of what everybody says."""
    await talks.have_said(messages)
    await echoes[0].crash()
    await talks.have_said(messages)
    run.act(Drain("web", "b", Seconds(0.3)))
    await eventually(lambda: not run.snapshot()[0].backends[1].in_flight, "b is drained")
    await talks.have_said(messages)
    await echoes[0].open()
    run.act(Enable("web", "b"))
    await talks.have_said(messages)
    talks.over = True


@pytest.mark.parametrize(
    ("clients", "messages"),
    [
        pytest.param(30, 300, id="small", marks=pytest.mark.slow),
        pytest.param(200, 10_000, id="full", marks=pytest.mark.benchmark),
    ],
)
def test_across_a_failover_and_a_drain_every_message_is_echoed_or_its_sender_is_told(
    clients: int, messages: int, play: Play, holdings: Callable[..., Holdings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # the library would ask a proxy elsewhere
    echoes, talks, trace = [Echo(), Echo(), Echo()], Talks(), list[Event]()

    async def story() -> None:
        for echo in echoes:
            await echo.open()
        before = holdings().descriptors
        run = LiveRun(plan_for(echoes))
        feed = run.feed(500_000, EVERYTHING - {Why})
        with running(run):
            crowd = [talks.talk(run.addresses["front"], who) for who in range(clients)]
            await asyncio.gather(*crowd, befall(run, echoes, talks, messages))
            await eventually(lambda: not run.connections.of_clients["front"], "everybody has left")
            assert not any(backend.in_flight for backend in run.snapshot()[0].backends)
            assert run.trouble is None
            trace.extend(feed.drain())
        await eventually(lambda: not any(echo.here for echo in echoes), "the origins are alone")
        await eventually(lambda: holdings().descriptors == before, f"holding no more than {before}")
        for echo in echoes:
            await echo.crash()

    play(story())
    arrived = sum(isinstance(event, Arrived) for event in trace)
    ends = Counter(event.outcome for event in trace if isinstance(event, Finished) and event.final)
    ends += Counter(event.because for event in trace if isinstance(event, Rejected))
    heard = sum((echo.heard for echo in echoes), Counter[str]())
    print(f"\n{clients} clients, {arrived} connections: {dict(ends)}; clients saw {dict(talks.closings)}")
    print(f"  {talks.said} messages: {len(talks.echoed)} echoed, {len(talks.told)} told to be closed, ", end="")
    print(f"of which {sum(message in heard for message in talks.told)} were heard; refused: {dict(talks.refusals)}")
    assert talks.said == len(talks.echoed) + len(talks.told)
    assert set(heard) >= talks.echoed
    assert set(heard.values()) == {1}
    assert arrived == ends.total()
    assert talks.told
    assert not talks.refusals


def plan_for(echoes: list[Echo]) -> Plan:
    """A pool of these, whose probes are quick."""
    pool = PoolConfig(
        "web",
        "least_connections",
        tuple(
            BackendConfig(name, address=f"127.0.9.101:{echo.port}") for name, echo in zip("abc", echoes, strict=True)
        ),
        health=HealthCheck(interval=Seconds(0.2), timeout=Seconds(0.15), rise=1, fall=1, mode="tcp"),
        retry=Retry(3),
    )
    return Plan((ListenerConfig("front"),), (Route("web"),), (pool,), lasts=Seconds(inf), drain=Seconds(0))
