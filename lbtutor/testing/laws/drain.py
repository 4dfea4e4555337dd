"""Drain: a server that leaves gets nothing new, and finishes what it has."""

from __future__ import annotations

from collections.abc import Iterator

from lbtutor.testing.lawbook import law
from lbtutor.testing.program import Broken, Run
from lbtutor.testing.worlds.drain import Look

CLOSE = 1e-6
"""At the very moment either is right."""


def _looks(run: Run[Look], *, drains: bool) -> Iterator[Look]:
    return (look for look in run.answered() if look.drains == drains)


@law(
    "drain",
    meets=("no drain is on", "requests are open"),
    hint="What must be as it was before when nobody wants it to drain (any more)?",
)
def it_is_active_unless_it_drains(run: Run[Look]) -> None:
    """The state is `active` as long as nobody drains it, and again when the drain was taken back."""
    for look in _looks(run, drains=False):
        run.meet("no drain is on")
        run.meet("requests are open", look.open)
        if look.answer != "active":
            raise Broken(look, "active", str(look.answer), "no drain is on")


@law(
    "drain",
    meets=("requests are open and there is time",),
    hint="Count the open requests by hand, through every start, end and change of state.",
)
def open_requests_are_waited_for(run: Run[Look]) -> None:
    """The state is `draining` while requests are open and the deadline has not come."""
    deadline = run.program.setting["deadline"]
    for look in _looks(run, drains=True):
        if look.open and look.now < look.first + deadline - CLOSE:
            run.meet("requests are open and there is time")
            if look.answer != "draining" and not (look.late and look.answer == "drained"):
                raise Broken(look, "draining", str(look.answer), f"{_open(look)}, and {_left(look, deadline)}")


@law(
    "drain",
    meets=("nothing was open from the beginning", "the last request ended"),
    hint="By which of your methods can the last request be gone, or never have been there?",
)
def it_is_drained_when_the_last_has_ended(run: Run[Look]) -> None:
    """The state is `drained` as soon as no request is open."""
    for look in _looks(run, drains=True):
        if not look.open:
            run.meet("the last request ended", int(look.kind == "end"))
            run.meet("nothing was open from the beginning", int(look.kind == "drain"))
            if look.answer != "drained":
                raise Broken(look, "drained", str(look.answer), "no request is open")


@law(
    "drain",
    meets=("the deadline came with requests open",),
    hint="From when does the deadline count, and who looks at the clock when no request ends?",
)
def it_is_drained_when_time_is_up(run: Run[Look]) -> None:
    """The state is `drained` once the deadline has come, whatever is still open."""
    deadline = run.program.setting["deadline"]
    for look in _looks(run, drains=True):
        if look.open and look.now > look.last + deadline + CLOSE:
            run.meet("the deadline came with requests open")
            if look.answer != "drained" and not look.late:
                raise Broken(look, "drained", str(look.answer), f"it drains for {look.now - look.last:g} s")


@law("drain", hint="May somebody who leaves be sent one more?")
def nothing_new_is_sent_to_it_while_it_leaves(run: Run[Look]) -> None:
    """It accepts new requests exactly while no drain is on."""
    for look in run.answered():
        if look.accepts is not None:
            run.meet("it was asked whether it accepts")
            if look.accepts == look.drains:
                got = "it accepts them" if look.accepts else "it accepts none"
                raise Broken(look, "no new requests" if look.drains else "new requests", got)


def _open(look: Look) -> str:
    return f"{look.open} request{'s are' if look.open > 1 else ' is'} open"


def _left(look: Look, deadline: float) -> str:
    return f"{look.first + deadline - look.now:g} s are left"
