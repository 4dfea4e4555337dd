"""`Pool`: a group of backends, one algorithm, and the tuple of those available.

The tuple is the pool's promise to its algorithm: **the same object means the same members and weights**. It is made
anew only when membership, health or a weight changes, so an algorithm with a table rebuilds it exactly then, and the
common pick filters nothing. A retry is offered a tuple of its own, once, and the next request gets the old object back.

Who is offered is decided in two steps. The slow one, `Standing`, looks at what the operator, the probes and the answers
say of each member, and is done again only when one of these says something new:

    who is in                                    offered first      offered next
    members and backups                          the members        the backups
    only members, or only backups                these              nobody
    nobody, with `all_down = "fail_open"`        all the willing    nobody
    less than the share `panic` of the willing   all the willing    nobody
    nobody otherwise                             nobody             nobody

The quick one leaves out who is full, and is done again when somebody fills up or has room again. The backups take over
when no other member is available, be it out or full (NGINX; HAProxy lets the others queue), and then all of them at
once (NGINX, HAProxy's `option allbackups`). A limit holds always, in panic too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator
from random import Random
from typing import Literal

from msgspec import Struct, field

from lbtutor.core.affinity import Affinity, Sticky, remember
from lbtutor.core.algorithms import Algorithm, AlgorithmConfig, Comparison, build_algorithm
from lbtutor.core.algorithms.base import Part
from lbtutor.core.backend import Backend
from lbtutor.core.ejection import Ejection, PassiveCheck
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Event, Why
from lbtutor.core.health import HealthCheck, HealthState
from lbtutor.core.keys import read_key
from lbtutor.core.listening import BackendTls
from lbtutor.core.messages import BackendConfig, Request
from lbtutor.core.retry import Retries, Retry
from lbtutor.core.units import Seconds
from lbtutor.core.waiting import Waiting

_Compare = Callable[[Request, tuple[Backend, ...]], Comparison]


class PoolConfig(Struct, frozen=True):
    """A pool as configured.

    `health` probes the members, `passive` ejects them for their answers; without them nobody is ever taken out.
    `all_down` names what happens when no member is available: `"reject"` answers 503 (HAProxy, Caddy, Traefik, Envoy
    with panic off); `"fail_open"` offers every member that the operator has not taken out, healthy or not (ALB,
    Envoy's panic). Reject is the default because it shows the truth. `key` says what hashing algorithms hash; its forms
    are those of `lbtutor.core.keys`.

    `sticky` brings a client back to the backend it had. A backend that becomes available again, or joins at run time,
    gets its weight by degrees within `slow_start` (its limit it has at once; and an algorithm that does not look at
    weights, such as plain round robin, does not look at these). While all are at their limit, requests wait up to
    `queue` for one to be free (None: they are turned away). When less than the share `panic` of the members that the
    operator lets have traffic is available, all of these are offered, healthy or not (0: never). `send_proxy` tells the
    backend who the client is, in the PROXY protocol of that version; `tls` encrypts what is sent to it.
    """

    name: str
    algorithm: AlgorithmConfig = "round_robin"
    backends: tuple[BackendConfig, ...] = ()
    health: HealthCheck | None = None
    retry: Retry = field(default_factory=Retry)
    all_down: Literal["reject", "fail_open"] = "reject"
    connect_timeout: Seconds = Seconds(5)
    response_timeout: Seconds = Seconds(60)
    key: str = "address"
    passive: PassiveCheck | None = None
    sticky: Sticky | None = None
    slow_start: Seconds | None = None
    queue: Seconds | None = None
    panic: float = 0.0
    send_proxy: Literal["", "v1", "v2"] = ""
    tls: BackendTls | None = None

    def __post_init__(self) -> None:
        read_key(self.key)
        if self.connect_timeout <= 0 or self.response_timeout <= 0:
            raise ConfigError(f"pool {self.name}: `connect_timeout` and `response_timeout` must be longer than 0")
        for name, wait in (("slow_start", self.slow_start), ("queue", self.queue)):
            if wait is not None and wait <= 0:
                raise ConfigError(f"pool {self.name}: `{name}` must be longer than 0; leave it out to have none")
        if not 0 <= self.panic <= 1:
            raise ConfigError(f"pool {self.name}: `panic` is a share of the members, 0 to 1, not {self.panic!r}")


class Standing(Struct, frozen=True):
    """Who of a pool's members could be offered if nobody were full: `first`, and `second` when none of those has room.

    `up` are those that are in, and `willing` counts those that the operator lets have traffic. `panics` when `up` is
    less than the pool's share of these.
    """

    first: tuple[Backend, ...]
    second: tuple[Backend, ...]
    up: tuple[Backend, ...]
    willing: int
    panics: bool


class Pool:
    """The living pool: members in configuration order, and who of them may be picked now."""

    def __init__(self, config: PoolConfig, rng: Random, now: float, algorithm: Algorithm | None = None) -> None:
        self.name = config.name
        self.config = config
        self.algorithm = algorithm if algorithm is not None else build_algorithm(config.algorithm, rng)
        self.compare: _Compare | None = getattr(self.algorithm, "compare", None)
        self.observe: Callable[[Event], None] | None = getattr(self.algorithm, "observe", None)
        self.key = read_key(config.key)
        self.affinity: Affinity | None = None if config.sticky is None else remember(config.sticky, config.name, rng)
        self.retries = Retries(config.retry) if config.retry.attempts > 1 else None
        self.budget = None if self.retries is None else self.retries.budget
        self.members: dict[str, Backend] = {}
        self.line: OrderedDict[int, Waiting] = OrderedDict()
        """The requests that wait for somebody to have room, by id, the first in line first."""
        self.panicked = False
        """Was the pool in panic when this was last told?"""
        self.all_offered: tuple[tuple[Backend, ...], Why] | None = None
        """What is told of a choice of which nothing else is to be said, while these are all the members."""
        self._standing: Standing | None = None
        self.offered: tuple[Backend, ...] | None = None
        """`available` as it was last found; None when somebody has to look again."""
        self._were_in: dict[Backend, None] = {}
        for position, backend in enumerate(config.backends):
            self.join(backend, now, phase=position / len(config.backends)).known = False
        self.look_again(now)

    def __repr__(self) -> str:
        return f"<Pool {self.config.name} {type(self.algorithm).__name__} {list(self.members.values())}>"

    @property
    def available(self) -> tuple[Backend, ...]:
        """Members that may be given the next request, in configuration order; see the table above."""
        if self.offered is None:
            standing = self.standing
            self.offered = _with_room(standing.first) or _with_room(standing.second)
        return self.offered

    @property
    def standing(self) -> Standing:
        """Who could be offered if nobody were full."""
        if self._standing is None:
            self._standing = _stand(tuple(self.members.values()), self.config)
        return self._standing

    def available_without(self, tried: Container[Backend]) -> tuple[Backend, ...]:
        """The available, for a retry: a tuple of its own without those already tried."""
        return tuple(backend for backend in self.available if backend not in tried)

    def excluded(self, member: Backend) -> str | None:
        """Why this member is not offered, or None when nothing speaks against it."""
        return member.excluded or ("backup" if member.backup and member not in self.available else None)

    def has(self, backend: Backend) -> bool:
        """True while this very backend is a member; a namesake that came later is another one."""
        return self.members.get(backend.name) is backend

    def changed(self) -> None:
        """Membership, health or a weight changed: the next pick sees a new tuple."""
        self._standing = self.offered = None

    def filled_or_freed(self) -> None:
        """A member became full, or has room again."""
        self.offered = None

    def look_again(self, now: float) -> tuple[list[Backend], list[Backend]]:
        """Who came in since this was last asked and gets its share by degrees, and who went out."""
        up, were_in = self.standing.up, self._were_in
        came = [backend for backend in up if backend not in were_in]
        went = [backend for backend in were_in if backend not in up]
        if came or went:
            self._were_in = dict.fromkeys(up)
        slow = [backend for backend in came if backend.known and self.config.slow_start is not None]
        for backend in came:
            backend.since, backend.known = now, True
        return slow, went

    def join(self, config: BackendConfig, now: float, phase: float = 0.0) -> Backend:
        """Add a member at the end of the order; `phase` (0 to 1) is its share of the first probe interval.

        Raises `ConfigError` when the name is taken, the weight negative or the limit below 1.
        """
        if config.name in self.members:
            raise ConfigError(f"pool {self.name}: a backend named {config.name!r} is already a member")
        check_member(self.name, config)
        check = self.config.health
        health = None if check is None else HealthState(check, first_probe=now + phase * check.interval)
        ejection = None if self.config.passive is None else Ejection(self.config.passive, now)
        backend = self.members[config.name] = Backend(config, now, self.name, health, ejection)
        backend.known = True
        if self.affinity is not None:
            self.affinity.learn(config.name)
        self.changed()
        return backend

    def leave(self, name: str) -> Backend:
        """Remove a member; `KeyError` when there is none of that name."""
        backend = self.members.pop(name)
        self.changed()
        return backend

    def eject(self, backend: Backend, now: float) -> float | None:
        """Throw a member out for its answers; until when, or None when the rules of `ejection` spare it."""
        check, ejection = self.config.passive, backend.ejection
        if check is None or ejection is None or not backend.willing or not self.has(backend):
            return None
        if not check.allows(ejected=len(list(self._ejected_until())), members=len(self.members)):
            return None
        self.changed()
        return ejection.eject(now)

    def readmit(self, backend: Backend, now: float) -> None:
        """Let in again whose ejection is over."""
        if backend.ejection is not None:
            backend.ejection.readmit(now)
            self.changed()

    def _ejected_until(self) -> Iterator[float]:
        """For each member that is ejected, until when."""
        return (until for member in self.members.values() if (until := member.ejected_until) is not None)


def _stand(members: tuple[Backend, ...], config: PoolConfig) -> Standing:
    up = tuple(member for member in members if member.out is None)
    willing = tuple(member for member in members if member.willing)
    panics = bool(willing) and len(up) / len(willing) < config.panic
    if panics or (not up and config.all_down == "fail_open"):
        return Standing(willing, (), up, len(willing), panics)
    backups = tuple(member for member in up if member.backup)
    if not backups or len(backups) == len(up):
        return Standing(up, (), up, len(willing), panics)
    return Standing(tuple(member for member in up if not member.backup), backups, up, len(willing), panics)


def _with_room(whole: tuple[Backend, ...]) -> tuple[Backend, ...]:
    """Those of `whole` that are not full; itself when nobody is."""
    if not any(backend.full for backend in whole):
        return whole
    return Part((backend for backend in whole if not backend.full), whole)


def check_member(pool: str, config: BackendConfig) -> None:
    """Raises `ConfigError` unless a backend can be a member as configured."""
    check_weight(pool, config.name, config.weight)
    if config.limit is not None and config.limit < 1:
        raise ConfigError(f"pool {pool}: the limit of {config.name!r} must be 1 or more, not {config.limit!r}")


def check_weight(pool: str, backend: str, weight: float) -> None:
    """Raises `ConfigError` unless `weight` is a number from 0 up."""
    if not 0 <= weight < float("inf"):
        raise ConfigError(f"pool {pool}: the weight of {backend!r} must be 0 or more, not {weight!r}")
