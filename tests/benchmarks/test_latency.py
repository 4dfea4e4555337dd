"""What a balancer adds to the latency of a request, at half of what ours can do at most:
`pytest -m benchmark -s tests/benchmarks/test_latency.py`.

The load is open: requests come at random times (Poisson, seeded) at a rate that does not depend on the answers, and the
clock of each starts when it is due, also when no connection is free then. So nobody hides a pause by keeping others
from asking. The same is asked of the backend itself, and what is told of a balancer is the difference.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from typing import Any

import pytest

pytestmark = pytest.mark.benchmark

ROUNDS = 15
SECONDS = 1

_PATH = "/api/users/7"

_ASKING = """
import json, select, socket, sys
from random import Random
from time import perf_counter as clock

port, rate, seconds, path = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
said = f"GET {path} HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n".encode()
idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
by_number = {connection.fileno(): connection for connection in idle}
poll = select.epoll()
for number in by_number:
    poll.register(number, select.EPOLLIN)
asked, took, dice = {}, [], Random(1)
due = clock()
end = due + seconds
while due < end or asked:
    while idle and due < end and due <= clock():
        connection = idle.pop()
        connection.sendall(said)
        asked[connection] = due
        due += dice.expovariate(rate)
    wait = due - clock() if idle and due < end else 10
    if wait > 0:
        select.select([poll], [], [], wait)  # which is exact to the microsecond, and `poll` to the millisecond
    for number, _ in poll.poll(0):
        connection = by_number[number]
        if connection.recv(65536).endswith(b"hello\\n"):
            took.append(clock() - asked.pop(connection))
            idle.append(connection)
took.sort()
print(json.dumps([took[len(took) // 2], took[len(took) * 99 // 100]]))
"""

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


def latency(candidate: Any, rate: float) -> tuple[float, float]:
    """The median and the 99th percentile, in milliseconds, of requests that come at that rate."""
    command = (sys.executable, "-c", _ASKING, str(candidate.port), str(rate), str(SECONDS), _PATH)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    half, most = json.loads(said)
    return half * 1000, most * 1000


def test_latency_at_half_of_saturation(bench: Any) -> None:
    origin = bench.nginx()
    lbtutor = bench.python(_LBTUTOR, origin.port, port=bench.free_port())
    candidates = {"the backend": origin, "nginx": bench.nginx(_PROXY, origin=origin.port), "lbtutor": lbtutor}
    rate = bench.crowd(lbtutor, seconds=2, path=_PATH).answers / 2 / 2
    rounds = [{name: latency(one, rate) for name, one in candidates.items()} for _ in range(ROUNDS)]
    print(f"\n{rate:.0f} requests a second, {ROUNDS} rounds; ms in the median round, and in the quietest one of each")
    for place, quantile in enumerate(("p50", "p99")):
        figures = {name: [one[name][place] for one in rounds] for name in candidates}
        for name, own in figures.items():
            added = median(mine - theirs for mine, theirs in zip(own, figures["the backend"], strict=True))
            least = min(own) - min(figures["the backend"])
            print(f"{quantile}  {name:<12} {median(own):8.3f} (+{added:6.3f})   {min(own):8.3f} (+{least:6.3f})")
