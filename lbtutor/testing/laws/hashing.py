"""Choices by hash: IP hash, the ring, Maglev and rendezvous.

Four promises, each stronger than the one before: the same client finds the same server again; so it does in another
process; so it does however the pool came to be what it is; and when one server comes or goes, nobody else moves. Which
hash, how many points or slots, and who exactly gets whom, is nobody's business.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from msgspec import Struct

from lbtutor.testing.draw import Draw
from lbtutor.testing.lawbook import Above, law
from lbtutor.testing.program import Broken, Op, Program, Run
from lbtutor.testing.worlds.balancer import NAMES, Choice, servers

AGAIN, REVERSED = "the same servers were up by another way", "the same servers were listed in another order"
"""Two ways to the same pool."""

CONSISTENT = ("consistent_hash", "maglev", "rendezvous")
HASHES = ("ip_hash", *CONSISTENT)

Pool = frozenset[tuple[str, float]]
"""Who can be chosen, with what weight, in no order."""


# --- the same again


@law(
    *HASHES,
    meets=("a client came again", "a client came again after a server had been down"),
    only_by={"a client came again after a server had been down": ("health",)},
    hint="What, besides the client and the servers that are up, does your choice depend on?",
)
def a_client_keeps_its_server(run: Run[Choice]) -> None:
    """A client that comes again, with the same servers up, gets the same server again."""
    changes = flaps = 0
    seen: dict[tuple[str, int, frozenset[str]], tuple[Choice, int]] = {}
    for moment in run.moments:
        changes += moment.kind in ("add", "remove")
        flaps += moment.kind == "health"
        if moment.kind != "pick" or moment.answer not in moment.eligible:
            continue
        before, flaps_before = seen.setdefault((moment.client, changes, frozenset(moment.eligible)), (moment, flaps))
        if before is moment:
            continue
        run.meet("a client came again")
        run.meet("a client came again after a server had been down", int(flaps > flaps_before))
        if moment.answer != before.answer:
            raise Broken(
                moment, str(before.answer), str(moment.answer),
                f"{moment.client} had {before.answer} before, and the same servers are up as then",
            )  # fmt: skip


def a_few_clients(draw: Draw) -> Program:
    names = draw.one(NAMES)
    return Program({"servers": servers(draw.one((3, 2, 5)), names), "names": list(names)}, (("crowd", 24, 0),))


LONG_AFTER = 90_061_000
"""A day, an hour, a minute and a second, in ms: whoever looks at the clock sees another time in every unit."""


def with_a_past(program: Program) -> Iterator[Program]:
    """The same balancer beside it; one that was asked by others before; and one that had a server down."""
    yield program
    yield Program(program.setting, (("crowd", 7, 100), ("wait", LONG_AFTER), *program.ops))
    yield Program(program.setting, (("health", 0, False), *program.ops, ("health", 0, True), *program.ops))


def _past(run: Run[Choice]) -> str:
    kinds = {moment.kind for moment in run.moments}
    down = "which had a server down before" if "health" in kinds else "which was asked by others before"
    return down if kinds > {"crowd"} else "built from the same list"


@law(
    "ip_hash",
    source=a_few_clients,
    companions=with_a_past,
    meets=("two balancers were compared",),
    times=6,
    hint="Something in your choice belongs to this object or this run only: a salt, an id, a time, a table of before.",
)
def two_balancers_agree(run: Run[Choice]) -> None:
    """Two balancers with the same servers send a client to the same server, whatever each of them has seen before."""
    for other in run.others:
        for moment, past in zip(_crowds(run)[-1:], _crowds(other)[-1:], strict=False):
            run.meet("two balancers were compared")
            _agree(moment, past, f"the balancer beside it, {_past(other)},")


@law(
    *HASHES,
    source=a_few_clients,
    elsewhere=True,
    meets=("two processes were compared",),
    times=1,
    hint="Python's own hash() of text is different in every process (PYTHONHASHSEED). Which hash is not?",
)
def two_processes_agree(run: Run[Choice]) -> None:
    """A balancer in another process sends a client to the same server."""
    for moment, other in zip(_crowds(run), _crowds(run.others[-1]), strict=False):
        run.meet("two processes were compared")
        _agree(moment, other, "the same balancer in another process")


def _agree(moment: Choice, other: Choice, who: str) -> None:
    for number, (here, there) in enumerate(zip(moment.answer, other.answer, strict=True), 1):
        if here != there:
            raise Broken(moment, str(there), f"{here} for client {number}", f"{who} chose {there}")


def _crowds(run: Run[Choice]) -> list[Choice]:
    return list(run.answered("crowd"))


# --- however it came about


def many_ways(draw: Draw) -> Program:
    """Crowds before and after servers come and go, so that the same servers are up again by another way."""
    names = draw.one(NAMES)
    pool = servers(draw.one((3, 2, 4, 5)), names)
    if draw.chance(0.4):
        for server in pool:
            server[1] = draw.one((1, 2, 3, 5))
    ops: list[Op] = [("crowd", CROWD, 0)]
    for _ in range(draw.one((2, 4, 8))):
        ops += [*_detour(draw), ("crowd", CROWD, 0)]
    return Program({"servers": pool, "names": list(names)}, tuple(ops))


CROWD = 80


def _detour(draw: Draw) -> list[Op]:
    """Some change, often with its way back."""
    k = draw.number(0, 5)
    kinds = ("leave and return", "down and up", "remove", "readd", "add", "down", "up", "weigh", "weigh and leave")
    match draw.one(kinds, (3, *[1] * 7, 2)):
        case "leave and return":
            return [("remove", k), ("crowd", CROWD, 0), ("readd", k)]
        case "down and up":
            return [("health", k, False), ("crowd", CROWD, 0), ("health", k, True)]
        case "down":
            return [("health", k, False)]
        case "up":
            return [("health", k, True)]
        case "weigh":
            weight = draw.one((2, 3, 5))
            return [("weigh", k, weight), ("crowd", CROWD, 0), ("weigh", k, 1)]
        case "weigh and leave":
            return [("weigh", k, draw.one((3, 5))), ("weigh", k, 1), ("remove", k), ("crowd", CROWD, 0), ("readd", k)]
        case "add":
            return [("add", 1)]
        case kind:
            return [(kind, k)]


def backwards(program: Program) -> list[Program]:
    """A new balancer with the same servers, listed in the opposite order; asked by the first crowd."""
    crowds = [op for op in program.ops if op[0] == "crowd"]
    return [Program({**program.setting, "servers": program.setting["servers"][::-1]}, tuple(crowds[:1]))]


@law(
    *CONSISTENT,
    claims={"order_free": True},
    source=many_ways,
    companions=backwards,
    times=14,
    meets=(AGAIN, REVERSED),
    only_by={AGAIN: ("health", "remove", "add")},
    hint="Compare what a new balancer and one with a history hold for the same servers. Where do they differ?",
)
def how_it_came_about_does_not_matter(run: Run[Choice]) -> None:
    """The same servers mean the same choices, in whatever order they came and whatever happened before."""
    ways: dict[Pool, Choice] = {}
    for moment, situation in _all_crowds(run):
        if not moment.eligible or not set(moment.answer) <= set(moment.eligible):
            continue  # who chooses the dead breaks another law
        before = ways.setdefault(_pool(moment), moment)
        if before is moment:
            continue
        run.meet(situation)
        moved = [number for number, one, two in _pairs(before, moment) if one != two]
        if len(moved) > slack(run, len(moment.answer)):
            _differ(run, before, moment, moved)


def _all_crowds(run: Run[Choice]) -> Iterator[tuple[Choice, str]]:
    for moment in _crowds(run):
        yield moment, AGAIN
    for other in run.others:
        for moment in _crowds(other):
            yield moment, REVERSED


def _differ(run: Run[Choice], before: Choice, moment: Choice, moved: list[int]) -> None:
    number = moved[0]
    ours = moment if moment in run.moments else before
    how = "as before" if moment is ours else "as in a balancer whose list had the opposite order"
    expected = before.answer[number - 1] if moment is ours else moment.answer[number - 1]
    raise Broken(
        ours, str(expected), f"{ours.answer[number - 1]} for client {number}",
        f"the same servers are up {how}, where client {number} got {expected}{_others(len(moved))}",
    )  # fmt: skip


# --- who has to move


def one_comes_or_goes(draw: Draw) -> Program:
    """Other clients in every program, and few servers in some, so that the few clients at the end of a ring come."""
    names = draw.one(NAMES)
    crowd: Op = ("crowd", MANY, draw.number(0, 9999))
    ops: list[Op] = [crowd]
    for _ in range(2):
        ops += [_one_change(draw), crowd]
    return Program({"servers": servers(draw.one((3, 2, 4, 6)), names), "names": list(names)}, tuple(ops))


MANY = 150


def _one_change(draw: Draw) -> Op:
    kind = draw.one(("health", "remove", "add"))
    k = draw.number(0, 5)
    return ("health", k, False) if kind == "health" else ("remove", k) if kind == "remove" else ("add", 1)


@law(
    *CONSISTENT,
    claims={"extra_moves": 0},
    source=one_comes_or_goes,
    meets=("a server went", "a server came"),
    only_by={"a server went": ("health", "remove"), "a server came": ("add",)},
    times=12,
    hint="Take a client of a server that stayed: which of its numbers changed when another server went?",
)
def nobody_else_moves(run: Run[Choice]) -> None:
    """When one server goes, only its clients move; when one comes, clients move only to it."""
    for before, after in combinations(_crowds(run), 2):
        move = _one_change_between(run, before, after)
        if move is not None and move.needless:
            _moved(before, after, move)


class Move(Struct, frozen=True):
    """One server came or went between two crowds: of the `stayers`, whose server was there all the time, the
    `needless` moved all the same (both are clients, by number)."""

    what: str
    stayers: list[int]
    needless: list[int]


def _one_change_between(run: Run[Choice], before: Choice, after: Choice) -> Move | None:
    gone, come = _pool(before) - _pool(after), _pool(after) - _pool(before)
    if len(gone) + len(come) != 1 or not before.eligible or not after.eligible:
        return None
    run.meet("a server went" if gone else "a server came")
    changed = next(iter(gone | come))[0]
    stayers = [(number, one, two) for number, one, two in _pairs(before, after) if changed not in (one, two)]
    needless = [number for number, one, two in stayers if one != two]
    return Move(f"{changed} {'went' if gone else 'came'}", [number for number, *_ in stayers], needless)


def _moved(before: Choice, after: Choice, move: Move, because: str = "") -> None:
    number = move.needless[0]
    was, now = before.answer[number - 1], after.answer[number - 1]
    raise Broken(
        after, str(was), f"{now} for client {number}",
        f"{move.what}; client {number} had {was}, which is still there{_others(len(move.needless))}{because}",
    )  # fmt: skip


def a_long_life(draw: Draw) -> Program:
    """Servers come and go, then fail and recover, one at a time; all clients ask after each change."""
    names = draw.one(NAMES)
    crowd: Op = ("crowd", MANY, draw.number(0, 9999))
    turnover: list[Op] = [("add", 1), ("remove", 0)] * TIMES
    failures: list[Op] = [("health", 0, False)]
    for k in range(TIMES):
        failures += [("health", k + 1, False), ("health", k, True)]
    ops = [crowd, *(op for change in turnover + failures for op in (change, crowd))]
    return Program({"servers": servers(6, names), "names": list(names)}, tuple(ops))


TIMES = 8
"""So often a server comes and another goes; and so often one fails and another is back."""

UNLUCKY = 0.33
"""What chance may add to the share that moves after one change. Servers whose wishes in a table collide make a share of
0.4 of one of 0.02; the mean of many changes has less of that, by the root of their number. Measured over 33 changes,
where the limit is 0.20: with tables of 101 slots, the smallest in use, 0.14 was the most in 600 lives; with blocks of
neighbouring slots, the best of the wrong ones, 0.27 the least in 100."""


@law(
    *CONSISTENT,
    claims={"extra_moves": Above(0)},
    source=a_long_life,
    meets=("a server went", "a server came"),
    only_by={"a server went": ("health", "remove"), "a server came": ("health", "add")},
    times=2,
    hint="Take a client of a server that stayed: which of its numbers changed when another server went?",
)
def few_others_move(run: Run[Choice]) -> None:
    """Over many changes of one server each, few clients move whose server was there all the time."""
    life = [
        (before, after, move)
        for before, after in pairwise(_crowds(run))
        if (move := _one_change_between(run, before, after)) is not None
    ]
    stayers = sum(len(move.stayers) for *_, move in life)
    share = sum(len(move.needless) for *_, move in life) / (stayers or 1)
    limit = slack(run, stayers) / (stayers or 1) + UNLUCKY / math.sqrt(len(life) or 1)
    if share > limit:
        before, after, move = max(life, key=lambda change: len(change[2].needless))
        where = f" in {len(life)} such changes" if len(life) > 1 else ""
        _moved(before, after, move, f"; {share:.0%} of the others moved{where}; up to {limit:.0%} can be bad luck")


def slack(run: Run[Choice], clients: int) -> float:
    """How many of these clients may move although they need not: a share by claim, and what chance adds to it."""
    share = float(run.claims.get("extra_moves") or 0)
    return share * clients + 4 * math.sqrt(share * (1 - share) * clients)


def _pairs(one: Choice, two: Choice) -> list[tuple[int, str, str]]:
    """The clients that both crowds have, by number, with what each was answered."""
    return [(number, a, b) for number, (a, b) in enumerate(zip(one.answer, two.answer, strict=False), 1)]


def _pool(moment: Choice) -> Pool:
    return frozenset((name, moment.members[name]) for name in moment.eligible)


def _others(count: int) -> str:
    return "" if count == 1 else f" (and so for {count - 1} more)"


# --- fair shares


def fixed_pool(count: int, clients: int, prefix: str = "s", weights: Sequence[float] = ()) -> Program:
    pool = [[f"{prefix}{k}", weights[k] if weights else 1] for k in range(count)]
    return Program({"servers": pool, "seed": 0}, (("crowd", clients, 0),))


def some_left(count: int, left: int, clients: int) -> Program:
    """Of so many servers, a few that were neighbours left before the clients came."""
    return Program(fixed_pool(count, 0).setting, (*(("remove", 1) for _ in range(left)), ("crowd", clients, 0)))


def lonely_ones() -> list[Program]:
    """One server alone has the fewest points, so the most clients lie beyond its last: of this many, some do."""
    return [fixed_pool(1, 1000, prefix) for prefix in ("s", "web-", "10.0.0.", "node")]


@law(
    "ip_hash",
    cases=lambda: [fixed_pool(3, 1200), fixed_pool(10, 4000), fixed_pool(300, 6000)],
    statistical=True,
    meets=("many clients came",),
    hint="How many different values can your hash take, and how are they spread over the servers?",
)
def clients_are_spread(run: Run[Choice]) -> None:
    """Many clients with different addresses spread over all servers, about equally."""
    # 400 clients for each server: 35 % is beyond chance (false alarm below 1e-9) up to 50 servers; a hundred and more
    # servers with 20 clients each: one left empty has a chance of 300 e**-20, below 1e-6, and is the same every time
    _all_answered(run)
    for moment in _crowds(run):
        counts, fair = _shares(moment)
        least, most = (0.65, 1.35) if len(moment.eligible) <= 50 else (1e-9, 9.0)
        _within(run, moment, counts, (least * fair, most * fair), fair)


@law(
    *CONSISTENT,
    "bounded_load",
    cases=lambda: [fixed_pool(10, 2500), fixed_pool(16, 4000, "10.0.0."), some_left(10, 4, 1500), *lonely_ones()],
    statistical=True,
    meets=("many clients came",),
    hint="A server has as many clients as its part of the ring or table is large. How many parts has each?",
)
def clients_are_spread_evenly_enough(run: Run[Choice]) -> None:
    """Of many clients, each gets a server, and no server less than half or more than twice its share."""
    _all_answered(run)
    for moment in _crowds(run):
        counts, fair = _shares(moment)
        _within(run, moment, counts, (fair / 2, fair * 2), fair)


@law(
    "rendezvous",
    claims={"weights": True},
    cases=lambda: [fixed_pool(2, 3000, weights=(1, 3))],
    statistical=True,
    meets=("many clients came",),
    hint="A score that is multiplied by the weight gives no share like the weight. Which function of it does?",
)
def a_heavy_server_gets_its_share(run: Run[Choice]) -> None:
    """A server with three times the weight of the other gets three quarters of the clients: 70 to 80 of 100."""
    # of 3000 clients the share has a deviation of 0.8 %, so 5 % is beyond chance; score times weight gives 83 %
    _heavy_share(run, 0.70, 0.80)


@law(
    "consistent_hash",
    "maglev",
    claims={"weights": True},
    cases=lambda: [fixed_pool(2, 1500, weights=(1, 6))],
    statistical=True,
    meets=("many clients came",),
    hint="What does your code do with a server's weight?",
)
def a_heavy_server_gets_more(run: Run[Choice]) -> None:
    """A server with six times the weight of the other gets most clients: 70 to 95 of 100."""
    _heavy_share(run, 0.70, 0.95)


def _heavy_share(run: Run[Choice], least: float, most: float) -> None:
    _all_answered(run)
    for moment in _crowds(run):
        run.meet("many clients came")
        heavy = max(moment.members, key=lambda name: moment.members[name])
        share = moment.answer.count(heavy) / len(moment.answer)
        if not least <= share <= most:
            fair = f"its weight is {moment.members[heavy]:g} of {sum(moment.members.values()):g}"
            raise Broken(moment, f"{least:.0%} to {most:.0%} for {heavy}", f"{share:.0%}", fair)


def _all_answered(run: Run[Choice]) -> None:
    """Among thousands of clients is the rare one at which code raises."""
    if run.fault is not None:
        raise Broken(run.moments[-1] if run.moments else None, "an answer for each client", str(run.fault))


def _shares(moment: Choice) -> tuple[Counter[str], float]:
    counts = Counter(dict.fromkeys(moment.eligible, 0))
    counts.update(moment.answer)
    return counts, len(moment.answer) / len(moment.eligible)


def _within(run: Run[Choice], moment: Choice, counts: Counter[str], bounds: tuple[float, float], fair: float) -> None:
    run.meet("many clients came")
    for name, count in counts.items():
        if not bounds[0] <= count <= bounds[1]:
            about = f"{bounds[0]:.0f} to {bounds[1]:.0f} clients for {name}"
            raise Broken(moment, about, str(count), f"an equal share of {len(moment.answer)} clients is {fair:.0f}")
