"""Round robin.

A turn is judged between two choices of the same server: whoever could have been chosen all the while must have been.
That fixes neither who is first nor where a newcomer enters, and holds for a cursor, a queue and a memory of who was
served longest ago alike. A server that was away in between, or was added once more, may enter anywhere, so its own
turns say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbtutor.testing.draw import Draw
from lbtutor.testing.lawbook import law
from lbtutor.testing.laws.universal import must_have_answered
from lbtutor.testing.program import Broken, Program, Run
from lbtutor.testing.worlds.balancer import Choice, servers, story

CHANGES = frozenset({"health", "add", "remove", "retry"})
"""Moments after which the pool may be another one. A retry is offered without whoever refused."""


class Turn:
    """A server was chosen at moment `number`, and before that at `before`; `passed_over` had no turn between."""

    def __init__(self, choice: Choice, number: int, before: int, passed_over: list[str]) -> None:
        self.choice = choice
        self.number = number
        self.before = before
        self.passed_over = passed_over


@law(
    "round_robin",
    meets=("a whole round without a change",),
    hint="Play three requests on three servers by hand. What, apart from a choice, moves your position?",
)
def everyone_has_a_turn_before_anyone_has_a_second(run: Run[Choice]) -> None:
    """While the pool stays as it is, nobody is chosen twice before everyone has been chosen once."""
    changed = -1
    changes = [changed := number if moment.kind in CHANGES else changed for number, moment in enumerate(run.moments)]
    for turn in turns(run.moments):
        if turn.before > changes[turn.number]:
            run.meet("a whole round without a change", int(len(turn.choice.eligible) > 1))
            _nobody_passed_over(turn)


def _changes(draw: Draw) -> Program:
    """Only choices and changes, so that nothing else can be to blame."""
    kinds = {"pick": 7.0, "health": 1.5, "remove": 2.0, "add": 1.0, "readd": 1.0, "swap": 0.5, "retry": 0.7}
    return Program({"servers": servers(draw.one((3, 2, 4, 5)))}, story(draw, kinds))


@law(
    "round_robin",
    claims={"strict": True},
    source=_changes,
    needs=("health or remove or add",),
    meets=("a round across a change",),
    hint="Whose turn was it before the pool changed, and what does your position point at afterwards?",
)
def a_change_robs_nobody_of_a_turn(run: Run[Choice]) -> None:
    """When servers come and go, and when a request is tried again, whoever stays up still has a turn in each round.

    Two views of a retry are right: it is a turn like others, or it is none. Only who is unfair in both is accused.
    """
    changed = -1
    changes = [changed := number if moment.kind in CHANGES else changed for number, moment in enumerate(run.moments)]
    views = [[turn for turn in turns(run.moments, retries) if turn.before < changes[turn.number]] for retries in (0, 1)]
    run.meet("a round across a change", len(views[0]))
    robbed = [next((turn for turn in view if turn.passed_over), None) for view in views]
    if all(robbed) and robbed[0] is not None:
        _nobody_passed_over(robbed[0])


def _nobody_passed_over(turn: Turn) -> None:
    if turn.passed_over:
        chosen = turn.choice.answer
        names = " or ".join(turn.passed_over)
        raise Broken(turn.choice, names, chosen, f"{chosen} had a turn already, and {names} none since then")


def turns(moments: list[Choice], retries: int = 0) -> Iterator[Turn]:
    """Every choice of a server that was there all the time since it was last chosen."""
    chosen: dict[str, int] = {}
    away: dict[str, int] = {}
    kinds = ("pick", "retry") if retries else ("pick",)
    for number, moment in enumerate(moments):
        if moment.kind != "retry":
            away.update((name, number) for name in {*moment.members, *chosen} - {*moment.eligible})
        if moment.kind == "add":
            away[moment.name] = number
        if moment.kind in kinds and moment.answer in moment.eligible:
            before = chosen.get(moment.answer, -1)
            if before > away.get(moment.answer, -1):
                yield Turn(moment, number, before, _passed_over(moment, before, chosen, away))
            chosen[moment.answer] = number


def _passed_over(choice: Choice, before: int, chosen: dict[str, int], away: dict[str, int]) -> list[str]:
    waited = [name for name in choice.eligible if name != choice.answer and away.get(name, -1) < before]
    return [name for name in waited if chosen.get(name, -1) < before]


def _long_runs() -> Iterator[Program]:
    for count in (3, 5, 7):
        yield Program({"servers": servers(count)}, (("crowd", 300, 0), ("crowd", 300, 300)))


@law("round_robin", cases=_long_runs, hint="How large may your position become, and what happens to it then?")
def turns_go_on_for_ever(run: Run[Choice]) -> None:
    """After hundreds of requests the turns are as regular as at the beginning."""
    must_have_answered(run)
    answers = [(crowd, name) for crowd in run.answered("crowd") for name in crowd.answer]
    count = len(run.program.setting["servers"])
    for number in range(len(answers) - count + 1) if count else ():
        crowd, _ = answers[number]
        window = [name for _, name in answers[number : number + count]]
        missed = [name for name in crowd.eligible if name not in window]
        if missed:
            said = f"requests {number + 1} to {number + count} went to {', '.join(map(str, window))}"
            raise Broken(crowd, f"each server once in any {count} requests", f"none for {', '.join(missed)}", said)
    run.meet("six hundred turns", int(len(answers) >= 600))
