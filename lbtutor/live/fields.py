"""Field lines of HTTP/1.1 messages: what passes through, and what stops here.

A proxy takes a message apart and makes a new one. Most fields go through untouched; those about the *connection* do
not, because there are two connections and each has its own (RFC 9110, section 7.6.1). What happens to a field is its
role:

    role            in a request                                   in an answer
    END_TO_END      goes on as it is                               goes on as it is
    HOP_BY_HOP      stops here                                     stops here
    CONNECTION      stops here, with every field that it names     the same
    LENGTH, CODING  said anew, from what was understood            the same
    UPGRADE         said anew, if a switch is possible             said anew, with 101
    HOST            must be there once; goes first                 -
    COOKIE          goes on, less the balancer's own cookie        -
    EXPECT          only `100-continue` is known                   -
    HEARSAY         about the client: see `forwarding`             goes on as it is
    REQUEST_ID      replaced, or kept if trusted                   said anew
    VIA             goes on; shows whether we have met before      goes on as it is

Names pass as they are spelt, with one exception: some backends (CGI, WSGI) cannot tell `Content_Length` from
`Content-Length`, so a name with underscores that looks like one with a role stops here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import lru_cache

from lbtutor.live import forwarding

Fields = list[tuple[bytes, bytes]]
"""Field lines as they came: name and value."""


class Role(Enum):
    """What becomes of a field in a proxy; see the table above."""

    END_TO_END = auto()
    HOP_BY_HOP = auto()
    CONNECTION = auto()
    LENGTH = auto()
    CODING = auto()
    UPGRADE = auto()
    HOST = auto()
    COOKIE = auto()
    EXPECT = auto()
    HEARSAY = auto()
    REQUEST_ID = auto()
    VIA = auto()


END_TO_END, HOP_BY_HOP, CONNECTION, LENGTH, CODING, UPGRADE, HOST, COOKIE, EXPECT, HEARSAY, REQUEST_ID, VIA = Role
"""By names of their own: to find a member in its Enum costs 80 ns more, and a head asks twenty times."""

_ANSWER_ROLES = {
    b"connection": CONNECTION,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"keep-alive": HOP_BY_HOP,
    b"proxy-connection": HOP_BY_HOP,
    b"te": HOP_BY_HOP,
    b"upgrade": UPGRADE,
    b"x-request-id": REQUEST_ID,
}

_REQUEST_ROLES = _ANSWER_ROLES | {
    b"host": HOST,
    b"cookie": COOKIE,
    b"expect": EXPECT,
    b"via": VIA,
    **dict.fromkeys(forwarding.HEARSAY, HEARSAY),
}

_NEVER_NAMED = {b"close", b"keep-alive", b"host", b"content-length", b"transfer-encoding", b"cache-control"}
"""Connection options that name no field to be removed, and fields that no sender may remove by naming them."""

_ONLY_IN_HEADS = frozenset(
    b"authorization proxy-authorization proxy-authenticate www-authenticate authentication-info "
    b"proxy-authentication-info set-cookie cache-control max-forwards pragma range if-match if-none-match "
    b"if-modified-since if-unmodified-since if-range age date expires location retry-after vary warning "
    b"content-encoding content-type content-range trailer".split()
)
"""Besides fields with a role: those that must be known before the body, or say who may see it (RFC 9110, 6.5.1)."""

BODILESS = (204, 304)
"""Statuses of answers that have no body, whatever their fields say."""


class _Roles(dict[bytes, Role]):
    """Roles by the very spelling that came, learned as they come: the next look-up is one."""

    def __init__(self, role_of: Callable[[bytes], Role]) -> None:
        super().__init__()
        self._role_of = role_of

    def __missing__(self, spelling: bytes) -> Role:
        role = self._role_of(spelling.lower())
        if len(self) < 1000:  # nobody can make it grow by inventing names
            self[spelling] = role
        return role


def _role_in_request(name: bytes) -> Role:
    role = _REQUEST_ROLES.get(name, END_TO_END)
    if role is END_TO_END and name.startswith(forwarding.HEARSAY_PREFIX):
        return HEARSAY
    if b"_" in name and _role_in_request(name.replace(b"_", b"-")) is not END_TO_END:
        return HOP_BY_HOP
    return role


def _role_in_answer(name: bytes) -> Role:
    return _ANSWER_ROLES.get(name, END_TO_END)


request_roles = _Roles(_role_in_request)
answer_roles = _Roles(_role_in_answer)


class Refusal(Exception):
    """The peer's message cannot be handled; `status` is what to answer a client with."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status
        self.says = says


def check_size(first_line: bytes, fields: Fields, most: int) -> None:
    """Raise `Refusal` when a head has more than `most` bytes."""
    if len(first_line) + sum(len(name) + len(value) + 4 for name, value in fields) > most:
        raise Refusal(431, "the head is too long")


def trailers(fields: Fields, named: frozenset[bytes]) -> bytes:
    """The trailer fields that may go on, as lines: neither `named` by Connection nor such as only a head may hold."""
    return b"".join(b"%b: %b\r\n" % field for field in fields if _may_trail(field[0].lower(), named))


def _may_trail(name: bytes, named: frozenset[bytes]) -> bool:
    dashed = name.replace(b"_", b"-")
    return _role_in_request(dashed) is END_TO_END and dashed not in _ONLY_IN_HEADS and name not in named


@lru_cache(maxsize=256)
def named_in(value: bytes) -> frozenset[bytes]:
    """The fields that a Connection field tells to remove."""
    return frozenset(option.strip().lower() for option in value.split(b",")) - _NEVER_NAMED - {b""}


def without(lines: list[bytes], named: frozenset[bytes]) -> list[bytes]:
    """`lines` (four pieces a field) less the fields that were named."""
    kept: list[bytes] = []
    for start in range(0, len(lines), 4):
        if lines[start].lower() not in named:
            kept += lines[start : start + 4]
    return kept
