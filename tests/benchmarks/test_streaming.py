"""A gibibyte up and a gibibyte down through one proxy process, in bounded memory:
`pytest -m benchmark -s tests/benchmarks/test_streaming.py`.

Measured here: the process grows by less than 3 MiB over what it had when it had served one small request, and never
holds more than about 330 KB for a peer that is slower than the other.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from time import perf_counter

import pytest

GIBIBYTE = 2**30
BLOCK = bytes(range(256)) * 4096

pytestmark = [
    pytest.mark.slow,
    pytest.mark.benchmark,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux shows it"),
]

_PROXY = """
import sys
from lbtutor.core import BackendConfig, ListenerConfig, Plan, PoolConfig, Route, Seconds
from lbtutor.live.run import LiveRun

pool = PoolConfig("web", backends=(BackendConfig("a", address=sys.argv[1]),))
run = LiveRun(Plan((ListenerConfig("front"),), (Route("web"),), (pool,), lasts=Seconds(float("inf")), drain=Seconds(0)))
run.start()
print(run.addresses["front"], flush=True)
sys.stdin.read()
print(run.most_buffered, flush=True)
run.stop()
"""


class Store:
    """A backend that counts what it is sent, and sends as much back."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self.listening.getsockname())
        self.received = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self.listening.accept()
        with connection, connection.makefile("rb") as file:
            while b"\r\n\r\n" in (head := _head(file)):
                self.received = _read_chunks(file) if b"chunked" in head else _read(file, _length(head))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.received)
                _send(connection, self.received, chunked=False)


def _head(file: BufferedReader) -> bytes:
    head = b""
    while line := file.readline():
        head += line
        if line == b"\r\n":
            break
    return head


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


def _read(file: BufferedReader, size: int) -> int:
    left = size
    while left and (data := file.read(min(left, len(BLOCK)))):
        left -= len(data)
    return size - left


def _read_chunks(file: BufferedReader) -> int:
    total = 0
    while size := int(file.readline(), 16):
        total += _read(file, size)
        file.readline()
    file.readline()
    return total


def _send(connection: socket.socket, size: int, *, chunked: bool) -> None:
    for start in range(0, size, len(BLOCK)):
        block = BLOCK[: size - start]
        connection.sendall(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
    if chunked:
        connection.sendall(b"0\r\n\r\n")


@pytest.fixture
def store() -> Iterator[Store]:
    one = Store()
    yield one
    one.listening.close()


def kibibytes(process: int, what: str) -> int:
    """`VmRSS` is what a process has in memory now, `VmHWM` the most it ever had."""
    (line,) = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1])


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_gibibyte_each_way_in_bounded_memory(store: Store, framing: str) -> None:
    command = [sys.executable, "-c", _PROXY, store.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdin is not None
        assert proxy.stdout is not None
        host, _, port = proxy.stdout.readline().strip().rpartition(":")
        with socket.create_connection((host, int(port))) as client, client.makefile("rb") as file:
            exchange(client, file, 1000, framing)
            before = kibibytes(proxy.pid, "VmRSS")
            seconds = exchange(client, file, GIBIBYTE, framing)
        grown = kibibytes(proxy.pid, "VmHWM") - before
        proxy.stdin.close()
        buffered = int(proxy.stdout.readline())
    assert store.received == GIBIBYTE
    print(f"\n{framing}: {2 / seconds:.2f} GiB/s, {grown} KiB more memory at most, {buffered} bytes held at most")
    assert grown < 16_384
    assert buffered < 1_000_000


def exchange(client: socket.socket, file: BufferedReader, size: int, framing: str) -> float:
    """So much up, and as much down; how long that took."""
    began = perf_counter()
    fields = b"Transfer-Encoding: chunked" if framing == "chunked" else b"Content-Length: %d" % size
    client.sendall(b"PUT / HTTP/1.1\r\nHost: lab\r\n%b\r\n\r\n" % fields)
    _send(client, size, chunked=framing == "chunked")
    assert _length(_head(file)) == size
    assert _read(file, size) == size
    return perf_counter() - began
