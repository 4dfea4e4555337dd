"""The flow model: a world in steps of a second, with requests as a fluid. An hour takes about half a second.

`play_flow` gives the same `Tape` as the kernel does, and what the autoscalers wished. It knows means and no chance: no
bursts, no unlucky hash, and what takes less than a second (a full line, an ejection) is settled within one. What it
tells of load, sheds, failures, carts and WebSockets is what these mean values make of them; of latencies it tells the
mean, and percentiles as if work were exponential.

`crowd` is the clients and the name server, `herds` the instances of a service, `core.scaling` who wants more of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from math import ceil, log
from random import Random

from msgspec import Struct

from lbtutor.core.scaling import Autoscaler, Wish
from lbtutor.sim.crowd import Crowd
from lbtutor.sim.herd import Second
from lbtutor.sim.herds import Herds
from lbtutor.sim.tape import AT_BALANCERS, COUNTS, GAUGES, TIMES, Tape
from lbtutor.sim.world import Balancers, Stroke, World
from lbtutor.trace.histogram import LOG_GROWTH

_BANDS = (
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.475, 0.525, 0.6, 0.7, 0.8),
    *(0.88, 0.92, 0.945, 0.955, 0.97, 0.985, 0.9945, 0.9985, 1.0),
)
"""Quantiles between which the time of work is taken as one value, the mean of an exponential one in that band."""


DRAIN = 30.0
"""Seconds that an instance which scaling removes is drained, unless somebody says otherwise."""


class Flow(Struct):
    """What was played: the tape, and every change of mind of every autoscaler, by fleet, in order."""

    tape: Tape
    wishes: list[tuple[str, Wish]]


def play_flow(
    world: World, drains: Mapping[str, float] | None = None, each_minute: Callable[[float], None] | None = None
) -> Flow:
    """Play the world from beginning to end.

    `drains` says for a fleet how long an instance is drained that its scaling removes. `each_minute` is told how many
    seconds of the world's time have passed.
    """
    play = _Play(world, drains or {})
    for second in range(ceil(world.lasts)):
        play.step(second)
        if each_minute is not None and second % 60 == 59:
            each_minute(second + 1)
    return Flow(play.tape, play.wishes)


class _Play:
    def __init__(self, world: World, drains: Mapping[str, float]) -> None:
        self.world = world
        count = world.balancers.count
        self.crowd = Crowd(world.balancers, Random(f"{world.seed}/names"))
        self.herds = [Herds(fleet, count, Random(f"{world.seed}/fleet/{fleet.name}")) for fleet in world.fleets]
        self.tape = Tape({fleet.name: fleet.room for fleet in world.fleets}, count)
        self.wishes: list[tuple[str, Wish]] = []
        self._shares = [world.share(number) for number in range(len(world.fleets))]
        self._strokes = list(world.timeline())
        self._drains = [drains.get(fleet.name, DRAIN) for fleet in world.fleets]
        self._scalers = [
            None if fleet.scaling is None else Autoscaler(fleet.scaling, wanted=fleet.instances)
            for fleet in world.fleets
        ]
        self._coming: list[list[tuple[float, int]]] = [[] for _ in world.fleets]
        self._whole = _Whole()
        self._in_flight = [0] * len(world.fleets)
        self._swallowed = [0.0] * len(world.fleets)

    def step(self, second: int) -> None:
        """One second of everything."""
        told = [Second() for _ in self.herds]
        self._strike(second, told)
        self.crowd.step(second)
        offered = self.world.load.between(second, second + 1)
        doors = _Doors(self.world.balancers, self.crowd, offered)
        for number, herds in enumerate(self.herds):
            herds.step(second, offered * doors.through * self._shares[number], told[number])
            self._scale(second, number, told[number])
            if second % 60 == 0:
                herds.tidy()
        self._write(second, offered, doors, told)

    def _strike(self, second: int, told: list[Second]) -> None:
        while self._strokes and self._strokes[0].at < second + 1:
            stroke = self._strokes.pop(0)
            if stroke.fleet >= 0:
                self.herds[stroke.fleet].strike(second, stroke, told[stroke.fleet])
            else:
                self._strike_balancer(second, stroke, told)

    def _strike_balancer(self, second: int, stroke: Stroke, told: list[Second]) -> None:
        share = self.crowd.share[stroke.machine]
        self.crowd.strike(second, stroke.machine, stroke.kind == "heal")
        if stroke.kind == "crash":
            for herds, lost in zip(self.herds, told, strict=True):
                herds.cut_sockets(share, lost)

    def _scale(self, second: int, number: int, told: Second) -> None:
        scaler, herds = self._scalers[number], self.herds[number]
        if scaler is None:
            return
        now = second + 1
        slots = herds.running * herds.fleet.slots
        wish = scaler.observe(now, told.busy / slots if slots else None, herds.running)
        if wish is not None:
            self.wishes.append((herds.fleet.name, wish))
        herds.replace_dead(now + scaler.config.warm_up)
        coming = self._coming[number]
        while coming and coming[0][0] <= now:
            herds.add(now, coming.pop(0)[1])
        missing = scaler.wanted - herds.staying - sum(count for _, count in coming)
        if missing > 0:
            coming.append((now + scaler.config.warm_up, missing))
        elif missing < 0:
            herds.remove(now, -missing, self._drains[number])

    def _write(self, second: int, offered: float, doors: _Doors, told: list[Second]) -> None:
        """Make the second whole numbers that add up, and append it to the tape."""
        counts: dict[str, list[int]] = {name: [] for name in (*COUNTS, *GAUGES)}
        times: dict[str, list[float]] = {name: [] for name in TIMES}
        latency: list[dict[int, int]] = []
        for number, (herds, one) in enumerate(zip(self.herds, told, strict=True)):
            ours = offered * self._shares[number]
            whole = self._counts_of(number, ours, doors, one)
            whole.update({name: round(value) for name, value in herds.gauges(second).items()})
            for name, value in whole.items():
                counts[name].append(value)
            mean = one.work / one.served if one.served else 0.0
            line = one.wait / one.served if one.served else 0.0
            done = whole["served"]
            for name, each in (("took", doors.added + line + mean), ("waited", line), ("added", doors.added)):
                times[name].append(done * each)
            times["busy"].append(one.busy)
            latency.append(_spread(done, doors.added + line, mean))
        self.tape.add_second(counts, times, self._at_balancers(doors), self._picked(), latency)

    def _counts_of(self, number: int, ours: float, doors: _Doors, one: Second) -> dict[str, int]:
        """Whole numbers that add up: what was not turned away or lost, and did not stay, was served."""
        whole = {
            "offered": ours,
            "shed": one.shed,
            "shed_by_balancer": ours * doors.shed,
            "failed_before": one.failed_before + ours * doors.failed_before,
            "failed_after": one.failed_after + ours * doors.failed_after,
            **{name: getattr(one, name) for name in _AS_THEY_ARE},
        }
        rounded = {name: self._whole.of((name, number), value) for name, value in whole.items()}
        stays = rounded["offered"] - sum(rounded[name] for name in _UNSERVED) + self._in_flight[number]
        for name in _UNSERVED:  # rounding may have lost one request more than there were
            back = min(rounded[name], max(0, -stays))
            rounded[name], stays = rounded[name] - back, stays + back
        under_way = one.work + one.wait + doors.added * one.served
        self._hung(number, one)
        in_flight = min(max(0, stays), round(under_way + self._swallowed[number]))
        rounded["served"] = max(0, stays - in_flight)
        rounded["in_flight"] = self._in_flight[number] = stays - rounded["served"]
        return rounded

    def _hung(self, number: int, one: Second) -> None:
        """Requests that hung machines hold: they come and, when their time is out, go."""
        self._swallowed[number] += one.hung - one.released

    def _at_balancers(self, doors: _Doors) -> dict[str, list[int]]:
        clients = self.world.load.clients
        values = {
            "offered": doors.offered,
            "shed": doors.shed_at,
            "failed": doors.failed_at,
            "clients": [share * clients for share in self.crowd.share],
        }
        return {
            name: [self._whole.of((name, "at", number), value) for number, value in enumerate(values[name])]
            for name in AT_BALANCERS
        }

    def _picked(self) -> list[int]:
        row: list[int] = []
        for herds in self.herds:
            own = [0] * herds.fleet.room
            for herd in herds.herds:
                sent = int(herd.rate or herd.tries / len(herd.members))
                for member in herd.members:
                    own[member] = sent
            row += own
        return row


_UNSERVED = ("shed", "shed_by_balancer", "failed_before", "failed_after")
_AS_THEY_ARE = ("retried", "served_late", "carts_lost", "sockets_opened", "sockets_lost", "ejected")


class _Doors:
    """One second at the balancers: the shares of all requests that get through, are turned away, or find nobody."""

    def __init__(self, balancers: Balancers, crowd: Crowd, offered: float) -> None:
        self.offered = [offered * share for share in crowd.share]
        self.shed_at = [0.0] * len(self.offered)
        self.failed_at = [0.0] * len(self.offered)
        before = after = through = waiting = 0.0
        for number, came in enumerate(self.offered):
            if not crowd.alive[number]:
                self.failed_at[number] = came
                before, after = (before + came, after) if crowd.listed[number] else (before, after + came)
                continue
            taken = min(came, balancers.capacity)
            self.shed_at[number] = came - taken
            through += taken
            waiting += taken * _wait(came / balancers.capacity, balancers)
        whole = offered or 1.0
        self.through, self.shed = through / whole, sum(self.shed_at) / whole
        self.failed_before, self.failed_after = before / whole, after / whole
        self.added = balancers.adds + (waiting / through if through else 0.0)


def _wait(load: float, balancers: Balancers) -> float:
    """The mean wait of M/D/1 (Pollaczek and Khinchine), and the whole queue when there is more than can be done."""
    if load >= 1:
        return balancers.queue
    return min(balancers.queue, load / (2 * balancers.capacity * (1 - load)))


class _Whole:
    """Whole numbers whose sums stay within one of the sums of what they were made of."""

    def __init__(self) -> None:
        self._left: defaultdict[tuple[object, ...], float] = defaultdict(float)

    def of(self, name: tuple[object, ...], value: float) -> int:
        exact = self._left[name] + value
        whole = int(exact)
        self._left[name] = exact - whole
        return whole


def _band_means() -> list[tuple[float, float]]:
    """Each band's share, and its mean in units of the mean of all."""

    def above(quantile: float) -> float:
        """The part of the mean that lies above this quantile of an exponential distribution."""
        left = 1 - quantile
        return left * (1 - log(left)) if left else 0.0

    pairs = pairwise(_BANDS)
    return [(high - low, (above(low) - above(high)) / (high - low)) for low, high in pairs]


_MEANS = _band_means()


def _spread(served: int, fixed: float, work: float) -> dict[int, int]:
    """How many of those served took how long: the fixed part and exponential work, in buckets of the histogram."""
    buckets: dict[int, int] = {}
    given = 0
    for bucket, below in _buckets(round(fixed, 5), round(work, 5)):
        until = round(served * below)
        buckets[bucket] = buckets.get(bucket, 0) + until - given
        given = until
    return buckets


@lru_cache(maxsize=10_000)
def _buckets(fixed: float, work: float) -> tuple[tuple[int, float], ...]:
    """For each band the bucket, and the share of all that took no longer."""
    return tuple(
        (ceil(log(max(1e-9, fixed + work * mean)) / LOG_GROWTH), below)
        for (_, mean), below in zip(_MEANS, _BANDS[1:], strict=True)
    )
