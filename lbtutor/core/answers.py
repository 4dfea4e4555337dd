"""Answers that the balancer gives itself because a route says so: a fixed response, or a redirect."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import Answer, Request

_BODILESS = (204, 205, 304)

_PLACEHOLDERS = ("{host}", "{path}", "{query}")

_TARGET = re.compile(
    r"(?:https?://(?:\{host\}|[A-Za-z0-9.:\[\]-])+(?=[/?#]|\{path\}|\{query\}|$)"  # to a host that is named
    r"|/(?![/\\{]))"  # or on this one: `//elsewhere` would be another's
    r"(?:\{host\}|\{path\}|\{query\}|[!-z|~])*"
)

_READABLE = "".join(map(chr, range(0x21, 0x7F)))


class Respond(Struct, frozen=True, forbid_unknown_fields=True):
    """A fixed response: `status`, and `body` as plain text in UTF-8."""

    status: int = 200
    body: str = ""

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ConfigError(f"respond: `status` is 200 to 599, not {self.status}")
        if self.body and self.status in _BODILESS:
            raise ConfigError(f"respond: an answer {self.status} has no body (RFC 9110, section 15)")

    def answer(self, request: Request) -> Answer:
        """The answer to any request."""
        fields = () if self.status in _BODILESS else (("Content-Type", "text/plain; charset=utf-8"),)
        return Answer(request.id, self.status, fields, self.body)


class Redirect(Struct, frozen=True, forbid_unknown_fields=True):
    """Sends the client elsewhere: `to`, in which `{host}`, `{path}` and `{query}` stand for those of the request.

    `{host}` is without its port, `{query}` with its question mark, or nothing. `to` begins with `http://` or `https://`
    and a host, or with a slash; so wherever the client is sent, no request chooses the host by its path. Nothing that
    ends a line comes through: all but visible ASCII is percent-encoded. 301 and 302 let the client turn POST into GET,
    307 and 308 do not (RFC 9110, section 15.4).
    """

    to: str
    status: Literal[301, 302, 307, 308] = 302

    def __post_init__(self) -> None:
        if _TARGET.fullmatch(self.to) is None:
            known = ", ".join(_PLACEHOLDERS)
            raise ConfigError(
                "redirect: `to` is http://HOST… or https://HOST… or a path that begins with a slash, in visible ASCII, "
                f"with {known} where they are wanted, not {self.to!r}"
            )

    def answer(self, request: Request) -> Answer | None:
        """The answer to a request; None when `to` needs a host and the request names none."""
        host = without_port(request.host)
        if "{host}" in self.to and not host:
            return None
        path, mark, query = request.path.partition("?")
        values = {"{host}": host, "{path}": path if path.startswith("/") else "/", "{query}": mark + query}
        to = re.sub(r"\{(?:host|path|query)\}", lambda name: _visible(values[name.group()]), self.to)
        fields = (("Location", to), ("Content-Type", "text/plain; charset=utf-8"))
        return Answer(request.id, self.status, fields, f"{to}\n")


def without_port(host: str) -> str:
    """`a.com:80` is `a.com`, and `[::1]:80` is `[::1]`."""
    name, colon, port = host.rpartition(":")
    return name if colon and not port.endswith("]") else host


def _visible(text: str) -> str:
    return quote(text, safe=_READABLE, encoding="latin-1", errors="replace")
