"""Addresses: where servers are, who the client is, and how a lab gives its clients addresses of their own.

Who sent a request is known only of the last step: the peer of the connection. What `X-Forwarded-For` says about the
steps before is hearsay, and believed only from trusted peers. So the client is the last address of the list that is not
itself a trusted proxy (NGINX `real_ip_recursive`, Envoy `xff_num_trusted_hops`, the advice of MDN and of RFC 7239,
section 8.1).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Literal, NamedTuple

from lbtutor.core.errors import ConfigError


class Address(NamedTuple):
    """A host (a name, or an address without brackets) and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, of: str) -> Address:
        """Read `host:port` or `[v6]:port`; raises `ConfigError` that names `of`, whose address it is."""
        host, colon, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not colon or not bare or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise ConfigError(f'{of}: {text!r} is not an address: write host:port, such as "127.0.0.1:8080"')
        if ":" in bare and bare == host:
            raise ConfigError(f'{of}: {text!r} is ambiguous: write an IPv6 address in brackets, such as "[::1]:8080"')
        return cls(bare, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Trust:
    """The peers that are believed: addresses, or networks such as `10.0.0.0/8`. Raises `ConfigError` for other text."""

    def __init__(self, proxies: Iterable[str], of: str) -> None:
        try:
            networks = tuple(ip_network(proxy, strict=False) for proxy in proxies)
        except ValueError as error:
            raise ConfigError(f"{of}: trusted_proxies holds addresses or networks: {error}") from None
        self._networks = networks
        self.believes = lru_cache(maxsize=4096)(self._believes)

    def __repr__(self) -> str:
        return f"<Trust {', '.join(map(str, self._networks)) or 'nobody'}>"

    def client(self, peer: str, forwarded_for: str) -> str:
        """Who the request comes from, given what a trusted `peer` says; the peer when the list makes no sense."""
        client = peer
        for address in reversed(forwarded_for.split(",")):
            address = address.strip()
            if not is_address(address):
                break
            client = address
            if not self.believes(address):
                break
        return client

    def _believes(self, address: str) -> bool:
        return is_address(address) and any(ip_address(address) in network for network in self._networks)


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, and not a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def cause_of(error: OSError) -> str:
    """Why a connection could not be made, in words a sentence can end with."""
    if isinstance(error, socket.gaierror):
        return "no such host name"
    return str(error).lower() if error.errno is None else os.strerror(error.errno).lower()


def client_address_mode() -> Literal["loopback", "header"]:
    """How lab clients get distinct addresses here.

    `loopback`: they bind to 127.0.1.1, 127.0.1.2 and so on, which Linux gives to everybody. `header`: all connect from
    127.0.0.1 and say who they are in `X-Forwarded-For`, which the lab's listeners then trust (macOS, unless its
    loopback interface has been given the addresses).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.1.1", 0))
        except OSError:
            return "header"
    return "loopback"
