"""Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018).

Every key has a home, which is where it goes while nobody has anything to do. It leaves home only while that is full,
for the same next server every time, and comes back. What is full is rounded in many ways: with this request or without,
up or down, over all requests or those of servers that are up. So a law asks no more than that whoever is full by all of
them gets nothing, and whoever is full by none of them keeps its keys. All weights are 1 here: whether they widen a
server's bound is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import ceil, floor

from lbtutor.testing.draw import Draw
from lbtutor.testing.lawbook import law
from lbtutor.testing.laws.hashing import slack
from lbtutor.testing.program import Broken, Op, Program, Run
from lbtutor.testing.worlds.balancer import NAMES, Choice, servers, story

ANY = (1.0, 2.0)
"""The bounds of one who claims no number: HAProxy calls 1.25 to 2 sensible."""

HOT = 0.7
"""The share of requests that are for one key, so that its server gets hot."""


# --- what is full


def _bounds(run: Run[Choice]) -> tuple[float, float]:
    claimed = run.claims.get("bound", ANY)
    return (float(claimed), float(claimed)) if isinstance(claimed, int | float) else ANY


def most(run: Run[Choice], choice: Choice) -> int:
    """How many requests a server may have, with this one, by the most generous reading.

    Open requests of those who are down count, a mean is at least 1 (as in lafikl/consistent), and a server that has
    just the bound has room.
    """
    mean = (max(sum(book.values()) for book in choice.books) + 1) / len(choice.eligible)
    return floor(_bounds(run)[1] * max(1.0, mean) + 1e-9) + 1


def has_room(run: Run[Choice], choice: Choice, name: str) -> bool:
    """Has that server room by the meanest reading: this request is not counted, and the bound is rounded down?"""
    mean = min(sum(book[each] for each in choice.eligible) for book in choice.books) / len(choice.eligible)
    return max(book[name] for book in choice.books) < max(1, floor(_bounds(run)[0] * mean - 1e-9))


def is_full(run: Run[Choice], choice: Choice, name: str) -> bool:
    """Is it full by all readings?"""
    return min(book[name] for book in choice.books) >= most(run, choice)


def _mean(choice: Choice) -> float:
    """Of what those who are up have open."""
    return sum(choice.active[name] for name in choice.eligible) / len(choice.eligible)


def _sum(choice: Choice, bound: float) -> str:
    """How the bound is worked out, as the paper does it."""
    requests = sum(choice.active.values()) + 1
    mean = requests / len(choice.eligible)
    return (
        f"with this request that is {requests}, {mean:.3g} for each, and {bound:g} times that is {bound * mean:.3g}:"
        f" {ceil(bound * mean)} at most"
    )


def _counts(choice: Choice) -> str:
    return ", ".join(f"{name} has {choice.active[name]} open" for name in choice.eligible)


# --- where a key is at home


def at_rest(program: Program) -> Program:
    """The same questions, each request over before the next comes: so nobody is ever full, and every key at home."""
    return Program(program.setting, tuple(op for one in program.ops for op in _rested(one)))


def _rested(op: Op) -> Iterator[Op]:
    match op:
        case ("pick" | "serve", client):
            yield from (("serve", client), ("finish", 0, True, 10))
        case ("start" | "pile" | "finish" | "finish_again" | "finish_unknown", *_):
            return
        case _:
            yield op


def beside_its_rest(program: Program) -> Iterator[Program]:
    yield at_rest(program)


def _picks(run: Run[Choice]) -> list[Choice]:
    return [moment for moment in run.moments if moment.kind == "pick"]


def _at_home(run: Run[Choice]) -> Iterator[tuple[Choice, str]]:
    """Every choice among those who are up, with where that key is at home then."""
    for moment, rested in zip(_picks(run), _picks(run.others[0]), strict=False):
        if moment.answer in moment.eligible and rested.answer in moment.eligible:
            yield moment, rested.answer


def _away(run: Run[Choice], moment: Choice, home: str, why: str = "") -> Broken:
    return Broken(
        moment, home, moment.answer,
        f"{home} is the server of this key when nobody has anything open, and it has room: {_counts(moment)};"
        f" {_sum(moment, _bounds(run)[0])}{why}",
    )  # fmt: skip


# --- the laws


CROWDING = {"serve": 6.0, "finish": 1.5, "pick": 1.0, "start": 0.5, "health": 0.5, "wait": 0.2}


def _crowding(draw: Draw) -> Program:
    """One key more often than all others, and much of it open."""
    key = draw.number(0, 5)
    ops = tuple(_hot(op, key, draw) for op in story(draw, CROWDING, fails=(0.0,)))
    return Program({"servers": servers(draw.one((3, 2, 4)))}, ops)


def _hot(op: Op, key: int, draw: Draw) -> Op:
    return (op[0], key) if op[0] in ("serve", "pick") and draw.chance(HOT) else op


@law(
    "bounded_load",
    source=_crowding,
    companions=beside_its_rest,
    times=20,
    meets=("its first server had more than its share",),
    needs=("finish",),
    hint="How many requests are open, the new one among them, and by how many servers do you divide that?",
)
def nobody_has_more_than_the_bound(run: Run[Choice]) -> None:
    """A server that is full gets nothing: none has more open than the mean times the bound, rounded up."""
    homes = {id(moment): home for moment, home in _at_home(run)}
    for moment in _picks(run):
        if moment.answer not in moment.eligible:
            continue
        home = homes.get(id(moment), moment.answer)
        run.meet("its first server had more than its share", int(moment.active[home] > max(1.0, _mean(moment))))
        if is_full(run, moment, moment.answer):
            raise _above(run, moment)


def _above(run: Run[Choice], moment: Choice) -> Broken:
    full = [name for name in moment.eligible if is_full(run, moment, name)]
    return Broken(
        moment, " or ".join(name for name in moment.eligible if name not in full), moment.answer,
        f"{_counts(moment)}; {_sum(moment, _bounds(run)[1])}",
    )  # fmt: skip


def _some_work(draw: Draw) -> Program:
    """Some are down, everybody has something to do, and some keys ask."""
    count = draw.one((3, 2, 4, 5))
    ops: list[Op] = [("health", k, False) for k in range(1, count) if draw.chance(0.4)]
    piles = draw.one((9, 4, 0))
    ops += [("pile", k, piles + draw.number(0, 2)) for k in range(count) if piles]
    return Program({"servers": servers(count)}, (*ops, *(_asks(draw, piles) for _ in range(draw.one((8, 16))))))


def _asks(draw: Draw, piles: int) -> Op:
    if draw.chance(0.2):
        return ("finish", draw.number(0, 3 * piles), True, 10)
    return ("pick" if draw.chance(0.5) else "serve", draw.number(0, 9))


@law(
    "bounded_load",
    source=_some_work,
    companions=beside_its_rest,
    needs=("finish",),
    meets=("its first server had room, while others had requests",),
    hint="Whom does your mean count, and when is a server full? Work out both numbers for that moment.",
)
def a_key_stays_while_its_server_has_room(run: Run[Choice]) -> None:
    """A key goes to its own server as long as that has room, however little the others have to do."""
    been_away: set[str] = set()
    for moment, home in _at_home(run):
        if not has_room(run, moment, home):
            been_away.update({moment.client} if moment.answer != home else ())
        elif moment.client not in been_away:
            run.meet("its first server had room, while others had requests", int(sum(moment.active.values()) > 0))
            if moment.answer != home:
                raise _away(run, moment, home)


def _there_and_back(draw: Draw) -> Program:
    """A server fills, keys ask, all of its requests end, and the same keys ask again."""
    count, keys = draw.one((3, 2, 4)), [("serve", draw.number(0, 9)) for _ in range(draw.one((3, 1, 5)))]
    ops: list[Op] = []
    for _ in range(draw.one((1, 2))):
        crowd = draw.number(3, 8)
        ops += [*[("serve", 0)] * crowd, ("pile", draw.number(0, count - 1), crowd), *keys]
        ops += [("finish", 0, True, 10)] * (2 * crowd + len(keys)) + keys[:2]
    return Program({"servers": servers(count)}, tuple(ops))


@law(
    "bounded_load",
    source=_there_and_back,
    companions=beside_its_rest,
    needs=("finish",),
    times=20,
    meets=("a key that was sent on asked again, and there was room",),
    hint="What does your code still know of a key, or of a server that was full, after that is over?",
)
def who_was_sent_on_comes_home(run: Run[Choice]) -> None:
    """A key that was sent on because its server was full goes to its own server again as soon as that has room."""
    been_away: dict[tuple[str, str], str] = {}
    for moment, home in _at_home(run):
        if not has_room(run, moment, home):
            been_away |= {(moment.client, home): moment.answer} if moment.answer != home else {}
        elif (moment.client, home) in been_away:
            run.meet("a key that was sent on asked again, and there was room")
            if moment.answer != home:
                raise _away(
                    run, moment, home, f"; {home} was full when {been_away[moment.client, home]} got this key before"
                )


def _one_hot(draw: Draw) -> Program:
    """One server is full all the time, while the others have little to do, now one of them and now another."""
    count = draw.one((3, 4))
    k = draw.number(0, count - 1)
    others = [other for other in range(count) if other != k]
    ops: list[Op] = [("pile", k, draw.one((4, 6, 8)))]
    keys: list[Op] = [("pick", draw.number(0, 30)) for _ in range(5)]
    for _ in range(3):
        ops += [*keys, ("start", draw.one(others))]
        ops += [("finish", draw.number(4, 12), True, 10)] * draw.number(0, 1)
    return Program({"servers": servers(count)}, tuple(ops + keys))


@law(
    "bounded_load",
    claims={"overflow": "same"},
    source=_one_hot,
    companions=beside_its_rest,
    needs=("start", "finish"),
    times=20,
    meets=("a key asked again, and the same server was full",),
    hint="From a full server, which way does a key go on? May it depend on anything but the key and who is full?",
)
def the_full_send_on_to_the_same(run: Run[Choice]) -> None:
    """A key whose server is full goes to the same next server whenever the same servers are full."""
    before: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Choice] = {}
    for moment, home in _at_home(run):
        full = tuple(name for name in moment.eligible if is_full(run, moment, name))
        if home not in full or not all(name in full or has_room(run, moment, name) for name in moment.eligible):
            continue
        first = before.setdefault((moment.client, moment.eligible, full), moment)
        run.meet("a key asked again, and the same server was full", int(first is not moment))
        if moment.answer != first.answer:
            raise Broken(
                moment, first.answer, moment.answer,
                f"{home}, where this key belongs, is full, as it was when {first.answer} got it: {_counts(moment)}",
            )  # fmt: skip


def _failing(draw: Draw) -> Program:
    """Requests end, many of them badly and some twice, and then their key asks again."""
    ops: list[Op] = []
    key, fails = draw.number(0, 9), draw.one((1.0, 0.5, 0.0))
    for _ in range(draw.one((2, 1, 3))):
        count = draw.number(1, 4)
        ops += [("serve", key)] * count
        ops += [("finish", 0, not draw.chance(fails), 10) for _ in range(count)]
        ops += [("finish_again", draw.number(0, 3))] * draw.number(0, 2) + [("serve", key)] * draw.number(2, 4)
        ops += [("finish", draw.number(0, 5), True, 10)] * draw.number(0, 4)
    return Program({"servers": servers(draw.one((2, 3)))}, tuple(ops))


def _rest_and_success(program: Program) -> Iterator[Program]:
    """Where keys are at home; and the same story, in which every request succeeds, and no end is told twice."""
    yield at_rest(program)
    ops = [(*op[:2], True, *op[3:]) if op[0] == "finish" else op for op in program.ops]
    yield Program(program.setting, tuple(op for op in ops if op[0] != "finish_again"))


@law(
    "bounded_load",
    source=_failing,
    companions=_rest_and_success,
    needs=("finish",),
    meets=("a choice after a failure",),
    hint="Which ends of a request does your code count? And what if it is told of one of them twice?",
)
def however_it_ends_it_makes_room_once(run: Run[Choice]) -> None:
    """A failure makes as much room as a success, and an end that is told twice makes room once."""
    success = {id(moment): other for moment, other in zip(_picks(run), _picks(run.others[1]), strict=False)}
    failed = min((moment.op for moment in run.moments if _is_odd_end(run, moment)), default=len(run.program.ops))
    for moment, home in _at_home(run):
        other = success.get(id(moment))
        run.meet("a choice after a failure", int(moment.op > failed))
        if other is None or other.answer == moment.answer:
            continue
        if is_full(run, moment, moment.answer):
            raise _above(run, moment)
        if has_room(run, moment, home) and moment.answer != home:
            raise _away(run, moment, home)
        return


def _is_odd_end(run: Run[Choice], moment: Choice) -> bool:
    op = run.program.ops[moment.op]
    return op[0] == "finish_again" or (op[0] == "finish" and not op[2])


def _comes_and_goes(draw: Draw) -> Program:
    """A few keys, one after the other, before and after servers come and go; nobody is ever full."""
    names = draw.one(NAMES)
    keys: list[Op] = [op for key in range(KEYS) for op in (("serve", key), ("finish", 0, True, 10))]
    ops = list(keys)
    for _ in range(2):
        ops += [_change(draw), *keys]
    return Program({"servers": servers(draw.one((3, 4)), names), "names": list(names)}, tuple(ops))


KEYS = 16


def _change(draw: Draw) -> Op:
    kind, k = draw.one(("health", "remove", "add")), draw.number(0, 3)
    return ("add", 1) if kind == "add" else (kind, k, False) if kind == "health" else (kind, k)


@law(
    "bounded_load",
    source=_comes_and_goes,
    needs=("finish",),
    times=8,
    meets=("a server went", "a server came"),
    only_by={"a server went": ("health", "remove"), "a server came": ("add",)},
    hint="Take a key of a server that stayed: what did you compute for it that another server's leaving changed?",
)
def only_keys_of_who_comes_or_goes_move(run: Run[Choice]) -> None:
    """When a server goes, only its keys move; when one comes, keys move only to it."""
    phases = list(_phases(run))
    for (before, first), (after, second) in pairwise(phases):
        gone, come = set(before) - set(after), set(after) - set(before)
        if len(gone) + len(come) != 1 or not before or not after:
            continue
        run.meet("a server went" if gone else "a server came")
        changed = next(iter(gone | come))
        both = [(first[key], second[key]) for key in first if key in second]
        moved = [
            (was, now) for was, now in both if was.answer != now.answer and changed not in (was.answer, now.answer)
        ]
        if len(moved) > slack(run, len(both)):
            was, now = moved[0]
            raise Broken(
                now, was.answer, now.answer,
                f"{changed} {'went' if gone else 'came'}; this key had {was.answer}, which is still there",
            )  # fmt: skip


def _phases(run: Run[Choice]) -> Iterator[tuple[tuple[str, ...], dict[str, Choice]]]:
    """Who was up, and where each key went, from one change of that to the next."""
    eligible: tuple[str, ...] | None = None
    homes: dict[str, Choice] = {}
    for moment in _picks(run):
        if eligible is not None and moment.eligible != eligible:
            yield eligible, homes
            homes = {}
        eligible = moment.eligible
        if moment.answer in moment.eligible:
            homes[moment.client] = moment
    yield eligible or (), homes


def _a_few_keys(draw: Draw) -> Program:
    keys: list[Op] = [op for key in range(24) for op in (("serve", key), ("finish", 0, True, 10))]
    return Program({"servers": servers(draw.one((3, 2, 5)))}, tuple(keys))


@law(
    "bounded_load",
    source=_a_few_keys,
    elsewhere=True,
    needs=("finish",),
    times=1,
    meets=("two processes were compared",),
    hint="Python's own hash() of text is different in every process (PYTHONHASHSEED). Which hash is not?",
)
def keys_are_at_home_in_every_process(run: Run[Choice]) -> None:
    """While nobody is full, a balancer in another process sends a key to the same server."""
    for moment, other in zip(_picks(run), _picks(run.others[-1]), strict=False):
        run.meet("two processes were compared")
        if moment.answer != other.answer:
            raise Broken(
                moment, str(other.answer), str(moment.answer),
                f"the same balancer in another process chose {other.answer}",
            )  # fmt: skip
