"""Slow start: who is new, or back, gets its share by degrees."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from lbtutor.testing.lawbook import law
from lbtutor.testing.program import Broken, Run
from lbtutor.testing.worlds.slow_start import Weighing

CLOSE = 1e-6


def _weighed(run: Run[Weighing]) -> Iterator[Weighing]:
    return run.answered()


@law(
    "slow_start",
    meets=("a moment within the window", "a clock that was set back"),
    hint="What is the least, and what is the most that your formula can yield, for every age, also below 0?",
)
def it_weighs_something_and_never_too_much(run: Run[Weighing]) -> None:
    """Its weight is never above the whole and never below 0, and above 0 as soon as time has passed."""
    for weighing in _weighed(run):
        run.meet("a clock that was set back", int(weighing.age < 0))
        run.meet("a moment within the window", int(0 < weighing.part < 1))
        bottom = weighing.bottom * (1 - CLOSE)
        enough = weighing.share > 0 if weighing.age > 0 else weighing.share >= 0
        if not enough or not bottom <= weighing.share <= 1 + CLOSE:
            least = f"{bottom * weighing.full:.3g}" if bottom else "more than 0" if weighing.age > 0 else "0"
            raise Broken(weighing, f"{least} to {weighing.full:g}", str(weighing.answer))


@law(
    "slow_start",
    meets=("it has just come in",),
    hint="From which moment does your code count, and what does it say at that very moment?",
)
def it_starts_slowly(run: Run[Weighing]) -> None:
    """Just in, new or back, it has not yet three quarters of its weight."""
    for weighing in _weighed(run):
        if 0 <= weighing.part <= 0.02:
            run.meet("it has just come in")
            if weighing.share > 0.75:
                most = f"at most {0.75 * weighing.full:g}"
                raise Broken(weighing, most, str(weighing.answer), f"it is in for {weighing.age:g} s")


@law(
    "slow_start",
    meets=("later is not less",),
    hint="Write down its weight for a row of ages. Where does it fall?",
)
def it_never_loses_weight(run: Run[Weighing]) -> None:
    """As time goes on its weight never falls."""
    looks = [weighing for weighing in _weighed(run) if weighing.kind == "look"]
    for earlier, later in pairwise(looks):
        if earlier.life == later.life and earlier.age < later.age:
            run.meet("later is not less")
            if later.share < earlier.share - CLOSE:
                raise Broken(later, f"{earlier.answer} or more", str(later.answer), f"{earlier.answer} was before")


@law(
    "slow_start",
    meets=("two looks shortly one after the other",),
    hint="Where does your formula jump, and what do the requests that come at that moment do to a cold server?",
)
def it_grows_by_degrees(run: Run[Weighing]) -> None:
    """Within a twentieth of the window it does not gain half of its weight, once it is in for as long."""
    looks = [weighing for weighing in _weighed(run) if weighing.kind == "look"]
    for earlier, later in pairwise(looks):
        if earlier.life == later.life and earlier.part > 0.04 and later.part - earlier.part <= 0.0501:
            run.meet("two looks shortly one after the other")
            if later.share - earlier.share >= 0.5:
                why = f"{earlier.answer} was {later.age - earlier.age:g} s before"
                raise Broken(later, f"less than half of {later.full:g} more", str(later.answer), why)


@law(
    "slow_start",
    meets=("the window is over",),
    hint="What comes out at the end of the window, and a year later?",
)
def at_the_end_it_has_all(run: Run[Weighing]) -> None:
    """When the window is over it has its whole weight, and keeps it."""
    for weighing in _weighed(run):
        if weighing.part >= 1 + CLOSE:
            run.meet("the window is over")
            if abs(weighing.share - 1) > CLOSE:
                raise Broken(weighing, f"{weighing.full:g}", str(weighing.answer))


@law(
    "slow_start",
    meets=("a moment within the window",),
    hint="Two servers, one ten times as heavy, come in together: how do their shares compare?",
)
def the_heavy_grow_as_the_light(run: Run[Weighing]) -> None:
    """Servers that come in together keep their proportion: one ten times as heavy has the same part of its whole."""
    for weighing in _weighed(run):
        if 0 < weighing.part < 1:
            run.meet("a moment within the window")
            if abs(weighing.share - weighing.other) > 0.11:
                heavy, light = weighing.full * 10, weighing.share
                raise Broken(
                    weighing,
                    f"one of weight {heavy:g} has {light:.0%} of it, too",
                    f"it has {weighing.other:.0%}",
                )
