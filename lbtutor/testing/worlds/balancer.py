"""Whatever chooses a server: the family of all balancing algorithms.

The model knows who is a member, who is up, how much everybody has to do and what time it is. An operation changes it
and tells the code under test, in whichever of two shapes that came:

    chooses       our shape: `pick(request, backends)`; we keep the books, and it is offered whoever is up
    keeps books   a balancer of its own: `__init__([(name, weight)])`, `pick(client, now)`, and whatever it has of
                  `started finished set_healthy add remove`

    operation                 what happens
    pick c                    client c asks, and nothing is started
    retry c                   client c asks, whoever was chosen refuses, and it is offered to the others (ours only)
    serve c                   client c asks, and the request starts on whoever was chosen
    start k                   a request starts on server k, chosen by somebody else
    pile k n                  n requests start on server k
    answer k ms               a request starts on server k and ends after so many milliseconds, before anything else
    finish j ok ms            the j-th oldest request ends, after so many milliseconds
    finish_again j            its end is told once more
    finish_unknown            a request ends on a server that nobody knows
    health k up               server k is said to be up or down; health_twice says it twice
    add w · readd k           a newcomer; one that left, or that is still there, is added (again)
    remove k · remove_unknown server k leaves; somebody leaves whom nobody knows
    swap k                    server k leaves and is added again at once
    weigh k w                 server k is added again, with another weight
    wait ms · back ms         time goes on, or runs backwards
    crowd n c                 n different clients, from number c on, ask; nothing is started
    load n c                  n clients ask and stay: each request starts, none ends
    closed n ms {k: ms}       n requests one after the other: each ends after its server's latency, before the next;
                              `ms` passes between them

What a balancer has no method for is not done to it. One that has no `started`, or whose adapter says `counts_in_pick`,
counts when it chooses, so a `pick` is a `serve` to it. With `beside` in the setting a second object of the class is at
work all the time, with one of its servers down: nothing of that is the first one's business. With `grown` our shape is
offered that part of each weight, as in a slow start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lbtutor.core.errors import ConfigError
from lbtutor.testing.adapt import ALIASES
from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw, operations
from lbtutor.testing.program import Moment, Op, Program
from lbtutor.testing.sandbox.room import Class, Parameter, Room
from lbtutor.testing.worlds.pool import CHOOSES, KEEPS_BOOKS, NAMES, Choice, Model, address
from lbtutor.testing.worlds.subjects import lacking

__all__ = ["NAMES", "Choice", "address", "servers", "story"]

MINE = frozenset(
    {"round_robin", "weighted_round_robin", "least_connections", "least_response_time", "peak_ewma", "power_of_two"}
)
"""Those whose programs have retries and swaps too; the hashes have laws of their own for such."""

KINDS = {
    "serve": 5.0, "finish": 4.0, "pick": 3.0, "health": 2.0, "start": 2.0, "add": 1.0, "remove": 1.0, "readd": 0.7,
    "weigh": 0.5, "wait": 1.0, "health_twice": 0.5, "finish_again": 0.5, "finish_unknown": 0.5, "remove_unknown": 0.5,
    "back": 0.3, "retry": 1.0, "swap": 0.7,
}  # fmt: skip
"""The odds of an operation. `serve`, which is a pick and a start, makes rare histories ten times as likely (measured:
7.4 % of 40-step programs met the rarest of eight bugs, 0.7 % with even odds); a bare `pick` shows who counts ahead."""

FAILS = (0.15, 0.0, 0.5, 1.0)
"""Shares of requests that fail; programs differ in it."""

MEASURING = frozenset({"least_response_time", "peak_ewma"})
HASHING = frozenset({"ip_hash", "consistent_hash", "bounded_load", "maglev", "rendezvous"})
WEIGHTED = frozenset({"weighted_round_robin", "least_connections"}) | HASHING - {"ip_hash"}

ODD_CLIENTS = ("::1", "2001:db8::7", "localhost", "", "größe", "10.0.0.1:5000", "x" * 10_000)
"""What else may name a client: whoever hashes it has to take any text."""


POOLS = frozenset(
    {"backends", "servers", "pool", "nodes", "hosts", "upstreams", "candidates", "members", "targets", "endpoints"}
)
"""What strangers call the servers that they are offered, or are made with."""

BOOKS = ("started", "finished", "set_healthy", "add", "remove")
"""Whoever is told of these keeps books."""


def recognise(cls: Class) -> str | None:
    """By `pick`: ours takes a request and backends, and its constructor needs nothing.

    Raises `ConfigError` for one that is neither, and says what is in the way.
    """
    pick = cls.methods.get("pick")
    if pick is None:
        return None
    plain = [parameter for parameter in pick.parameters if parameter.kind == "plain"]
    takes = [parameter.name.lower() for parameter in plain]
    needs = [parameter.name for parameter in cls.constructor if parameter.required and parameter.name != "rng"]
    books = bool(needs) or (_is_made_of_something(cls) and not cls.methods.keys().isdisjoint(BOOKS))
    if not POOLS.isdisjoint(takes) or (len(takes) == 2 and not books and takes[1] not in ALIASES["now"]):
        _must_be_offered(cls, plain, needs)
        return CHOOSES
    _must_be_made_of_servers(cls, needs)
    return KEEPS_BOOKS


def _is_made_of_something(cls: Class) -> bool:
    return any(parameter.kind in ("plain", "rest") and parameter.name != "rng" for parameter in cls.constructor)


def _must_be_offered(cls: Class, takes: list[Parameter], needs: list[str]) -> None:
    if needs:
        raise ConfigError(
            f"the constructor of {cls.name} needs {', '.join(needs)}, and whoever is offered its servers when it picks"
            " is made of nothing but an `rng`: give these defaults"
        )
    if len(takes) < 2 or sum(parameter.required for parameter in takes) > 2:
        told = ", ".join(parameter.name for parameter in takes)
        raise ConfigError(f"{cls.name} has pick({told}); write `pick(request, backends)`, as it will be asked")


def _must_be_made_of_servers(cls: Class, needs: list[str]) -> None:
    if len(needs) > 1:
        raise ConfigError(
            f"the constructor of {cls.name} needs {', '.join(needs)}; it gets one value, the servers as"
            " [(name, weight), …]: give the others defaults"
        )
    if not _is_made_of_something(cls):
        raise ConfigError(
            f"{cls.name} is never told of its servers: let its constructor take them, as [(name, weight), …], or write"
            " `pick(request, backends)`"
        )


def servers(count: int, names: tuple[str, ...] = NAMES[0]) -> list[list[Any]]:
    """So many servers of weight 1, for a setting."""
    return [[names[k] if k < len(names) else f"{names[0]}{k}", 1] for k in range(count)]


def grammar(draw: Draw, component: str) -> Program:
    names = draw.one(NAMES, (5, 1, 1, 1))
    count = draw.one((3, 2, 1, 4, 5, 6, 0), (6, 5, 1, 3, 2, 1, 0.5))
    pool = servers(count, names)
    weighted = component in WEIGHTED
    if weighted and draw.chance(0.7):
        for server in pool:
            server[1] = draw.one((1, 2, 3, 5, 8, 10))
    left_out = {"weigh": not weighted, "retry": component not in MINE, "swap": component not in MINE}
    kinds = {kind: odds for kind, odds in KINDS.items() if not left_out.get(kind)}
    setting = {"servers": pool, "names": list(names), "seed": draw.number(0, 999)}
    begin = _each_fails_once(count) if component in HASHING else ()
    return Program(setting, (*begin, *story(draw, kinds, component)))


def _each_fails_once(count: int) -> tuple[Op, ...]:
    """One client, while a few servers fail one after the other till nobody is up, and when they are back: that the
    client comes again and its own server failed meanwhile is rare by chance alone."""
    if not 0 < count <= 3:
        return ()
    fall = [op for k in range(count) for op in (("health", k, False), ("pick", 0))]
    return ("pick", 0), *fall, *(("health", k, True) for k in range(count)), ("pick", 0)


def story(draw: Draw, kinds: dict[str, float], component: str = "", fails: Sequence[float] = FAILS) -> tuple[Op, ...]:
    """Operations of those kinds, by their odds; one of those shares of requests fails."""
    share = draw.one(fails)
    return tuple(_op(draw, kind, component, share) for kind in operations(draw, kinds))


def _op(draw: Draw, kind: str, component: str, fails: float) -> Op:
    match kind:
        case "pick" | "serve" | "retry":
            if component == "bounded_load" and draw.chance(0.5):
                return (kind, 0)  # every other request is for the same key, so its server gets hot
            odd = component in HASHING and draw.chance(0.1)
            return (kind, draw.one(ODD_CLIENTS) if odd else draw.number(0, 30))
        case "finish":
            return (kind, draw.number(0, 5), not draw.chance(fails), draw.one((10, 1, 100, 1000)))
        case "health" | "health_twice":
            return (kind, draw.number(0, 5), draw.chance(0.5))
        case "add":
            return (kind, draw.one((1, 2, 5)) if component in WEIGHTED else 1)
        case "weigh":
            return (kind, draw.number(0, 5), draw.one((1, 2, 3, 5, 10)))
        case "wait" | "back":
            return (kind, draw.one((10, 100, 1000, 60_000)))
        case "finish_unknown" | "remove_unknown":
            return (kind,)
        case _:
            return (kind, draw.number(0, 5))


def lacks(target: Target) -> frozenset[str]:
    """The operations that this code cannot be told of, for want of a method.

    Raises `ConfigError` for one that is to choose by how long answers take and is never told.
    """
    without = frozenset() if target.shape == CHOOSES else lacking(target)
    if target.component in MEASURING and "finish" in without:
        raise ConfigError(
            f"{target.cls.name} is never told how long answers take: it has no finished(name, now, latency, ok); if it"
            " is called otherwise, say so, as in --adapt 'finished=record(name, latency)'"
        )
    return without


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Model:
    return Model(room, target, setting)


def simpler(program: Program) -> Iterator[Program]:
    """Fewer servers, dull names, weight 1, then duller operations."""
    setting, ops = program.setting, program.ops
    pool: list[list[Any]] = setting["servers"]
    for k in range(len(pool)):
        yield Program({**setting, "servers": pool[:k] + pool[k + 1 :]}, ops)
    dull = [[NAMES[0][k] if k < 8 else name, weight] for k, (name, weight) in enumerate(pool)]
    if dull != pool:
        yield Program({**setting, "servers": dull, "names": list(NAMES[0])}, ops)
    for k, (name, weight) in enumerate(pool):
        if weight != 1:
            yield Program({**setting, "servers": [*pool[:k], [name, 1], *pool[k + 1 :]]}, ops)
    for number, op in enumerate(ops):
        for duller in _duller(op):
            yield Program(setting, (*ops[:number], duller, *ops[number + 1 :]))


def _duller(op: Op) -> Iterator[Op]:
    match op:
        case ("serve", client):
            yield ("pick", client)
            if client != 0:
                yield ("serve", 0)
        case ("retry", client):
            yield ("pick", client)
            if client != 0:
                yield ("retry", 0)
        case ("pick", client) if client != 0:
            yield ("pick", 0)
        case ("finish", j, ok, ms) if (j, ok, ms) != (0, True, 10):
            yield ("finish", 0, True, 10)
            yield ("finish", j, True, 10)
        case ("health_twice", k, up):
            yield ("health", k, up)
        case ("health" | "start" | "remove" | "readd" | "swap" as kind, k, *rest) if k != 0:
            yield (kind, 0, *rest)
        case ("add", weight) if weight != 1:
            yield ("add", 1)
        case ("pile", k, count) if count > 1:
            yield from (("pile", k, fewer) for fewer in (count // 2, count - 1))
        case ("pile", k, 1):
            yield ("start", k)
        case (("crowd" | "load") as kind, count, *rest) if count > 1:
            first = rest[0] if rest else 0
            yield (kind, count // 2, first)
            yield (kind, count - count // 2, first + count // 2)
        case _:
            return


NOTES = {
    "beside": "beside it works another balancer of this class, whose own first server is down",
    "grown": "all of them in a slow start: `backend.weight` is {:g} of that",
}
"""What a story says of a setting first."""


def picture(setting: Mapping[str, Any], moments: list[Moment], upto: int) -> list[str]:  # noqa: ARG001 (as others need)
    pool = setting["servers"]
    if not pool:
        return ["servers: none"]
    notes = [note.format(setting[key]) for key, note in NOTES.items() if setting.get(key)]
    listed = ", ".join(f"{name} (weight {weight:g})" if weight != 1 else str(name) for name, weight in pool)
    return [f"servers: {listed}, {'all ' if len(pool) > 1 else ''}up", *notes]
