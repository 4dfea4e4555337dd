"""Nonsense from both sides, on real sockets: at every kind of door, and as backends' answers.

(What is parsed of requests has tests of its own, with h11 as a second opinion: tests/live/test_second_opinion.py.)
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from math import inf
from random import Random
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any, NamedTuple

import h11
import pytest

from lbtutor.core import BackendConfig, ListenerConfig, Plan, PoolConfig, Retry, Route, Seconds
from lbtutor.core.listening import Tls
from lbtutor.live.admin import Admin
from lbtutor.live.admin_server import AdminServer
from lbtutor.live.run import LiveRun
from tests.storms.conftest import Holdings, running
from tests.storms.crowd import Ask, Crowd, eventually
from tests.storms.origins import Farm

Play = Callable[[Coroutine[Any, Any, Any]], Any]

SEED = 77

HEAD = b"GET /r/1 HTTP/1.1\r\nHost: lab\r\n\r\n"
PROXY_V1 = b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 80\r\n"
PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\x04\xd2\0\x50"

SPICE = (b"\r\n", b"\n", b"\0", b"\xff" * 5, b"PROXY ", b"\x16\x03\x01", b"\r\n\r\n", b" ", b"65536", b"HTTP/1.1 ")


def sizes(small: int, full: int) -> list[Any]:
    """How many cases in the ordinary suite, and how many when they are asked for."""
    return [
        pytest.param(small, id="small", marks=pytest.mark.slow),
        pytest.param(full, id="full", marks=pytest.mark.benchmark),
    ]


def spoilt(dice: Random, message: bytes) -> bytes:
    """The message with a few things put in, taken out or changed."""
    data = bytearray(message)
    for _ in range(dice.choice([0, 0, 1, 1, 2, 4])):
        place = dice.randint(0, len(data))
        match dice.randrange(4):
            case 0:
                data[place:place] = dice.choice(SPICE)
            case 1:
                del data[place : place + dice.randint(1, 6)]
            case 2:
                data[place : place + 1] = dice.randbytes(1)
            case _:
                del data[place:]
    return bytes(data)


def nonsense(dice: Random, good: tuple[bytes, ...]) -> bytes:
    """Random bytes, or something good that was spoilt."""
    if dice.random() < 0.3:
        return dice.randbytes(dice.choice([0, 1, 2, 16, 200, 3000]))
    return spoilt(dice, dice.choice(good))


def nobody(*_: object) -> None:
    """Nobody keeps a book."""


# -- doors ------------------------------------------------------------------------------------------------------------


def hello() -> bytes:
    """The first words of a TLS client."""
    out, context = ssl.MemoryBIO(), ssl.create_default_context()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="lab").do_handshake()
    return out.read()


HASTE = Seconds(0.05)
QUICK = {"head_timeout": HASTE, "idle_timeout": HASTE, "body_timeout": HASTE}


class Kind(NamedTuple):
    """A kind of door, and what is well said there."""

    door: ListenerConfig
    good: tuple[bytes, ...]


def kinds() -> dict[str, Kind]:
    """By the names of the doors."""
    ends_here, passes = Tls(auto=True, handshake_timeout=HASTE), Tls(passthrough=True, handshake_timeout=HASTE)
    announced = (PROXY_V1 + HEAD, PROXY_V2 + HEAD)
    encrypted = (hello(),)

    def door(name: str, **changes: Any) -> ListenerConfig:
        return ListenerConfig(name, **{**QUICK, **changes})

    return {
        "tls": Kind(door("tls", tls=ends_here), encrypted),
        "tls_announced": Kind(
            door("tls_announced", tls=ends_here, accept_proxy=True), (PROXY_V1 + hello(), PROXY_V2 + hello())
        ),
        "passthrough": Kind(door("passthrough", mode="tcp", pool="stream", tls=passes), encrypted),
        "http_announced": Kind(door("http_announced", accept_proxy=True), announced),
        "tcp": Kind(door("tcp", mode="tcp", pool="stream"), (HEAD,)),
        "tcp_announced": Kind(door("tcp_announced", mode="tcp", pool="stream", accept_proxy=True), announced),
        "udp": Kind(door("udp", mode="udp", pool="datagrams"), (b"well?", HEAD)),
    }


async def say(address: str, data: bytes, cut: int, leaves: bool) -> None:
    """Say this in two pieces, and leave, or wait until the other side closes."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    hearing = asyncio.ensure_future(reader.read())
    writer.write(data[:cut])
    await asyncio.wait([hearing], timeout=0.001)
    if not writer.transport.is_closing():
        writer.write(data[cut:])
    if leaves:
        writer.transport.abort()
    with suppress(OSError):
        await asyncio.wait_for(hearing, 20)
    writer.transport.abort()


@pytest.mark.parametrize("cases", sizes(60, 3000))
def test_nonsense_at_every_kind_of_door_does_no_harm(cases: int, play: Play, holdings: Callable[..., Holdings]) -> None:
    async def story() -> None:
        async with Farm() as farm:
            await farm.grow(2, nobody)
            before = holdings().descriptors
            run = LiveRun(plan_for(farm, kinds()))
            with running(run):
                for name, kind in kinds().items():
                    await attack(run, name, kind)
            await eventually(lambda: holdings().descriptors == before, f"holding no more than {before}")

    async def attack(run: LiveRun, name: str, kind: Kind) -> None:
        dice, crowd = Random(f"{SEED}/{name}"), Crowd(lambda: run.addresses["front"], Ask, nobody)
        for batch in range(0, cases, 20):
            said = [nonsense(dice, kind.good) for _ in range(20)]
            if name == "udp":
                send(run.addresses[name], said)
            else:
                await asyncio.gather(
                    *(say(run.addresses[name], data, dice.randint(0, len(data)), dice.random() < 0.3) for data in said)
                )
            visit = await crowd.connect()
            assert (await visit.ask(Ask(batch))).status == 200, f"after {name}: {said}"
            visit.transport.close()
            assert run.trouble is None, f"after {name}: {said}"
        await eventually(lambda: not any(run.connections.of_clients.values()), f"nobody is left at {name}")
        assert not any(backend.in_flight for pool in run.snapshot() for backend in pool.backends)

    play(story())


def send(address: str, datagrams: list[bytes]) -> None:
    """Each from a port of its own."""
    host, _, port = address.rpartition(":")
    for datagram in datagrams:
        with closing(socket(AF_INET, SOCK_DGRAM)) as sock:
            sock.sendto(datagram, (host, int(port)))


def plan_for(farm: Farm, doors: dict[str, Kind]) -> Plan:
    """All those doors, and a good one in front."""
    backends = tuple(BackendConfig(origin.name, address=origin.address) for origin in farm.origins)
    names = ("web", "stream", "datagrams")
    pools = tuple(PoolConfig(name, backends=backends, response_timeout=Seconds(0.2)) for name in names)
    listeners = (ListenerConfig("front"), *(kind.door for kind in doors.values()))
    return Plan(listeners, (Route("web", path="/"),), pools, lasts=Seconds(inf), drain=Seconds(0))


@pytest.mark.parametrize("cases", sizes(100, 3000))
def test_nonsense_at_the_admin_door_is_refused_and_commands_nothing(cases: int, play: Play) -> None:
    good = (
        b"GET /snapshot HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"PUT /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    )

    async def story() -> None:
        async with Farm() as farm:
            await farm.grow(2, nobody)
            run = LiveRun(plan_for(farm, {}))
            with running(run), AdminServer(Admin(run, lambda: "", lambda: (b"", "")), "127.0.0.1:0") as server:
                before, dice = run.snapshot(), Random(f"{SEED}/admin")
                for _ in range(cases):
                    data = nonsense(dice, good)
                    await say_all(str(server.address), data)
                    assert run.trouble is None, f"after {data!r}"
                answer = await say_all(str(server.address), good[0])
                assert answer.startswith(b"HTTP/1.1 200"), answer
                assert run.snapshot() == before

    play(story())


async def say_all(address: str, data: bytes) -> bytes:
    """Say this and nothing more: what is answered."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    with suppress(OSError):
        writer.write(data)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
    writer.transport.abort()
    return answer


# -- answers ----------------------------------------------------------------------------------------------------------

ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
    b"HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw",
    b"HTTP/1.1 200 OK\r\nConnection: X-B\r\nX-B: c\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\nabc",
)


class Liar(asyncio.Protocol):
    """A backend that answers nonsense, except to those who ask whether it is well: these it tells their own number."""

    transport: asyncio.Transport

    def __init__(self, dice: Random, said: list[bytes]) -> None:
        self._dice = dice
        self._said = said
        self._read = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head, self._read = self._read[:end], self._read[end + 4 :]
            if head.startswith(b"GET /well/"):
                body = head.split(b" ")[1]
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            else:
                self._lie()

    def _lie(self) -> None:
        answer = nonsense(self._dice, ANSWERS)
        self._said.append(answer)
        cut = self._dice.randint(0, len(answer))
        self.transport.write(answer[:cut])
        self.transport.write(answer[cut:])
        if self._dice.random() < 0.5:
            self.transport.close()


@pytest.mark.parametrize("cases", sizes(300, 20_000))
def test_whatever_a_backend_answers_the_client_gets_a_sound_answer_or_none(cases: int, play: Play) -> None:
    said: list[bytes] = []
    verdicts = Counter[str]()

    async def story() -> None:
        loop, dice = asyncio.get_running_loop(), Random(f"{SEED}/answers")
        server = await loop.create_server(lambda: Liar(dice, said), "127.0.9.120", 0)
        address = "{}:{}".format(*server.sockets[0].getsockname())
        pool = PoolConfig(
            "web",
            backends=(BackendConfig("a", address=address),),
            retry=Retry(2, on=("connect", "close", "503")),
            response_timeout=Seconds(0.1),
        )
        door = ListenerConfig("front")
        run = LiveRun(Plan((door,), (Route("web"),), (pool,), lasts=Seconds(inf), drain=Seconds(0)))
        with running(run):
            for batch in range(0, cases, 20):
                del said[:]
                asked = [exchange(run, dice.choice(ASKED)) for _ in range(20)]
                verdicts.update(await asyncio.gather(*asked))
                await check_that_nobody_gets_anothers(run, batch)
                assert run.trouble is None, f"after {said}"
            await eventually(lambda: not run.snapshot()[0].backends[0].in_flight, "nothing is under way")
        server.close()

    async def check_that_nobody_gets_anothers(run: LiveRun, batch: int) -> None:
        """What a backend said too much is nobody's answer."""
        for number in range(batch, batch + 5):
            status, body = await ask_well(run, number)
            assert (status, body) == (200, b"/well/%d" % number), f"after {said}"

    play(story())
    print(f"\n{cases} answers: {dict(verdicts.most_common())}")
    assert verdicts["whole 200"] > cases / 20


ASKED = (
    b"GET /lie HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n",
    b"HEAD /lie HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n",
    b"POST /lie HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
)


async def exchange(run: LiveRun, request: bytes) -> str:
    """Ask, and have h11 judge what comes until the connection ends: it is sound, or it breaks off."""
    answer = await say_and_hear(run, request)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=request.split(b" ")[0], target="/lie", headers=[("Host", "lab")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    client.receive_data(b"")
    try:
        return judged(client)
    except h11.RemoteProtocolError as error:
        if "peer" not in str(error):  # it did not end too early: it is not an answer
            raise
        return "broke off" if answer else "closed"


def judged(client: h11.Connection) -> str:
    """A whole answer and its status; raises when it is no answer, or breaks off."""
    status = 0
    while True:
        event = client.next_event()
        match event:
            case h11.Response():
                status = event.status_code
            case h11.EndOfMessage():
                return f"whole {status}"
            case h11.ConnectionClosed():
                return "closed"


async def ask_well(run: LiveRun, number: int) -> tuple[int, bytes]:
    """Status and body of a good request to the same backend."""
    answer = await say_and_hear(run, b"GET /well/%d HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n" % number)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def say_and_hear(run: LiveRun, request: bytes) -> bytes:
    host, _, port = run.addresses["front"].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    with suppress(OSError):
        writer.write(request)
        while data := await asyncio.wait_for(reader.read(65_536), 20):
            answer += data
    writer.transport.abort()
    return answer
