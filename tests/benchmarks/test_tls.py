"""What TLS costs the live balancer, beside NGINX: `pytest -m benchmark -s tests/benchmarks/test_tls.py`.

Both end TLS 1.3 with the same ECDSA certificate (P-256), and speak plain HTTP to the same backend.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.benchmark

_PASS = """
    location / {
        proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
        proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
"""

_LBTUTOR = """
import sys
from lbtutor.core import *
from lbtutor.core.listening import Certificate, Tls
from lbtutor.live.run import LiveRun

port, origin, cert, key = sys.argv[1:]
tls = Tls(certificates=(Certificate(cert, key),), min_version="1.3") if cert else None
pool = PoolConfig("web", backends=(BackendConfig("a", address=f"127.0.0.1:{origin}"),))
listener = ListenerConfig("front", at=f"127.0.0.1:{port}", tls=tls)
run = LiveRun(Plan((listener,), (Route("web"),), (pool,), lasts=Seconds(float("inf"))))
run.start()
sys.stdin.read()
"""


class Identity(NamedTuple):
    cert: Path
    key: Path


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    trustme = pytest.importorskip("trustme")
    leaf = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    made = Identity(tmp_path / "cert.pem", tmp_path / "key.pem")
    leaf.private_key_pem.write_to_path(made.key)
    leaf.cert_chain_pems[0].write_to_path(made.cert)
    return made


def nginx(bench: Any, origin: int, identity: Identity) -> Any:
    tls = f" ssl; ssl_certificate {identity.cert}; ssl_certificate_key {identity.key}; ssl_protocols TLSv1.3"
    return bench.nginx(_PASS, origin=origin, tls=tls)


def lbtutor(bench: Any, origin: int, identity: Identity | None) -> Any:
    return bench.python(_LBTUTOR, origin, *(identity or ("", "")), port=bench.free_port())


def test_cpu_of_a_request_on_open_connections(bench: Any, identity: Identity) -> None:
    origin = bench.nginx().port
    figures = bench.in_turns(
        {
            "nginx, TLS": partial(bench.cost, nginx(bench, origin, identity), scheme="https"),
            "lbtutor, TLS": partial(bench.cost, lbtutor(bench, origin, identity), scheme="https"),
            "lbtutor, plain": partial(bench.cost, lbtutor(bench, origin, None)),
        }
    )
    bench.table(figures, "us", against="nginx, TLS")


def test_cpu_of_a_request_on_a_new_connection(bench: Any, identity: Identity) -> None:
    origin = bench.nginx().port
    anew = {"scheme": "https", "headers": ["Connection: close"]}
    figures = bench.in_turns(
        {
            "nginx, a handshake each": partial(bench.cost, nginx(bench, origin, identity), **anew),
            "lbtutor, a handshake each": partial(bench.cost, lbtutor(bench, origin, identity), **anew),
        },
        rounds=3,
    )
    bench.table(figures, "us", against="nginx, a handshake each")
