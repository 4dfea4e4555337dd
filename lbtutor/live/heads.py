"""Heads of HTTP/1.1 messages: what passes through, what stops here, and what the balancer says itself.

A proxy takes a message apart and makes a new one. Most fields go through untouched; those about the *connection* do
not, because there are two connections and each has its own (RFC 9110, section 7.6.1). What happens to a field is its
role:

    role            in a request                                   in an answer
    END_TO_END      goes on as it is                               goes on as it is
    HOP_BY_HOP      stops here                                     stops here
    CONNECTION      stops here, with every field that it names     the same
    LENGTH, CODING  said anew, from what was understood            the same
    HOST            must be there once; goes first                 -
    EXPECT          only `100-continue` is known                   -
    FORWARDED_*     hearsay: replaced, or extended if trusted      -

`httptools` (llhttp) has refused by now whatever is not HTTP or has two lengths; what it lets through but could be read
in two ways is refused here, with `Refusal`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from functools import lru_cache
from http import HTTPStatus

Fields = list[tuple[bytes, bytes]]
"""Field lines as they came: name and value."""


class Role(Enum):
    """What becomes of a field in a proxy; see the table above."""

    END_TO_END = auto()
    HOP_BY_HOP = auto()
    CONNECTION = auto()
    LENGTH = auto()
    CODING = auto()
    HOST = auto()
    EXPECT = auto()
    FORWARDED_FOR = auto()
    FORWARDED_PROTO = auto()


END_TO_END = Role.END_TO_END

_ANSWER_ROLES = {
    b"connection": Role.CONNECTION,
    b"content-length": Role.LENGTH,
    b"transfer-encoding": Role.CODING,
    b"keep-alive": Role.HOP_BY_HOP,
    b"proxy-connection": Role.HOP_BY_HOP,
    b"te": Role.HOP_BY_HOP,
    b"trailer": Role.HOP_BY_HOP,  # trailers are dropped, so none may be promised
    b"upgrade": Role.HOP_BY_HOP,
}

_REQUEST_ROLES = _ANSWER_ROLES | {
    b"host": Role.HOST,
    b"expect": Role.EXPECT,
    b"x-forwarded-for": Role.FORWARDED_FOR,
    b"x-forwarded-proto": Role.FORWARDED_PROTO,
}

_NEVER_NAMED = {b"close", b"keep-alive", b"host", b"content-length", b"transfer-encoding", b"cache-control"}
"""Connection options that name no field to be removed, and fields that no sender may remove by naming them."""

_HOST_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~%!$&'()*+,;=:[]"
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)([^#]*)", re.IGNORECASE)
_BODILESS = (204, 304)


class _Roles(dict[bytes, Role]):
    """Roles by the very spelling that came, learned as they come: the next look-up is one."""

    def __init__(self, known: Mapping[bytes, Role]) -> None:
        super().__init__(known)
        self._known = known

    def __missing__(self, spelling: bytes) -> Role:
        role = self._known.get(spelling.lower(), END_TO_END)
        if len(self) < 1000:  # nobody can make it grow by inventing names
            self[spelling] = role
        return role


_request_roles = _Roles(_REQUEST_ROLES)
_answer_roles = _Roles(_ANSWER_ROLES)


class Refusal(Exception):
    """The peer's message cannot be handled; `status` is what to answer a client with."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status
        self.says = says


class RequestHead:
    """A request's head, understood once. Raises `Refusal` for what cannot be understood in one way only."""

    __slots__ = (
        "_lines",
        "chunked",
        "expects",
        "fields",
        "forwarded_for",
        "forwarded_proto",
        "has_body",
        "host",
        "keep_alive",
        "method",
        "path",
        "version",
    )

    def __init__(self, method: bytes, target: bytes, version: str, fields: Fields, *, keep_alive: bool) -> None:
        self.version = version
        self.fields = fields
        self.keep_alive = keep_alive
        self.chunked = self.expects = False
        self.forwarded_for: list[bytes] = []
        self.forwarded_proto = b""
        lines: list[bytes] = []
        host: bytes | None = None
        length: int | None = None
        named: frozenset[bytes] = frozenset()
        for name, value in fields:
            role = _request_roles[name]
            if role is END_TO_END:
                lines += (name, b": ", value, b"\r\n")
            elif role is Role.HOST:
                if host is not None:
                    raise Refusal(400, "more than one Host")
                host = value.strip()
            elif role is Role.LENGTH:
                if length is not None:
                    raise Refusal(400, "more than one Content-Length")
                length = int(value)
            elif role is Role.CODING:
                self.chunked = _chunked(value, version)
            elif role is Role.CONNECTION:
                named |= _named(value)
            elif role is Role.EXPECT:
                self.expects = _expects(value)
            elif role is Role.FORWARDED_FOR:
                self.forwarded_for.append(value)
            elif role is Role.FORWARDED_PROTO:
                self.forwarded_proto = value
        if version != "1.1" or host is None:
            host = _old_host(version, host)
        if not target.startswith(b"/") or b"#" in target:
            target, host = _origin_form(method, target, host)
        if host.translate(None, _HOST_BYTES):
            raise Refusal(400, "an invalid Host")
        if named:
            lines = _without(lines, named)
        if length is not None or self.chunked:
            self._frame(lines, length)
        else:
            self.has_body = self.expects = False
        self._lines = (b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, host), *lines)
        self.method = method.decode("ascii")
        self.path = target.decode("latin-1")
        self.host = host.decode("latin-1")

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.path} of {self.host}>"

    def for_backend(self, said_of_client: bytes) -> bytes:
        """The head to send on; `said_of_client` holds the forwarding fields and the empty line."""
        return b"".join(self._lines) + said_of_client

    def _frame(self, lines: list[bytes], length: int | None) -> None:
        """Say where the body ends, in one way."""
        if self.chunked and length is not None:
            raise Refusal(400, "both Content-Length and Transfer-Encoding")
        self.has_body = self.chunked or bool(length)
        lines.append(b"Transfer-Encoding: chunked\r\n" if self.chunked else b"Content-Length: %d\r\n" % (length or 0))
        self.expects = self.expects and self.has_body and self.version == "1.1"
        if self.expects:
            lines.append(b"Expect: 100-continue\r\n")


class AnswerHead:
    """An answer's head, understood once. Raises `Refusal` for what cannot be understood in one way only."""

    __slots__ = ("_lines", "chunked", "has_length", "status")

    def __init__(self, status: int, reason: bytes, fields: Fields) -> None:
        if not 100 <= status <= 999 or status == 101:
            raise Refusal(502, f"status {status}")
        self.status = status
        self.chunked = self.has_length = False
        lines: list[bytes] = []
        named: frozenset[bytes] = frozenset()
        for name, value in fields:
            role = _answer_roles[name]
            if role is END_TO_END:
                lines += (name, b": ", value, b"\r\n")
            elif role is Role.LENGTH:
                if self.has_length:
                    raise Refusal(502, "more than one Content-Length")
                self.has_length = True
                lines += (b"Content-Length", b": ", value.strip(), b"\r\n")
            elif role is Role.CODING:
                self.chunked = _chunked(value, "1.1")
            elif role is Role.CONNECTION:
                named |= _named(value)
        if self.chunked and self.has_length:
            raise Refusal(502, "both Content-Length and Transfer-Encoding")
        if named:
            lines = _without(lines, named)
        self._lines = (b"HTTP/1.1 %d %b\r\n" % (status, reason), *lines)

    def __repr__(self) -> str:
        return f"<AnswerHead {self.status}>"

    @property
    def bodiless(self) -> bool:
        """The status alone says that no body follows."""
        return self.status < 200 or self.status in _BODILESS

    def for_client(self, about_connection: bytes) -> bytes:
        """The head to send back; `about_connection` holds our own connection fields and the empty line."""
        return b"".join(self._lines) + about_connection


class HeadFields(Mapping[str, str]):
    """Fields as an algorithm sees them, names in lower case; decoded when somebody looks, which is seldom."""

    __slots__ = ("_decoded", "_fields")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._decoded: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"<HeadFields {self._all()}>"

    def _all(self) -> dict[str, str]:
        """Repeated fields are joined by a comma (RFC 9110, section 5.3)."""
        if self._decoded is None:
            decoded: dict[str, str] = {}
            for name, value in self._fields:
                key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
                decoded[key] = f"{decoded[key]}, {text}" if key in decoded else text
            self._decoded = decoded
        return self._decoded


@lru_cache(maxsize=256)
def own_answer(status: int, says: str, *, close: bool, bodiless: bool = False) -> bytes:
    """A whole answer of the balancer's own, with a line of text for the person who reads it."""
    fields = (("Content-Type", "text/plain; charset=utf-8"),)
    return whole_answer(status, fields, f"{status} {_phrase(status)}: {says}\n", close=close, bodiless=bodiless)


def whole_answer(
    status: int, fields: Iterable[tuple[str, str]], body: str, *, close: bool, bodiless: bool = False
) -> bytes:
    """A whole answer with these fields and those that frame it; `bodiless` for HEAD, where only the body is left out.

    Where the status alone says that there is no body, no length is given either (RFC 9110, section 8.6).
    """
    content = body.encode("utf-8", "replace")
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in fields)]
    lines += [] if status in _BODILESS else [f"Content-Length: {len(content)}"]
    head = "\r\n".join([*lines, f"Connection: {'close' if close else 'keep-alive'}", "", ""]).encode()
    return head if bodiless or status in _BODILESS else head + content


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def check_size(first_line: bytes, fields: Fields, most: int) -> None:
    """Raise `Refusal` when a head has more than `most` bytes."""
    if len(first_line) + sum(len(name) + len(value) + 4 for name, value in fields) > most:
        raise Refusal(431, "the head is too long")


def _old_host(version: str, host: bytes | None) -> bytes:
    """Only HTTP/1.0 may come without Host; other versions are not spoken here."""
    if version not in ("1.0", "1.1"):
        raise Refusal(505, f"HTTP/{version} is not spoken here")
    if host is None and version == "1.1":
        raise Refusal(400, "no Host")
    return host or b""


def _chunked(value: bytes, version: str) -> bool:
    """Chunked must be the last coding, to show the end, and is the only one known (RFC 9112, sections 6.1 and 6.3)."""
    *others, last = (coding.strip() for coding in value.lower().split(b","))
    if version == "1.0":
        raise Refusal(400, "Transfer-Encoding in HTTP/1.0")
    if last != b"chunked":
        raise Refusal(400, "a Transfer-Encoding that does not end with chunked")
    if others:
        raise Refusal(501, "a transfer coding besides chunked")
    return True


def _expects(value: bytes) -> bool:
    if value.strip().lower() != b"100-continue":
        raise Refusal(417, "only 100-continue can be expected")
    return True


@lru_cache(maxsize=256)
def _named(value: bytes) -> frozenset[bytes]:
    """The fields that a Connection field tells to remove."""
    return frozenset(option.strip().lower() for option in value.split(b",")) - _NEVER_NAMED - {b""}


def _without(lines: list[bytes], named: frozenset[bytes]) -> list[bytes]:
    """`lines` (four pieces a field) less the fields that were named."""
    kept: list[bytes] = []
    for start in range(0, len(lines), 4):
        if lines[start].lower() not in named:
            kept += lines[start : start + 4]
    return kept


def _origin_form(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Target and Host when the target is no path: an absolute URI overrules Host (RFC 9112, section 3.2.2)."""
    if target == b"*" and method == b"OPTIONS":
        return target, host
    if method == b"CONNECT":
        raise Refusal(501, "tunnels are not built here")
    uri = _ABSOLUTE.fullmatch(target)
    if uri is None:
        raise Refusal(400, "an invalid request target")
    authority, path = uri.groups()
    return path if path.startswith(b"/") else b"/" + path, authority
