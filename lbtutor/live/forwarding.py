"""What a backend is told about the client, and who the client is taken to be.

A backend sees only the balancer's connection. So the balancer says who is behind it, in both of the dialects in use:

    X-Forwarded-For: 203.0.113.7, 10.0.0.2           a list; each step adds the peer that it saw
    X-Forwarded-Proto: https                          what the client spoke
    X-Forwarded-Host: shop.example                    whom it asked
    Forwarded: for=203.0.113.7;host=shop.example;proto=https, for=10.0.0.2;…      all of it again, as RFC 7239 says it
    X-Request-Id: 5f0c66e1b2d1-42                     by what name to look for this request in everybody's logs

Anybody can write such fields. From a stranger they are replaced, all that begin with `X-Forwarded-` and their cousins
(`HEARSAY`), in every spelling that a backend might take for them. From a trusted peer they are kept, and extended by
what is known of that peer. Where it speaks both dialects, `X-Forwarded-For` says who the client is; where it speaks
one, the other is translated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lbtutor.live.addresses import Trust, is_address

if TYPE_CHECKING:
    from lbtutor.live.heads import RequestHead

HEARSAY = frozenset({b"forwarded", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"true-client-ip"})
"""Fields about the client besides `X-Forwarded-…` that backends are known to believe."""

HEARSAY_PREFIX = b"x-forwarded-"

_FOR = b"x-forwarded-for"
_PROTO = b"x-forwarded-proto"
_HOST = b"x-forwarded-host"
_FORWARDED = b"forwarded"

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NODE = re.compile(r"\bfor=(?:\"([^\"]*)\"|([^\s;,\"]*))", re.IGNORECASE)
_PORT = re.compile(r":\d+$")
_PAIRS = {
    _PROTO: re.compile(rb"\bproto=(?:\"([^\"]*)\"|([^\s;,\"]*))", re.IGNORECASE),
    _HOST: re.compile(rb"\bhost=(?:\"([^\"]*)\"|([^\s;,\"]*))", re.IGNORECASE),
}
"""What `Forwarded` calls what has a field of its own in the other dialect."""


class Introduction:
    """How the client at the other end of one connection is introduced to backends."""

    __slots__ = ("_host", "_peer", "_said", "_scheme", "_trust", "_trusted", "peer")

    def __init__(self, peer: str, scheme: str, trust: Trust) -> None:
        self.peer = peer
        self._peer = peer.encode()
        self._scheme = scheme.encode()
        self._trust = trust
        self._trusted = trust.believes(peer)
        self._host = b""
        self._said = self._say(b"")

    def __repr__(self) -> str:
        return f"<Introduction of {self.peer}{' (trusted)' if self._trusted else ''}>"

    def client(self, head: RequestHead) -> str:
        """The address of the one who sent this request: the peer, or whom a trusted peer names."""
        if not (self._trusted and head.hearsay):
            return self.peer
        return self._trust.client(self.peer, ",".join(_chain(_by_name(head))))

    def fields(self, head: RequestHead) -> bytes:
        """The fields for the backend that say who asks."""
        if self._trusted and head.hearsay:
            return self._extend(head)
        if head.authority != self._host:  # a client asks the same host again and again
            self._host, self._said = head.authority, self._say(head.authority)
        return self._said

    def is_encrypted(self, head: RequestHead) -> bool:
        """Whether the client speaks TLS: to us, or to a trusted peer that says so."""
        if self._trusted and head.hearsay:
            return _of_client(_by_name(head), _PROTO, self._scheme).lower() == b"https"
        return self._scheme == b"https"

    def request_id(self, head: RequestHead, own: bytes) -> bytes:
        """The name of this request: `own`, unless a trusted peer has given it one."""
        return head.request_id if self._trusted and head.request_id else own

    def _say(self, host: bytes) -> bytes:
        """Of a stranger only that is said which was seen."""
        told = (self._peer, self._scheme, host, self._element(host))
        return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\nForwarded: %b\r\n" % told

    def _extend(self, head: RequestHead) -> bytes:
        """What a trusted peer says, and that it is he who says it."""
        said = _by_name(head)
        chain = _chain(said)
        forwarded = said.get(_FORWARDED) or [b"for=" + _node(address) for address in chain]
        told = {
            b"X-Forwarded-For": b", ".join([address.encode("latin-1") for address in chain] + [self._peer]),
            b"X-Forwarded-Proto": _of_client(said, _PROTO, self._scheme),
            b"X-Forwarded-Host": _of_client(said, _HOST, head.authority),
            b"Forwarded": b", ".join([*forwarded, self._element(head.authority)]),
        }
        lines = [b"%b: %b\r\n" % line for line in told.items()]
        others = [line for line in head.hearsay if line[0].lower() not in (_FOR, _PROTO, _HOST, _FORWARDED)]
        return b"".join(lines + [b"%b: %b\r\n" % line for line in others])

    def _element(self, host: bytes) -> bytes:
        """One step of `Forwarded`."""
        asked = b";host=%b" % _quoted(host) if host else b""
        return b"for=%b%b;proto=%b" % (_node(self.peer), asked, self._scheme)


def _by_name(head: RequestHead) -> dict[bytes, list[bytes]]:
    """The values of each field that a peer gave about the client."""
    said: dict[bytes, list[bytes]] = {}
    for name, value in head.hearsay:
        said.setdefault(name.lower(), []).append(value.strip())
    return said


def _of_client(said: dict[bytes, list[bytes]], field: bytes, seen: bytes) -> bytes:
    """What is said of the client's own step, in that field or in the first element of `Forwarded`; else what we saw."""
    if field in said:
        return said[field][-1]
    found = _PAIRS[field].search(b",".join(said.get(_FORWARDED, ())).partition(b",")[0])
    return (found[1] or found[2] or seen) if found is not None else seen


def _chain(said: dict[bytes, list[bytes]]) -> list[str]:
    """The addresses that the request is said to have come through, the client's first."""
    if _FOR in said:
        return [address.strip() for address in b",".join(said[_FOR]).decode("latin-1").split(",")]
    nodes = _NODE.findall(b",".join(said.get(_FORWARDED, ())).decode("latin-1"))
    return [_bare(quoted or token) for quoted, token in nodes]


def _bare(node: str) -> str:
    """The address in a node: `192.0.2.1:80`, `[2001:db8::1]:80`, or a name such as `unknown`, which is none."""
    host = _PORT.sub("", node) if node.startswith("[") or node.count(":") == 1 else node
    return host.removeprefix("[").removesuffix("]")


def _node(address: str) -> bytes:
    """An address as RFC 7239, section 6, writes it: IPv6 in brackets, and these in quotes."""
    if not is_address(address):
        return b"unknown"
    bare = address.partition("%")[0].encode()  # a zone means something on this machine only
    return b'"[%b]"' % bare if b":" in bare else bare


def _quoted(value: bytes) -> bytes:
    """A token as it is, anything else in quotes; a host holds nothing that needs an escape."""
    return value if _TOKEN.fullmatch(value) else b'"%b"' % value
