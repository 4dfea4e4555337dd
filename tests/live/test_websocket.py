"""WebSocket through the balancer, with a real library at both ends."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidMessage, InvalidStatus

from lbtutor.core import Drain, ListenerConfig, Plan, Retry, Seconds
from lbtutor.core.events import Finished
from lbtutor.core.listening import Tls
from lbtutor.live.run import LiveRun

Start = Callable[..., LiveRun]
ProxyPlan = Callable[..., Plan]
Eventually = Callable[[Callable[[], object]], None]
Handler = Callable[[ServerConnection], Awaitable[None]]

PATIENCE = 30.0


def played(story: Coroutine[Any, Any, None]) -> None:
    """Play it on a loop of its own, beside the balancer's."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await story

    asyncio.run(bounded())


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def serving(handler: Handler = echo, **options: Any) -> AsyncIterator[Server]:
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield server


def address_of(server: Server) -> str:
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"{host}:{port}"


def crash(server: Server) -> None:
    """As the kernel does for a process that died."""
    server.close(close_connections=False)
    for connection in list(server.connections):
        connection.transport.abort()


def through(run: LiveRun, **options: Any) -> connect:
    return connect(f"ws://{run.addresses['front']}/chat", proxy=None, **options)


# -- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["deflate", None])
def test_messages_of_all_sizes_come_back_as_they_were_sent(
    start: Start, proxy_plan: ProxyPlan, compression: str | None
) -> None:
    async def story() -> None:
        async with serving(compression=compression) as server:
            run = start(proxy_plan(address_of(server)))
            async with through(run, compression=compression) as client:
                for message in ("", "hello", b"\x00\xff" * 500, "ü" * 70_000, bytes(range(256)) * 4096):
                    await client.send(message)
                    assert await client.recv() == message

    played(story())


def test_a_message_in_fragments_is_one_message(start: Start, proxy_plan: ProxyPlan) -> None:
    async def story() -> None:
        async with serving() as server, through(start(proxy_plan(address_of(server)))) as client:
            await client.send(["one ", "message ", "in ", "parts"])
            assert await client.recv() == "one message in parts"

    played(story())


def test_a_ping_is_answered_by_the_other_end(start: Start, proxy_plan: ProxyPlan) -> None:
    async def story() -> None:
        async with serving() as server, through(start(proxy_plan(address_of(server)))) as client:
            assert await (await client.ping(b"are you there?")) >= 0

    played(story())


@pytest.mark.parametrize("who", ["client", "server"])
def test_codes_and_reasons_of_a_farewell_arrive(start: Start, proxy_plan: ProxyPlan, who: str) -> None:
    heard: list[tuple[int | None, str | None]] = []

    async def farewell(connection: ServerConnection) -> None:
        if who == "server":
            await connection.close(4001, "enough")
        await connection.wait_closed()
        heard.append((connection.close_code, connection.close_reason))

    async def story() -> None:
        async with serving(farewell) as server, through(start(proxy_plan(address_of(server)))) as client:
            if who == "client":
                await client.close(4001, "enough")
            await client.wait_closed()
            heard.append((client.close_code, client.close_reason))

    played(story())
    assert heard == [(4001, "enough")] * 2


def test_a_sub_protocol_is_settled_between_the_ends(start: Start, proxy_plan: ProxyPlan) -> None:
    async def story() -> None:
        async with serving(subprotocols=["chat.v2"]) as server:
            run = start(proxy_plan(address_of(server)))
            async with through(run, subprotocols=["chat.v3", "chat.v2"]) as client:
                assert client.subprotocol == "chat.v2"

    played(story())


def test_a_server_that_refuses_says_so_itself(start: Start, proxy_plan: ProxyPlan) -> None:
    async def story() -> None:
        async with serving(process_request=lambda connection, _: connection.respond(403, "not you\n")) as server:
            with pytest.raises(InvalidStatus) as refused:
                await through(start(proxy_plan(address_of(server))))
            assert (refused.value.response.status_code, refused.value.response.body) == (403, b"not you\n")

    played(story())


def test_a_conversation_goes_on_behind_the_end_of_tls(start: Start, proxy_plan: ProxyPlan) -> None:
    async def story() -> None:
        async with serving() as server:
            listener = ListenerConfig("front", tls=Tls(auto=True))
            run = start(proxy_plan(address_of(server), listener=listener))
            trusting = ssl.create_default_context(cafile=str(run.authority))
            async with connect(f"wss://{run.addresses['front']}/", ssl=trusting, proxy=None) as client:
                for message in ("hello", bytes(range(256)) * 4096):
                    await client.send(message)
                    assert await client.recv() == message
            assert client.close_code == 1000

    played(story())


@pytest.mark.slow
def test_a_slow_reader_slows_its_sender_and_fills_no_memory(
    start: Start, proxy_plan: ProxyPlan, eventually: Eventually
) -> None:
    count, size = 48, 1 << 20
    begin = asyncio.Event()

    async def late(connection: ServerConnection) -> None:
        await begin.wait()
        async for message in connection:
            await connection.send(str(len(message)))

    async def story() -> None:
        async with serving(late, max_size=size, max_queue=1, compression=None) as server:
            run = start(proxy_plan(address_of(server)))
            async with through(run, compression=None) as client:
                sending = asyncio.create_task(send_all(client))
                await asyncio.to_thread(eventually, lambda: run.most_buffered)
                assert not sending.done()
                begin.set()
                assert [await client.recv() for _ in range(count)] == [str(size)] * count
                await sending
            assert 0 < run.most_buffered < 1 << 20

    async def send_all(client: ClientConnection) -> None:
        for _ in range(count):
            await client.send(bytes(size))

    played(story())


# -- trouble --------------------------------------------------------------------------------------------------------


def test_a_crashed_server_is_known_to_its_clients_as_1006(start: Start, proxy_plan: ProxyPlan) -> None:
    async def story() -> None:
        async with serving() as server, through(start(proxy_plan(address_of(server)))) as client:
            await client.send("hello")
            await client.recv()
            crash(server)
            with pytest.raises(ConnectionClosedError):
                await client.recv()
            assert client.close_code == 1006

    played(story())


class Talk:
    """Clients that send and wait for each echo, and connect anew when their connection breaks."""

    def __init__(self, run: LiveRun, clients: int, messages: int) -> None:
        self._run = run
        self._messages = messages
        self.counts: Counter[str] = Counter()
        self.halfway = asyncio.Event()
        self._clients = clients

    async def all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._clients):
                group.create_task(self._talk(number))

    async def _talk(self, number: int) -> None:
        said = iter([f"{number}/{count}" for count in range(self._messages)])
        message = next(said, None)
        while message is not None:
            try:
                async with through(self._run, open_timeout=None, close_timeout=PATIENCE) as client:
                    while message is not None:
                        await self._say(client, message)
                        message = next(said, None)
            except (InvalidMessage, InvalidStatus):
                self.counts["connected in vain"] += 1
            except ConnectionClosed:
                message = next(said, None)

    async def _say(self, client: ClientConnection, message: str) -> None:
        """Each message is echoed, or its sender is told that it may be lost."""
        self.counts["sent"] += 1
        if self.counts["sent"] == self._clients * self._messages // 2:
            self.halfway.set()
        try:
            await client.send(message)
            answer = await client.recv()
        except ConnectionClosed:
            self.counts["told"] += 1
            raise
        assert answer == message
        self.counts["echoed"] += 1


@pytest.mark.parametrize("clients", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("trouble", ["crash", "drain"])
def test_every_message_arrives_or_its_sender_is_told(
    start: Start, proxy_plan: ProxyPlan, clients: int, trouble: str
) -> None:
    """One of two servers goes in the middle of many conversations; all of them go on at the other."""
    heard: Counter[str] = Counter()

    async def count_and_echo(connection: ServerConnection) -> None:
        async for message in connection:
            heard[str(message)] += 1
            await connection.send(message)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(serving(count_and_echo)) for _ in "ab"]
            listener = ListenerConfig("front", idle_timeout=Seconds(1e6))
            run = start(proxy_plan(*map(address_of, servers), listener=listener, retry=Retry(attempts=2)))
            talk = Talk(run, clients, 20)
            talking = asyncio.create_task(talk.all())
            await talk.halfway.wait()
            if trouble == "crash":
                crash(servers[0])
            else:
                run.act(Drain("web", "a", Seconds(0.01)))
            await talking
            counts = talk.counts
            assert counts["sent"] == clients * 20 == counts["echoed"] + counts["told"]
            assert counts["echoed"] <= len(heard) <= counts["sent"]
            assert set(heard.values()) == {1}, "no message arrived twice"
            assert 0 < counts["told"] <= clients, "at most one message was under way on each connection"
            assert counts["connected in vain"] <= clients

    played(story())


def test_a_drain_without_a_deadline_waits_for_every_conversation(start: Start, proxy_plan: ProxyPlan) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(serving()) for _ in "ab"]
            run = start(proxy_plan(*map(address_of, servers)))
            talk = Talk(run, 10, 20)
            talking = asyncio.create_task(talk.all())
            await talk.halfway.wait()
            run.act(Drain("web", "a"))
            await talking
            assert talk.counts == {"sent": 200, "echoed": 200}

    played(story())


def test_conversations_that_end_well_leave_nothing_behind(watched: Callable[..., Any], proxy_plan: ProxyPlan) -> None:
    async def story() -> None:
        async with serving() as server:
            run, watch = watched(proxy_plan(address_of(server)))
            await Talk(run, 10, 3).all()
            await asyncio.to_thread(watch.until, Finished, 10, outcome="answered 101")
            assert run.snapshot()[0].backends[0].in_flight == 0

    played(story())
