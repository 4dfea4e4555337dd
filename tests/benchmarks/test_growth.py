"""How costs grow: `pytest -m benchmark -s tests/benchmarks/test_growth.py`.

A decision (arrive and finish, nobody listening) with 3, 50 and 500 backends, for every algorithm; the memory of a pool;
and the memory of the whole process for each of 10 000 idle connections.
"""

from __future__ import annotations

import http.client
import resource
import socket
import tracemalloc
from collections.abc import Callable
from random import Random
from timeit import timeit
from typing import Any

import pytest

from lbtutor.core import ALGORITHMS, BackendConfig, Balancer, HealthCheck, Outcome, PoolConfig, Request, Route

pytestmark = pytest.mark.benchmark

SIZES = (3, 50, 500)
ROUNDS = 2000
IDLE = 10_000

_ANSWERED = Outcome.answered(200)

_LBTUTOR = """
import sys
from lbtutor.core import *
from lbtutor.live.run import LiveRun

port, origin = int(sys.argv[1]), sys.argv[2]
pool = PoolConfig("web", backends=(BackendConfig("a", address=f"127.0.0.1:{origin}"),))
door = ListenerConfig("front", at=f"127.0.0.1:{port}", idle_timeout=Seconds(3600))
run = LiveRun(Plan((door,), (Route("web"),), (pool,), lasts=Seconds(float("inf"))))
run.start()
sys.stdin.read()
"""


def balancer(algorithm: str, size: int) -> Balancer:
    backends = tuple(BackendConfig(f"srv-{number}") for number in range(size))
    return Balancer([PoolConfig("web", algorithm, backends, HealthCheck())], [Route("web")], rng=Random(1))


def deciding(algorithm: str, size: int) -> Callable[[], float]:
    """Microseconds for a request's arrival and end, eight being under way."""
    asked = balancer(algorithm, size)
    requests = [Request(number, 0.0, f"10.0.{number % 50}.7", f"10.0.{number % 50}.7") for number in range(ROUNDS)]

    def rounds() -> None:
        for request in requests:
            asked.arrive(request)
            if request.id >= 8:
                asked.finish(request.id - 8, _ANSWERED, 0.001)
        for last in range(ROUNDS - 8, ROUNDS):
            asked.finish(last, _ANSWERED, 0.001)

    return lambda: timeit(rounds, number=1) / ROUNDS * 1e6


def memory_of(algorithm: str, size: int) -> float:
    """Kilobytes of a balancer with one pool, its table built."""
    tracemalloc.start()
    asked = balancer(algorithm, size)
    asked.arrive(Request(1, 0.0, "10.0.0.1", "10.0.0.1"))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1024


def test_a_decision_and_its_memory_by_the_number_of_backends(bench: Any) -> None:
    measures: dict[str, Callable[[], float]] = {
        f"{name} {size}": deciding(name, size) for name in ALGORITHMS for size in SIZES
    }
    figures = bench.in_turns(measures, rounds=3)
    print(f"\n{'':<22}" + "".join(f"{size:>12} backends" for size in SIZES))
    for name in ALGORITHMS:
        times = [sorted(figures[f"{name} {size}"])[1] for size in SIZES]
        sizes = [memory_of(name, size) for size in SIZES]
        cells = "".join(f"{time:8.2f} us {held:7.0f} kB" for time, held in zip(times, sizes, strict=True))
        print(f"{name:<22}{cells}")


def test_memory_of_idle_connections(bench: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * IDLE + 1000), hard))
    candidates = {
        "lbtutor": bench.python(_LBTUTOR, bench.nginx().port, port=bench.free_port()),
        "nginx": bench.nginx("location / { proxy_pass http://web; }", origin=bench.nginx().port),
    }
    for name, one in candidates.items():
        ask(one.port)
        before = bench.resident_bytes(one)
        idle = [connected(one.port) for _ in range(IDLE)]
        after = bench.resident_bytes(one)
        cost = bench.cost(one, seconds=3)
        used = bench.cpu_seconds(one)
        print(f"\n{name}: {(after - before) / IDLE / 1024:.2f} kB an idle connection, {after / 2**20:.0f} MiB in all,")
        print(f"    {cost:.1f} us a request beside them ({used:.1f} s of CPU so far)")
        for peer in idle:
            peer.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(port: int) -> socket.socket:
    """A connection that has asked once, and keeps quiet from now on."""
    peer = socket.create_connection(("127.0.0.1", port))
    peer.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    peer.recv(65536)
    return peer


def ask(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()
