"""Heads of HTTP/1.1 messages: understood once, and then said anew to the other side.

`httptools` (llhttp) has refused by now whatever is not HTTP or has two lengths; what it lets through but could be read
in two ways is refused here, with `Refusal`. What becomes of each field is told in `fields`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from lbtutor.live.fields import (
    BODILESS,
    CODING,
    CONNECTION,
    COOKIE,
    END_TO_END,
    EXPECT,
    HEARSAY,
    HOST,
    LENGTH,
    REQUEST_ID,
    UPGRADE,
    VIA,
    Fields,
    Refusal,
    answer_roles,
    named_in,
    request_roles,
    without,
)

_NEVER_SWITCHED_TO = {b"h2c", b"h2", b"http", b"tls"}
"""Protocols in which another hop would carry requests past this one unseen (h2c smuggling): not passed on."""

MOST_PASSES = 10
"""How often a request may come by before it is taken to go round in a circle."""

VIA_US = {"1.1": b"Via: 1.1 lbtutor\r\n\r\n", "1.0": b"Via: 1.0 lbtutor\r\n\r\n"}
"""The last line of a head that is sent on, by the version in which it came (RFC 9110, section 7.6.3)."""

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]*)(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]+)([^#]*)", re.IGNORECASE)
_REASON = re.compile(rb"[\t -~\x80-\xff]*")
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


class RequestHead:
    """A request's head, understood once. Raises `Refusal` for what cannot be understood in one way only."""

    def __init__(self, method: bytes, target: bytes, version: str, fields: Fields, *, keep_alive: bool) -> None:
        self.version = version
        self.target = target
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
            role = request_roles[name]
            if role is END_TO_END:
                lines += (name, b": ", value, b"\r\n")
            elif role is COOKIE:
                self.cookies += (value,)
            elif role is HOST:
                if host is not None:
                    raise Refusal(400, "more than one Host")
                host = value.strip()
            elif role is LENGTH:
                if length is not None:
                    raise Refusal(400, "more than one Content-Length")
                length = int(value)
            elif role is CODING:
                if self.chunked:
                    raise Refusal(400, "more than one Transfer-Encoding")
                self.chunked = _chunked(value, version)
            elif role is CONNECTION:
                named |= named_in(value)
            elif role is UPGRADE:
                self.upgrade = value if not self.upgrade else self.upgrade + b", " + value
            elif role is EXPECT:
                self.expects = _expects(value)
            elif role is HEARSAY:
                self.hearsay += ((name, value),)
            elif role is REQUEST_ID:
                self.request_id = value.strip()
            elif role is VIA:
                lines += (name, b": ", value, b"\r\n")
                passes += value.count(b" lbtutor")
        if version != "1.1" or host is None:
            host = _old_host(version, host)
        if not target.startswith(b"/") or b"#" in target:
            target, host = _origin_form(method, target, host)
        if not _is_host(host):
            raise Refusal(400, "an invalid Host")
        if passes >= MOST_PASSES:
            raise Refusal(508, f"it has come by here {passes} times")
        if named:
            lines = without(lines, named)
            self.cookies = () if b"cookie" in named else self.cookies
        if length is not None or self.chunked:
            self._frame(lines, length)
        else:
            self.has_body = self.expects = False
        if self.upgrade:
            self._ask_to_switch(lines, named)
        self._first = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, host)
        self._lines = lines
        self._rest: tuple[str, bytes] | None = None
        self.headers = HeadFields(fields)
        self.method = method.decode("ascii")
        self.path = target.decode("latin-1")
        self.host = host.decode("latin-1")
        self.authority = host
        self.length = length
        self.named = named

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.path} of {self.host}>"

    @property
    def line(self) -> bytes:
        """The first line, as the client said it."""
        return b"%b %b HTTP/%b\r\n" % (self.method.encode(), self.target, self.version.encode())

    def for_backend(self, said_of_client: bytes, own_cookie: str = "") -> bytes:
        """The head to send on, without the cookie that is our own; `said_of_client` holds the forwarding fields and
        the empty line."""
        rest = self._rest
        if rest is None or rest[0] != own_cookie:
            cookies = _cookie_lines(self.cookies, own_cookie.encode())
            rest = self._rest = (own_cookie, b"".join((*self._lines, *cookies)))
        return self._first + rest[1] + said_of_client

    def asking(self, target: bytes) -> RequestHead:
        """The same head, but for another target, which is a path."""
        other = RequestHead.__new__(RequestHead)
        other.__dict__ = self.__dict__.copy()  # 0.2 us; to understand the fields again would be 2
        other.target, other.path = target, target.decode("ascii")
        other._first = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (self.method.encode(), target, self.authority)
        return other

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

    __slots__ = ("_lines", "chunked", "length", "named", "status", "upgrade")

    def __init__(self, status: int, reason: bytes, fields: Fields) -> None:
        if not 100 <= status <= 999:
            raise Refusal(502, f"status {status}")
        self.status = status
        self.chunked = False
        self.length: int | None = None
        self.upgrade = b""
        lines: list[bytes] = []
        named: frozenset[bytes] = frozenset()
        for name, value in fields:
            role = answer_roles[name]
            if role is END_TO_END:
                lines += (name, b": ", value, b"\r\n")
            elif role is LENGTH:
                if self.length is not None:
                    raise Refusal(502, "more than one Content-Length")
                self.length = int(value)
                lines += (b"Content-Length", b": ", value.strip(), b"\r\n")
            elif role is CODING:
                if self.chunked:
                    raise Refusal(502, "more than one Transfer-Encoding")
                self.chunked = _chunked(value, "1.1")
            elif role is CONNECTION:
                named |= named_in(value)
            elif role is UPGRADE:
                self.upgrade = value.strip()
        if self.chunked and self.length is not None:
            raise Refusal(502, "both Content-Length and Transfer-Encoding")
        if status < 200 or status == 204:
            named |= {b"content-length"}  # there is no body to have one (RFC 9110, section 8.6)
            self.chunked = False
        if named:
            lines = without(lines, named)
        self.named = named
        self._lines = b"".join((_status_line(status, reason), *lines))

    def __repr__(self) -> str:
        return f"<AnswerHead {self.status}>"

    @property
    def bodiless(self) -> bool:
        """The status alone says that no body follows."""
        return self.status < 200 or self.status in BODILESS

    def for_client(self, about_connection: bytes) -> bytes:
        """The head to send back; `about_connection` holds our own connection fields and the empty line."""
        return self._lines + about_connection


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

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # none but strings
        """As any mapping's, which would raise and catch an error for each field that is not there."""
        return self._all().get(name, default)

    def _all(self) -> dict[str, str]:
        """Repeated fields are joined by a comma (RFC 9110, section 5.3)."""
        if self._decoded is None:
            decoded: dict[str, str] = {}
            for name, value in self._fields:
                key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
                decoded[key] = f"{decoded[key]}, {text}" if key in decoded else text
            self._decoded = decoded
        return self._decoded


def _old_host(version: str, host: bytes | None) -> bytes:
    """Only HTTP/1.0 may come without Host; other versions are not spoken here."""
    if version not in ("1.0", "1.1"):
        raise Refusal(505, f"HTTP/{version} is not spoken here")
    if host is None and version == "1.1":
        raise Refusal(400, "no Host")
    return host or b""


def _chunked(value: bytes, version: str) -> bool:
    """Chunked must be the last coding, to show the end, and is the only one known (RFC 9112, sections 6.1 and 6.3).

    For one that is not known the RFC would have 501; here it is one more body whose end two readers may see in two
    places, and answered as all of those are.
    """
    *others, last = (coding.strip() for coding in value.lower().split(b","))
    if version == "1.0":
        raise Refusal(400, "Transfer-Encoding in HTTP/1.0")
    if last != b"chunked":
        raise Refusal(400, "a Transfer-Encoding that does not end with chunked")
    if others:
        raise Refusal(400, "a transfer coding besides chunked")
    return True


@lru_cache(maxsize=1024)
def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


@lru_cache(maxsize=256)
def _status_line(status: int, reason: bytes) -> bytes:
    if _REASON.fullmatch(reason) is None:
        raise Refusal(502, "a reason with control characters")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


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
