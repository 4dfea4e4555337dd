"""Real sockets for the live shell's tests: servers that do as they are told, a client that says exactly what it is
told, and runs that are stopped whatever happens."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from lbtutor.core import BackendConfig, ListenerConfig, MachineConfig, Plan, PoolConfig, Route, Seconds, Service
from lbtutor.core.events import Event
from lbtutor.live.run import LiveRun
from lbtutor.trace.feed import Feed

PATIENCE = 20.0
"""Wall seconds after which a test gives up waiting for what should be there in milliseconds."""


class Peer:
    """One connection, seen from the side that the test plays."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.file = sock.makefile("rb")
        self.received = bytearray()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_until_stuck(self, data: bytes) -> int:
        """Send until nobody takes more; how much was taken."""
        sent = 0
        while sent < len(data) and select.select([], [self.sock], [], 0.2)[1]:
            sent += self.sock.send(data[sent : sent + 65_536])
        return sent

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, or fewer at the end of the stream."""
        data = self.file.read(size)
        self.received += data
        return data

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        data = self.file.read()
        self.received += data
        return data

    def read_head(self) -> bytes:
        """A head with its empty line, or trailers; nothing at the end of the stream."""
        head = b""
        while not head.endswith(b"\r\n\r\n") and head != b"\r\n":
            line = self.file.readline()
            if not line:
                break
            head += line
        self.received += head
        return head

    def read_request(self) -> tuple[bytes, bytes] | None:
        """Head and body as they came (a chunked body with its framing), or None at the end of the stream."""
        head = self.read_head()
        if not head.endswith(b"\r\n\r\n"):
            return None
        fields = head.lower()
        if b"transfer-encoding: chunked" in fields:
            return head, self.read_chunks()[0]
        _, _, length = fields.partition(b"content-length:")
        return head, self.read(int(length.split(b"\r\n")[0])) if length else b""

    def answer(self, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, fields (names in lower case) and body of the next answer."""
        head = self.read_head()
        status_line, _, lines = head.decode("latin-1").partition("\r\n")
        assert status_line.startswith("HTTP/1.1 "), f"not an answer: {head!r}"
        status = int(status_line.split()[1])
        fields = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines.split("\r\n") if line)
        }
        if method == "HEAD" or status in (204, 304):
            return status, fields, b""
        if fields.get("transfer-encoding") == "chunked":
            return status, fields, self.read_chunks()[1]
        return status, fields, self.read(int(fields["content-length"])) if "content-length" in fields else self.rest()

    def reset(self) -> None:
        """Close without a farewell."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def read_chunks(self) -> tuple[bytes, bytes]:
        """A chunked body as it came, and what it says."""
        raw, body = bytearray(), bytearray()
        while True:
            line = self.file.readline()
            size = int(line, 16)
            if size == 0:
                self.received += raw + line
                return bytes(raw + line + self.read_head()), bytes(body)
            piece = self.file.read(size + 2)
            assert piece.endswith(b"\r\n"), f"a chunk of {size} bytes does not end after them"
            raw += line + piece
            body += piece[:-2]


Script = Callable[[Peer], None]


class Server:
    """Somebody's server: runs `script` for each connection, on a thread of its own."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.peers: list[Peer] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def received(self) -> bytes:
        """All bytes of all connections, in the order in which these were accepted."""
        return b"".join(peer.received for peer in self.peers)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for peer in self.peers:
            with suppress(OSError):  # most have gone by themselves
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            peer = Peer(sock)
            self.peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: Peer) -> None:
        with suppress(OSError, ValueError):  # the other side left, or the test is over
            self._script(peer)
        peer.close()


def always(answer: bytes) -> Script:
    """A script: this answer to every request of a connection."""

    def script(peer: Peer) -> None:
        while peer.read_request() is not None:
            peer.send(answer)

    return script


class Watch:
    """Reads a run's events and waits for those that a test is about."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run
        self._feed: Feed = run.feed()
        self.seen: list[Event] = []

    def all(self, *kinds: type) -> list[Any]:
        """All events so far, of these kinds if any are named."""
        self.seen += self._feed.drain()
        return [event for event in self.seen if not kinds or isinstance(event, kinds)]

    def until(self, kind: type, count: int = 1, **attributes: object) -> Any:
        """The `count`-th event of this kind with these attributes, as soon as there is one."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            fitting = [
                event
                for event in self.all(kind)
                if all(getattr(event, name) == value for name, value in attributes.items())
            ]
            if len(fitting) >= count:
                return fitting[count - 1]
            self._run.ended.wait(0.002)
        raise AssertionError(f"no {kind.__name__} with {attributes} among {self.seen}")


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition is true."""

    def wait(condition: Callable[[], object]) -> None:
        give_up, nobody = time.monotonic() + PATIENCE, threading.Event()
        while not condition():
            assert time.monotonic() < give_up, "what was waited for never came true"
            nobody.wait(0.0005)

    return wait


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def server() -> Iterator[Callable[[Script], Server]]:
    """Start a server with that script."""
    servers: list[Server] = []

    def start(script: Script) -> Server:
        servers.append(Server(script))
        return servers[-1]

    yield start
    for one in servers:
        one.close()


@pytest.fixture
def start() -> Iterator[Callable[..., LiveRun]]:
    """Start a run of a plan; it is stopped after the test, and what went wrong inside it fails the test."""
    runs: list[LiveRun] = []

    def begin(plan: Plan, *, held: bool = False, feeds: int = 0) -> LiveRun:
        run = LiveRun(plan, held=held)
        runs.append(run)
        for _ in range(feeds):
            run.feed()
        run.start()
        return run

    yield begin
    for run in runs:
        run.stop()
        run.stop()


@pytest.fixture
def watched(start: Callable[..., LiveRun]) -> Iterator[Callable[..., tuple[LiveRun, Watch]]]:
    """Start a run of a plan with somebody who reads its events from the first on."""
    runs: list[LiveRun] = []

    def begin(plan: Plan, *, held: bool = False) -> tuple[LiveRun, Watch]:
        run = LiveRun(plan, held=held)
        runs.append(run)
        watch = Watch(run)
        run.start()
        return run, watch

    yield begin
    for run in runs:
        run.stop()


@pytest.fixture
def proxy_plan() -> Callable[..., Plan]:
    """A plan that puts one listener in front of servers at these addresses: a bare proxy, without an end."""

    def make(*addresses: str, listener: ListenerConfig | None = None, drain: float = 0, **pool: Any) -> Plan:
        backends = tuple(
            BackendConfig(name, address=address) for name, address in zip("abcdefgh", addresses, strict=False)
        )
        return Plan(
            (listener or ListenerConfig("front"),),
            (Route("web"),),
            (PoolConfig("web", backends=backends, **pool),),
            lasts=Seconds(float("inf")),
            drain=Seconds(drain),
        )

    return make


@pytest.fixture
def lab_plan() -> Callable[..., Plan]:
    """A plan with lab machines a, b, c … that work at once unless told otherwise, without traffic or an end."""

    def make(names: str = "ab", service: float = 0.0, workers: int = 8, **changes: Any) -> Plan:
        pool = {key: changes.pop(key) for key in PoolConfig.__struct_fields__ if key in changes}
        settings: dict[str, Any] = {
            "listeners": (ListenerConfig("front"),),
            "routes": (Route("web"),),
            "pools": (PoolConfig("web", backends=tuple(BackendConfig(name) for name in names), **pool),),
            "machines": tuple(MachineConfig("web", name, workers, Service("constant", service)) for name in names),
            "lasts": Seconds(float("inf")),
            "drain": Seconds(0),
            **changes,
        }
        return Plan(**settings)

    return make


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def connect() -> Iterator[Callable[..., Peer]]:
    """Connect to a run's listener, as a client."""
    peers: list[Peer] = []

    def to(run: LiveRun, source: str = "") -> Peer:
        host, _, port = run.addresses["front"].rpartition(":")
        sock = socket.create_connection((host, int(port)), source_address=(source, 0) if source else None)
        peers.append(Peer(sock))
        return peers[-1]

    yield to
    for peer in peers:
        peer.close()


@pytest.fixture
def get(connect: Callable[..., Peer]) -> Callable[..., tuple[int, dict[str, str], bytes]]:
    """One request on a connection of its own: status, fields and body."""

    def ask(
        run: LiveRun, path: str = "/", fields: Sequence[str] = (), method: str = "GET"
    ) -> tuple[int, dict[str, str], bytes]:
        peer = connect(run)
        lines = (f"{method} {path} HTTP/1.1", "Host: lab", *fields, "", "")
        peer.send("\r\n".join(lines).encode())
        return peer.answer(method)

    return ask
