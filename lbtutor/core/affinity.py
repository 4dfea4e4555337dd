"""Affinity: what brings a client back to the backend it had before.

The client itself may carry the memory, in a cookie that the balancer gives out and reads again; or the balancer keeps
it, in a table of addresses. Either way there are three questions, which `Affinity` names: whom did this client have
(`recall`), what is to be said about that (`confirm` or `explain`), and whom will it have from now on (`keep`). The
algorithm is asked only when the first answer is nobody, or somebody who is not offered now.

A cookie is `WHO.UNTIL`, or `WHO.UNTIL.TAG` when it is signed:

    form      WHO                       TAG                                  anybody can
    readable  web/a                     none                                 read it and write it, which is the lesson
    signed    64 bits of MAC(pool, a)   96 bits of MAC(pool, WHO.UNTIL)      only give it back

`UNTIL` is the second, in the clock of the shell, from which on the value counts for nothing. The balancer checks it
itself, for not every client honours Max-Age. It is rounded up: Max-Age knows whole seconds only (RFC 6265, section
5.2.2). With `sliding`, every answer renews the cookie (as an ALB does); otherwise only a new choice writes one.

The MAC is BLAKE2b with a key of the pool's own (RFC 7693, section 2.9), so that another pool's cookie is as foreign as
a made-up one, even where both have a backend `a`. Whoever would forge a cookie has to guess its tag, at one request a
guess, and 96 bits make that 2^95 requests on average (as many as in HMAC-SHA-1-96, RFC 2404; RFC 2104, section 5, wants
80 at least). What he would win is a choice of backend, which a readable cookie gives to everybody.

What happens to the cookie or address that comes with a request is one table, and none of its lines is an error:

    it names                                        then
    somebody who is offered now                     the request goes there, and the algorithm is not asked
    somebody down, ejected, full, draining, gone    balanced anew, and rewritten
    nobody: tampered with, foreign, too old         balanced anew, and rewritten
    nothing: there is none                          balanced, and a new one is given

(All products agree, save that NGINX and HAProxy let a draining server keep its visitors. Here draining is one thing for
all: no new requests.) A retry that goes elsewhere moves the client there for good.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from math import ceil
from random import Random
from typing import Literal, Protocol
from urllib.parse import quote

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.keys import cookie, is_token
from lbtutor.core.messages import Request
from lbtutor.core.units import Seconds

MOST_CLIENTS = 100_000
"""Addresses that a stick table holds, about 20 MB of them; one more, and the one that was longest away is forgotten."""

_LONGEST_UNTIL = 15
"""Digits: thirty million years, and far below what `int` refuses to read."""

_CONNECTIONS = ("TCP", "UDP")


class Sticky(Struct, frozen=True, forbid_unknown_fields=True):
    """How a pool knows its clients again: by a `cookie` of the balancer's own, or by their address (`source`).

    The cookie is `signed` (opaque: nobody can make one up) or `readable` (the backend's name, for teaching). What is
    remembered lives for `ttl` from the last request (`sliding`) or from the first one. `secret` is what signed cookies
    are made with, so that they outlive a restart and are good at every balancer that knows it; without one, a key is
    drawn at the start. Raises `ConfigError` for wishes that contradict one another.
    """

    cookie: str = ""
    source: bool = False
    form: Literal["signed", "readable"] = "signed"
    ttl: Seconds = Seconds(1800)
    sliding: bool = True
    secret: str = ""

    def __post_init__(self) -> None:
        if bool(self.cookie) == self.source:
            raise ConfigError('sticky: give either `cookie = "NAME"` or `source = true`')
        if self.cookie and not is_token(self.cookie):
            raise ConfigError(f"sticky: `cookie` is a name of letters, digits and !#$%&'*+-.^_`|~, not {self.cookie!r}")
        if not 0 < self.ttl < float("inf"):
            raise ConfigError("sticky: `ttl` must be longer than 0")
        if self.secret and (self.source or self.form == "readable"):
            raise ConfigError("sticky: only a signed cookie has a `secret`")


class Affinity(Protocol):
    """A pool's memory of its clients; `wall` is the shell's clock, in seconds that outlive a restart."""

    cookie: str
    """The cookie that is its own business; empty when there is none."""

    def learn(self, backend: str) -> None:
        """A backend of that name joined."""

    def recall(self, request: Request, wall: float) -> str:
        """The backend that this client had; empty when it had none, or that was too long ago."""

    def keep(self, request: Request, backend: str, wall: float) -> str:
        """The client is sent to that backend: the Set-Cookie to give it, if any."""

    def confirm(self, request: Request, backend: str) -> str:
        """What it has to say of a client that goes back to the backend that was recalled."""

    def explain(self, request: Request, wall: float, chosen: str, lost: str) -> str:
        """What it had to say before `chosen` was kept; `lost` says why the one recalled was not taken ("is down")."""


def remember(sticky: Sticky, pool: str, rng: Random) -> Affinity:
    """The memory that `sticky` asks for."""
    return StickTable(sticky) if sticky.source else Cookies(sticky, pool, rng)


class Cookies:
    """The memory that clients carry: one pool's cookie, written and read."""

    def __init__(self, sticky: Sticky, pool: str, rng: Random) -> None:
        self.cookie = sticky.cookie
        self._ttl = sticky.ttl
        self._sliding = sticky.sliding
        self._form = form = _Readable(pool) if sticky.form == "readable" else _Signed(pool, _key(sticky.secret, rng))
        self._names: dict[str, str] = {}
        self._confirms: dict[str, str] = {}
        self._longest = 0
        self._rest = f"; Path=/; Max-Age={ceil(sticky.ttl)}; HttpOnly; SameSite=Lax"
        self._written = lru_cache(1024)(self._write)
        self._read = lru_cache(1024)(form.read)  # a client that stays shows the same value again and again

    def __repr__(self) -> str:
        return f"<Cookies {self.cookie} for {list(self._names.values())}>"

    def learn(self, backend: str) -> None:
        """A backend of that name joined."""
        who = self._form.who(backend)
        self._names[who] = backend
        self._confirms[backend] = f"cookie {self.cookie} names {backend}"
        self._longest = max(self._longest, len(self._form.write(who, 10**_LONGEST_UNTIL)))

    def recall(self, request: Request, wall: float) -> str:
        """The backend that the cookie names; empty without a cookie that still counts."""
        who, until = self._said(cookie(request, self.cookie))
        return self._names.get(who, "") if wall < until else ""

    def keep(self, request: Request, backend: str, wall: float) -> str:
        """The Set-Cookie that names `backend`; empty where the client's own says so and need not be renewed."""
        if request.method in _CONNECTIONS:
            return ""
        says_so = not self._sliding and self.recall(request, wall) == backend
        return "" if says_so else self._written(backend, ceil(wall + self._ttl))

    def confirm(self, request: Request, backend: str) -> str:
        """Whom the cookie names."""
        return self._confirms[backend]

    def explain(self, request: Request, wall: float, chosen: str, lost: str) -> str:
        """Whom the cookie names, or what is wrong with it."""
        if request.method in _CONNECTIONS:
            return "a connection brings no cookies"
        value = cookie(request, self.cookie)
        who, until = self._said(value)
        name = self._names.get(who, "")
        if not value:
            return f"no cookie {self.cookie}: a new one names {chosen}"
        if not who:
            return f"cookie {self.cookie} is not ours: balanced anew"
        if wall >= until:
            return f"cookie {self.cookie} is too old: balanced anew"
        if not name:
            return f"cookie {self.cookie} names nobody here: balanced anew"
        says = self.confirm(request, name)
        return says if name == chosen else f"{says}, which {lost}: balanced anew"

    def _said(self, value: str) -> tuple[str, int]:
        """Who, and until when; nobody for what is longer than anything that we write."""
        return self._read(value) if 0 < len(value) <= self._longest else _NOBODY

    def _write(self, backend: str, until: int) -> str:
        return f"{self.cookie}={self._form.write(self._form.who(backend), until)}{self._rest}"


class _Readable:
    """Cookies for all to see: `web/a.1700001800`, with whatever may not stand in a cookie percent-encoded."""

    def __init__(self, pool: str) -> None:
        self._pool = _encode(pool)

    def who(self, backend: str) -> str:
        return f"{self._pool}/{_encode(backend)}"

    def write(self, who: str, until: int) -> str:
        return f"{who}.{until}"

    def read(self, value: str) -> tuple[str, int]:
        """Who, and until when; nobody for what this pool did not write."""
        who, _, until = value.rpartition(".")
        is_ours = who.startswith(f"{self._pool}/") and until.isascii() and until.isdigit()
        return (who, int(until)) if is_ours and len(until) <= _LONGEST_UNTIL else _NOBODY


class _Signed:
    """Cookies that say nothing and that nobody can make up."""

    def __init__(self, pool: str, key: bytes) -> None:
        key = blake2b(_bytes(pool), key=key, digest_size=32).digest()
        self._who = blake2b(key=key, digest_size=8, person=b"backend")
        self._tag = blake2b(key=key, digest_size=12, person=b"cookie")

    def who(self, backend: str) -> str:
        return self._mac(self._who, backend)

    def write(self, who: str, until: int) -> str:
        said = f"{who}.{until}"
        return f"{said}.{self._mac(self._tag, said)}"

    def read(self, value: str) -> tuple[str, int]:
        """Who, and until when; nobody unless the tag is ours."""
        said, _, tag = value.rpartition(".")
        if not compare_digest(_bytes(tag), self._mac(self._tag, said).encode()):
            return _NOBODY
        who, _, until = said.partition(".")
        return who, int(until)

    def _mac(self, begun: blake2b, text: str) -> str:
        mac = begun.copy()
        mac.update(_bytes(text))
        return mac.hexdigest()


_NOBODY = ("", 0)


class StickTable:
    """The memory that the balancer keeps: whom each address had, for as long as `ttl` says and while there is room."""

    def __init__(self, sticky: Sticky, most: int = MOST_CLIENTS) -> None:
        self.cookie = ""
        self._ttl = sticky.ttl
        self._sliding = sticky.sliding
        self._most = most
        self._homes: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<StickTable of {len(self._homes)} addresses>"

    def __len__(self) -> int:
        return len(self._homes)

    def learn(self, backend: str) -> None:
        """Names are kept as they are: there is nothing to learn."""

    def recall(self, request: Request, wall: float) -> str:
        """The backend that this address had; empty when that was too long ago."""
        name, until = self._homes.get(request.client, _NOBODY)
        return name if wall < until else ""

    def keep(self, request: Request, backend: str, wall: float) -> str:
        """Remember the address at `backend`; there is no cookie."""
        if self._sliding or self.recall(request, wall) != backend:
            self._homes[request.client] = (backend, wall + self._ttl)
            self._homes.move_to_end(request.client)
            if len(self._homes) > self._most:
                self._homes.popitem(last=False)
        return ""

    def confirm(self, request: Request, backend: str) -> str:
        """Whom this address had before."""
        return f"{request.client} was at {backend} before"

    def explain(self, request: Request, wall: float, chosen: str, lost: str) -> str:
        """The same, or that it is new here."""
        name = self.recall(request, wall)
        if not name:
            return f"{request.client} is new: it stays at {chosen}"
        if name == chosen:
            return self.confirm(request, name)
        return f"{request.client} was at {name}, which {lost}: balanced anew"


def _key(secret: str, rng: Random) -> bytes:
    """32 bytes from the secret, or from the dice: those of a run whose seed is known are known too."""
    return blake2b(_bytes(secret), digest_size=32).digest() if secret else rng.randbytes(32)


def _encode(name: str) -> str:
    return quote(name, safe="", errors="surrogatepass")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
