"""What a balancer adds to the latency of a request, at half of what ours can do at most:
`pytest -m benchmark -s tests/benchmarks/test_latency.py`.

Many users ask, each with a little thought between an answer and the next request, so that there are about as many
requests a second whoever answers. The same is asked of the backend itself; what is told of a balancer is the difference
in the same round. The median round shows the machine as well, if others use it; so the quietest one is told beside it.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

pytestmark = pytest.mark.benchmark

ROUNDS = 7

SECONDS = 4
"""Long enough for the first requests, which are one for each new connection, to be far fewer than one of a hundred."""

THOUGHT = 0.01
"""Seconds, on average."""

_PATH = "/api/users/7"

_PROXY = """
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    location / { proxy_pass http://web; }
"""

_LBTUTOR = """
import sys
from lbtutor.core import *
from lbtutor.live.run import LiveRun

port, origin = sys.argv[1:]
members = tuple(BackendConfig(name, address=f"127.0.0.1:{origin}") for name in "abc")
health = HealthCheck(interval=Seconds(1), timeout=Seconds(1))
pool = PoolConfig("web", backends=members, health=health, sticky=Sticky(cookie="SERVER_ID"))
routes = (Route("web", path="/api/users"), Route("web", path="/api/orders"), Route("web"))
run = LiveRun(Plan((ListenerConfig("front", at=f"127.0.0.1:{port}"),), routes, (pool,), lasts=Seconds(float("inf"))))
run.start()
sys.stdin.read()
"""


def test_latency_at_half_of_saturation(bench: Any) -> None:
    origin = bench.nginx()
    lbtutor = bench.python(_LBTUTOR, origin.port, port=bench.free_port())
    candidates = {"the backend": origin, "nginx": bench.nginx(_PROXY, origin=origin.port), "lbtutor": lbtutor}
    rate = bench.crowd(lbtutor, seconds=2, path=_PATH).answers / 2 / 2
    users = {"seconds": SECONDS, "path": _PATH, "connections": int(rate * THOUGHT), "thinking": True}
    rounds = [{name: bench.crowd(one, **users) for name, one in candidates.items()} for _ in range(ROUNDS)]
    print(f"\n{rate:.0f} requests a second, {ROUNDS} rounds; ms in the median round, and in the quietest one of each")
    for quantile in ("p50", "p99"):
        figures = {name: [getattr(one[name], quantile) * 1000 for one in rounds] for name in candidates}
        for name, own in figures.items():
            added = median(mine - theirs for mine, theirs in zip(own, figures["the backend"], strict=True))
            least = min(own) - min(figures["the backend"])
            print(f"{quantile}  {name:<12} {median(own):8.3f} (+{added:6.3f})   {min(own):8.3f} (+{least:6.3f})")
