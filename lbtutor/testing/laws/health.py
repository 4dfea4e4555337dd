"""The health state machine: two thresholds, each counting results *in a row*."""

from __future__ import annotations

from collections.abc import Iterator

from lbtutor.testing.lawbook import law
from lbtutor.testing.program import SILENT, Broken, Run
from lbtutor.testing.worlds.health import Belief, every_row


@law(
    "health", hint="What does your method return when nothing changes, and what does it do with the very first result?"
)
def it_never_fails(run: Run[Belief]) -> None:
    """After every probe the machine says up or down, and no call raises."""
    if run.fault is not None:
        raise Broken(run.moments[-1] if run.moments else None, "up or down", str(run.fault))
    for moment in run.answered("probe"):
        if moment.state == "" or (moment.state == "undecided" and moment.before in ("up", "down")):
            raise Broken(moment, "up or down", repr(moment.answer))


@law(
    "health",
    cases=every_row,
    meets=("it was time to fall", "it was not yet time to fall"),
    hint="Which results does your counter of failures count, and what sets it back to zero?",
)
def it_falls_after_that_many_failures_in_a_row(run: Run[Belief]) -> None:
    """A server that is up goes down when so many probes in a row failed, and not before."""
    fall: int = run.program.setting["fall"]
    for moment in _answers(run):
        if moment.before == "up" or (not moment.before and moment.passed is False and run.claims["initial"] == "up"):
            due = moment.heard.endswith("-" * fall)
            run.meet("it was time to fall" if due else "it was not yet time to fall")
            _must(moment, "down" if due else "up", fall)
        elif not moment.before and not moment.passed and fall == 1:
            _must(moment, "down", fall)


@law(
    "health",
    cases=every_row,
    meets=("it was time to rise", "it was not yet time to rise"),
    hint="Which results does your counter of successes count, and what sets it back to zero?",
)
def it_rises_after_that_many_successes_in_a_row(run: Run[Belief]) -> None:
    """A server that is down comes up when so many probes in a row passed, and not before."""
    rise: int = run.program.setting["rise"]
    for moment in _answers(run):
        if moment.before == "down" or (not moment.before and moment.passed and run.claims["initial"] == "down"):
            due = moment.heard.endswith("+" * rise)
            run.meet("it was time to rise" if due else "it was not yet time to rise")
            _must(moment, "up" if due else "down", rise)
        elif not moment.before and moment.passed and (rise == 1 or run.claims["initial"] in ("up", "first")):
            _must(moment, "up", rise)


def _answers(run: Run[Belief]) -> Iterator[Belief]:
    """What was answered and is a state. Before the first decision, every start is right that is not denied by claim."""
    for moment in run.moments:
        if moment.kind == "probe" and moment.answer is not SILENT and moment.state in ("up", "down"):
            yield moment


def _must(moment: Belief, state: str, needed: int) -> None:
    if moment.state == state:
        return
    last = moment.heard[-1]
    streak = len(moment.heard) - len(moment.heard.rstrip(last))
    results = f"{streak} {'pass' if last == '+' else 'failure'}{'' if streak == 1 else 'es' if last == '+' else 's'}"
    was = f"it was {moment.before}" if moment.before else "it is new"
    raise Broken(moment, state, str(moment.answer), f"{was}, that makes {results} in a row, and it takes {needed}")
