"""`Pool`: a group of backends, one algorithm, and the tuple of those available.

The tuple is the pool's promise to its algorithm: **the same object means the same members and weights**. It is made
anew only when membership, health or a weight changes, so an algorithm with a table rebuilds it exactly then, and the
common pick filters nothing. A retry is offered a tuple of its own, once, and the next request gets the old object back.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from math import inf
from random import Random
from typing import Literal

from msgspec import Struct, field

from lbtutor.core.affinity import Sticky
from lbtutor.core.algorithms import Algorithm, AlgorithmConfig, Comparison, build_algorithm
from lbtutor.core.backend import Backend
from lbtutor.core.ejection import Ejection, PassiveCheck
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Event
from lbtutor.core.health import HealthCheck, HealthState
from lbtutor.core.keys import read_key
from lbtutor.core.listening import BackendTls
from lbtutor.core.messages import BackendConfig, Request
from lbtutor.core.retry import Retry
from lbtutor.core.units import Seconds

_Compare = Callable[[Request, tuple[Backend, ...]], Comparison]


class PoolConfig(Struct, frozen=True):
    """A pool as configured.

    `health` probes the members, `passive` ejects them for their answers; without them nobody is ever taken out.
    `all_down` names what happens when no member is available: `"reject"` answers 503 (HAProxy, Caddy, Traefik, Envoy
    with panic off); `"fail_open"` offers every member that the operator has not taken out, healthy or not (ALB,
    Envoy's panic). Reject is the default because it shows the truth. `key` says what hashing algorithms hash; its forms
    are those of `lbtutor.core.keys`.

    `sticky` brings a client back to the backend it had. A backend that becomes available again gets its share by
    degrees within `slow_start`. While all are at their limit, requests wait up to `queue` for one to be free (None:
    they are turned away). When less than the share `panic` of the members is available, all the willing are offered,
    healthy or not (0: never). `send_proxy` tells the backend who the client is, in the PROXY protocol of that version;
    `tls` encrypts what is sent to it.
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


class Pool:
    """The living pool: members in configuration order, and who of them may be picked now."""

    def __init__(self, config: PoolConfig, rng: Random, now: float, algorithm: Algorithm | None = None) -> None:
        self.config = config
        self.algorithm = algorithm if algorithm is not None else build_algorithm(config.algorithm, rng)
        self.compare: _Compare | None = getattr(self.algorithm, "compare", None)
        self.observe: Callable[[Event], None] | None = getattr(self.algorithm, "observe", None)
        self.key = read_key(config.key)
        self.members: dict[str, Backend] = {}
        self._available: tuple[Backend, ...] | None = None
        for position, backend in enumerate(config.backends):
            self.join(backend, now, phase=position / len(config.backends))

    def __repr__(self) -> str:
        return f"<Pool {self.config.name} {type(self.algorithm).__name__} {list(self.members.values())}>"

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def available(self) -> tuple[Backend, ...]:
        """Members that may receive traffic, in configuration order; with `fail_open`, all the willing if none is up."""
        if self._available is None:
            up = tuple(backend for backend in self.members.values() if backend.excluded is None)
            if not up and self.config.all_down == "fail_open":
                up = tuple(backend for backend in self.members.values() if backend.willing)
            self._available = up
        return self._available

    def available_without(self, tried: Container[Backend]) -> tuple[Backend, ...]:
        """The same, for a retry: a tuple of its own without those already tried."""
        return tuple(backend for backend in self.available if backend not in tried)

    def has(self, backend: Backend) -> bool:
        """True while this very backend is a member; a namesake that came later is another one."""
        return self.members.get(backend.name) is backend

    def changed(self) -> None:
        """Membership, health or a weight changed: the next pick sees a new tuple."""
        self._available = None

    def join(self, config: BackendConfig, now: float, phase: float = 0.0) -> Backend:
        """Add a member at the end of the order; `phase` (0 to 1) is its share of the first probe interval.

        Raises `ConfigError` when the name is taken or the weight is negative.
        """
        if config.name in self.members:
            raise ConfigError(f"pool {self.name}: a backend named {config.name!r} is already a member")
        check_weight(self.name, config.name, config.weight)
        check = self.config.health
        health = None if check is None else HealthState(check, first_probe=now + phase * check.interval)
        ejection = None if self.config.passive is None else Ejection(self.config.passive, now)
        backend = self.members[config.name] = Backend(config, now, self.name, health, ejection)
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

    def readmit(self, now: float) -> list[Backend]:
        """Let in again whose ejection is over by now; returns them."""
        over = []
        for member in self.members.values():
            if member.ejection is not None and member.ejection.is_over(now):
                member.ejection.readmit(now)
                member.since = now if member.excluded is None else member.since
                over.append(member)
        if over:
            self.changed()
        return over

    @property
    def next_readmission(self) -> float:
        """When the next ejection is over; infinity while nobody is ejected."""
        return min(self._ejected_until(), default=inf)

    def _ejected_until(self) -> Iterator[float]:
        """For each member that is ejected, until when."""
        return (until for member in self.members.values() if (until := member.ejected_until) is not None)


def check_weight(pool: str, backend: str, weight: float) -> None:
    """Raises `ConfigError` unless `weight` is a number from 0 up."""
    if not 0 <= weight < float("inf"):
        raise ConfigError(f"pool {pool}: the weight of {backend!r} must be 0 or more, not {weight!r}")
