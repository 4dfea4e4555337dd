"""Retries: which request may be tried again, how often, and how soon."""

from __future__ import annotations

from lbtutor.testing.lawbook import law
from lbtutor.testing.program import Broken, Run
from lbtutor.testing.worlds.retry import BASE, CAP, UNSAFE, Asking, outage

AHEAD = 100
"""So many retries may be had in advance, or saved: Finagle's reserve, and the bound of ours."""


@law(
    "retry",
    meets=("all tries were made",),
    hint="`attempt` counts the tries that were made, the first one too: which comparison lets one more through?",
)
def all_tries_are_not_exceeded(run: Run[Asking]) -> None:
    """A request is tried at most `attempts` times, the first try counted."""
    most = run.program.setting["attempts"]
    for asking in run.answered("retry"):
        if asking.attempt >= most:
            run.meet("all tries were made")
            if asking.answer:
                raise Broken(asking, "no further try", "another one", f"{asking.attempt} of {most} were made")


@law(
    "retry",
    meets=("a request that must not be repeated was sent",),
    hint="What if the server did carry it out, and only its answer was lost?",
)
def what_may_have_been_done_is_not_repeated(run: Run[Asking]) -> None:
    """A POST or PATCH that was sent is never tried again: it may have been carried out."""
    for asking in run.answered("retry"):
        if asking.method in UNSAFE and asking.outcome in ("closed", "timeout", "503"):
            run.meet("a request that must not be repeated was sent")
            if asking.answer:
                raise Broken(
                    asking, "no further try", "another one", f"{asking.method} is not idempotent, and was sent"
                )


@law(
    "retry",
    meets=("a good answer", "the client's own error"),
    hint="Which outcomes does a further try help against? List these, rather than those it does not.",
)
def only_failures_of_the_server_are_repeated(run: Run[Asking]) -> None:
    """What succeeded is not tried again, nor what would fail again because the client was wrong."""
    for asking in run.answered("retry"):
        if asking.outcome in ("ok", "404"):
            run.meet("a good answer" if asking.outcome == "ok" else "the client's own error")
            if asking.answer:
                status = "200" if asking.outcome == "ok" else "404"
                raise Broken(asking, "no further try", "another one", f"it was answered with {status}")


@law(
    "retry",
    meets=("a refusal that could be mended", "an idempotent request that was sent could be repeated"),
    hint="The budget is full, tries are left, and nothing was harmed: which of your conditions says no?",
)
def what_can_be_mended_is(run: Run[Asking]) -> None:
    """With tries and budget left, a GET that was refused or cut off before its answer is tried again, and so is every
    idempotent request."""
    budget, most = run.program.setting["budget"], run.program.setting["attempts"]
    for asking in run.answered("retry"):
        if asking.method in UNSAFE or asking.outcome not in ("refused", "closed") or asking.attempt >= most:
            continue
        if asking.granted > 3 or asking.recent * budget < 8:
            continue
        refused = asking.outcome == "refused"
        run.meet(
            "a refusal that could be mended" if refused else "an idempotent request that was sent could be repeated"
        )
        if not asking.answer:
            why = (
                f"{asking.attempt} of {most} tries made, {asking.granted} retries for {asking.arrived} requests so far"
            )
            raise Broken(asking, "another try", "none", why)


@law(
    "retry",
    meets=("everything failed",),
    hint="When everything fails, how much more does each request add to the load, and who counts the retries?",
    source=outage,
    times=3,
)
def an_outage_is_not_made_worse(run: Run[Asking]) -> None:
    """When everything fails, retries are no more than the share `budget` of the requests, and a few."""
    budget = run.program.setting["budget"]
    for asking in run.answered("fail"):
        most = AHEAD + budget * (asking.arrived + asking.count)
        if asking.count >= 2 * AHEAD:
            run.meet("everything failed")
        if asking.answer > most:
            why = f"{budget:.0%} of {asking.arrived + asking.count} requests, and {AHEAD} to begin with"
            raise Broken(asking, f"at most {most:g} retries", str(asking.answer), why)


@law("retry", hint="What does your formula make of 0, of the first try, and of the thousandth?")
def the_wait_is_bounded(run: Run[Asking]) -> None:
    """Where it waits, the wait is 0 s or longer, at most `base * 2**attempt`, and never above `cap`."""
    for asking in run.answered("wait"):
        run.meet("a wait")
        longest = min(CAP, BASE * 2 ** min(asking.attempt, 60)) if asking.bounded else 3600.0
        if not isinstance(asking.answer, int | float) or not -1e-9 <= asking.answer <= longest * (1 + 1e-9):
            raise Broken(asking, f"0 to {longest:g} s", str(asking.answer), f"base is {BASE:g} s and cap {CAP:g} s")
