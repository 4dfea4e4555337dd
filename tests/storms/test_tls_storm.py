"""TLS at a busy door: connections that come and go, handshakes that are never ended, and certificates that are replaced
meanwhile. No good client fails, and whoever comes after a change is shown the new certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest
from trustme import CA, KeyType

from lbtutor.core import BackendConfig, ListenerConfig, Plan, PoolConfig, Route, Seconds
from lbtutor.core.events import HandshakeFailed
from lbtutor.core.listening import Certificate, Tls
from lbtutor.live.run import LiveRun
from tests.storms.conftest import Holdings, running
from tests.storms.crowd import Ask, Crowd, Told, eventually
from tests.storms.origins import Farm

Play = Callable[[Coroutine[Any, Any, Any]], Any]

EVERY = 150
"""After so many requests, the certificate is replaced."""


class Papers:
    """Certificate and key of the door, as files that are replaced."""

    def __init__(self, folder: Path) -> None:
        self._ca = CA(key_type=KeyType.ECDSA)
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.replace()

    def replace(self) -> None:
        """A new certificate for the same name."""
        issued = self._ca.issue_cert("lab", key_type=KeyType.ECDSA)
        self.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())

    def believer(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        """What a good client believes, who speaks this version of TLS and no other."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        context.minimum_version = context.maximum_version = version
        return context


class Halves:
    """Clients who begin a handshake and do not end it: they leave at some point, or stay and say nothing more."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        self._address = address
        self._rng = Random(43)
        self._hello = _hello(context)
        self.over = False
        self.came = 0

    async def come_and_go(self) -> None:
        """One after another, until it is over."""
        host, _, port = self._address.rpartition(":")
        while not self.over:
            reader, writer = await asyncio.open_connection(host, int(port))
            self.came += 1
            said = bytearray(self._hello[: self._rng.randrange(len(self._hello) + 1)])
            if said and self._rng.random() < 0.3:
                said[self._rng.randrange(len(said))] ^= 1 << self._rng.randrange(8)
            writer.write(bytes(said))
            with suppress(OSError):
                await asyncio.wait([asyncio.ensure_future(reader.read())], timeout=self._rng.choice([0.001, 0.02, 0.3]))
            writer.transport.abort()


def _hello(context: ssl.SSLContext) -> bytes:
    """The first words of such a client."""
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="lab")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def nobody(*_: object) -> None:
    """Nobody keeps a book."""


@pytest.mark.parametrize(
    "requests",
    [
        pytest.param(900, id="small", marks=pytest.mark.slow),
        pytest.param(20_000, id="full", marks=pytest.mark.benchmark),
    ],
)
def test_no_good_client_fails_while_certificates_are_replaced_and_others_break_off(
    requests: int, play: Play, holdings: Callable[..., Holdings], tmp_path: Path
) -> None:
    papers, told = Papers(tmp_path), Counter[int]()
    shown: list[bytes] = []

    async def story() -> None:
        async with Farm() as farm:
            await farm.grow(2, nobody)
            before = holdings().descriptors
            run = LiveRun(plan_for(farm, papers))
            failed = run.feed(500_000, frozenset({HandshakeFailed}))
            with running(run):
                await rage(run, farm)
                print(f"\n{told.total()} requests, told {dict(told)}, {len(shown)} certificates")
                print(f"  handshakes that failed: {causes(failed.drain())}")
            await eventually(lambda: holdings().descriptors == before, f"holding no more than {before}")

    async def rage(run: LiveRun, farm: Farm) -> None:
        def asks(number: int) -> Ask:
            if number % EVERY == EVERY // 2:
                papers.replace()
                run.reconfigure(plan_for(farm, papers))
            return Ask(number)

        def heard(ask: Ask, answer: Told) -> None:
            told[answer.status] += 1

        def crowd(stays: int, version: ssl.TLSVersion, asks: Callable[[int], Ask] = Ask) -> Crowd:
            return Crowd(lambda: run.addresses["front"], asks, heard, papers.believer(version), stays)

        tasks = run._gate.ask(lambda: len(asyncio.all_tasks()))
        halves = Halves(run.addresses["front"], papers.believer(ssl.TLSVersion.TLSv1_3))
        going = [asyncio.ensure_future(halves.come_and_go()) for _ in range(4)]
        await asyncio.gather(
            crowd(3, ssl.TLSVersion.TLSv1_3, asks).ask(requests // 2, 8),
            crowd(5, ssl.TLSVersion.TLSv1_2).ask(requests // 4, 4),
            crowd(requests, ssl.TLSVersion.TLSv1_3).ask(requests // 4, 8),
        )
        await see(run)
        papers.replace()
        run.reconfigure(plan_for(farm, papers))
        await see(run)
        halves.over = True
        await asyncio.gather(*going)
        await eventually(lambda: not any(run.connections.of_clients.values()), "everybody has left")
        await eventually(lambda: run._gate.ask(lambda: len(asyncio.all_tasks())) <= tasks, "no task is left")
        print(f"\n{halves.came} handshakes were begun and not ended", end="")
        assert run.trouble is None

    async def see(run: LiveRun) -> None:
        """Which certificate is shown now."""
        crowd = Crowd(lambda: run.addresses["front"], Ask, nobody, papers.believer(ssl.TLSVersion.TLSv1_3))
        visit = await crowd.connect()
        tls = visit.transport.get_extra_info("ssl_object")
        shown.append(tls.getpeercert(binary_form=True))
        visit.transport.close()

    play(story())
    assert told == {200: told.total()}
    assert shown[0] != shown[1]


def plan_for(farm: Farm, papers: Papers) -> Plan:
    """A door with these papers."""
    tls = Tls((Certificate(str(papers.cert), str(papers.key)),), handshake_timeout=Seconds(0.2))
    backends = tuple(BackendConfig(origin.name, address=origin.address) for origin in farm.origins)
    door = ListenerConfig("front", tls=tls)
    return Plan((door,), (Route("web"),), (PoolConfig("web", backends=backends),), lasts=Seconds(inf), drain=Seconds(0))


def causes(failed: list[Any]) -> str:
    """Why handshakes failed, and how often."""
    counts = Counter(event.because for event in failed)
    return ", ".join(f"{because} ({times} x)" for because, times in counts.most_common(6))
