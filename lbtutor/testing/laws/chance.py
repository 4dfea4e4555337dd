"""Power of two choices.

Where every outcome is bound, no statistics are needed: whoever is busier than all others loses against anybody it is
drawn with, so it is never chosen. That is also how wrong counting shows. The spread of a large load tells two choices
from one at a glance: of 600 requests on ten servers the fullest is at most 3 above the mean (one choice: 8 to 25).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lbtutor.testing.draw import Draw
from lbtutor.testing.lawbook import law
from lbtutor.testing.laws.universal import must_have_answered
from lbtutor.testing.program import Broken, Op, Program, Run
from lbtutor.testing.worlds.balancer import Choice, servers

SELDOM = 0.375
"""Half way between a quarter and a half: right and wrong each pass it by chance less than once in ten million times, of
400 requests."""


@law(
    "power_of_two",
    claims={"distinct": True},
    meets=("one was busier than all others",),
    hint="Can the same server be drawn twice? Then it wins against itself. If not: what do you count, and when?",
)
def the_busiest_is_never_chosen(run: Run[Choice]) -> None:
    """A server that has more requests open than each of the others loses against whoever else is drawn."""
    for moment in run.moments:
        if moment.kind not in ("pick", "retry") or len(moment.eligible) < 2:
            continue
        busiest = {_busiest(moment.eligible, book) for book in moment.books}
        run.meet("one was busier than all others", int(busiest != {None}))
        if busiest == {moment.answer}:
            others = [name for name in moment.eligible if name != moment.answer]
            counts = ", ".join(f"{name} has {moment.active[name]} open" for name in moment.eligible)
            raise Broken(moment, " or ".join(others), moment.answer, counts)


def _busiest(eligible: tuple[str, ...], book: dict[str, int]) -> str | None:
    ranked = sorted(eligible, key=lambda name: book[name], reverse=True)
    return ranked[0] if book[ranked[0]] > book[ranked[1]] else None


def _with_a_past() -> Iterator[Program]:
    """Of a and b, a is busier in the first half of these, b in the second; whoever counts wrong has it otherwise."""
    yield _two("a", ("pile", 0, 3), ("health", 0, False), ("health", 0, True), ("start", 1))
    yield _two("a", ("start", 0), ("finish", 0, True, 10), *[("finish_again", 0)] * 4, ("pile", 0, 3))
    for ok in (True, False):
        yield _two("b", ("pile", 0, 6), *[("finish", 0, ok, 10)] * 6, ("pile", 1, 3))
    yield _two("b", ("pile", 1, 3))


def _two(busier: str, *past: Op) -> Program:
    return Program({"servers": servers(2), "seed": 1, "busier": busier}, (*past, ("crowd", 400)))


@law(
    "power_of_two",
    claims={"distinct": False},
    cases=_with_a_past,
    needs=("start", "finish"),
    statistical=True,
    hint="What do you count, and when? Follow the count of each server from request to request.",
)
def the_busier_of_two_seldom_wins(run: Run[Choice]) -> None:
    """Of two servers, the busier one is chosen only if it is drawn twice: one time in four."""
    must_have_answered(run)
    busier = run.program.setting["busier"]
    for crowd in run.answered("crowd"):
        got = Counter(crowd.answer)[busier]
        if len(crowd.answer) >= 400 and got > SELDOM * len(crowd.answer):
            counts = ", ".join(f"{name} has {crowd.active[name]} open" for name in crowd.eligible)
            raise Broken(crowd, f"about 100 of 400 for {busier}", str(got), counts)


def _much_load(draw: Draw) -> Program:
    return Program({"servers": servers(10), "seed": draw.number(0, 999)}, (("load", 600, 0),))


@law(
    "power_of_two",
    source=_much_load,
    statistical=True,
    hint="Is every server drawn as often as every other? Look at the first and at the last one.",
)
def a_large_load_is_even(run: Run[Choice]) -> None:
    """Of six hundred requests that stay, no server has more than five above the mean, and none is left out."""
    must_have_answered(run)
    choices = list(run.answered("pick"))
    names = [name for name, _ in run.program.setting["servers"]]
    counts = Counter(choice.answer for choice in choices)
    got = {name: counts[name] for name in names}
    mean = len(choices) / max(1, len(names))
    if len(choices) >= 600 and (max(got.values()) > mean + 5 or not min(got.values())):
        told = ", ".join(f"{count} {name}" for name, count in got.items())
        raise Broken(choices[-1], f"between 1 and {mean + 5:.0f} for each", told)


def _all_different() -> Iterator[Program]:
    starts = [("start", k) for k in range(4) for _ in range(k)]
    yield Program({"servers": servers(4), "seed": 1}, (*starts, ("crowd", 200)))


@law(
    "power_of_two",
    cases=_all_different,
    needs=("start",),
    statistical=True,
    hint="How many servers does your code look at for one request?",
)
def two_are_looked_at_and_not_all(run: Run[Choice]) -> None:
    """Not always the least busy of all is chosen, nor always the same: who wins depends on which two are drawn."""
    must_have_answered(run)
    for crowd in run.answered("crowd"):
        if len(crowd.eligible) > 3 and len(crowd.answer) >= 100 and len(set(crowd.answer)) < 3:
            got = " and ".join(sorted(set(crowd.answer)))
            because = ", ".join(f"{name} has {crowd.active[name]} open" for name in crowd.eligible)
            raise Broken(crowd, f"three or more servers among {len(crowd.answer)} answers", f"only {got}", because)
