"""What holds for everything that chooses a server."""

from __future__ import annotations

from collections.abc import Iterator

from lbtutor.testing.draw import Draw
from lbtutor.testing.lawbook import law
from lbtutor.testing.program import Broken, Program, Run
from lbtutor.testing.sandbox.faults import Fault, Raised
from lbtutor.testing.worlds.balancer import Choice, grammar, servers

BALANCERS = (
    "round_robin", "weighted_round_robin", "least_connections", "ip_hash", "consistent_hash", "maglev", "rendezvous",
    "least_response_time", "peak_ewma", "power_of_two", "bounded_load",
)  # fmt: skip


@law(*BALANCERS, hint="Read the line that it points at with the smallest pool in mind: none, one, or just one left.")
def it_never_fails(run: Run[Choice]) -> None:
    """Whatever happens to the pool, every question gets an answer and no call raises."""
    if run.fault is not None:
        moment = run.moments[-1] if run.moments else None
        raise Broken(moment, "an answer", str(run.fault), _says_so(moment, run.fault))


def _says_so(moment: Choice | None, fault: Fault) -> str:
    """What to write for somebody whose exception means that nobody is there."""
    if moment is None or moment.kind != "pick" or moment.eligible or not isinstance(fault, Raised):
        return ""
    return f"nobody is up, which None would say; if {fault.kind} is to say it, --adapt none={fault.kind}"


@law(
    *BALANCERS,
    meets=("a server was chosen while another was down", "nobody was up"),
    only_by={"a server was chosen while another was down": ("health",), "nobody was up": ("health", "remove")},
    hint="Where in your code do you look at who is up, and what comes out when the list is empty?",
)
def whoever_is_chosen_is_there_and_up(run: Run[Choice]) -> None:
    """The choice is a server that is a member of the pool and up, and None exactly when there is none."""
    for choice in run.answered():
        if choice.kind == "crowd":
            continue
        if not choice.eligible:
            run.meet("nobody was up")
        elif len(choice.eligible) < len(choice.members):
            run.meet("a server was chosen while another was down")
        if (choice.answer in choice.eligible) if choice.eligible else (choice.answer is None):
            continue
        raise Broken(choice, _one_of(choice.eligible), str(choice.answer), _why_not(choice))


def must_have_answered(run: Run[Choice]) -> None:
    """For laws with programs of their own, in which nothing odd is done."""
    if run.fault is not None:
        raise Broken(run.moments[-1] if run.moments else None, "an answer", str(run.fault))


def _one_of(names: tuple[str, ...]) -> str:
    return " or ".join(names) or "None"


def _why_not(choice: Choice) -> str:
    if choice.answer is None:
        return f"{', '.join(choice.eligible)} {'is' if len(choice.eligible) == 1 else 'are'} up"
    if choice.answer not in choice.members:
        return f"{choice.answer} is not in the pool"
    return f"{choice.answer} is down" if choice.eligible else "nobody is up"


WITH_STATE = (
    "round_robin", "weighted_round_robin", "least_connections", "least_response_time", "peak_ewma", "power_of_two",
    "bounded_load",
)  # fmt: skip


def _beside_another(draw: Draw) -> Program:
    program = grammar(draw, "round_robin")
    return Program({**program.setting, "beside": True}, program.ops)


def _alone(program: Program) -> Iterator[Program]:
    """The same alone; and twice a long program, which one whose chances are its own does not answer alike."""
    yield Program({**program.setting, "beside": False}, program.ops)
    long = (("load", 12), ("crowd", 100), ("closed", 60, 5, {"a": 10, "b": 20}))
    yield from (Program({"servers": servers(6)}, long), Program({"servers": servers(6)}, long))


@law(
    *WITH_STATE,
    source=_beside_another,
    companions=_alone,
    times=12,
    hint="What in your code belongs to the class or to the module, so that two objects of the class share it?",
)
def two_balancers_share_nothing(run: Run[Choice]) -> None:
    """A second balancer in the same program changes nothing of what the first one chooses.

    Nothing can be said of one that rolls dice of its own: it is not the same twice even when it is alone.
    """
    alone, long, again = run.others
    if [moment.answer for moment in long.moments] != [moment.answer for moment in again.moments]:
        return
    for beside, other in zip(run.moments, alone.moments, strict=False):
        run.meet("a choice made beside another balancer", int(beside.asked))
        if beside.answer != other.answer:
            raise Broken(beside, str(other.answer), str(beside.answer), "so it chooses when it is alone")
    if run.fault is not None and alone.fault is None:
        raise Broken(run.moments[-1] if run.moments else None, "an answer, as when it is alone", str(run.fault))
