"""Whatever decides whether a request that failed is tried again.

    cls(attempts, budget)                      `attempts` tries of a request in all (a parameter called `retries`
                                               gets one less); retries are at most the share `budget` of all
                                               requests, but for a few (up to 100) had in advance or saved
    arrived(now)                               a new request came; `now` in seconds, which never goes back
    retry(method, attempt, outcome, now)       -> bool: once more? `attempt` tries were made, the first is 1
    wait(attempt)                              -> seconds before the next try, where there is one; a constructor that
                                               has `base` and `cap` is given these, in seconds

An `outcome` is one of these; whoever asks for `status` gets a number or None, and `sent` says whether the request went
out, `ok` whether it succeeded:

    outcome    status   sent    what happened
    ok         200      yes     it was answered
    404        404      yes     it was answered: the client was wrong, and will be again
    503        503      yes     it was answered: the server could not
    refused    None     no      no connection was made, so nothing was sent
    closed     None     yes     the connection ended before an answer
    timeout    None     yes     no answer came in time

    operation          what happens
    arrive n           so many requests arrive at once
    retry m a o        a request by method m, after a tries, ended in o: may it be tried again?
    fail n             so many requests arrive, one after the other, and all tries are refused, till no more may be
    ask_wait a         how long to wait after a tries?
    pass s             seconds pass
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw, operations
from lbtutor.testing.program import SILENT, Moment, Op, Program
from lbtutor.testing.sandbox.room import Class, Room
from lbtutor.testing.worlds.calling import Asked, method

SHAPE = "arrived(now), retry(method, attempt, outcome, now)"
BASE, CAP = 0.1, 2.0
"""The first wait and the longest, in seconds, for a constructor that takes them."""

SAFE = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")
UNSAFE = ("POST", "PATCH")
OUTCOMES: Mapping[str, tuple[int | None, bool]] = {
    "refused": (None, False), "closed": (None, True), "timeout": (None, True), "ok": (200, True), "404": (404, True),
    "503": (503, True),
}  # fmt: skip
"""Each outcome with its status and whether the request was sent."""

KINDS = {"retry": 6.0, "arrive": 2.0, "ask_wait": 1.5, "pass": 1.0}
RECENT = 1.0
"""What arrived within so many seconds counts for every budget that looks back."""


class Asking(Moment):
    """A question: after `attempt` tries by `method`, the last ended in `outcome`. `arrived` requests had come so far,
    `recent` of them within the last second, and `granted` retries were allowed before. A `fail` says in `answer` how
    many of its `count` requests' retries were allowed, and in `tries` how many tries each of them had. An `arrive` has
    its `count` too."""

    method: str = ""
    attempt: int = 0
    outcome: str = ""
    count: int = 0
    arrived: int = 0
    recent: int = 0
    granted: int = 0
    tries: tuple[int, ...] = ()
    bounded: bool = False
    """Was its constructor told the bounds of a wait?"""


def recognise(cls: Class) -> str | None:
    return SHAPE if method(cls, "retry") else None


def grammar(draw: Draw, component: str) -> Program:  # noqa: ARG001 (there is one component)
    setting = {"attempts": draw.one((3, 2, 4, 1)), "budget": draw.one((0.2, 0.5, 0.1))}
    ops = [_op(draw, kind) for kind in operations(draw, KINDS)]
    return Program(setting, (*([("arrive", 100)] if draw.chance(0.5) else []), *ops))


def outage(draw: Draw) -> Program:
    """Everything fails, for long enough that a few retries in advance make no difference."""
    return Program({"attempts": draw.one((3, 2, 4)), "budget": 0.5}, (("fail", 600),))


def _op(draw: Draw, kind: str) -> Op:
    match kind:
        case "retry":
            safe = draw.chance(0.7)
            return (kind, draw.one(SAFE if safe else UNSAFE), draw.one((1, 2, 3, 4, 5)), draw.one(tuple(OUTCOMES)))
        case "arrive":
            return (kind, draw.one((1, 10, 100)))
        case "ask_wait":
            return (kind, draw.one((1, 2, 3, 5, 10, 60, 1000)))
        case _:
            return (kind, draw.one((0.5, 5, 60)))


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Model:
    return Model(room, target, setting)


class Model:
    """Counts what arrived and what was allowed."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any]) -> None:
        self.moments: list[Asking] = []
        self._now = 0.0
        self._arrived = self._recent = self._granted = 0
        self._recent_at = 0.0
        words = {
            "arrived": ("now",),
            "retry": ("method", "attempt", "outcome", "now", "status", "sent", "ok"),
            "wait": ("attempt", "now"),
        }
        given = {
            "attempts": setting["attempts"], "budget": setting["budget"], "retries": setting["attempts"] - 1,
            "base": BASE, "cap": CAP,
        }  # fmt: skip
        self._code = Asked(room, target, words, given, basic=2)

    def do(self, op: int, what: Op) -> None:
        getattr(self, f"_do_{what[0]}")(op, *what[1:])

    def _tell(self, op: int, kind: str, says: str) -> Asking:
        if self._now - self._recent_at > RECENT:
            self._recent = 0
        moment = Asking(op, kind, says, arrived=self._arrived, recent=self._recent, granted=self._granted)
        moment.bounded = {"base", "cap"} <= self._code.knows
        self.moments.append(moment)
        return moment

    def _do_arrive(self, op: int, count: int) -> None:
        moment = self._tell(op, "arrive", f"{count} request{'s arrive' if count > 1 else ' arrives'}")
        moment.count = count
        self._recent = moment.recent + count
        self._recent_at = self._now if moment.recent == 0 else self._recent_at
        self._arrived += count
        self._code.many("arrived", count, now=self._now)

    def _do_retry(self, op: int, verb: str, attempt: int, outcome: str) -> None:
        moment = self._tell(op, "retry", f"{verb}, try {attempt}: {_SAYS[outcome]}; once more?")
        moment.method, moment.attempt, moment.outcome = verb, attempt, outcome
        moment.asked, moment.answer = True, SILENT
        moment.answer = self._may(verb, attempt, outcome)

    def _may(self, verb: str, attempt: int, outcome: str) -> Any:
        status, sent = OUTCOMES[outcome]
        answer = self._code.ask(
            "retry", method=verb, attempt=attempt, outcome=outcome, now=self._now, status=status, sent=sent,
            ok=outcome == "ok",
        )  # fmt: skip
        self._granted += bool(answer)
        return answer

    def _do_fail(self, op: int, count: int) -> None:
        moment = self._tell(op, "fail", f"{count} requests arrive, and every try is refused; retries in all")
        moment.asked, moment.answer, moment.count = True, SILENT, count
        before, tries = self._granted, []
        for _ in range(count):
            self._arrived += 1
            self._code.ask("arrived", now=self._now)
            attempt = 1
            while attempt < 20 and self._may("GET", attempt, "refused"):
                attempt += 1
            tries.append(attempt)
        moment.answer, moment.tries = self._granted - before, tuple(tries)

    def _do_ask_wait(self, op: int, attempt: int) -> None:
        if self._code.can("wait"):
            moment = self._tell(op, "wait", f"how long to wait after {attempt} {'tries' if attempt > 1 else 'try'}?")
            moment.attempt, moment.asked, moment.answer = attempt, True, SILENT
            moment.answer = self._code.ask("wait", attempt=attempt, now=self._now)

    def _do_pass(self, op: int, seconds: float) -> None:
        self._tell(op, "pass", f"{seconds:g} s pass")
        self._now += seconds


_SAYS = {
    "refused": "the connection is refused", "closed": "sent, then the connection is closed",
    "timeout": "sent, and no answer in time", "ok": "answered with 200", "404": "answered with 404",
    "503": "answered with 503",
}  # fmt: skip


def simpler(program: Program) -> Iterator[Program]:
    """Fewer tries, GET, the first try, a refusal."""
    setting, ops = program.setting, program.ops
    if setting["attempts"] > 1:
        yield Program({**setting, "attempts": setting["attempts"] - 1}, ops)
    for number, op in enumerate(ops):
        for duller in _duller(op):
            yield Program(setting, (*ops[:number], duller, *ops[number + 1 :]))


def _duller(op: Op) -> Iterator[Op]:
    match op:
        case ("retry", verb, attempt, outcome):
            if verb not in ("GET", "POST"):
                yield ("retry", "GET" if verb in SAFE else "POST", attempt, outcome)
            if attempt > 1:
                yield ("retry", verb, attempt - 1, outcome)
            if outcome in ("timeout", "503"):
                yield ("retry", verb, attempt, "closed")
        case ("arrive", count) if count > 1:
            yield ("arrive", count // 10)
        case ("ask_wait", attempt) if attempt > 1:
            yield ("ask_wait", attempt // 2)


def picture(setting: Mapping[str, Any], moments: list[Moment], upto: int) -> list[str]:  # noqa: ARG001 (as others need)
    tries = "1 try" if setting["attempts"] == 1 else f"{setting['attempts']} tries"
    return [f"{tries} of a request at most; retries are at most {setting['budget']:.0%} of requests"]
