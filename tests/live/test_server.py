from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from lbtutor.core import EnvironmentFault
from lbtutor.live.addresses import Address
from lbtutor.live.server import MOST_UNSENT, Door, address_of, bound_socket, listening_socket


def test_a_port_in_use_is_named_with_its_owner_the_cause_and_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(*taken.getsockname())
        with pytest.raises(EnvironmentFault) as fault:
            listening_socket(address, of="listener front")
    assert str(fault.value) == (
        f"listener front cannot listen on {address}: address already in use; "
        "stop whoever listens there, or choose another port; port 0 lets the system choose one"
    )


@pytest.mark.parametrize("host", ["203.0.113.77", "no.such.name.invalid"])
def test_an_address_that_is_not_ours_is_an_environment_fault(host: str) -> None:
    with pytest.raises(EnvironmentFault, match="listener front cannot listen on"):
        listening_socket(Address(host, 0), of="listener front")


def test_a_bound_socket_refuses_connections_and_keeps_its_port() -> None:
    with bound_socket(Address("127.0.0.1", 0), listening=False) as bound:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address_of(bound))
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind(address_of(bound))


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this kernel does not bound it")
def test_a_peer_that_does_not_read_fills_little_kernel_memory() -> None:
    with listening_socket(Address("127.0.0.1", 0), of="listener front") as listening, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(address_of(listening))
        listening.settimeout(20)
        accepted, _ = listening.accept()
        with accepted:
            accepted.setblocking(False)
            taken = 0
            with suppress(BlockingIOError):
                while taken < 64 * MOST_UNSENT:
                    taken += accepted.send(bytes(65_536))
    assert MOST_UNSENT <= taken < 3 * MOST_UNSENT


def test_a_connection_that_was_accepted_but_not_greeted_goes_with_its_door() -> None:
    async def scene() -> list[object]:
        loop = asyncio.get_running_loop()
        greeted: list[object] = []

        class Guest(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                greeted.append(transport)

        listening = listening_socket(Address("127.0.0.1", 0), of="listener front")
        door = Door(loop, listening, Guest)
        with socket.create_connection(address_of(listening)) as client:
            door._accept()
            door.close()
            heard = await loop.run_in_executor(None, client.recv, 1)
        return [*greeted, heard]

    assert asyncio.run(scene()) == [b""]


_OUT_OF_DESCRIPTORS = """
import json, resource, socket, sys
from lbtutor.core import ListenerConfig, Plan, PoolConfig, Route, Seconds
from lbtutor.live.run import LiveRun

run = LiveRun(Plan((ListenerConfig("front"),), (Route("web"),), (PoolConfig("web"),), lasts=Seconds(float("inf"))))
run.start()
host, port = run.addresses["front"].split(":")
ask = b"GET / HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n"

def answered(client):
    client.settimeout(20)
    client.sendall(ask)
    return client.recv(1000).startswith(b"HTTP/1.1 503")

clients = [socket.create_connection((host, int(port))) for _ in range(40)]
first = [answered(client) for client in clients[:10]]
spare = socket.socket()
resource.setrlimit(resource.RLIMIT_NOFILE, (clients[-1].fileno() + 20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    while True:
        clients.append(socket.create_connection((host, int(port))))
except OSError as error:
    full = error.errno
still = [answered(client) for client in clients[:10]]
spare.connect((host, int(port)))
door = run._stage.doors.open["front"].door
for _ in range(10_000):
    if door._rest is None:
        run.ended.wait(0.001)
rested = door._rest is not None
for client in clients[10:]:
    client.close()
recovered = answered(spare)
spare.close()
with socket.create_connection((host, int(port))) as late:
    later = answered(late)
run.stop()
print(json.dumps({"first": all(first), "errno": full, "still": all(still), "rested": rested,
    "recovered": recovered and later}))
"""


@pytest.mark.slow
def test_without_file_descriptors_it_serves_those_it_has_and_recovers(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", _OUT_OF_DESCRIPTORS],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=True,
    )
    assert json.loads(finished.stdout) == {"first": True, "errno": 24, "still": True, "rested": True, "recovered": True}
    assert finished.stderr == ""


def test_a_connection_that_is_greeted_while_its_door_closes_hears_of_its_end() -> None:
    async def scene() -> list[str]:
        loop = asyncio.get_running_loop()
        heard: list[str] = []
        over = asyncio.Event()

        class Guest(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                heard.append("made")
                door.close()

            def connection_lost(self, exc: Exception | None) -> None:
                heard.append("lost")
                over.set()

        listening = listening_socket(Address("127.0.0.1", 0), of="listener front")
        door = Door(loop, listening, Guest)
        with socket.create_connection(door.address):
            await asyncio.wait_for(over.wait(), 20)
        return heard

    assert asyncio.run(scene()) == ["made", "lost"]
