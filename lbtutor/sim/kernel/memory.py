"""A world laid out in the kernel's memory, as it is at the beginning; the names are those of `layout`."""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import log, sqrt

from lbtutor.core.algorithms.consistent import ring_points, stable_hash
from lbtutor.core.algorithms.hashing import address_hash
from lbtutor.core.errors import ConfigError
from lbtutor.core.health import HealthCheck
from lbtutor.sim.kernel.compiled import Array, floats, ints, longer
from lbtutor.sim.kernel.dice import CONSTANT, EXPONENTIAL, LOGNORMAL, TRAFFIC, exponential, new_dice, uniform
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.world import KERNEL_ALGORITHMS, Fleet, World


def new_memory(world: World) -> Memory:
    """A world at its beginning: all machines up and idle, all beliefs right, nobody under way.

    Raises `ConfigError` for one with more requests than the kernel can tell apart.
    """
    wanted = world.load.between(0.0, world.lasts) * max(fleet.retry.attempts for fleet in world.fleets)
    if wanted > MOST_PICKS:
        raise ConfigError(
            f"world: {wanted:.3g} tries are more than the kernel plays (2**31); let the flow model tell it"
        )
    dice = new_dice(world.seed)
    fleets, balancers = len(world.fleets), world.balancers.count
    firsts = [0, *accumulate(fleet.room for fleet in world.fleets)]
    instances, views = firsts[-1], firsts[-1] * balancers
    width, buckets = _calendar(world)
    carts = [0 if fleet.carts is None else fleet.carts.open for fleet in world.fleets]
    points, starts, spans = _rings(world, firsts)
    addresses = [client_address(client) for client in range(world.load.clients)]
    fails = max((fleet.passive.fails for fleet in world.fleets if fleet.passive), default=1)
    whole = {
        AT_BUCKET: [-1] * buckets,
        AT_INSTANCE: _instance_rows(world),
        AT_BELIEF: [0] * (views * VIEW),
        AT_KEYS: [NOT_OFFERED + i for _ in range(balancers) for fleet in world.fleets for i in range(fleet.room)],
        AT_OFFERED: [0] * views,
        AT_REST: [0] * max(fleet.room for fleet in world.fleets),
        AT_GROUP: [0] * (balancers * fleets * GROUP),
        AT_FLEET: _fleet_rows(world, firsts, carts, spans),
        AT_BALANCER: [1, HEALTHY, 0] * balancers,
        AT_CLIENT_AT: [-1] * world.load.clients,
        AT_CLIENT_HASH: list(map(address_hash, addresses)),
        AT_RING_OWNER: points,
        AT_RING_START: starts,
        AT_CART_HOME: [-1] * sum(carts),
        AT_COUNT: [0] * (fleets * N_COUNTS),
        AT_TOLD: [0] * (balancers * N_AT),
        AT_PICKED: [0] * instances,
        AT_LATENCY: [0] * (fleets * BUCKETS),
        AT_REQUEST: [],
    }
    real = {
        AT_SLOW: [1.0] * instances,
        AT_BELIEF_TIMES: [NEVER] * (views * VIEW_TIMES),
        AT_ENDS: [0.0] * views,
        AT_REST_ENDS: [0.0] * max(fleet.room for fleet in world.fleets),
        AT_FAILED_AT: [-NEVER] * (views * fails),
        AT_FLEET_TIMES: _fleet_times(world),
        AT_BALANCER_TIMES: _balancer_times(world),
        AT_CLIENT_UNTIL: [-NEVER] * world.load.clients,
        AT_CART_TIMES: _cart_times(world, dice),
        AT_SPENT: [0.0] * (fleets * N_TIMES),
        AT_WEIGHTS: [fleet.weight(i) for fleet in world.fleets for i in range(fleet.room)],
        AT_TIMES: [],
    }
    memory = _laid_out(_whole(world, instances, buckets, fails), _whole_times(world, width), whole, real, dice)
    _first_views(world, memory, firsts)
    memory.x[Z_LEFT] = 1.0 if world.load.arrivals == "steady" else exponential(dice, TRAFFIC)
    return grown(memory, 4096)


def grown(memory: Memory, more: int) -> Memory:
    """The same with room for `more` requests at once."""
    had = memory.n[Z_USED]
    links = [0] * (more * REQUEST)
    for index in range(more):
        links[index * REQUEST + NEXT] = had + index + 1 if index + 1 < more else memory.n[Z_FREE]
    memory.n[Z_FREE] = had
    memory.n[Z_FREE_COUNT] += more
    memory.n[Z_USED] += more
    return memory._replace(n=longer(memory.n, links), x=longer(memory.x, [0.0] * (more * REQUEST_TIMES)))


def _laid_out(
    whole: list[int],
    whole_times: list[float],
    ints_of: dict[int, list[int]],
    floats_of: dict[int, list[float]],
    dice: Array,
) -> Memory:
    """One section after another, and where each begins."""
    n, x = [*whole, *[0] * (INT_SECTIONS + FLOAT_SECTIONS)], list(whole_times)
    for at, values in ints_of.items():
        n[at] = len(n)
        n += values
    for at, reals in floats_of.items():
        n[at] = len(x)
        x += reals
    return Memory(ints(n), floats(x), dice)


def client_address(client: int) -> str:
    """The address of the client numbered from 0."""
    return f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}"


def _calendar(world: World) -> tuple[float, int]:
    """The width of one bucket of the calendar, four ends or so, and how many buckets there are.

    Narrower ones make shorter lists, but more of them than the processor's nearest memory holds.
    """
    width = 4.0 / max(1.0, *(rate for _, rate in world.load.rate))
    horizon = 12 * max(fleet.work for fleet in world.fleets)
    buckets = 16
    while buckets * width < horizon and buckets < 1 << 17:
        buckets *= 2
    return width, buckets


def _instance_rows(world: World) -> list[int]:
    rows: list[int] = []
    for number, fleet in enumerate(world.fleets):
        for i in range(fleet.room):
            row = [0] * INSTANCE_ROW
            row[FIRST_IN_LINE] = row[LAST_IN_LINE] = -1
            row[FLEET] = number
            row[UP], row[MEMBER] = (RUNS, 1) if i < fleet.instances else (DOWN, 0)
            rows += row
    return rows


def _fleet_rows(world: World, firsts: list[int], carts: list[int], spans: list[tuple[int, int, int]]) -> list[int]:
    rows: list[int] = []
    for number, fleet in enumerate(world.fleets):
        retry, check = fleet.retry, fleet.health
        row = [0] * FLEET_ROW
        row[FIRST], row[ROOM] = firsts[number], fleet.room
        row[SLOTS], row[QUEUE] = fleet.slots, fleet.queue
        row[ALGORITHM] = KERNEL_ALGORITHMS.index(fleet.algorithm)
        row[SHAPE] = {"exponential": EXPONENTIAL, "constant": CONSTANT, "lognormal": LOGNORMAL}[fleet.shape]
        row[ATTEMPTS] = retry.attempts
        for column, word in (
            (RETRY_CONNECT, "connect"),
            (RETRY_CLOSE, "close"),
            (RETRY_TIMEOUT, "timeout"),
            (RETRY_FULL, "503"),
        ):
            row[column] = word in retry.on
        row[EARNS] = -1 if retry.budget is None else round(retry.budget * MILLION)
        if check is not None:
            row[CHECKED], row[RISE], row[FALL] = 1, check.rise, check.fall
            row[UNCHECKED_FIRST] = check.initial == "unchecked"
        if fleet.passive is not None:
            row[PASSIVE], row[FAILS] = 1, fleet.passive.fails
        row[FAIL_OPEN] = fleet.all_down == "fail_open"
        row[CARTS], row[FIRST_CART] = carts[number], sum(carts[:number])
        row[STICKY], row[STORE] = fleet.sticky is not None, fleet.store
        row[FIRST_POINT], row[POINTS], row[FIRST_START] = spans[number]
        row[SOCKETS_OPEN] = 0
        rows += map(int, row)
    return rows


def _fleet_times(world: World) -> list[float]:
    rows: list[float] = []
    ends = list(accumulate(world.share(number) for number in range(len(world.fleets))))
    for number, fleet in enumerate(world.fleets):
        row = [0.0] * FLEET_TIMES
        row[SHARE_UP_TO] = ends[number]
        row[MEAN], row[TIMEOUT] = fleet.work, fleet.timeout
        variance = log(1.0 + fleet.spread**2)
        row[SIGMA], row[MU] = sqrt(variance), log(fleet.work) - variance / 2.0
        check = fleet.health or HealthCheck()
        row[INTERVAL], row[PROBE_TIMEOUT] = check.interval, check.timeout
        if fleet.passive is not None:
            row[WINDOW], row[EJECT], row[MOST_EJECTED] = (
                fleet.passive.window,
                fleet.passive.eject,
                fleet.passive.max_ejected,
            )
        row[SLOW_START] = fleet.slow_start or 0.0
        row[BACKOFF] = fleet.retry.backoff
        row[STICKY_FOR] = fleet.sticky or 0.0
        if fleet.carts is not None:
            row[CART_SHARE], row[CART_LASTS] = fleet.carts.share, fleet.carts.lasts
        row[NEXT_SOCKET] = NEVER
        if fleet.sockets is not None:
            row[SOCKET_LASTS], row[SOCKET_AWAY] = fleet.sockets.lasts, fleet.sockets.reconnect
            row[SOCKET_BIRTHS] = fleet.sockets.open / fleet.sockets.lasts
        rows += row
    return rows


def _balancer_times(world: World) -> list[float]:
    count, check = world.balancers.count, world.balancers.dns.health
    return [value for b in range(count) for value in (0.0, NEVER if check is None else check.interval * b / count)]


def _whole(world: World, instances: int, buckets: int, fails: int) -> list[int]:
    row = [0] * N_WHOLE
    row[Z_FLEETS], row[Z_BALANCERS], row[Z_INSTANCES] = len(world.fleets), world.balancers.count, instances
    row[Z_MOST_FAILS] = fails
    row[Z_FREE], row[Z_MASK], row[Z_CLIENTS] = -1, buckets - 1, world.load.clients
    row[Z_STEADY] = world.load.arrivals == "steady"
    check = world.balancers.dns.health
    if check is not None:
        row[Z_DNS_CHECKED], row[Z_DNS_RISE], row[Z_DNS_FALL] = 1, check.rise, check.fall
    return list(map(int, row))


def _whole_times(world: World, width: float) -> list[float]:
    balancers, check = world.balancers, world.balancers.dns.health or HealthCheck()
    row = [0.0] * N_WHOLE_TIMES
    row[Z_NEXT_ARRIVAL] = row[Z_SOCKET] = NEVER
    row[Z_PER_WIDTH] = 1.0 / width
    row[Z_B_COST], row[Z_B_QUEUE], row[Z_B_ADDS] = 1.0 / balancers.capacity, balancers.queue, balancers.adds
    row[Z_TTL], row[Z_DNS_INTERVAL] = balancers.dns.ttl, check.interval
    return row


def _cart_times(world: World, dice: Array) -> list[float]:
    """When each cart ends, spread evenly over a cart's life; when it was last used; since when it is where it is."""
    return [
        value
        for fleet in world.fleets
        if fleet.carts is not None
        for _ in range(fleet.carts.open)
        for value in (fleet.carts.lasts * uniform(dice, TRAFFIC), 0.0, 0.0)
    ]


def _first_views(world: World, memory: Memory, firsts: list[int]) -> None:
    balancers, instances = world.balancers.count, firsts[-1]
    for b in range(balancers):
        for number, fleet in enumerate(world.fleets):
            memory.n[memory.n[AT_GROUP] + (b * len(world.fleets) + number) * GROUP + SAVED] = 3 * MILLION
            for i in range(fleet.room):
                row = b * instances + firsts[number] + i
                _first_view(memory, row, fleet, i, b / balancers)


def _first_view(memory: Memory, row: int, fleet: Fleet, i: int, turn: float) -> None:
    """Probes of one pool take turns within the interval, and the balancers within a turn."""
    view = memory.n[AT_BELIEF] + row * VIEW
    times = memory.n[AT_BELIEF_TIMES] + row * VIEW_TIMES
    check = fleet.health
    memory.n[view + BELIEVED] = UNCHECKED if check is not None and check.initial == "unchecked" else HEALTHY
    memory.n[view + STEP] = 10
    if check is not None and i < fleet.instances:
        memory.x[times + NEXT_PROBE] = check.interval * (i + turn) / fleet.instances
    memory.x[times + READMITTED_AT] = 0.0
    memory.x[times + SINCE] = 0.0
    memory.x[times + LATENCY] = memory.x[times + LATENCY_AT] = -1.0
    memory.x[times + ASKED_AT] = -NEVER
    memory.x[times + WEIGHT] = fleet.weight(i)
    memory.x[times + PURSE] = 0.0


def _rings(world: World, firsts: list[int]) -> tuple[list[int], list[int], list[tuple[int, int, int]]]:
    """For fleets that hash consistently: the owners of the points in order, and where each client's walk begins."""
    owners: list[int] = []
    starts: list[int] = []
    spans: list[tuple[int, int, int]] = []
    for number, fleet in enumerate(world.fleets):
        if fleet.algorithm != "consistent_hash":
            spans.append((0, 0, 0))
            continue
        points = _points(fleet, firsts[number])
        places = [place for place, _ in points]
        spans.append((len(owners), len(points), len(starts)))
        owners += [owner for _, owner in points]
        starts += [
            bisect_left(places, stable_hash(client_address(client))) % len(points)
            for client in range(world.load.clients)
        ]
    return owners, starts, spans


def _points(fleet: Fleet, first: int) -> list[tuple[int, int]]:
    """(place, owner) of every instance that there may ever be: who is not offered is walked past."""
    names = {instance_name(i): i for i in range(fleet.room)}
    owner: dict[int, int] = {}
    for name in sorted(names):
        for place in ring_points(name, max(1, round(160 * fleet.weight(names[name])))):
            owner.setdefault(place, first + names[name])
    return sorted(owner.items())


def instance_name(i: int) -> str:
    """The name by which an instance is hashed."""
    return f"i{i}"
