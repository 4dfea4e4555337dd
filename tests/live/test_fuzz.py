"""Bytes from strangers: whatever comes, the balancer stays well, and what a backend sees is one whole message a time.

The second opinion on what was forwarded is a small strict reader, which knows nothing of llhttp.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck as Check
from hypothesis import given, settings
from hypothesis import strategies as st

from lbtutor.core import BackendConfig, ListenerConfig, Plan, PoolConfig, Route, Seconds
from lbtutor.live.run import LiveRun

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

VALID = [
    b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"POST /a?b=c HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    b"HEAD http://other/ HTTP/1.1\r\nHost: lab\r\nConnection: X-A, close\r\nX-A: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
]

SPICE = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"Content-Length: 3\r\n",
    b"Content-Length: 7\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Host: evil\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: lab\r\n\r\n",
]

_HEAD = re.compile(
    rb"(?P<method>[A-Z-]+) (?:/|\*)[!-~]* HTTP/1\.1\r\nHost: [!-~]*\r\n"
    rb"(?P<fields>(?:[!#-'*+.^-z|~0-9A-Z-]+: ?[\t -~\x80-\xff]*\r\n)*)\r\n"
)
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


def read_strictly(data: bytes) -> int:
    """How many whole messages these are; raises `AssertionError` when they are anything but whole messages, the last
    of which may be cut."""
    count = 0
    while data:
        head = _HEAD.match(data)
        if head is None:
            assert b"\r\n\r\n" not in data, f"not a head: {data!r}"
            return count
        data = data[head.end() :]
        fields = head["fields"].lower()
        lengths = re.findall(rb"^content-length: (.*)\r$", fields, re.M)
        codings = re.findall(rb"^transfer-encoding: (.*)\r$", fields, re.M)
        assert len(lengths) + len(codings) <= 1, f"two ends: {fields!r}"
        assert fields.count(b"x-forwarded-for: 127.0.0.1\r\n") == 1
        length = int(lengths[0]) if lengths else 0
        if len(data) < length:
            return count
        data = data[length:]
        while codings:
            chunk = _CHUNK.match(data)
            if chunk is None:
                assert len(data) < 20, f"not a chunk: {data!r}"
                return count
            size = int(chunk[1], 16)
            data = data[chunk.end() + size + 2 :]
            if size == 0:
                break
        count += 1
    return count


class Listener:
    """A backend that answers every whole message, and keeps what it read."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.read: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            heard = bytearray()
            self.read.append(heard)
            threading.Thread(target=self._serve, args=(connection, heard), daemon=True).start()

    def _serve(self, connection: socket.socket, heard: bytearray) -> None:
        everything, answered = b"", 0
        with connection, suppress(OSError, AssertionError):
            while data := connection.recv(65_536):
                heard += data
                everything += data
                complete = read_strictly(everything)
                connection.sendall(OK * (complete - answered))
                answered = complete


@pytest.fixture(scope="module")
def target() -> Iterator[tuple[LiveRun, Listener]]:
    """One balancer for all examples: what one leaves behind, the next one meets."""
    backend = Listener()
    address = f"127.0.0.1:{backend.listening.getsockname()[1]}"
    pool = PoolConfig("web", backends=(BackendConfig("a", address=address),))
    hasty = ListenerConfig("hasty", head_timeout=Seconds(0.02), idle_timeout=Seconds(0.02))
    listeners = (hasty, ListenerConfig("patient"))
    run = LiveRun(Plan(listeners, (Route("web"),), (pool,), lasts=Seconds(float("inf")), drain=Seconds(0)))
    run.start()
    yield run, backend
    run.stop()
    backend.listening.shutdown(socket.SHUT_RDWR)
    backend.listening.close()


def say(run: LiveRun, pieces: list[bytes], *, leaves: bool) -> bytes:
    """Say this, in these pieces, leave or wait, and hear all that comes back until the connection is closed."""
    host, _, port = run.addresses["hasty"].rpartition(":")
    heard = b""
    with socket.create_connection((host, int(port)), timeout=20) as client, suppress(OSError):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        if leaves:
            client.shutdown(socket.SHUT_WR)
        while data := client.recv(65_536):
            heard += data
    return heard


def check_that_all_is_well(run: LiveRun, backend: Listener, heard: bytes) -> None:
    assert run.trouble is None
    assert heard == b"" or heard.startswith(b"HTTP/1.1 ")
    host, _, port = run.addresses["patient"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(b"GET /well HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(65_536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 OK"), answer
    assert run.snapshot()[0].backends[0].in_flight == 0
    for connection in backend.read:
        read_strictly(bytes(connection))
        connection.clear()
    del backend.read[:-1]


FUZZ: dict[str, Any] = {"deadline": None, "suppress_health_check": [Check.function_scoped_fixture, Check.too_slow]}


@pytest.mark.slow
@settings(max_examples=200, **FUZZ)
@given(data=st.binary(max_size=300), cut=st.integers(0, 300), leaves=st.booleans())
def test_random_bytes_do_no_harm(target: tuple[LiveRun, Listener], data: bytes, cut: int, leaves: bool) -> None:
    run, backend = target
    heard = say(run, [data[:cut], data[cut:]], leaves=leaves)
    check_that_all_is_well(run, backend, heard)


@st.composite
def mutated(draw: st.DrawFn) -> list[bytes]:
    """Valid requests in a row with something put in, taken out or changed, cut into pieces."""
    message = bytearray(b"".join(draw(st.lists(st.sampled_from(VALID), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(message)))
        match draw(st.sampled_from(["insert", "delete", "change"])):
            case "insert":
                message[place:place] = draw(st.sampled_from(SPICE) | st.binary(min_size=1, max_size=4))
            case "delete":
                del message[place : place + draw(st.integers(1, 20))]
            case _:
                message[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
    cuts = sorted(draw(st.lists(st.integers(0, len(message)), max_size=3)))
    return [bytes(message[start:end]) for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True)]


@pytest.mark.slow
@settings(max_examples=400, **FUZZ)
@given(pieces=mutated(), leaves=st.booleans())
def test_mutated_requests_do_no_harm_and_backends_see_whole_messages_only(
    target: tuple[LiveRun, Listener], pieces: list[bytes], leaves: bool
) -> None:
    run, backend = target
    heard = say(run, pieces, leaves=leaves)
    check_that_all_is_well(run, backend, heard)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: lab\n\n",
        b"GET / HTTP/1.1\r\nHost: lab\r\nX-Forwarded-For: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: lab\r\nX : 1\r\n\r\n",
    ],
)
def test_the_strict_reader_is_strict(data: bytes) -> None:
    with pytest.raises(AssertionError):
        read_strictly(data + b"\r\n\r\n")


def test_the_strict_reader_counts_messages() -> None:
    said = b"X-Forwarded-For: 127.0.0.1\r\n"
    get = b"GET / HTTP/1.1\r\nHost: lab\r\n" + said + b"\r\n"
    post = b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n" + said + b"\r\nhello"
    chunks = b"PUT / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n" + said + b"\r\n5\r\nhello\r\n0\r\n\r\n"
    assert read_strictly(get + post + chunks + get + b"GET /cut") == 4
