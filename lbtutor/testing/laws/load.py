"""Least connections.

Each law asks the same question, who has the fewest requests open, after one kind of history: so a broken law says
where to look. Which formula is used (open requests, or per weight, with this one or without) and how ties fall is free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from lbtutor.testing.draw import Draw
from lbtutor.testing.lawbook import law
from lbtutor.testing.program import Broken, Op, Program, Run
from lbtutor.testing.worlds.balancer import Choice, servers, story

PLAIN = {"serve": 5.0, "start": 1.0, "wait": 0.3, "add": 0.3}
"""What happens in every history."""


def _histories(fails: tuple[float, ...], **kinds: float) -> Callable[[Draw], Program]:
    def source(draw: Draw) -> Program:
        pool = servers(draw.one((2, 3, 4)))
        if draw.chance(0.3):
            for server in pool:
                server[1] = draw.one((1, 2, 5))
        return Program({"servers": pool}, story(draw, PLAIN | kinds, fails=fails))

    return source


def _busy(draw: Draw) -> Program:
    """Many requests, of which some end: counts of two digits."""
    count = draw.one((2, 3))
    ends = [("finish", draw.number(0, 30), True, 10) for _ in range(draw.one((0, 4, 10)))]
    loads = (("load", draw.number(18, 40), 0), *ends, ("load", draw.number(1, 12), 50))
    return Program({"servers": servers(count)}, loads)


def _trips(draw: Draw) -> Program:
    """A server leaves, some requests end, and it returns; or it is added although it is there."""
    count = draw.one((2, 3))
    ops: list[Op] = []
    for _ in range(draw.one((1, 2))):
        k = draw.number(0, count - 1)
        away: list[Op] = [("remove", k)] if draw.chance(0.8) else []
        away = [("health", k, False), *away] if away and draw.chance(0.3) else away
        ended = draw.number(0, 3) if draw.chance(0.7) else 8
        ends: list[Op] = [("finish", draw.number(0, 3), not draw.chance(0.2), 10) for _ in range(ended)]
        ops += [*_some("serve", draw), *away, *ends, *_some("serve", draw), ("readd", k), *_some("serve", draw)]
    return Program({"servers": servers(count)}, tuple(ops))


def _some(kind: str, draw: Draw) -> list[Op]:
    return [(kind, 0)] * draw.number(0, 4)


@law(
    "least_connections",
    source=_busy,
    times=10,
    meets=("counts that differ",),
    hint="Count by hand what each server has open at that moment, and compare these as numbers.",
)
def the_least_busy_is_chosen(run: Run[Choice]) -> None:
    """The choice falls on a server that has the fewest requests open, be they few or many."""
    _the_least_busy(run)


@law(
    "least_connections",
    source=_histories((0.0,), pick=4.0, finish=2.0),
    needs=("start",),
    meets=("counts that differ",),
    hint="When does a request begin to count: when a server is chosen, or when the request starts there?",
)
def to_ask_is_not_to_start(run: Run[Choice]) -> None:
    """A choice alone makes nobody busier; the start of a request does, whoever chose the server."""
    _the_least_busy(run, lambda moment: moment.kind == "pick" and not moment.starts)


@law(
    "least_connections",
    source=_histories((0.5, 1.0), finish=4.0, finish_again=2.0, finish_unknown=0.5),
    needs=("finish",),
    meets=("counts that differ",),
    hint="Which ends of a request does your code count? And what if it is told of one of them twice?",
)
def however_it_ends_it_ends_once(run: Run[Choice]) -> None:
    """Every end frees a place, failures too, and an end that is told twice frees no second one."""
    _the_least_busy(run, lambda moment: moment.kind in ("finish", "finish_again"))


@law(
    "least_connections",
    source=_histories((0.0, 0.3), finish=3.0, health=4.0),
    needs=("health",),
    meets=("counts that differ",),
    hint="What becomes of the count while a server is down? Its open requests go on.",
)
def who_comes_back_has_its_requests(run: Run[Choice]) -> None:
    """A server that was down still has the requests that were open on it, less those that ended meanwhile."""
    _the_least_busy(run, lambda moment: moment.kind == "health" and moment.active.get(moment.name, 0) > 0)


@law(
    "least_connections",
    source=_trips,
    needs=("remove", "readd"),
    meets=("counts that differ",),
    hint="A server leaves while a request is open on it; the request ends; the server returns. What is its count?",
)
def who_left_and_returned_starts_clean(run: Run[Choice]) -> None:
    """A server that left and returned has as many requests as are open on it, or none; never fewer than none."""
    _the_least_busy(run, lambda moment: moment.kind in ("remove", "add") and sum(moment.active.values()) > 0)


def _the_least_busy(run: Run[Choice], begins: Callable[[Choice], bool] | None = None) -> None:
    """Nobody may be chosen who is busier than another by every right count; it is about what follows `begins`."""
    begun = begins is None
    for moment in run.moments:
        begun = begun or (begins is not None and begins(moment))
        if not begun or moment.kind not in ("pick", "retry") or moment.answer not in moment.eligible:
            continue
        run.meet("counts that differ", int(len({moment.active[name] for name in moment.eligible}) > 1))
        allowed = least_busy(moment)
        if moment.answer not in allowed:
            raise Broken(moment, " or ".join(sorted(allowed)), moment.answer, _counts(moment))


def least_busy(choice: Choice) -> set[str]:
    """Who is minimal by any formula that is right, in any book that is right."""
    plain = dict.fromkeys(choice.members, 1.0)
    return {
        name
        for book in choice.books
        for weights, extra in ((plain, 0), (choice.members, 0), (choice.members, 1))
        for name in _least(choice.eligible, book, weights, extra)
    }


def _least(eligible: tuple[str, ...], active: Mapping[str, int], weights: Mapping[str, float], extra: int) -> list[str]:
    scores = {name: (active[name] + extra) / weights[name] if weights[name] else inf for name in eligible}
    lowest = min(scores.values())
    return [name for name in eligible if scores[name] <= lowest * (1 + 1e-9)]


def _counts(choice: Choice) -> str:
    return ", ".join(f"{name} has {choice.active[name]} open" for name in choice.eligible)
