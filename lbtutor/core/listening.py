"""Doors: where the balancer listens, what it speaks there, and how it proves who it is.

Only words and numbers; the sockets are the live shell's. The simulator has no doors: there, a listener is a name.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.units import Seconds

TlsVersion = Literal["1.2", "1.3"]


class Certificate(Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate chain and its key, both PEM files. `names` are the server names it is for, exact or `*.name`;
    without any, those that the certificate itself holds."""

    cert: str
    key: str
    names: tuple[str, ...] = ()


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """What a door does about TLS; raises `ConfigError` for wishes that contradict one another.

    With `certificates` (the first is for clients that ask for no name or an unknown one, unless `strict` refuses those)
    or with `auto` (certificates of the lab's own authority) TLS ends here. With `passthrough` it does not: the server
    name is read from the first bytes, routes decide by it (`sni`), and everything is passed on as it came.

    `alpn` are the protocols offered to clients; one that speaks none of them is refused. Without it, these are
    `http/1.1` where HTTP is spoken, and nothing is negotiated where connections are passed on unread.
    """

    certificates: tuple[Certificate, ...] = ()
    auto: bool = False
    passthrough: bool = False
    min_version: TlsVersion = "1.2"
    strict: bool = False
    alpn: tuple[str, ...] | None = None
    handshake_timeout: Seconds = Seconds(10)

    def __post_init__(self) -> None:
        if bool(self.certificates) + self.auto + self.passthrough != 1:
            raise ConfigError("tls: give exactly one of `certificates`, `auto = true` and `passthrough = true`")
        if self.handshake_timeout <= 0:
            raise ConfigError("tls: `handshake_timeout` must be longer than 0")


class BackendTls(Struct, frozen=True, forbid_unknown_fields=True):
    """TLS from the balancer to the members of a pool.

    Their certificates are verified against `ca` (a PEM file), against the lab's own authority for the lab's own
    machines, or else against what this system trusts. `name` is asked for and must be theirs; without it, the
    backend's host. `verify = false` believes anybody, which is no protection, and is what an ALB does.
    """

    ca: str = ""
    name: str = ""
    verify: bool = True
    min_version: TlsVersion = "1.2"


_LEAST = {"max_header_bytes": 1, "max_line_bytes": 1, "max_headers": 1, "max_connections": 1, "max_body_bytes": 0}
"""With less than that nobody could come in."""


class ListenerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A door of the balancer: `at` is `host:port`, port 0 lets the system choose.

    `mode` is what is spoken: `http`, or `tcp` and `udp`, where whole connections and sessions go to one backend of
    `pool` (or of the pool that a route finds by `sni`). `accept_proxy` expects the PROXY protocol, version 1 or 2,
    ahead of all else, and hangs up on whoever does not speak it. `trusted_proxies` are peer addresses whose forwarding
    fields are believed; from everybody else they are replaced.

    `head_timeout` bounds the time for a request's head, `body_timeout` that in which its body must move on by another
    256 bytes or end, `idle_timeout` the time between requests on one connection, or between bytes where there are no
    requests. A head has at most `max_header_bytes` and `max_headers` fields, its first line at most `max_line_bytes`, a
    body at most `max_body_bytes`; a door has at most `max_connections` (None: no limit), and whoever comes beyond them
    is told so and let go at once, where HTTP is spoken, and otherwise let go without a word.
    """

    name: str
    at: str = "127.0.0.1:0"
    trusted_proxies: tuple[str, ...] = ()
    head_timeout: Seconds = Seconds(10)
    idle_timeout: Seconds = Seconds(60)
    max_header_bytes: int = 16_384
    mode: Literal["http", "tcp", "udp"] = "http"
    pool: str = ""
    tls: Tls | None = None
    accept_proxy: bool = False
    body_timeout: Seconds = Seconds(30)
    max_line_bytes: int = 8_192
    max_headers: int = 100
    max_body_bytes: int | None = None
    max_connections: int | None = None

    def __post_init__(self) -> None:
        host, _, port = self.at.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ConfigError(f"`at` is written host:port, such as 127.0.0.1:8080, not {self.at!r}")
        for name in ("head_timeout", "body_timeout", "idle_timeout"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"`{name}` must be longer than 0")
        for name, least in _LEAST.items():
            most = getattr(self, name)
            if most is not None and most < least:
                raise ConfigError(f"`{name}` must be at least {least}, not {most}")
