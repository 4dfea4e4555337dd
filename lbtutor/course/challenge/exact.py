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
from lbtutor.sim.flow import play_flow
from lbtutor.sim.tape import Tape
from lbtutor.sim.world import Fleet, Load, World

SECONDS = 2
MOMENT = PEAK_HOURS[1] - 30
"""The second of the day whose state the window begins with."""


class Exact(Struct, frozen=True):
    """What the window showed: requests played, how far the flow model is from it, and the busiest instances.

    `served_off` and `shed_off` are shares of what was offered, `utilisation_off` the worst service's difference in
    shares of 1; `busiest` is, for each service without sticky carts, the busiest instance over its mean.
    """

    requests: int
    served_off: float
    shed_off: float
    utilisation_off: float
    busiest: dict[str, float]
    from_second: int = MOMENT
    seconds: int = SECONDS

    @property
    def says(self) -> str:
        """The comparison in a sentence."""
        return (
            f"exact simulation of {self.requests} requests at the peak: the flow model is off by {self.served_off:.2%} "
            f"in what is served, {self.shed_off:.2%} in what is turned away, {self.utilisation_off:.1%} in utilisation"
        )


def play_peak(design: Design, tape: Tape, seed: int) -> Exact:
    """Play the window; `tape` is the flow model's of the whole day. Takes seconds, and the first time longer.

    Raises `EnvironmentFault` when numba is missing, for then it would take minutes.
    """
    from lbtutor.sim.kernel import AVAILABLE, play

    if not AVAILABLE:
        raise EnvironmentFault("--exact needs the compiled simulator: pip install 'lbtutor[fast]'")
    window = _window(world_of(design, seed), tape)
    return _compare(play_flow(window).tape, play(window), design)


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
    return Exact(int(offered), off("served"), off("shed", "shed_by_balancer"), max(loads), busiest)


def _busiest(picked: list[int]) -> float:
    return round(max(picked) * len(picked) / sum(picked), 4) if sum(picked) else 1.0
