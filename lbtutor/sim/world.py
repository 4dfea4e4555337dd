"""`World`: a whole platform as data. Clients, names, balancers, services, and what goes wrong.

    clients ──DNS──▶ balancers ──their own beliefs──▶ fleets of instances
       │ each caches an answer for the TTL       │ slots, a line, a shape of work
       └ a rate over time, carts, WebSockets     └ health, retries, stickiness, slow start

A scenario (`lbtutor.core.workload.Plan`) is told request by request and names every machine; a world is told in
numbers, because it has hundreds of machines and a million requests a second. Two engines play one: the kernel
(`lbtutor.sim.kernel`) each request by itself, the flow model (`lbtutor.sim.flow`) in steps of a second. Both give a
`Tape`. A world is frozen and says nothing of how it is played: equal worlds give equal tapes.

Units: durations and times are seconds from the start, rates are requests a second, shares are between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import ceil
from random import Random
from typing import Literal

from msgspec import Struct, field

from lbtutor.core.ejection import PassiveCheck
from lbtutor.core.errors import ConfigError, hint
from lbtutor.core.health import HealthCheck
from lbtutor.core.retry import Retry
from lbtutor.core.scaling import Scaling
from lbtutor.core.units import Seconds

Shape = Literal["exponential", "constant", "lognormal"]

KERNEL_ALGORITHMS = (
    "round_robin",
    "weighted_round_robin",
    "least_connections",
    "power_of_two",
    "random",
    "least_response_time",
    "ip_hash",
    "consistent_hash",
)
"""The algorithms a fleet may name: those of `lbtutor.core.algorithms` that the kernel has too."""

MOST_ATTEMPTS = 4
"""Tries of one request: the kernel remembers three instances that it has been at."""

MOST_INSTANCES = 1000
MOST_BALANCERS = 1000
MOST_CLIENTS = 1_000_000


class Carts(Struct, frozen=True, forbid_unknown_fields=True):
    """Shopping carts, kept by the instance that served them last unless the fleet has a `store`.

    `share` of the fleet's requests belong to one of `open` carts, any of them as likely as another. A cart lives for
    `lasts` and is followed by a new one of the same customer, so as many are open at any time.
    """

    share: float = 1.0
    open: int = 100_000
    lasts: Seconds = Seconds(1800)

    def __post_init__(self) -> None:
        _check_share("carts: `share`", self.share)
        _check_count("carts: `open`", self.open, least=1, most=20_000_000)
        _check_longer("carts: `lasts`", self.lasts)


class Sockets(Struct, frozen=True, forbid_unknown_fields=True):
    """WebSockets: `open` at the start, each for `lasts` on average (exponential), and as many are opened as end.

    One takes no slot of its instance, but counts as in flight at its balancer. When its instance or balancer dies it is
    lost, and its client comes back after `reconnect` on average.
    """

    open: int
    lasts: Seconds = Seconds(600)
    reconnect: Seconds = Seconds(2)

    def __post_init__(self) -> None:
        _check_count("sockets: `open`", self.open, least=0, most=100_000_000)
        _check_longer("sockets: `lasts`", self.lasts)
        _check_longer("sockets: `reconnect`", self.reconnect)


class Fleet(Struct, frozen=True, forbid_unknown_fields=True):
    """One service: its instances, and how every balancer treats them.

    `share` is its part of the traffic, in proportion to the other fleets' (they need not add up to 1). It begins with
    `instances`; `scaling` adds and removes some, and replaces those that died. One instance has `slots` workers, each
    busy for `work` on average with one request, so that all of them together do `capacity` requests a second; up to
    `queue` requests wait in line, first come, first served, and one more is answered 503. The time of one request has
    that `shape`; `spread` is the coefficient of variation of the lognormal one. `weights` are those of the instances,
    again from the first when there are more instances than weights (none: 1 each). Instance i is in zone `i % zones`.

    `sticky` brings a cart back to its instance for so long (sliding); None: each request is balanced anew. With `store`
    carts are kept where every instance finds them. `timeout` is how long a balancer waits for an answer.
    `all_down` says what happens while no instance is believed up: 503, or all are offered.
    """

    name: str
    share: float = 1.0
    instances: int = 10
    scaling: Scaling | None = None
    capacity: float = 10_000
    work: Seconds = Seconds(0.005)
    shape: Shape = "exponential"
    spread: float = 1.0
    queue: int = 1000
    zones: int = 1
    algorithm: str = "least_connections"
    weights: tuple[float, ...] = ()
    sticky: Seconds | None = None
    store: bool = False
    carts: Carts | None = None
    sockets: Sockets | None = None
    health: HealthCheck | None = field(default_factory=HealthCheck)
    passive: PassiveCheck | None = None
    retry: Retry = field(default_factory=Retry)
    slow_start: Seconds | None = None
    timeout: Seconds = Seconds(10)
    all_down: Literal["reject", "fail_open"] = "reject"

    def __post_init__(self) -> None:
        where = f"fleet {self.name}:"
        if not 0 <= self.share < float("inf"):
            raise ConfigError(f"{where} `share` is 0 or more, not {self.share!r}")
        _check_count(f"{where} `instances`", self.instances, least=1, most=MOST_INSTANCES)
        if self.scaling is not None and not self.scaling.min <= self.instances <= self.scaling.max <= MOST_INSTANCES:
            raise ConfigError(
                f"{where} `instances` ({self.instances}) is between the scaling's `min` ({self.scaling.min}) and `max`"
                f" ({self.scaling.max}), and that is at most {MOST_INSTANCES}"
            )
        if not 0 < self.capacity <= 10_000_000:
            raise ConfigError(f"{where} `capacity` is requests a second, above 0, not {self.capacity!r}")
        _check_longer(f"{where} `work`", self.work)
        _check_longer(f"{where} `timeout`", self.timeout)
        if not 0 < self.spread <= 20:
            raise ConfigError(f"{where} `spread` is above 0 and at most 20, not {self.spread!r}")
        _check_count(f"{where} `queue`", self.queue, least=0, most=10_000_000)
        _check_count(f"{where} `zones`", self.zones, least=1, most=MOST_INSTANCES)
        if self.algorithm not in KERNEL_ALGORITHMS:
            raise ConfigError(
                f"{where} there is no algorithm {self.algorithm!r} here; {hint(self.algorithm, KERNEL_ALGORITHMS)}"
            )
        if any(not 0 < weight < float("inf") for weight in self.weights):
            raise ConfigError(f"{where} `weights` are above 0, not {self.weights!r}")
        if self.sticky is not None:
            _check_longer(f"{where} `sticky`", self.sticky)
        if self.slow_start is not None:
            _check_longer(f"{where} `slow_start`", self.slow_start)
        if self.retry.attempts > MOST_ATTEMPTS:
            raise ConfigError(f"{where} `retry.attempts` is at most {MOST_ATTEMPTS}, not {self.retry.attempts}")
        if self.passive is not None and self.passive.share is not None:
            raise ConfigError(f"{where} `passive.share` is not played in a world; `fails` in a row is")

    @property
    def slots(self) -> int:
        """Requests that one instance works on at once."""
        return max(1, round(self.capacity * self.work))

    @property
    def room(self) -> int:
        """The most instances that there may be."""
        return self.instances if self.scaling is None else self.scaling.max

    def weight(self, instance: int) -> float:
        """The weight of that instance."""
        return self.weights[instance % len(self.weights)] if self.weights else 1.0


class Dns(Struct, frozen=True, forbid_unknown_fields=True):
    """How clients find a balancer: one address an answer, in turn, kept for `ttl`.

    With a `health` check the name server stops giving out the address of a balancer that fails it (Route 53: every 30 s
    or 10 s, three failures); without one it never does, and clients that ask again may be sent to a dead one again.
    """

    ttl: Seconds = Seconds(60)
    health: HealthCheck | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.ttl < float("inf"):
            raise ConfigError(f"dns: `ttl` is 0 or longer, not {self.ttl!r}")


class Balancers(Struct, frozen=True, forbid_unknown_fields=True):
    """The balancers, all alike, each with its own counts, beliefs and turns.

    One takes in `capacity` requests a second. What comes faster waits, up to `queue`; whoever would wait longer is
    answered 503. `adds` is what a request's way through one costs in time, TLS and all, when nothing waits.
    """

    count: int = 2
    capacity: float = 100_000
    queue: Seconds = Seconds(0.01)
    adds: Seconds = Seconds(0.001)
    dns: Dns = field(default_factory=Dns)

    def __post_init__(self) -> None:
        _check_count("balancers: `count`", self.count, least=1, most=MOST_BALANCERS)
        if not 0 < self.capacity < float("inf"):
            raise ConfigError(f"balancers: `capacity` is requests a second, above 0, not {self.capacity!r}")
        if self.queue < 0 or self.adds < 0:
            raise ConfigError("balancers: `queue` and `adds` are 0 or longer")


class Load(Struct, frozen=True, forbid_unknown_fields=True):
    """What the clients want: a rate over time, between its points a straight line, before and after them level.

    `rate` is a list of (second, requests a second). `clients` addresses ask, any of them as likely as another; each
    caches its own answer of the name server. `arrivals` are independent (`poisson`) or evenly spaced (`steady`).
    """

    rate: tuple[tuple[float, float], ...] = ((0.0, 1000.0),)
    clients: int = 10_000
    arrivals: Literal["poisson", "steady"] = "poisson"

    def __post_init__(self) -> None:
        if not self.rate:
            raise ConfigError("load: `rate` needs at least one point (second, requests a second)")
        if any(not 0 <= rate <= 100_000_000 for _, rate in self.rate):
            raise ConfigError("load: `rate` is requests a second, 0 or more, at every point")
        if any(earlier >= later for (earlier, _), (later, _) in pairwise(self.rate)):
            raise ConfigError("load: the points of `rate` are in order of time, no two at the same")
        _check_count("load: `clients`", self.clients, least=1, most=MOST_CLIENTS)

    def at(self, second: float) -> float:
        """Requests a second at that time."""
        points = self.rate
        if second <= points[0][0]:
            return points[0][1]
        for (since, before), (until, after) in pairwise(points):
            if second < until:
                return before + (after - before) * (second - since) / (until - since)
        return points[-1][1]

    def between(self, since: float, until: float) -> float:
        """Requests expected from `since` to `until`: the area under the rate."""
        corners = [since, *(at for at, _ in self.rate if since < at < until), until]
        return sum((self.at(a) + self.at(b)) / 2 * (b - a) for a, b in pairwise(corners))


MishapKind = Literal["crash", "hang", "slow", "heal", "deploy"]


class Mishap(Struct, frozen=True, forbid_unknown_fields=True):
    """What befalls instances of one fleet, or a balancer, at a time.

    | kind | instances | a balancer |
    |---|---|---|
    | crash | refuse; what they were at is lost, and so are carts kept there | refuses; its WebSockets are lost |
    | hang | take everything and answer nothing, probes neither | - |
    | slow | `amount` times the work | - |
    | heal | a fresh machine with nothing under way | answers again |
    | deploy | all, `amount` of the fleet at a time: drained for `drain`, away for `restart`, then the next | - |

    Whom it hits: the numbered `instances`, or all of a `zone`, or a `share` of the fleet (at least one; who, the seed
    decides); or `balancer`. With `lasts` it is healed after so long.
    """

    at: Seconds
    kind: MishapKind
    fleet: str = ""
    instances: tuple[int, ...] = ()
    zone: int | None = None
    share: float | None = None
    balancer: int | None = None
    amount: float = 0.0
    lasts: Seconds | None = None
    drain: Seconds = Seconds(30)
    restart: Seconds = Seconds(10)

    def __post_init__(self) -> None:
        ways = [bool(self.instances), self.zone is not None, self.share is not None, self.balancer is not None]
        if sum(ways) != (self.kind != "deploy"):
            raise ConfigError(
                f"{self.kind} at {self.at:g} s: say whom it hits in one way, `instances`, `zone`, `share` or `balancer`"
                " (and a deploy hits its whole `fleet`)"
            )
        if self.balancer is not None and self.kind not in ("crash", "heal"):
            raise ConfigError(f"{self.kind} at {self.at:g} s: a balancer can crash or heal")
        if (self.balancer is None) != bool(self.fleet):
            raise ConfigError(f"{self.kind} at {self.at:g} s: name the `fleet`, unless it is a `balancer`")
        if self.at < 0 or self.drain < 0 or self.restart < 0:
            raise ConfigError(f"{self.kind}: `at`, `drain` and `restart` are 0 or later")
        if self.kind == "slow" and not 0 < self.amount < float("inf"):
            raise ConfigError(f"slow at {self.at:g} s: `amount` is a factor above 0, not {self.amount!r}")
        if self.kind == "deploy" and not 0 < self.amount <= 1:
            raise ConfigError(f"deploy at {self.at:g} s: `amount` is the share at a time, up to 1, not {self.amount!r}")
        if self.share is not None:
            _check_share(f"{self.kind} at {self.at:g} s: `share`", self.share)
        if self.lasts is not None:
            _check_longer(f"{self.kind} at {self.at:g} s: `lasts`", self.lasts)


StrokeKind = Literal["crash", "hang", "slow", "heal", "drain", "stop", "start"]


class Stroke(Struct, frozen=True):
    """One thing that befalls one machine: a mishap, spelled out.

    `fleet` is -1 for a balancer, and `machine` its number, or the instance's in its fleet. `drain`, `stop` and `start`
    are the operator's doing, and every balancer is told.
    """

    at: float
    kind: StrokeKind
    fleet: int
    machine: int
    amount: float = 1.0


class World(Struct, frozen=True, forbid_unknown_fields=True):
    """A platform and its day. `lasts` seconds are played; `seed` decides everything that is left to chance."""

    fleets: tuple[Fleet, ...]
    balancers: Balancers = field(default_factory=Balancers)
    load: Load = field(default_factory=Load)
    mishaps: tuple[Mishap, ...] = ()
    lasts: Seconds = Seconds(60)
    seed: int = 1
    title: str = ""

    def __post_init__(self) -> None:
        names = [fleet.name for fleet in self.fleets]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"world: it needs fleets, each of another name, not {names!r}")
        if not sum(fleet.share for fleet in self.fleets) > 0:
            raise ConfigError("world: no fleet has a `share` of the traffic")
        _check_longer("world: `lasts`", self.lasts)
        for mishap in self.mishaps:
            self._check_target(mishap, names)

    def _check_target(self, mishap: Mishap, names: list[str]) -> None:
        where = f"{mishap.kind} at {mishap.at:g} s:"
        if mishap.balancer is not None:
            if not 0 <= mishap.balancer < self.balancers.count:
                raise ConfigError(f"{where} there are balancers 0 to {self.balancers.count - 1}, no {mishap.balancer}")
            return
        if mishap.fleet not in names:
            raise ConfigError(f"{where} there is no fleet {mishap.fleet!r}; {hint(mishap.fleet, names)}")
        fleet = self.fleets[names.index(mishap.fleet)]
        if any(not 0 <= instance < fleet.room for instance in mishap.instances):
            raise ConfigError(f"{where} {fleet.name} has instances 0 to {fleet.room - 1}, not {mishap.instances!r}")
        if mishap.zone is not None and not 0 <= mishap.zone < fleet.zones:
            raise ConfigError(f"{where} {fleet.name} has zones 0 to {fleet.zones - 1}, no {mishap.zone}")

    def share(self, fleet: int) -> float:
        """The share of all requests that want that fleet, between 0 and 1."""
        return self.fleets[fleet].share / sum(each.share for each in self.fleets)

    def timeline(self) -> tuple[Stroke, ...]:
        """Every mishap spelled out machine by machine, in order of time. The seed decides whom a `share` hits."""
        strokes = [stroke for number, mishap in enumerate(self.mishaps) for stroke in self._strokes(number, mishap)]
        return tuple(sorted(strokes, key=lambda stroke: stroke.at))

    def _strokes(self, number: int, mishap: Mishap) -> Iterator[Stroke]:
        if mishap.balancer is not None:
            yield from _struck(mishap, -1, mishap.balancer)
            return
        index = next(index for index, fleet in enumerate(self.fleets) if fleet.name == mishap.fleet)
        fleet = self.fleets[index]
        if mishap.kind == "deploy":
            yield from _deployed(mishap, index, fleet)
            return
        for instance in self._hit(number, mishap, fleet):
            yield from _struck(mishap, index, instance)

    def _hit(self, number: int, mishap: Mishap, fleet: Fleet) -> tuple[int, ...]:
        if mishap.zone is not None:
            return tuple(range(mishap.zone, fleet.room, fleet.zones))
        if mishap.share is None:
            return mishap.instances
        count = max(1, ceil(mishap.share * fleet.instances - 1e-9))
        return tuple(sorted(Random(f"{self.seed}/mishap/{number}").sample(range(fleet.instances), count)))


def _struck(mishap: Mishap, fleet: int, machine: int) -> Iterator[Stroke]:
    kind: StrokeKind = "heal" if mishap.kind == "deploy" else mishap.kind
    yield Stroke(mishap.at, kind, fleet, machine, mishap.amount if kind == "slow" else 1.0)
    if mishap.lasts is not None and kind != "heal":
        yield Stroke(mishap.at + mishap.lasts, "heal", fleet, machine)


def _deployed(mishap: Mishap, index: int, fleet: Fleet) -> Iterator[Stroke]:
    """Batch after batch: drained, stopped, started; the next begins when the last is back."""
    batch = max(1, ceil(mishap.amount * fleet.room - 1e-9))
    for turn, first in enumerate(range(0, fleet.room, batch)):
        begins = mishap.at + turn * (mishap.drain + mishap.restart)
        for instance in range(first, min(first + batch, fleet.room)):
            yield Stroke(begins, "drain", index, instance)
            yield Stroke(begins + mishap.drain, "stop", index, instance)
            yield Stroke(begins + mishap.drain + mishap.restart, "start", index, instance)


def _check_share(what: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ConfigError(f"{what} is between 0 and 1, not {share!r}")


def _check_longer(what: str, seconds: float) -> None:
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{what} must be longer than 0, not {seconds!r}")


def _check_count(what: str, count: int, least: int, most: int) -> None:
    if not least <= count <= most:
        raise ConfigError(f"{what} is a whole number from {least} to {most}, not {count!r}")
