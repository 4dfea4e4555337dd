"""The autoscaler: as many instances as the load needs, and no unrest."""

from __future__ import annotations

from lbtutor.testing.lawbook import law
from lbtutor.testing.program import Broken, Run
from lbtutor.testing.worlds.autoscaler import HOLD, TOLERANCE, Loop, Wish, loops, needed


@law(
    "autoscaler",
    meets=("there were more than may be", "there were fewer than must be", "a huge measurement"),
    hint="On which way through your code does an answer leave it that nobody held against the bounds?",
)
def it_keeps_within_its_bounds(run: Run[Wish]) -> None:
    """The answer is a whole number from `min` to `max`, whatever was measured and however many there are."""
    for wish in run.answered():
        if isinstance(wish, Loop):
            continue
        low, high = wish.bounds
        run.meet("there were more than may be", int(wish.current > high))
        run.meet("there were fewer than must be", int(wish.current < low))
        run.meet("a huge measurement", int(wish.kind == "odd" and wish.load is not None))
        whole = isinstance(wish.answer, int) and not isinstance(wish.answer, bool)
        if not whole or not low <= wish.answer <= high:
            raise Broken(wish, f"a whole number from {low} to {high}", str(wish.answer))


@law(
    "autoscaler",
    claims={"unmeasured": "hold"},
    meets=("nobody could have measured that",),
    hint="Is an instance idle when nobody has measured it?",
)
def without_a_measurement_it_holds(run: Run[Wish]) -> None:
    """When utilisation is None, NaN or below 0, it keeps as many as there are, within the bounds."""
    for wish in run.answered("odd"):
        if wish.load is None:
            run.meet("nobody could have measured that")
            _expect(wish, wish.within(wish.current), "that is no measurement")


@law(
    "autoscaler",
    meets=("exactly on target",),
    hint="What does your formula yield when all is as it should be, and when it is nearly so?",
)
def on_target_nothing_changes(run: Run[Wish]) -> None:
    """On target, or as near to it as its tolerance, it keeps as many as there are."""
    for wish in run.answered("ask"):
        if wish.load is None or not wish.bounds[0] <= wish.current <= wish.bounds[1]:
            continue
        run.meet("exactly on target", int(wish.load == 1))
        if wish.load == 1 or (wish.tolerant and abs(wish.load - 1) < TOLERANCE):
            _expect(wish, wish.within(wish.current), f"it is at {wish.load:.0%} of the target")


@law(
    "autoscaler",
    claims={"rule": "proportional"},
    meets=("more are needed", "twice as many are needed"),
    hint="So many instances do that much work now: how many do it at the target? And if that is no whole number?",
)
def it_grows_to_what_the_load_needs(run: Run[Wish]) -> None:
    """Above the target it asks for current × utilisation / target, rounded up and within the bounds; where that is more
    than twice as many, at least for twice as many."""
    for wish in run.answered("ask"):
        if not wish.fresh or wish.load is None or wish.load <= 1 + TOLERANCE:
            continue
        if not wish.bounds[0] <= wish.current <= wish.bounds[1]:  # many, as Kubernetes, first return to the bounds
            continue
        most = needed(wish)
        least = min(most, wish.within(2 * wish.current))
        run.meet("more are needed" if wish.load < 2 else "twice as many are needed")
        if not isinstance(wish.answer, int) or not least <= wish.answer <= most:
            expected = f"{most}" if least == most else f"{least} to {most}"
            raise Broken(
                wish, expected, str(wish.answer), f"they do the work of {wish.current * wish.load:g} on target"
            )


@law(
    "autoscaler",
    meets=("too few", "too many", "no load at all"),
    cases=loops,
    hint="Go through three rounds by hand: what it says becomes what there is. Where does it stay?",
)
def under_a_constant_load_it_settles(run: Run[Wish]) -> None:
    """Under a constant load it comes to rest within an hour, at a number that bears the load and wastes little."""
    for loop in run.answered("loop"):
        assert isinstance(loop, Loop)
        low, high = loop.bounds
        run.meet("too few", int(loop.current < loop.needed))
        run.meet("too many", int(loop.current > loop.needed + 2))
        run.meet("no load at all", int(loop.needed == 0))
        last, end = loop.sizes[-1], loop.sizes[-10:]
        if len(set(end)) > 1:
            raise Broken(loop, "one number in the end", " and ".join(map(str, sorted(set(end)))))
        if last < high and last * (1 + TOLERANCE) < loop.needed:
            raise Broken(loop, f"{loop.within(loop.needed + 0.5)}", str(last), "each has more to do than it should")
        if last > low and last * _idle(run) > loop.needed + 1:
            raise Broken(loop, f"{loop.within(loop.needed + 0.5)}", str(last), "the others have nothing to do")


def _idle(run: Run[Wish]) -> float:
    """How busy, in parts of the target, an instance must be to be no waste."""
    return 0.8 if run.claims.get("rule") == "proportional" else 0.4


@law("autoscaler", hint="When did it last grow, and who remembers that when load falls for a moment?")
def after_growing_it_waits(run: Run[Wish]) -> None:
    """Who has a stabilisation window or a cool-down does not shrink within it after growing."""
    for wish in run.answered("ask"):
        lately = [many for at, many in wish.grew if wish.now - at < HOLD - 1e-6]
        if wish.holds and lately:
            run.meet("it grew a short while ago")
            least = min(wish.current, *lately)
            if isinstance(wish.answer, int) and wish.answer < least:
                why = f"it grew {wish.now - wish.grew[-1][0]:g} s ago, and there are {HOLD:g} s to wait"
                raise Broken(wish, f"{least} or more", str(wish.answer), why)


def _expect(wish: Wish, number: int, why: str) -> None:
    if wish.answer != number:
        raise Broken(wish, str(number), str(wish.answer), why)
