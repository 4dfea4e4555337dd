"""What goes into a `Balancer` and what comes out: small frozen records.

In:  `Request` (one arrived), `Outcome` (an attempt ended so), `ProbeResult` (a probe was answered), a `Command`.
Out: `Forward`, `Answer` or `Reject` (the decision), `Probe` (send this one now).

Two of them are made for each request, and no cycle goes through them: `gc=False` spares the collector the look.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from lbtutor.core.units import Seconds

if TYPE_CHECKING:
    from lbtutor.core.backend import Backend


class Request(Struct, frozen=True, gc=False):
    """One request as the balancer and its algorithms see it.

    `client` is address text without a port. `key` is the text that hashing algorithms hash: the client's address unless
    the pool says otherwise. `attempt` counts from 1; header names are lower case. `sni` is the server name that a TLS
    client asked for, if any. A TCP connection or a UDP session is a request too: its method is `TCP` or `UDP`.
    """

    id: int
    at: float
    client: str = "127.0.0.1"
    key: str = ""
    attempt: int = 1
    method: str = "GET"
    host: str = ""
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    listener: str = ""
    sni: str = ""


class Forward(Struct, frozen=True, gc=False):
    """Send the request to this backend; then call `Balancer.finish` exactly once for it.

    `set_cookie` is the value of a Set-Cookie field to add to the answer, or empty; the shell adds `Secure` to it where
    the client speaks TLS. `own_cookie` names the cookie that is the balancer's own business and must not reach the
    backend, or is empty.
    """

    request: int
    pool: str
    backend: Backend
    attempt: int
    set_cookie: str = ""
    own_cookie: str = ""


class Wait(Struct, frozen=True):
    """Keep the request: it waits for a free backend, or for its next try, at most until that time.

    What becomes of it is among `Balancer.take_decided()` later.
    """

    request: int
    until: float


class Cut(Struct, frozen=True):
    """End this request's attempt now, whatever it does, and `finish` it as `cut` or `closed`: its backend's drain is
    over."""

    request: int
    because: str


class Reject(Struct, frozen=True):
    """Answer the client with this status yourself; nothing is to be finished."""

    request: int
    status: int
    reason: str


class Answer(Struct, frozen=True):
    """Answer the client with this yourself, because a route says so; nothing is to be finished.

    `headers` are names and values, without those that frame the message; `body` is text, to be sent as UTF-8.
    """

    request: int
    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


Decision = Forward | Wait | Reject | Answer
"""What `Balancer.arrive` answers."""

Decided = Forward | Reject | Cut
"""What `Balancer.take_decided` answers, about requests that were decided before."""


OutcomeKind = Literal[
    "answered", "served", "refused", "unreachable", "untrusted", "closed", "invalid", "timed_out", "cut", "cancelled"
]

_STATUS: dict[str, int] = {
    "served": 0,
    "refused": 502,
    "unreachable": 504,
    "untrusted": 502,
    "closed": 502,
    "invalid": 502,
    "timed_out": 504,
    "cut": 502,
    "cancelled": 499,
}

_SAYS: dict[str, str] = {
    "answered": "answered",
    "served": "ended well",
    "refused": "connection refused",
    "unreachable": "no connection in time",
    "untrusted": "no TLS connection to be trusted",
    "closed": "closed before an answer",
    "invalid": "answered with something that is not HTTP",
    "timed_out": "no answer in time",
    "cut": "broke off in mid-answer",
    "cancelled": "the client left first",
}


class Outcome(Struct, frozen=True):
    """How one attempt ended, and the status that the client is given for it.

    | kind | meaning | status | definite |
    |---|---|---|---|
    | answered | the backend answered; its own status | its own | yes |
    | served | a TCP connection or UDP session ended in peace | 0 | yes |
    | refused | the connection was refused, nothing was sent | 502 | yes |
    | unreachable | no connection within the connect timeout | 504 | yes |
    | untrusted | the TLS handshake failed, or the certificate is not to be trusted; nothing was sent | 502 | yes |
    | closed | the connection ended before an answer began | 502 | no |
    | invalid | the answer is not HTTP | 502 | no |
    | timed_out | connected and sent, but no answer in time | 504 | no |
    | cut | the answer began and then broke off | as begun | no |
    | cancelled | the client left before the end | 499 | no |

    *Definite* is Maelstrom's distinction: we know whether the request was carried out. A definite failure surely was
    not, so it may be tried elsewhere whatever its method. The statuses follow RFC 9110, section 15.6, as NGINX, Caddy
    and the ALB use them (499 is NGINX's, and appears in logs only).
    """

    kind: OutcomeKind
    status: int

    @classmethod
    def answered(cls, status: int) -> Outcome:
        """The backend answered with `status`."""
        return _ANSWERED.get(status) or cls("answered", status)

    @classmethod
    def failed(cls, kind: OutcomeKind, status: int | None = None) -> Outcome:
        """No whole answer came; `status` only for `cut`, where the client has already seen one."""
        return cls(kind, _STATUS[kind] if status is None else status)

    @property
    def ok(self) -> bool:
        """The client got a whole answer that does not blame a server (below 500)."""
        return self.status < 500 and self.kind in ("answered", "served")

    @property
    def definite(self) -> bool:
        """True when it is known whether the backend carried the request out."""
        return self.kind in ("answered", "served", "refused", "unreachable", "untrusted")

    @property
    def says(self) -> str:
        """The kind in words a sentence can end with."""
        return _says_answered(self.status) if self.kind == "answered" else _SAYS[self.kind]


@lru_cache(maxsize=256)  # one text for all who tell of such an answer
def _says_answered(status: int) -> str:
    return f"answered {status}"


_ANSWERED: dict[int, Outcome] = {
    status: Outcome("answered", status) for status in (200, 204, 301, 302, 304, 400, 404, 500, 503)
}


class Probe(Struct, frozen=True):
    """Ask this backend for `path` now; report what came of it with `Balancer.probed`, at the latest after `timeout`.

    With `mode` `tcp` there is nothing to ask: a connection that opens is a probe that passed.
    """

    pool: str
    backend: Backend
    path: str
    timeout: float
    mode: Literal["http", "tcp"] = "http"


class ProbeResult(Struct, frozen=True):
    """What came of a probe; `detail` is the reason in words ("200", "connection refused", "no answer in 5 s")."""

    ok: bool
    detail: str


class BackendConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One member of a pool as configured; `address` is `host:port` and the shell's business alone.

    `limit` is how many requests it may have in flight at once; None sets no limit. A `backup` is offered only while no
    other member is available.
    """

    name: str
    weight: float = 1
    address: str = ""
    limit: int | None = None
    backup: bool = False


class Add(Struct, frozen=True, tag="add"):
    """Let a new backend join a pool, at the end of its order."""

    pool: str
    backend: BackendConfig


class Remove(Struct, frozen=True, tag="remove"):
    """Take a backend out of its pool at once; what it has in flight may still end."""

    pool: str
    backend: str


class Drain(Struct, frozen=True, tag="drain"):
    """No new requests for this backend, those of its own sticky clients included.

    What it has in flight ends in peace, or is cut off after `within` seconds. Said again, another `within` counts from
    then on; `Enable` and `Remove` end the wait, `Disable` does not.
    """

    pool: str
    backend: str
    within: Seconds | None = None


class Disable(Struct, frozen=True, tag="disable"):
    """Maintenance: no requests and no probes until enabled."""

    pool: str
    backend: str


class Enable(Struct, frozen=True, tag="enable"):
    """End a drain or maintenance."""

    pool: str
    backend: str


class SetWeight(Struct, frozen=True, tag="weight"):
    """Change a backend's weight; 0 offers it to nobody."""

    pool: str
    backend: str
    weight: float


class Shift(Struct, frozen=True, tag="shift"):
    """Send the requests of the route so named to these pools, by weight: all at once (blue-green) or by degrees."""

    route: str
    to: Mapping[str, float]


Command = Add | Remove | Drain | Disable | Enable | SetWeight | Shift
"""The operator's hand."""
