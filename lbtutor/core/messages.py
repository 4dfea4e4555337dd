"""What goes into a `Balancer` and what comes out: small frozen records.

In:  `Request` (one arrived), `Outcome` (an attempt ended so), `ProbeResult` (a probe was answered), a `Command`.
Out: `Forward`, `Answer` or `Reject` (the decision), `Probe` (send this one now).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

if TYPE_CHECKING:
    from lbtutor.core.backend import Backend


class Request(Struct, frozen=True):
    """One request as the balancer and its algorithms see it.

    `client` is address text without a port. `key` is the text that hashing algorithms hash: the client's address unless
    the pool says otherwise. `attempt` counts from 1; header names are lower case.
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


class Forward(Struct, frozen=True):
    """Send the request to this backend; then call `Balancer.finish` exactly once for it."""

    request: int
    pool: str
    backend: Backend
    attempt: int


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


Decision = Forward | Reject | Answer
"""What `Balancer.arrive` answers."""


OutcomeKind = Literal["answered", "refused", "unreachable", "closed", "invalid", "timed_out", "cut", "cancelled"]

_STATUS: dict[str, int] = {
    "refused": 502,
    "unreachable": 504,
    "closed": 502,
    "invalid": 502,
    "timed_out": 504,
    "cut": 502,
    "cancelled": 499,
}

_SAYS: dict[str, str] = {
    "answered": "answered",
    "refused": "connection refused",
    "unreachable": "no connection in time",
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
    | refused | the connection was refused, nothing was sent | 502 | yes |
    | unreachable | no connection within the connect timeout | 504 | yes |
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
        return self.kind == "answered" and self.status < 500

    @property
    def definite(self) -> bool:
        """True when it is known whether the backend carried the request out."""
        return self.kind in ("answered", "refused", "unreachable")

    @property
    def says(self) -> str:
        """The kind in words a sentence can end with."""
        return f"answered {self.status}" if self.kind == "answered" else _SAYS[self.kind]


_ANSWERED: dict[int, Outcome] = {
    status: Outcome("answered", status) for status in (200, 204, 301, 302, 304, 400, 404, 500, 503)
}


class Probe(Struct, frozen=True):
    """Ask this backend for `path` now; report what came of it with `Balancer.probed`, at the latest after `timeout`."""

    pool: str
    backend: Backend
    path: str
    timeout: float


class ProbeResult(Struct, frozen=True):
    """What came of a probe; `detail` is the reason in words ("200", "connection refused", "no answer in 5 s")."""

    ok: bool
    detail: str


class BackendConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One member of a pool as configured; `address` is `host:port` and the shell's business alone."""

    name: str
    weight: float = 1
    address: str = ""


class Add(Struct, frozen=True, tag="add"):
    """Let a new backend join a pool, at the end of its order."""

    pool: str
    backend: BackendConfig


class Remove(Struct, frozen=True, tag="remove"):
    """Take a backend out of its pool at once; what it has in flight may still end."""

    pool: str
    backend: str


class Drain(Struct, frozen=True, tag="drain"):
    """No new requests for this backend; those in flight end in peace."""

    pool: str
    backend: str


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


Command = Add | Remove | Drain | Disable | Enable | SetWeight
"""The operator's hand."""
