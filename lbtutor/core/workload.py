"""What comes in and what goes wrong: the part of a scenario that both shells play.

`arrivals` turns traffic rules into one stream of requests in order of time; `MachineConfig` is a machine that works on
them; `Fault` is what befalls it; `Plan` holds all of it. Chance comes from generators seeded here by name, so the
simulator and the live shell see the same arrivals at the same scenario times, and the n-th request at a machine takes
equally long in both.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from math import log
from random import Random
from typing import Literal

from msgspec import Struct, field

from lbtutor.core.errors import ConfigError
from lbtutor.core.events import FaultKind
from lbtutor.core.health import HealthCheck
from lbtutor.core.keys import is_token
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.messages import Command
from lbtutor.core.pool import PoolConfig
from lbtutor.core.routing import Route, with_doors
from lbtutor.core.service import Service
from lbtutor.core.sessions import check_store
from lbtutor.core.units import Seconds

_FIELD_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")
_OURS = frozenset({"host", "connection", "upgrade", "content-length", "transfer-encoding", "expect", "te", "trailer"})
"""Fields that say what kind of message it is and where it ends: the clients see to these themselves."""


class Conversation(Struct, frozen=True, forbid_unknown_fields=True):
    """A WebSocket: open for `lasts`, one message `every` so often, and each is answered with the same."""

    lasts: Seconds
    every: Seconds = Seconds(1)

    def __post_init__(self) -> None:
        if self.lasts <= 0 or self.every <= 0:
            raise ConfigError("websocket: `lasts` and `every` must be longer than 0")


class Traffic(Struct, frozen=True, forbid_unknown_fields=True):
    """Open-loop clients: requests come at `rate` a second whether or not earlier ones were answered.

    `arrivals` is `poisson` (independent clients) or `steady` (evenly spaced, the first one gap after `start`). Requests
    come from `clients` distinct addresses: in turn when steady, at random when Poisson. `start` and `stop` are scenario
    times; without `stop` the traffic lasts as long as the scenario. `header` is sent along. With `cookies`, a client
    keeps those that it is given and shows them again, as browsers do. With `websocket`, each arrival opens one.

    With `requests` an arrival is a connection that carries so many, one after the other, each `pause` after the answer
    to the one before (HTTP keep-alive). A door of mode `http` balances each of them, one of mode `tcp` the connection.
    None follows at the end of the scenario, nor on a connection that broke where only connections are balanced.
    """

    to: str
    rate: float
    arrivals: Literal["poisson", "steady"] = "poisson"
    clients: int = 3
    method: str = "GET"
    host: str = ""
    path: str = "/"
    start: Seconds = Seconds(0)
    stop: Seconds | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    cookies: bool = True
    websocket: Conversation | None = None
    requests: int = 1
    pause: Seconds = Seconds(0)

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1_000_000:
            raise ConfigError(f"traffic: `rate` is requests a second, above 0 and at most 1000000, not {self.rate!r}")
        if not 1 <= self.clients <= 60_000:
            raise ConfigError(f"traffic: `clients` must be between 1 and 60000, not {self.clients!r}")
        if not self.path.startswith("/"):
            raise ConfigError(f"traffic: `path` must start with a slash, not {self.path!r}")
        if self.websocket is not None and self.method != "GET":
            raise ConfigError(f"traffic: a WebSocket is opened with GET, not {self.method}")
        self._check_series()
        for name, value in self.header.items():
            _check_field(name, value)

    def _check_series(self) -> None:
        if not 1 <= self.requests <= 1_000_000:
            raise ConfigError(f"traffic: `requests` of a connection are 1 to 1000000, not {self.requests!r}")
        if not 0 <= self.pause < float("inf"):
            raise ConfigError(f"traffic: `pause` is 0 or longer, not {self.pause!r}")
        if self.websocket is not None and self.requests > 1:
            raise ConfigError("traffic: a connection becomes a WebSocket with its first request; no `requests` follow")

    @property
    def fields(self) -> dict[str, str]:
        """What is sent along, as the balancer sees it: names in lower case."""
        fields = {name.lower(): value for name, value in self.header.items()}
        return fields if self.websocket is None else {**fields, "connection": "Upgrade", "upgrade": "websocket"}


def _check_field(name: str, value: str) -> None:
    """Raises `ConfigError` unless a client may send that field (RFC 9110, section 5)."""
    if name.lower() in _OURS:
        raise ConfigError(f"traffic: the field {name} is the clients' own business (`host` says the host)")
    if not is_token(name) or not _FIELD_VALUE.fullmatch(value):
        raise ConfigError(f"traffic: {name!r}: {value!r} is not a field that can be sent")


def with_cookies(fields: Mapping[str, str], cookies: str) -> Mapping[str, str]:
    """The fields of a request, names in lower case, with `cookies` to those that it shows anyway."""
    if not cookies:
        return fields
    own = fields.get("cookie")
    return {**fields, "cookie": f"{own}; {cookies}" if own else cookies}


class Arrival(Struct, frozen=True, gc=False):
    """A client sends this request at scenario time `at`; `client` numbers the client, `rule` the traffic rule."""

    at: float
    client: int
    to: str
    method: str
    host: str
    path: str
    rule: int = 0


def client_address(client: int) -> str:
    """The loopback address of the client numbered from 0: 127.0.1.1, 127.0.1.2 … (Linux answers on all of 127/8)."""
    block, last = divmod(client, 250)
    return f"127.0.{1 + block}.{1 + last}"


def arrivals(traffic: Sequence[Traffic], seed: int, lasts: float) -> Iterator[Arrival]:
    """All requests of all rules before `lasts`, in order of time; made lazily, so a day costs no memory."""
    streams = [_arrivals_of(index, seed, rule, lasts) for index, rule in enumerate(traffic)]
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=lambda arrival: arrival.at)


def _arrivals_of(index: int, seed: int, rule: Traffic, lasts: float) -> Iterator[Arrival]:
    stop = lasts if rule.stop is None else min(rule.stop, lasts)
    if rule.arrivals == "steady":
        return _steady(index, rule, stop)
    return _poisson(index, rule, stop, Random(f"{seed}/traffic/{index}"))


def _steady(index: int, rule: Traffic, stop: float) -> Iterator[Arrival]:
    for number in count(1):
        at = rule.start + number / rule.rate
        if at >= stop:
            return
        yield Arrival(at, (number - 1) % rule.clients, rule.to, rule.method, rule.host, rule.path, index)


def _poisson(index: int, rule: Traffic, stop: float, rng: Random) -> Iterator[Arrival]:
    """The dice as `expovariate` and `randrange` throw them, without their calls."""
    to, method, host, path = rule.to, rule.method, rule.host, rule.path
    at, rate, clients, bits = float(rule.start), rule.rate, rule.clients, rule.clients.bit_length()
    throw, throw_bits = rng.random, rng.getrandbits
    while (at := at - log(1 - throw()) / rate) < stop:
        while (client := throw_bits(bits)) >= clients:
            pass
        yield Arrival(at, client, to, method, host, path, index)


class MachineConfig(Struct, frozen=True):
    """The machine behind a lab backend: `workers` requests at once, the rest wait in line (first come, first served).

    `errors` is the share of requests it answers 500 on its best days. Health checks are answered at once and by
    nobody's worker, so a busy machine is not a sick one; nor does a WebSocket occupy anybody. `sessions` is where it
    keeps what it knows of its visitors: empty (it keeps nothing), `memory` (its own, lost with it), `sqlite` (shared by
    the machines of the lab) or a `redis://` address. `delay` is how far away it is: the time that a request needs
    to get there, and its answer to come back; nobody works meanwhile. WebSockets and probes do not feel it.
    """

    pool: str
    name: str
    workers: int = 8
    service: Service = Service("constant", 0.02)
    errors: float = 0.0
    sessions: str = ""
    delay: Seconds = Seconds(0)

    def __post_init__(self) -> None:
        if not 0 <= self.delay < float("inf"):
            raise ConfigError(f"`delay` is 0 or longer, not {self.delay!r}")
        check_store(self.sessions)

    def rng(self, seed: int) -> Random:
        """The machine's own dice: for each request in order of arrival a sample of its work, then one for errors."""
        return Random(f"{seed}/machine/{self.pool}/{self.name}")


class Fault(Struct, frozen=True):
    """What befalls a machine, until the next fault or `heal`.

    | kind | new connections | requests under way | new requests | probes |
    |---|---|---|---|---|
    | crash | refused | connection closed | - | refused |
    | refuse | refused | go on | served on open connections | refused |
    | hang | accepted | never answered | never answered | never answered |
    | error | accepted | go on | 500 at once for a share `amount` | 500 when the share is all |
    | slow | accepted | go on | `amount` times the work | answered at once |
    | heal | accepted | held ones go on | served | 200 |
    """

    kind: FaultKind
    pool: str
    backend: str
    amount: float = 0.0

    def __post_init__(self) -> None:
        if self.kind == "slow" and not 0 < self.amount < float("inf"):
            raise ConfigError(f"slow: `by` is a factor above 0, not {self.amount!r}")
        if self.kind == "error" and not 0 < self.amount <= 1:
            raise ConfigError(f"error: `share` is above 0 and at most 1, not {self.amount!r}")


class Act(Struct, frozen=True):
    """One line of the timeline: at that scenario time, this befalls a machine or is commanded to the balancer."""

    at: float
    what: Fault | Command


class BalancerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One of several balancers in front of the same pools; it `dies` at that scenario time, and `returns` later."""

    name: str
    dies: Seconds | None = None
    returns: Seconds | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("`name` of a balancer is a word")
        if self.dies is not None and self.dies < 0:
            raise ConfigError(f"balancer {self.name}: `dies` is 0 or later, not {self.dies}")
        if self.returns is not None and (self.dies is None or self.returns <= self.dies):
            raise ConfigError(f"balancer {self.name}: `returns` comes after `dies`")


class Dns(Struct, frozen=True, forbid_unknown_fields=True):
    """How clients find one of several balancers: one address an answer, in turn, kept for `ttl`.

    With a `check` the name server stops giving out the address of a balancer that fails it; without one it never does.
    """

    ttl: Seconds = Seconds(60)
    check: HealthCheck | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.ttl < float("inf"):
            raise ConfigError(f"dns: `ttl` is 0 or longer, not {self.ttl!r}")


class Plan(Struct, frozen=True):
    """All that a shell needs to play a scenario, with every default filled in. Times are scenario seconds.

    Without `balancers` there is one, which has no name, and clients know where it is. `speed` is scenario seconds per
    second of wall time and concerns the live shell alone. `drain` is how long the live
    shell lets requests under way finish when it is told to stop.
    """

    listeners: tuple[ListenerConfig, ...]
    routes: tuple[Route, ...]
    pools: tuple[PoolConfig, ...]
    machines: tuple[MachineConfig, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    acts: tuple[Act, ...] = ()
    title: str = ""
    seed: int = 1
    lasts: Seconds = Seconds(30)
    speed: float = 1.0
    drain: Seconds = Seconds(10)
    balancers: tuple[BalancerConfig, ...] = ()
    dns: Dns = Dns()

    @property
    def every_route(self) -> tuple[Route, ...]:
        """The routes, and those that doors make by naming their pool."""
        return with_doors(self.routes, self.listeners)
