"""Algorithms that hash: IP hash.

The same client goes to the same backend for as long as the pool stays the same, in every process and on every machine.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from ipaddress import ip_address
from itertools import accumulate

from lbtutor.core.algorithms.base import Comparison
from lbtutor.core.backend import Backend
from lbtutor.core.messages import Request


class IpHash:
    """CRC-32 of the client's address, modulo the total weight.

    **Bytes hashed:** the address in network order, 4 bytes for IPv4 and 16 for IPv6; an IPv6 address that wraps an IPv4
    one counts as that; text that is no address counts as its UTF-8. Ports never count.

    The chapter's three clients 192.168.1.100, .101 and .102 hash to 0xd3a6a9c2, 0xa4a19954 and 0x3da8c8ee: places 2, 1
    and 1 of three. Two share a server and one server has nobody, which is what hashing few clients looks like (one each
    would be luck: 6 chances in 27). NGINX's `ip_hash` takes only the first three octets: all three go to one server.

    When the pool changes, most clients move: modulo n moves about 1 - 1/n of them. A backend that is full is not
    offered either, so with a `limit` most clients move for as long as somebody is full. (NGINX hashes again only for
    those whose server is full, HAProxy has them wait for it.) Who cannot afford that takes rendezvous or the ring.
    """

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        place, ends = _place(request.client, backends)
        return backends[bisect_right(ends, place)]

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        place, ends = _place(request.client, backends)
        holder = bisect_right(ends, place)
        inside = tuple(1.0 if position == holder else 0.0 for position in range(len(backends)))
        rule = f"hash of {request.client} is {address_hash(request.client)}, place {place:g} of {ends[-1]:g}"
        return Comparison(rule, inside, "highest", "places do not overlap")


def _place(client: str, backends: tuple[Backend, ...]) -> tuple[float, list[float]]:
    """The client's place from 0, and where each backend's places end: as many for each as it has weight."""
    ends = list(accumulate(backend.weight for backend in backends))
    return address_hash(client) % ends[-1], ends


def address_hash(client: str) -> int:
    """CRC-32 (ISO 3309) of the address's bytes, 0 to 2**32 - 1."""
    return zlib.crc32(_address_bytes(client))


def _address_bytes(client: str) -> bytes:
    try:
        address = ip_address(client)
    except ValueError:
        return client.encode("utf-8", "surrogateescape")
    wrapped = getattr(address, "ipv4_mapped", None)
    return (wrapped or address).packed
