"""What a request costs the live balancer, in CPU: `pytest -m benchmark -s tests/benchmarks/test_proxy.py`.

Needs `wrk` as the crowd, and `nginx` as the backend and as the proxy to compare with. The CPU time is
that of the whole process of the proxy, divided by the requests answered; wall-clock figures of two shared cores would
say more about the neighbours.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS = 4
CONNECTIONS = 64

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(not (shutil.which("wrk") and shutil.which("nginx")), reason="needs wrk and nginx"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads CPU times as Linux shows them"),
]

_NGINX = """
worker_processes 1; daemon off; master_process off; pid {folder}/{port}.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000;
    upstream web {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ {what} }}
    }}
}}
"""
_ANSWER = 'default_type text/plain; return 200 "hello\\n";'
_PASS = """
    proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
"""

_LBTUTOR = """
import sys
from lbtutor.core import BackendConfig, ListenerConfig, Plan, PoolConfig, Route, Seconds
from lbtutor.live.run import LiveRun

port, origin, feeds = sys.argv[1:]
pool = PoolConfig("web", backends=(BackendConfig("a", address=f"127.0.0.1:{origin}"),))
listener = ListenerConfig("front", at=f"127.0.0.1:{port}")
run = LiveRun(Plan((listener,), (Route("web"),), (pool,), lasts=Seconds(float("inf"))))
for _ in range(int(feeds)):
    run.feed()
run.start()
sys.stdin.read()
"""

_NAIVE = """
import asyncio, sys

async def main(port, origin):
    async def pump(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader, writer):
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", origin)
        await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        await asyncio.Event().wait()

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def running(*command: str, port: int) -> Iterator[int]:
    """A process that serves on `port`, from its first answer on; its id."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield process.pid
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def nginx(folder: Path, origin: int, what: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    config = folder / f"{port}.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, origin=origin, what=what))
    with running("nginx", "-c", str(config), port=port) as process:
        yield process, port


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost(process: int, port: int) -> float:
    """Microseconds of CPU a request."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"http://127.0.0.1:{port}/"]
    subprocess.run([*command, "-d1s"], capture_output=True, check=True)
    before = cpu_seconds(process)
    said = subprocess.run([*command, f"-d{SECONDS}s"], capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(process) - before
    answered = re.search(r"(\d+) requests in", said)
    assert answered is not None
    assert "Non-2xx" not in said
    return used / int(answered[1]) * 1e6


def test_cpu_of_a_request(tmp_path: Path) -> None:
    with nginx(tmp_path, 1, _ANSWER) as (_, origin):
        with nginx(tmp_path, origin, _PASS) as (process, port):
            costs = {"nginx": cost(process, port)}
        for name, script, feeds in (
            ("lbtutor, nobody listening", _LBTUTOR, "0"),
            ("lbtutor, trace recorded", _LBTUTOR, "1"),
            ("a pipe on asyncio streams that reads no HTTP", _NAIVE, ""),
        ):
            port = free_port()
            with running(sys.executable, "-c", script, str(port), str(origin), feeds, port=port) as process:
                costs[name] = cost(process, port)
    for name, microseconds in costs.items():
        print(f"\n{name}: {microseconds:.1f} us a request, {microseconds / costs['nginx']:.2f} x nginx", end="")
    print()
