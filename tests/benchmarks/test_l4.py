"""What layer 4 costs beside HAProxy in TCP mode: `pytest -m benchmark -s tests/benchmarks/test_l4.py`.

A round trip is a small HTTP request and its answer, which neither of the two reads, on one of 64 open connections; a
new connection is opened, carries one such round trip, and is closed. The goals are 1.3 and 2.2 times HAProxy's CPU.
"""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import pytest

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy to compare with"),
]

_HAPROXY = """
global
    nbthread 1
    maxconn 4096
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen front
    bind 127.0.0.1:{port}
    server a 127.0.0.1:{origin}
"""

_LBTUTOR = """
import sys
from lbtutor.core import *
from lbtutor.live.run import LiveRun

port, origin, feeds = sys.argv[1:]
pool = PoolConfig("web", backends=(BackendConfig("a", address=f"127.0.0.1:{origin}"),))
listener = ListenerConfig("front", at=f"127.0.0.1:{port}", mode="tcp", pool="web")
run = LiveRun(Plan((listener,), (), (pool,), lasts=Seconds(float("inf"))))
for _ in range(int(feeds)):
    run.feed()
run.start()
sys.stdin.read()
"""


@pytest.mark.parametrize("what", ["round trip", "new connection"])
def test_cpu_of_a_tcp_proxy(bench: Any, what: str) -> None:
    origin = bench.nginx().port
    port = bench.free_port()
    config = bench.folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, origin=origin))
    candidates = {"haproxy": bench.start("haproxy", "-db", "-f", str(config), port=port)}
    for name, feeds in (("lbtutor, nobody listening", 0), ("lbtutor, trace recorded", 1)):
        candidates[name] = bench.python(_LBTUTOR, origin, feeds, port=bench.free_port())
    headers = ["Connection: close"] if what == "new connection" else []
    measures = {name: partial(bench.cost, one, headers=headers) for name, one in candidates.items()}
    print(f"\na {what}:", end="")
    bench.table(bench.in_turns(measures, rounds=5), "us", "haproxy")
