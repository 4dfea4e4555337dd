"""Heads of HTTP/1.1 messages: what passes through, what stops here, and what the balancer says itself.

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

`httptools` (llhttp) has refused by now whatever is not HTTP or has two lengths; what it lets through but could be read
in two ways is refused here, with `Refusal`. Names pass as they are spelt, with one exception: some backends (CGI, WSGI)
cannot tell `Content_Length` from `Content-Length`, so a name with underscores that looks like one with a role stops here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum, auto
from functools import lru_cache
from http import HTTPStatus

from lbtutor.live.forwarding import HEARSAY, HEARSAY_PREFIX

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


END_TO_END = Role.END_TO_END

_ANSWER_ROLES = {
    b"connection": Role.CONNECTION,
    b"content-length": Role.LENGTH,
    b"transfer-encoding": Role.CODING,
    b"keep-alive": Role.HOP_BY_HOP,
    b"proxy-connection": Role.HOP_BY_HOP,
    b"te": Role.HOP_BY_HOP,
    b"upgrade": Role.UPGRADE,
    b"x-request-id": Role.REQUEST_ID,
}

_REQUEST_ROLES = _ANSWER_ROLES | {
    b"host": Role.HOST,
    b"cookie": Role.COOKIE,
    b"expect": Role.EXPECT,
    b"via": Role.VIA,
    **dict.fromkeys(HEARSAY, Role.HEARSAY),
}

_NEVER_NAMED = {b"close", b"keep-alive", b"host", b"content-length", b"transfer-encoding", b"cache-control"}
"""Connection options that name no field to be removed, and fields that no sender may remove by naming them."""

_NEVER_SWITCHED_TO = {b"h2c", b"h2", b"http", b"tls"}
"""Protocols in which another hop would carry requests past this one unseen (h2c smuggling): not passed on."""

_ONLY_IN_HEADS = frozenset(
    b"authorization proxy-authorization proxy-authenticate www-authenticate authentication-info proxy-authentication-info "
    b"set-cookie cache-control max-forwards pragma range if-match if-none-match if-modified-since if-unmodified-since "
    b"if-range age date expires location retry-after vary warning content-encoding content-type content-range "
    b"trailer".split()
)
"""Besides fields with a role: those that must be known before the body, or say who may see it (RFC 9110, 6.5.1)."""

MOST_PASSES = 10
"""How often a request may come by before it is taken to go round in a circle."""

VIA = {"1.1": b"Via: 1.1 lbtutor\r\n\r\n", "1.0": b"Via: 1.0 lbtutor\r\n\r\n"}
"""The last line of a head that is sent on, by the version in which it came (RFC 9110, section 7.6.3)."""

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]*)(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]+)([^#]*)", re.IGNORECASE)
_REASON = re.compile(rb"[\t -~\x80-\xff]*")
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
_BODILESS = (204, 304)


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
    if role is END_TO_END and name.startswith(HEARSAY_PREFIX):
        return Role.HEARSAY
    if b"_" in name and _role_in_request(name.replace(b"_", b"-")) is not END_TO_END:
        return Role.HOP_BY_HOP
    return role


def _role_in_answer(name: bytes) -> Role:
    return _ANSWER_ROLES.get(name, END_TO_END)


_request_roles = _Roles(_role_in_request)
_answer_roles = _Roles(_role_in_answer)


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
        "authority",
        "chunked",
        "cookies",
        "expects",
        "fields",
        "has_body",
        "hearsay",
        "host",
        "keep_alive",
        "length",
        "line",
        "method",
        "named",
        "path",
        "request_id",
        "upgrade",
        "version",
    )

    def __init__(self, method: bytes, target: bytes, version: str, fields: Fields, *, keep_alive: bool) -> None:
        self.version = version
        self.fields = fields
        self.keep_alive = keep_alive
        self.chunked = self.expects = False
        self.request_id = self.upgrade = b""
        self.cookies: tuple[bytes, ...] = ()
        self.hearsay: tuple[tuple[bytes, bytes], ...] = ()
        lines: list[bytes] = []
        host: bytes | None = None
        length: int | None = None
        named: frozenset[bytes] = frozenset()
        passes = 0
        for name, value in fields:
            role = _request_roles[name]
            if role is END_TO_END:
                lines += (name, b": ", value, b"\r\n")
            elif role is Role.COOKIE:
                self.cookies += (value,)
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
            elif role is Role.UPGRADE:
                self.upgrade = value if not self.upgrade else self.upgrade + b", " + value
            elif role is Role.EXPECT:
                self.expects = _expects(value)
            elif role is Role.HEARSAY:
                self.hearsay += ((name, value),)
            elif role is Role.REQUEST_ID:
                self.request_id = value.strip()
            elif role is Role.VIA:
                lines += (name, b": ", value, b"\r\n")
                passes += value.count(b" lbtutor")
        if version != "1.1" or host is None:
            host = _old_host(version, host)
        self.line = b"%b %b HTTP/%b\r\n" % (method, target, version.encode())
        if not target.startswith(b"/") or b"#" in target:
            target, host = _origin_form(method, target, host)
        if not _is_host(host):
            raise Refusal(400, "an invalid Host")
        if passes >= MOST_PASSES:
            raise Refusal(508, f"it has come by here {passes} times")
        if named:
            lines = _without(lines, named)
            self.cookies = () if b"cookie" in named else self.cookies
        if length is not None or self.chunked:
            self._frame(lines, length)
        else:
            self.has_body = self.expects = False
        if self.upgrade:
            self._ask_to_switch(lines, named)
        self._lines = (b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, host), *lines)
        self.method = method.decode("ascii")
        self.path = target.decode("latin-1")
        self.host = host.decode("latin-1")
        self.authority = host
        self.length = length
        self.named = named

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.path} of {self.host}>"

    def for_backend(self, said_of_client: bytes, own_cookie: str = "") -> bytes:
        """The head to send on, without the cookie that is our own; `said_of_client` holds the forwarding fields and
        the empty line."""
        if not self.cookies:
            return b"".join(self._lines) + said_of_client
        return b"".join((*self._lines, *_cookie_lines(self.cookies, own_cookie.encode()), said_of_client))

    def _ask_to_switch(self, lines: list[bytes], named: frozenset[bytes]) -> None:
        """Ask the backend to switch protocols, unless the wish is one to ignore (RFC 9110, section 7.8)."""
        wanted = [protocol for protocol in _items(self.upgrade) if _protocol(protocol) not in _NEVER_SWITCHED_TO]
        asked_well = b"upgrade" in named and self.version == "1.1" and not self.has_body
        self.upgrade = b", ".join(wanted) if asked_well else b""
        if self.upgrade:
            lines.append(b"Connection: upgrade\r\nUpgrade: %b\r\n" % self.upgrade)

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

    __slots__ = ("_lines", "chunked", "has_length", "named", "status", "upgrade")

    def __init__(self, status: int, reason: bytes, fields: Fields) -> None:
        if not 100 <= status <= 999:
            raise Refusal(502, f"status {status}")
        self.status = status
        self.chunked = self.has_length = False
        self.upgrade = b""
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
            elif role is Role.UPGRADE:
                self.upgrade = value.strip()
        if self.chunked and self.has_length:
            raise Refusal(502, "both Content-Length and Transfer-Encoding")
        if status < 200 or status == 204:
            named |= {b"content-length"}  # there is no body to have one (RFC 9110, section 8.6)
            self.chunked = False
        if named:
            lines = _without(lines, named)
        self.named = named
        self._lines = (_status_line(status, reason), *lines)

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


@lru_cache(maxsize=1024)
def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


@lru_cache(maxsize=256)
def _status_line(status: int, reason: bytes) -> bytes:
    if _REASON.fullmatch(reason) is None:
        raise Refusal(502, "a reason with control characters")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


def trailers(fields: Fields, named: frozenset[bytes]) -> bytes:
    """The trailer fields that may go on, as lines: neither `named` by Connection nor such as only a head may hold."""
    return b"".join(b"%b: %b\r\n" % field for field in fields if _may_trail(field[0].lower(), named))


def _may_trail(name: bytes, named: frozenset[bytes]) -> bool:
    dashed = name.replace(b"_", b"-")
    return _role_in_request(dashed) is END_TO_END and dashed not in _ONLY_IN_HEADS and name not in named


def _expects(value: bytes) -> bool:
    if value.strip().lower() != b"100-continue":
        raise Refusal(417, "only 100-continue can be expected")
    return True


def _cookie_lines(cookies: Iterable[bytes], own: bytes) -> Iterator[bytes]:
    """Cookie fields less the cookie of that name; a field with no other goes too."""
    for value in cookies:
        left = _without_cookie(value, own) if own and own in value else value
        if left:
            yield b"Cookie: %b\r\n" % left


def _without_cookie(value: bytes, name: bytes) -> bytes:
    pairs = [pair for pair in value.split(b";") if pair.partition(b"=")[0].strip() != name]
    return b";".join(pairs).strip()


def protocols(upgrade: bytes) -> frozenset[bytes]:
    """The protocols that an Upgrade field names, in lower case and without versions."""
    return frozenset(map(_protocol, _items(upgrade)))


def _protocol(item: bytes) -> bytes:
    return item.partition(b"/")[0].lower()


def _items(value: bytes) -> list[bytes]:
    return [item for part in value.split(b",") if (item := part.strip())]


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
    """Target and Host when the target is no path: in an absolute URI, its own, and Host must be the same.

    RFC 9112, section 3.2.2, has Host ignored then; but who sends two hosts means one for us and one for somebody else
    (HAProxy refuses it too).
    """
    if target == b"*" and method == b"OPTIONS":
        return target, host
    if method == b"CONNECT":
        raise Refusal(501, "tunnels are not built here")
    uri = _ABSOLUTE.fullmatch(target)
    if uri is None:
        raise Refusal(400, "an invalid request target")
    scheme, authority, path = uri.groups()
    default = _DEFAULT_PORTS[scheme.lower()]
    if host and host.lower().removesuffix(default) != authority.lower().removesuffix(default):
        raise Refusal(400, "a target at one host and Host for another")
    return path if path.startswith(b"/") else b"/" + path, authority
