"""Everything that can happen, as one tagged union: the trace.

Each event is a frozen record in the past tense, `at` first (scenario seconds), ids and names, never live objects. The
union reads and writes its own JSON (`msgspec.json.decode(line, type=Event)`), so that a journal is these records and
nothing else, and every picture, number, sentence and verdict is a fold over them.

One request is: `Arrived`; `Routed`, where there is a choice of routes; then `Rejected`, or `Answered`, or `Picked` and
`Finished` once for each attempt, with `Queued` or `BackedOff` before those that had to wait. The `Finished` that is
`final` is what the client got. So every arrival ends exactly once: in a `Rejected`, an `Answered` or a final
`Finished`.
"""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

Health = Literal["unchecked", "up", "down"]
"""`unchecked` receives nothing until its first probe passes."""

FaultKind = Literal["crash", "hang", "refuse", "error", "slow", "heal"]
"""What can befall the machine behind a backend; see `lbtutor.core.workload.Fault`."""


class _Record(Struct, frozen=True, gc=False):
    """What is told: it refers to nothing that refers to it, so the collector need not look (a fifth of what it costs to
    keep the last 65 536 events was its looking)."""


class Candidate(_Record, frozen=True, omit_defaults=True):
    """One member of the pool in a decision: its number, or why it was not considered.

    `note` is what else is to be said of one that was: "slow start, 30% of weight 4".
    """

    backend: str
    number: float | None
    excluded: str | None
    note: str = ""


class Why(_Record, frozen=True):
    """The record of one decision.

    `rule` names what was compared ("in flight", "turns to wait after a"), `best` which end of it wins, `tie` who wins
    among equals. `candidates` holds every member of the pool in configuration order. An algorithm that does not explain
    itself leaves `rule` empty and the numbers None.
    """

    rule: str
    best: Literal["lowest", "highest"]
    tie: str
    candidates: tuple[Candidate, ...]


class Arrived(_Record, frozen=True, omit_defaults=True, tag="arrived"):
    """A request reached the balancer; `sni` is the server name that a TLS client asked for, if any.

    Where there are several balancers, `balancer` is the one.
    """

    at: float
    request: int
    client: str
    method: str
    host: str
    path: str
    listener: str
    sni: str = ""
    balancer: str = ""


class Routed(_Record, frozen=True, tag="routed"):
    """A route was found, and with it the pool; told only where there are several routes, or a split.

    `route` is its conditions in words, `because` what makes it the one: "the longer path, before /api".
    """

    at: float
    request: int
    route: str
    pool: str
    because: str


class Picked(_Record, frozen=True, tag="picked"):
    """A backend was chosen for a request.

    `affinity` is what stickiness had to say of it, in words: whose cookie it was, or why there is a new one.
    """

    at: float
    request: int
    attempt: int
    pool: str
    backend: str
    because: Literal["algorithm", "only", "retry", "sticky"]
    why: Why
    affinity: str = ""


class Queued(_Record, frozen=True, tag="queued"):
    """A request waits in its pool's queue, the `place`-th in line, until a backend is free or that time has come."""

    at: float
    request: int
    pool: str
    place: int
    until: float
    because: str


class BackedOff(_Record, frozen=True, tag="backed_off"):
    """The next try of a request, the `attempt`-th, waits until that time."""

    at: float
    request: int
    pool: str
    attempt: int
    until: float


class Answered(_Record, frozen=True, tag="answered"):
    """The balancer answered a request itself because a route says so: a fixed response or a redirect."""

    at: float
    request: int
    status: int
    because: str


class Rejected(_Record, frozen=True, tag="rejected"):
    """The balancer answered a request itself, with an error: nobody could take it."""

    at: float
    request: int
    status: int
    because: str
    pool: str | None
    candidates: tuple[Candidate, ...]


class Refused(_Record, frozen=True, tag="refused"):
    """What a client sent was refused at the door with that status: it never became a request (malformed, too long, too
    late, one connection too many), or its body went wrong when the request was under way."""

    at: float
    listener: str
    client: str
    status: int
    because: str


class Finished(_Record, frozen=True, tag="finished"):
    """An attempt ended after `took` seconds; `final` when no other follows and the client got `status`.

    `because` says why no other follows where one might have: "POST is not idempotent", "3 of 3 tries made"; and that it
    was the balancer itself who ended it: "cut off by the end of its drain".
    """

    at: float
    request: int
    attempt: int
    pool: str
    backend: str
    outcome: str
    status: int
    took: float
    ok: bool
    final: bool
    because: str = ""


class ProbeSent(_Record, frozen=True, tag="probe_sent"):
    """A health check was sent to a backend."""

    at: float
    pool: str
    backend: str


class Probed(_Record, frozen=True, tag="probed"):
    """A probe passed or failed: the `count`-th such in a row, of `needed` to change `towards` that health.

    `count` and `needed` are 0 when the result only confirms what was believed.
    """

    at: float
    pool: str
    backend: str
    ok: bool
    because: str
    count: int
    needed: int
    towards: Health


class HealthChanged(_Record, frozen=True, tag="health_changed"):
    """A backend's believed health changed."""

    at: float
    pool: str
    backend: str
    was: Health
    now: Health
    because: str


class Ejected(_Record, frozen=True, tag="ejected"):
    """A backend was thrown out for the answers that clients got from it, `until` that time."""

    at: float
    pool: str
    backend: str
    until: float
    because: str


class Readmitted(_Record, frozen=True, tag="readmitted"):
    """The time of an ejection is over."""

    at: float
    pool: str
    backend: str


class Joined(_Record, frozen=True, tag="joined"):
    """A backend became a member of a pool (also once for each at the start)."""

    at: float
    pool: str
    backend: str
    weight: float
    health: Health


class Left(_Record, frozen=True, tag="left"):
    """A backend stopped being a member, with so many requests still in flight."""

    at: float
    pool: str
    backend: str
    in_flight: int


class Draining(_Record, frozen=True, tag="draining"):
    """A backend gets no new requests; so many are still in flight."""

    at: float
    pool: str
    backend: str
    in_flight: int


class Drained(_Record, frozen=True, tag="drained"):
    """The last request of a draining backend ended."""

    at: float
    pool: str
    backend: str


class Disabled(_Record, frozen=True, tag="disabled"):
    """A backend was put into maintenance: neither requests nor probes."""

    at: float
    pool: str
    backend: str


class Enabled(_Record, frozen=True, tag="enabled"):
    """A drain or maintenance ended."""

    at: float
    pool: str
    backend: str


class WeightChanged(_Record, frozen=True, tag="weight_changed"):
    """A backend's weight was set, or has grown; in a slow start `because` says how far it has come, of which weight."""

    at: float
    pool: str
    backend: str
    was: float
    now: float
    because: str = ""


class Shifted(_Record, frozen=True, tag="shifted"):
    """The requests of a route go to other pools from now on, by these weights."""

    at: float
    route: str
    was: dict[str, float]
    now: dict[str, float]


class Panicked(_Record, frozen=True, tag="panicked"):
    """So few members of a pool are available that all the willing are offered, healthy or not: the pool panics."""

    at: float
    pool: str
    available: int
    members: int
    threshold: float


class Calmed(_Record, frozen=True, tag="calmed"):
    """Enough members of a pool are available again: only these are offered."""

    at: float
    pool: str
    available: int
    members: int


class Reloaded(_Record, frozen=True, tag="reloaded"):
    """A new configuration took effect, all of it at once; `because` tells what is different."""

    at: float
    because: str


class ContractBroken(_Record, frozen=True, tag="contract_broken"):
    """An algorithm raised, or returned what was not offered.

    When that leaves a request without a backend, it ends at once: a new one in a `Rejected` with status 500, a retry in
    the `Finished` of the attempt before. A broken `compare` or `observe` leaves the request as it is.
    """

    at: float
    request: int
    pool: str
    algorithm: str
    because: str


class OriginChanged(_Record, frozen=True, tag="origin_changed"):
    """Something was done to the machine behind a backend; the balancer was not told.

    `amount` is the factor of `slow` or the share of `error`, else 0.
    """

    at: float
    pool: str
    backend: str
    fault: FaultKind
    amount: float
    by: Literal["timeline", "hand"]


class SessionStarted(_Record, frozen=True, tag="session_started"):
    """A machine gave a visitor a session, which he had not, or none that it knows; the balancer was not told."""

    at: float
    pool: str
    backend: str
    session: str
    client: str


class SessionLost(_Record, frozen=True, tag="session_lost"):
    """A visitor showed a session that the machine does not know: what was in it is lost to him."""

    at: float
    pool: str
    backend: str
    session: str
    client: str


class Exchanged(_Record, frozen=True, tag="exchanged"):
    """A client had an answer after `took` seconds, on a connection that carries several requests and that the balancer
    does not read: it was not told. The machine says who it is in its answer."""

    at: float
    pool: str
    backend: str
    client: str
    status: int
    took: float


class Resolved(_Record, frozen=True, tag="resolved"):
    """A client asked the name server for the balancers, was given this one, and believes in it until that time."""

    at: float
    client: str
    balancer: str
    until: float


class Relisted(_Record, frozen=True, tag="relisted"):
    """The name server gives the address of a balancer out again (`listed`), or no longer."""

    at: float
    balancer: str
    listed: bool
    because: str


class BalancerChanged(_Record, frozen=True, tag="balancer_changed"):
    """One of several balancers died, with all that was under way through it, or returned; no client was told."""

    at: float
    balancer: str
    change: Literal["died", "returned"]


class Stranded(_Record, frozen=True, tag="stranded"):
    """A client sent a request to a balancer that is dead: it became no request of any balancer."""

    at: float
    client: str
    balancer: str


class HandshakeFailed(_Record, frozen=True, tag="handshake_failed"):
    """A client came to a listener where TLS ends, and came no further than that; it has made no request."""

    at: float
    listener: str
    client: str
    because: str


class Remarked(_Record, frozen=True, tag="remarked"):
    """A step of a story in its own words: what happened, and what the code under test answered, if it was asked."""

    at: float
    says: str


class Judged(_Record, frozen=True, tag="judged"):
    """A law was broken: `expected` was allowed and `got` came, `because` of the facts; `law` is its sentence."""

    at: float
    law: str
    expected: str
    got: str
    because: str


class Missed(_Record, frozen=True, tag="missed"):
    """This reader fell behind: so many events were dropped here, before this one's successor."""

    at: float
    count: int


class Ended(_Record, frozen=True, tag="ended"):
    """The run is over. A journal without this line was cut."""

    at: float
    because: Literal["lasted", "interrupted", "stopped"]


Event = (
    Arrived
    | Routed
    | Picked
    | Queued
    | BackedOff
    | Answered
    | Rejected
    | Refused
    | Finished
    | ProbeSent
    | Probed
    | HealthChanged
    | Ejected
    | Readmitted
    | Joined
    | Left
    | Draining
    | Drained
    | Disabled
    | Enabled
    | WeightChanged
    | Shifted
    | Panicked
    | Calmed
    | Reloaded
    | ContractBroken
    | OriginChanged
    | SessionStarted
    | SessionLost
    | Exchanged
    | Resolved
    | Relisted
    | BalancerChanged
    | Stranded
    | HandshakeFailed
    | Remarked
    | Judged
    | Missed
    | Ended
)
"""Everything that a trace can hold."""

EVERYTHING: frozenset[type] = frozenset((*get_args(Event), Why))
"""The kinds that a reader may ask for: all events, and `Why`, the record in each `Picked`, dearer than all the rest. A
reader that does not name `Why` may find that record empty."""
