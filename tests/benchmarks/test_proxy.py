"""What a request costs the live balancer, and those beside it: `pytest -m benchmark -s tests/benchmarks/test_proxy.py`.

Needs `wrk` and `nginx`; `haproxy` if it is there. The proxies written in Python are measured when the environment
variable LBTUTOR_PEERS names a Python that has them (`pip install aiohttp proxy.py mitmproxy`).
"""

from __future__ import annotations

import http.client
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.benchmark

_LOCATIONS = """
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    location /api/users { proxy_pass http://web; }
    location /api/orders { proxy_pass http://web; }
    location / { proxy_pass http://web; }
"""

_HAPROXY = """
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option forwardfor
    http-reuse always
frontend front
    bind 127.0.0.1:{port}
    use_backend web if {{ path_dir /api/users }}
    use_backend web if {{ path_dir /api/orders }}
    default_backend web
backend web
    balance roundrobin
    cookie SERVER_ID insert indirect nocache
    option httpchk GET /health
    server a 127.0.0.1:{origin} check inter 1s cookie a
    server b 127.0.0.1:{origin} check inter 1s cookie b
    server c 127.0.0.1:{origin} check inter 1s cookie c
"""

_LBTUTOR = """
import sys
from lbtutor.core import *
from lbtutor.live.run import LiveRun

port, origin, feeds, what = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
members = tuple(BackendConfig(name, address=f"127.0.0.1:{origin}") for name in "abc")
bare = what == "bare"
pool = PoolConfig(
    "web",
    backends=members,
    health=None if bare else HealthCheck(interval=Seconds(1), timeout=Seconds(1)),
    sticky=None if bare else Sticky(cookie="SERVER_ID"),
)
routes = (Route("web"),) if bare else (Route("web", path="/api/users"), Route("web", path="/api/orders"), Route("web"))
run = LiveRun(Plan((ListenerConfig("front", at=f"127.0.0.1:{port}"),), routes, (pool,), lasts=Seconds(float("inf"))))
for _ in range(feeds):
    run.feed()
run.start()
sys.stdin.read()
"""

_AIOHTTP = """
import asyncio, sys
from aiohttp import ClientSession, TCPConnector, web

port, origin = int(sys.argv[1]), sys.argv[2]

async def main():
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        async def pass_on(request):
            headers = {**request.headers, "X-Forwarded-For": request.remote}
            url = f"http://127.0.0.1:{origin}{request.path_qs}"
            async with session.request(request.method, url, headers=headers, data=await request.read()) as answer:
                return web.Response(status=answer.status, body=await answer.read())

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

asyncio.run(main())
"""

_PROXY_PY = """
import re, sys
import proxy
from proxy.http.server import ReverseProxyBasePlugin

port, origin = sys.argv[1], sys.argv[2]

class Everything(ReverseProxyBasePlugin):
    def routes(self):
        return [(r"/.*", [f"http://127.0.0.1:{origin}/".encode()])]

with proxy.Proxy(["--hostname", "127.0.0.1", "--port", port, "--num-workers", "1", "--num-acceptors", "1",
                  "--threaded", "--enable-reverse-proxy", "--disable-http-proxy", "--log-level", "ERROR"],
                 plugins=[Everything]):
    sys.stdin.read()
"""

_PATH = "/api/users/7"


@pytest.fixture
def origin(bench: Any) -> int:
    return int(bench.nginx().port)


def balancer(bench: Any, origin: int, *, feeds: int = 0, what: str = "whole") -> Any:
    return bench.python(_LBTUTOR, origin, feeds, what, port=bench.free_port())


def haproxy(bench: Any, origin: int) -> Any:
    port = bench.free_port()
    config: Path = bench.folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, origin=origin))
    return bench.start("haproxy", "-f", str(config), port=port)


def cookie_of(port: int) -> str:
    """The cookie that this balancer gives to a new client, ready to be shown again."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", _PATH)
    given = connection.getresponse().getheader("Set-Cookie") or "nobody=1"
    connection.close()
    return f"Cookie: {given.partition(';')[0]}"


def test_cpu_of_a_request(bench: Any, origin: int) -> None:
    candidates = {
        "nginx": bench.nginx(_LOCATIONS, origin=origin),
        "lbtutor, one route": balancer(bench, origin, what="bare"),
        "lbtutor, routes + cookie + health": balancer(bench, origin),
        "the same, trace recorded": balancer(bench, origin, feeds=1),
    }
    if shutil.which("haproxy"):
        candidates["haproxy"] = haproxy(bench, origin)
    measures: dict[str, Callable[[], float]] = {
        name: partial(bench.cost, one, path=_PATH, headers=[cookie_of(one.port)]) for name, one in candidates.items()
    }
    figures = bench.in_turns(measures)
    bench.table(figures, "us", against="nginx")
    bench.table({name: figures[name] for name in list(figures)[2:4]}, "us", against=list(figures)[2])


def test_cpu_of_a_request_for_another_path_each_time(bench: Any, origin: int) -> None:
    """Clients repeat themselves, and `wrk` more than most; our memory for heads is to gain little by that."""
    candidates = {"nginx": bench.nginx(_LOCATIONS, origin=origin), "lbtutor": balancer(bench, origin)}
    measures: dict[str, Callable[[], float]] = {
        name: partial(bench.cost, one, path=_PATH, headers=[cookie_of(one.port)], varied=True)
        for name, one in candidates.items()
    }
    bench.table(bench.in_turns(measures), "us", against="nginx")


@pytest.mark.skipif("LBTUTOR_PEERS" not in os.environ, reason="LBTUTOR_PEERS names no Python that has the peers")
def test_cpu_of_a_request_beside_proxies_in_python(bench: Any, origin: int) -> None:
    python = os.environ["LBTUTOR_PEERS"]
    ports = [bench.free_port() for _ in range(3)]
    folder = Path(python).parent
    to = f"http://127.0.0.1:{origin}"
    candidates = {
        "lbtutor": balancer(bench, origin, what="bare"),
        "aiohttp": bench.python(_AIOHTTP, origin, port=ports[0], python=python),
        "mitmproxy": bench.start(
            str(folder / "mitmdump"), "-q", "--mode", f"reverse:{to}", "-p", str(ports[1]), port=ports[1]
        ),
        "proxy.py": bench.python(_PROXY_PY, origin, port=ports[2], python=python),
    }
    measures: dict[str, Callable[[], float]] = {
        name: partial(bench.cost, one, path=_PATH) for name, one in candidates.items()
    }
    bench.table(bench.in_turns(measures, rounds=3), "us", against="lbtutor")
