"""The peak once more, each request by itself: two seconds of the exact simulation, held against the flow model.

The window begins where the flow model has the design in the last minute of the peak, with as many instances as it has
then, all well. So it shows what means cannot: how even the algorithm is, a hash too, and what bursts do. Nothing
befalls it, so of failures it says nothing; nor of sticky carts, whose places come from the hour before, nor of
WebSockets.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.core import EnvironmentFault, Seconds
from lbtutor.course.challenge.day import PEAK_HOURS, world_of
from lbtutor.course.challenge.design import Design
from lbtutor.course.challenge.judge import SERVED_AT_LEAST, SHED_AT_MOST, Judged
from lbtutor.labs.crowd import Tell
from lbtutor.sim.flow import play_flow
from lbtutor.sim.tape import Tape
from lbtutor.sim.world import Fleet, Load, World

SECONDS = 2
MOMENT = PEAK_HOURS[1] - 30
"""The second of the day whose state the window begins with."""


class Exact(Struct, frozen=True):
    """What the window showed: requests played, how far the flow model is from it, and the busiest instances.

    `served_off` and `shed_off` are shares of what was offered, `utilisation_off` the worst service's difference in
    shares of 1; `busiest` is, for each service without sticky carts, the busiest instance over its mean. `holds` says
    whether the window, played exactly, meets what is asked of the peak's capacity; `held` is what the model says of it.
    """

    requests: int
    served_off: float
    shed_off: float
    utilisation_off: float
    busiest: dict[str, float]
    holds: bool
    held: bool
    from_second: int = MOMENT
    seconds: int = SECONDS

    @property
    def off(self) -> float:
        """How far the flow model is from it, in whatever it is furthest; a verdict that does not stand is further."""
        return (self.holds != self.held) + max(self.served_off, self.shed_off, self.utilisation_off)

    @property
    def says(self) -> str:
        """The comparison in a sentence."""
        requests, peak = f"{self.requests:,}".replace(",", " "), "handled" if self.holds else "not handled"
        agreed = f"both call it {peak}" if self.holds == self.held else f"it is {peak}, against what the model says"
        return (
            f"exact simulation of {requests} requests at the peak: the flow model is off by "
            f"{self.served_off:.2%} in what is served, {self.shed_off:.2%} in what is turned away, "
            f"{self.utilisation_off:.1%} in utilisation; {agreed}"
        )


def play_peak(design: Design, tape: Tape, seed: int, tell: Tell | None = None) -> Exact:
    """Play the window; `tape` is the flow model's of the whole day. Takes seconds, and the first time longer.

    `tell` hears the share that is done, after each second. Raises `EnvironmentFault` when numba is missing, for then it
    would take minutes, and `KeyboardInterrupt`: a part of a window cannot be compared.
    """
    from lbtutor.sim.kernel import AVAILABLE, play

    if not AVAILABLE:
        raise EnvironmentFault("exact windows need the compiled simulator: pip install 'lbtutor[fast]', or --no-exact")
    window = _window(world_of(design, seed), tape)
    exact = play(window, None if tell is None else lambda done, of: tell(done / of))
    if exact.seconds < SECONDS:
        raise KeyboardInterrupt
    return _compare(play_flow(window).tape, exact, design)


def seen_exactly(judged: list[Judged], exact: Exact) -> list[Judged]:
    """The verdicts, where a peak that the model calls handled and the window does not is one that is not."""
    return [_at_the_peak(one) if one.id == "capacity" and exact.held and not exact.holds else one for one in judged]


def _at_the_peak(one: Judged) -> Judged:
    if one.verdict == "failed":
        return one
    return replace(one, verdict="failed", first_broken_at=MOMENT, measured=f"{one.measured}; {_NOT_EXACTLY}")


_NOT_EXACTLY = f"but not when each request of {SECONDS} seconds was played"


def _window(world: World, tape: Tape) -> World:
    return replace(
        world,
        fleets=tuple(_as_it_stands(fleet, tape) for fleet in world.fleets),
        load=Load(((0.0, world.load.at(MOMENT)),), clients=world.load.clients),
        mishaps=(),
        lasts=Seconds(SECONDS),
    )


def _as_it_stands(fleet: Fleet, tape: Tape) -> Fleet:
    there = max(1, round(tape.series("up", fleet.name)[MOMENT]))
    return replace(fleet, instances=there, zones=min(fleet.zones, there), scaling=None, sockets=None)


def _compare(flow: Tape, exact: Tape, design: Design) -> Exact:
    offered = exact.total("offered")

    def off(*names: str) -> float:
        return abs(sum(exact.total(name) - flow.total(name) for name in names)) / offered

    loads = [abs(flow.utilisation(name)[-1] - exact.utilisation(name)[-1]) for name in exact.fleets]
    busiest = {name: _busiest(exact.picked_of(name)) for name in exact.fleets if design.pool[name].sticky is None}
    shed_off = off("shed", "shed_by_balancer")
    return Exact(int(offered), off("served"), shed_off, max(loads), busiest, holds=_handled(exact), held=_handled(flow))


def _handled(tape: Tape) -> bool:
    """What `capacity` asks of the peak."""
    offered = tape.total("offered")
    shed = tape.total("shed") + tape.total("shed_by_balancer")
    return shed <= SHED_AT_MOST * offered and tape.total("served") >= SERVED_AT_LEAST * offered


def _busiest(picked: list[int]) -> float:
    return round(max(picked) * len(picked) / sum(picked), 4) if sum(picked) else 1.0
