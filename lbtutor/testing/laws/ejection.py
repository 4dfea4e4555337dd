"""Passive ejection: a server is thrown out for the answers that clients got from it."""

from __future__ import annotations

from collections.abc import Iterator

from lbtutor.testing.lawbook import law
from lbtutor.testing.program import Broken, Run
from lbtutor.testing.worlds.ejection import Sight

CLOSE = 1e-6
"""At the very moment either is right."""


def _sights(run: Run[Sight]) -> Iterator[Sight]:
    return run.answered()


@law(
    "ejection",
    meets=("somebody was out",),
    hint="Which of your collections still knows a server after `remove`, and which does a late answer bring back?",
)
def only_members_are_listed(run: Run[Sight]) -> None:
    """Only members are listed, and each of them once."""
    left = False
    for sight in _sights(run):
        left = left or sight.kind == "remove"
        run.meet("a server had left", int(left))
        run.meet("somebody was out", int(bool(sight.out)))
        if sight.strange:
            why = f"the members are {', '.join(sight.members)}"
            raise Broken(sight, "each member at most once, and nobody else", f"{sight.strange[0]} in the list", why)


@law(
    "ejection",
    meets=("a failure after a success", "a failure while another server fails"),
    hint="What happens to the count of one server when it answers well, and when another one fails?",
)
def nobody_goes_before_so_many_failures_in_a_row(run: Run[Sight]) -> None:
    """Nobody is thrown out before `fails` requests in a row have failed on that very server since it was last out."""
    fails = run.program.setting["fails"]
    well: set[str] = set()
    for sight in _sights(run):
        if sight.kind == "finish":
            failed = sight.most[sight.name] > 0
            run.meet("a failure after a success", int(failed and sight.name in well))
            run.meet("a failure while another server fails", int(failed and sum(map(bool, sight.row.values())) > 1))
            if not failed:
                well.add(sight.name)
        for name in sorted(sight.out - sight.before):
            if sight.most[name] < fails:
                raise Broken(sight, f"{name} stays in", f"{name} is out", _row(sight, name))


@law(
    "ejection",
    meets=("as many failures in a row as it takes",),
    hint="Count the failures by hand. At which of them does your code compare, and is that before or after it counts?",
)
def it_goes_with_the_last_of_so_many_failures(run: Run[Sight]) -> None:
    """With the last of `fails` failures in a row a server is out at once, if one more may be."""
    fails, share = run.program.setting["fails"], run.program.setting["max_ejected"]
    for sight in _sights(run):
        name = sight.name
        if sight.kind != "finish" or name in sight.before or sight.row[name] != fails or not sight.brief:
            continue
        if len(sight.before) + 1 > sight.room(share):
            continue
        run.meet("as many failures in a row as it takes")
        if name not in sight.out:
            why = f"{_row(sight, name)}, and {len(sight.before) or 'nobody'} of {len(sight.members)} was out"
            raise Broken(sight, f"{name} is out", f"{name} is in", why)


@law(
    "ejection",
    meets=("one more would be too many",),
    hint="Before you throw one out: how many are out already, of how many members, and what if one more is?",
)
def never_are_too_many_out(run: Run[Sight]) -> None:
    """Nobody is thrown out when more than the share `max_ejected` would be out then, except a first one."""
    fails, share = run.program.setting["fails"], run.program.setting["max_ejected"]
    for sight in _sights(run):
        room = sight.room(share)
        if sight.kind == "finish" and sight.row[sight.name] >= fails and len(sight.before) == room:
            run.meet("one more would be too many")
        if sight.kind != "add" and sight.out - sight.before and len(sight.out) > room:
            why = f"{share:.0%} of {len(sight.members)} members is {share * len(sight.members):g}"
            raise Broken(sight, f"at most {room} out", f"{len(sight.out)} out", why)


@law(
    "ejection",
    meets=("the time was not over", "the time was over"),
    hint="From when to when is a server out, and what in your code may change that while it lasts?",
)
def time_alone_lets_it_in_again(run: Run[Sight]) -> None:
    """Who was thrown out stays out for `eject` seconds, whatever is told meanwhile, and is in again after it.

    The n-th time may be n times as long, or 2 ** (n - 1) times.
    """
    eject = run.program.setting["eject"]
    for sight in _sights(run):
        for name in sorted(sight.before & set(sight.members)):
            spent, times = sight.now - sight.since[name], sight.times[name]
            longest = eject * max(times, 2 ** min(times - 1, 10))
            early, late = spent < eject - CLOSE, spent > longest + CLOSE
            run.meet("the time was not over", int(early))
            run.meet("the time was over", int(late))
            if early and name not in sight.out:
                raise Broken(sight, f"{name} is out", f"{name} is in", f"it was thrown out {spent:g} s ago")
            if late and name in sight.out:
                raise Broken(sight, f"{name} is in again", f"{name} is out", f"it was thrown out {spent:g} s ago")


def _row(sight: Sight, name: str) -> str:
    count = sight.row[name]
    return f"{count} in a row {'has' if count == 1 else 'have'} failed on {name}"
