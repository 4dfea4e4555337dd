"""A day as it unfolds: what each second of it showed, and what happened in it, for whoever wants to watch.

`play_day` plays one day of a design. All that is told of it is read off: numbers off the tape, mishaps off the world
that was played, the autoscalers' changes of mind off the flow, the seconds in which requirements broke off their
verdicts. A day can be looked at in any order, so time may stand still, leap, or go back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Literal, NamedTuple

from lbtutor.course.challenge.day import PEAK, PEAK_HOURS, RAMP, drains_of, world_of
from lbtutor.course.challenge.design import Design
from lbtutor.course.challenge.judge import Cost, Judged, cost_of, judge
from lbtutor.labs.checks import Verdict, overall
from lbtutor.sim.flow import Flow, play_flow
from lbtutor.sim.tape import Tape
from lbtutor.sim.world import Mishap, World

Tone = Literal["load", "trouble", "repair", "change", "broken"]

_FAILED = ("failed_before", "failed_after")
_REFUSED = ("shed", "shed_by_balancer")


class Service(NamedTuple):
    """One service in one second: requests a second, the share of its slots that is busy, and its instances."""

    name: str
    offered: float
    served: float
    refused: float
    failed: float
    busy: float
    instances: int
    up: int


class Moment(NamedTuple):
    """One second of the day. Rates are requests a second; `carts_lost` and `sockets_lost` are sums so far."""

    second: int
    offered: float
    served: float
    refused: float
    failed: float
    services: tuple[Service, ...]
    balancers: tuple[bool, ...]
    carts_lost: float
    sockets: float
    sockets_lost: float


class Happening(NamedTuple):
    """Something that happened at that second, in a sentence without its full stop."""

    second: int
    tone: Tone
    says: str


class Day:
    """One day of one design: `moment(second)`, `happenings` in order of time, and the verdicts on it."""

    def __init__(self, design: Design, world: World, flow: Flow) -> None:
        self.design = design
        self.world = world
        self.tape = flow.tape
        self.seconds = flow.tape.seconds
        self.requirements: list[Judged] = judge(design, flow.tape)
        self.cost: Cost = cost_of(design, flow.tape)
        self.verdict: Verdict = overall([one.verdict for one in self.requirements])
        self.happenings = sorted(_happenings(world, flow, self.requirements), key=lambda one: one.second)
        self.offered = self.tape.series("offered")
        self.served = self.tape.series("served")
        self._refused, self._failed = added_up(self.tape, *_REFUSED), added_up(self.tape, *_FAILED)
        self._carts_lost = list(accumulate(self.tape.series("carts_lost")))
        self._sockets, self._sockets_lost = (
            self.tape.series("sockets"),
            list(accumulate(self.tape.series("sockets_lost"))),
        )
        self._services = {name: _columns(self.tape, name) for name in self.tape.fleets}
        self._dark = [_dark(world, number) for number in range(self.tape.balancers)]
        self._at = [one.second for one in self.happenings]

    def moment(self, second: int) -> Moment:
        """What that second showed; one before or after the day is its first or last."""
        second = min(max(second, 0), self.seconds - 1)
        return Moment(
            second,
            self.offered[second],
            self.served[second],
            self._refused[second],
            self._failed[second],
            tuple(_service(name, columns, second) for name, columns in self._services.items()),
            tuple(not any(since <= second < until for since, until in dark) for dark in self._dark),
            self._carts_lost[second],
            self._sockets[second],
            self._sockets_lost[second],
        )

    def until(self, second: int) -> list[Happening]:
        """What has happened up to and in that second."""
        return self.happenings[: bisect_right(self._at, second)]

    def next_after(self, second: int) -> int:
        """The second of the next happening, or the last of the day."""
        return next((at for at in self._at if at > second), self.seconds - 1)

    def last_before(self, second: int) -> int:
        """The second of the happening before, or the first of the day."""
        return next((at for at in reversed(self._at) if at < second), 0)


def play_day(design: Design, seed: int = 1, progress: Callable[[float], None] | None = None) -> Day:
    """Play the design's day; `progress` is told the share that is done, and may raise to end it."""
    world = world_of(design, seed)

    def passed(second: float) -> None:
        if progress is not None:
            progress(second / world.lasts)

    return Day(design, world, play_flow(world, drains_of(design), passed))


def thousands(number: float) -> str:
    """1 234 567, with gaps that a terminal can show."""
    return f"{round(number):,}".replace(",", " ")


def clock(second: float) -> str:
    """Minutes and seconds of the day: 30:01."""
    return f"{int(second) // 60}:{int(second) % 60:02d}"


def added_up(tape: Tape, *names: str, fleet: str | None = None) -> list[float]:
    """Several series in one, second by second."""
    return [sum(row) for row in zip(*(tape.series(name, fleet) for name in names), strict=True)]


def _columns(tape: Tape, name: str) -> tuple[list[float], ...]:
    """The series of one service, in the order of `Service`'s fields after its name."""
    return (
        tape.series("offered", name),
        tape.series("served", name),
        added_up(tape, *_REFUSED, fleet=name),
        added_up(tape, *_FAILED, fleet=name),
        tape.utilisation(name),
        tape.series("instances", name),
        tape.series("up", name),
    )


def _service(name: str, columns: tuple[list[float], ...], second: int) -> Service:
    *rates, instances, up = (column[second] for column in columns)
    offered, served, refused, failed, busy = rates
    return Service(name, offered, served, refused, failed, busy, round(instances), round(up))


# what happened


def _happenings(world: World, flow: Flow, judged: list[Judged]) -> Iterator[Happening]:
    yield Happening(RAMP[0], "load", "the ramp begins")
    yield Happening(PEAK_HOURS[0], "load", f"the peak is reached: {thousands(PEAK)} requests a second")
    yield Happening(PEAK_HOURS[1], "load", "the peak is over")
    for mishap in world.mishaps:
        yield from _deployed(world, mishap) if mishap.kind == "deploy" else _struck(world, mishap)
    yield from _found_another(world, flow.tape)
    for fleet, wish in flow.wishes:
        if wish.at < world.lasts:
            says = f"{fleet}: {wish.wanted} instances are wanted, {wish.was} were"
            yield Happening(int(wish.at), "change", says)
    for one in judged:
        if one.first_broken_at is not None:
            yield Happening(int(one.first_broken_at), "broken", f"no longer true: {one.says}")


def _struck(world: World, mishap: Mishap) -> Iterator[Happening]:
    began, ended = _sentences(world, mishap)
    yield Happening(int(mishap.at), "trouble", began)
    if mishap.lasts is not None:
        yield Happening(int(mishap.at + mishap.lasts), "repair", ended)


def _sentences(world: World, mishap: Mishap) -> tuple[str, str]:
    """What to say when it begins, and when it is healed."""
    if mishap.balancer is not None:
        which = f"balancer {mishap.balancer + 1} of {world.balancers.count}"
        return f"{which} dies", f"{which} is back"
    name = mishap.fleet
    if mishap.zone is not None:
        return f"a failure domain goes dark, with all {name} instances in it", f"the failure domain of {name} is back"
    if mishap.kind == "slow":
        return f"{name} takes {mishap.amount:g} times as long", f"{name} is as fast as before"
    count = _hit(world, mishap)
    who, s = (f"1 {name} instance", "s") if count == 1 else (f"{count} {name} instances", "")
    does = f"hang{s}: requests go in, no answer comes" if mishap.kind == "hang" else f"crash{'es' if s else ''}"
    return f"{who} {does}", f"{who} replaced"


def _hit(world: World, mishap: Mishap) -> int:
    return sum(
        stroke.at == mishap.at and stroke.kind == mishap.kind and world.fleets[stroke.fleet].name == mishap.fleet
        for stroke in world.timeline()
        if stroke.fleet >= 0
    )


def _deployed(world: World, mishap: Mishap) -> Iterator[Happening]:
    back = [
        stroke.at
        for stroke in world.timeline()
        if stroke.kind == "start" and world.fleets[stroke.fleet].name == mishap.fleet
    ]
    drained = f"each drained for {mishap.drain:g} s" if mishap.drain else "none of them drained"
    yield Happening(int(mishap.at), "change", f"a deploy of {mishap.fleet} begins: a batch at a time, {drained}")
    if max(back) < world.lasts:
        yield Happening(int(max(back)), "repair", f"the deploy of {mishap.fleet} is done")


def _found_another(world: World, tape: Tape) -> Iterator[Happening]:
    """When the last client of a dead balancer stopped asking it, unless it came back first."""
    for number in range(tape.balancers):
        lost = [second for second, count in enumerate(tape.at_balancer("failed", number)) if count]
        until = max((until for _, until in _dark(world, number)), default=0.0)
        if lost and lost[-1] + 1 < until:
            says = f"nobody asks the dead balancer any more, after {lost[-1] - lost[0] + 1} s"
            yield Happening(lost[-1] + 1, "repair", says)


def _dark(world: World, balancer: int) -> list[tuple[float, float]]:
    """From when until when a balancer was dead."""
    return [
        (mishap.at, mishap.at + mishap.lasts if mishap.lasts is not None else world.lasts)
        for mishap in world.mishaps
        if mishap.balancer == balancer
    ]
