"""The PROXY protocol: who the client is, told ahead of the first byte by the proxy that it came through.

    PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\\r\\n        version 1, for people
    0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A 21 11 00 0C …         version 2, for machines

Bytes in, a `Parsed` out, and the other way round; no socket. The rules are those of the specification (HAProxy,
doc/proxy-protocol.txt). A door that expects it never guesses: whatever is not a whole and right header is an error, and
the connection is dropped, because otherwise any client could choose the address that it is taken for.

Extensions that follow the addresses (TLVs) are passed over by their length. An optional checksum is among them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from lbtutor.live.addresses import Address

Version = Literal["v1", "v2"]

MOST_BYTES = 4096
"""The longest header that is read, as in NGINX; addresses need 52 bytes, so this leaves room for many extensions."""

_MOST_BYTES_V1 = 107

_SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")

_FIXED = 16
"""Bytes of version 2 that every header has: signature, version and command, family, length."""

_LOCAL, _PROXY = 0x20, 0x21
"""Version 2 in the high half of the byte, the command in the low half."""

_ADDRESS_BYTES = {0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16}
"""Family and transport (TCP or UDP over IPv4 or IPv6), and how long an address is."""

_UNADDRESSED = {0x00: 0, 0x31: 216, 0x32: 216}
"""Families that say nothing about a client on a network (unspecified, Unix sockets), and their bytes."""


class ProxyError(Exception):
    """What came is not the PROXY protocol: drop the connection."""


class Parsed(NamedTuple):
    """A whole header: its length in bytes, and the two ends of the connection that it speaks for.

    Both are None when it speaks for nobody (`LOCAL`, `UNKNOWN`): the connection is then the proxy's own, a health check
    for instance, and its real addresses count.
    """

    size: int
    source: Address | None
    destination: Address | None


_Ends = tuple[Address | None, Address | None]


def parse(buffer: bytes | bytearray) -> Parsed | None:
    """Read a header of either version from the first bytes of a connection.

    None means that more bytes are needed. Raises `ProxyError` as soon as it is sure that this is not one.
    """
    if _SIGNATURE.startswith(buffer[:12]):
        return _parse_v2(buffer) if len(buffer) >= _FIXED else None
    if b"PROXY ".startswith(buffer[:6]):
        return _parse_v1(buffer)
    raise ProxyError("neither PROXY nor the signature of version 2")


def header(version: Version, source: Address | None, destination: Address | None) -> bytes:
    """The header that tells a backend about a client, or (without addresses) that there is none."""
    return header_v1(source, destination) if version == "v1" else header_v2(source, destination)


def header_v1(source: Address | None, destination: Address | None) -> bytes:
    """A line of text. Ends of different families are both told as IPv6 (IPv4-mapped)."""
    ends = _same_family(source, destination)
    if ends is None:
        return b"PROXY UNKNOWN\r\n"
    (client, client_port), (server, server_port) = ends
    return f"PROXY TCP{client.version} {client} {server} {client_port} {server_port}\r\n".encode()


def header_v2(source: Address | None, destination: Address | None) -> bytes:
    """The binary form. Ends of different families are both told as IPv6 (IPv4-mapped)."""
    ends = _same_family(source, destination)
    if ends is None:
        return _SIGNATURE + bytes((_LOCAL, 0, 0, 0))
    (client, client_port), (server, server_port) = ends
    block = client.packed + server.packed + client_port.to_bytes(2) + server_port.to_bytes(2)
    return _SIGNATURE + bytes((_PROXY, 0x11 if client.version == 4 else 0x21)) + len(block).to_bytes(2) + block


def _parse_v1(buffer: bytes | bytearray) -> Parsed | None:
    end = buffer.find(b"\r\n", 0, _MOST_BYTES_V1)
    if end < 0:
        if len(buffer) >= _MOST_BYTES_V1:
            raise ProxyError(f"no end of line within {_MOST_BYTES_V1} bytes")
        return None
    words = bytes(buffer[:end]).decode("latin-1").split(" ")
    ends = (None, None) if words[1] == "UNKNOWN" else _ends_v1(words[1:])
    return Parsed(end + 2, *ends)


def _ends_v1(words: list[str]) -> _Ends:
    """The five words after PROXY: family, two addresses, two ports."""
    if len(words) != 5 or words[0] not in ("TCP4", "TCP6"):
        raise ProxyError(f"not a family, two addresses and two ports: {' '.join(words)!r}")
    family, client, server, client_port, server_port = words
    version = int(family[3])
    return Address(_ip(client, version), _port(client_port)), Address(_ip(server, version), _port(server_port))


def _ip(text: str, version: int) -> str:
    try:
        ip = ip_address(text)
    except ValueError:
        raise ProxyError(f"not an address: {text!r}") from None
    if ip.version != version or "%" in text:
        raise ProxyError(f"not an address of IPv{version}: {text!r}")
    return str(ip)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5) or str(int(text)) != text or int(text) > 65_535:
        raise ProxyError(f"not a port: {text!r}")
    return int(text)


def _parse_v2(buffer: bytes | bytearray) -> Parsed | None:
    command, family = buffer[12], buffer[13]
    size = _FIXED + int.from_bytes(buffer[14:_FIXED])
    if command not in (_LOCAL, _PROXY):
        raise ProxyError(f"not version 2 with command LOCAL or PROXY: {command:#04x}")
    if size > MOST_BYTES:
        raise ProxyError(f"a header of {size} bytes")
    if len(buffer) < size:
        return None
    ends = (None, None) if command == _LOCAL else _ends_v2(family, bytes(buffer[_FIXED:size]))
    return Parsed(size, *ends)


def _ends_v2(family: int, block: bytes) -> _Ends:
    length = _ADDRESS_BYTES.get(family, 0)
    needed = 2 * length + 4 if length else _UNADDRESSED.get(family)
    if needed is None or len(block) < needed:
        raise ProxyError(f"family {family:#04x} with {len(block)} bytes of addresses")
    if not length:
        return None, None
    ports = block[2 * length : needed]
    source = Address(_ip_of(block[:length]), int.from_bytes(ports[:2]))
    return source, Address(_ip_of(block[length : 2 * length]), int.from_bytes(ports[2:]))


def _ip_of(packed: bytes) -> str:
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))


_IP = IPv4Address | IPv6Address


def _same_family(source: Address | None, destination: Address | None) -> tuple[tuple[_IP, int], tuple[_IP, int]] | None:
    """Both ends in one family; None when one of them is no address of a network."""
    if source is None or destination is None:
        return None
    try:
        client, server = _without_zone(source.host), _without_zone(destination.host)
    except ValueError:
        return None
    if client.version != server.version:
        client, server = _as_v6(client), _as_v6(server)
    return (client, source.port), (server, destination.port)


def _without_zone(host: str) -> _IP:
    """A zone (`fe80::1%eth0`) means something on this machine only."""
    return ip_address(host.partition("%")[0])


def _as_v6(ip: _IP) -> IPv6Address:
    return ip if isinstance(ip, IPv6Address) else IPv6Address(bytes(10) + b"\xff\xff" + ip.packed)
