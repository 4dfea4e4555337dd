"""The flow model held against the exact simulation: the same worlds, window by window.

The flow model knows means only, so worlds are large enough for means to be what happens, and arrive steadily. What is
allowed here is what `lbtutor.course.challenge.run.TOLD_BY` tells the reader of its numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from lbtutor.core import HealthCheck, PassiveCheck, Retry, Seconds
from lbtutor.core.scaling import Scaling
from lbtutor.sim.flow import play_flow
from lbtutor.sim.kernel import play
from lbtutor.sim.tape import Tape
from lbtutor.sim.world import Balancers, Carts, Dns, Fleet, Load, Mishap, Sockets, World

pytestmark = pytest.mark.slow

CHECK = HealthCheck(interval=Seconds(6), timeout=Seconds(2), rise=2, fall=2)
WINDOW = 5
WITHIN = 0.03
"""How far the two may be apart: in each window on average, as a share of what was offered in it."""

WITHIN_LEANING = 0.06
"""The same where all requests lean on one instance, for it has no WebSockets: there the moment of each probe counts."""

LEANING = {"a crash, by load, with WebSockets", "a deploy"}
HOLDS_SLOTS = "a hang, in turns"
"""The kernel counts the slots that a hung instance holds as busy, and the instance as down: no number to compare."""


def world(*mishaps: Mishap, rate: float = 1200, lasts: float = 60, fleet: dict[str, Any] | None = None) -> World:
    words = {"instances": 10, "capacity": 200.0, "queue": 40, "health": CHECK, "retry": Retry(1), **(fleet or {})}
    dns = Dns(Seconds(10), CHECK)
    return World(
        fleets=(Fleet("web", **words),),
        balancers=Balancers(4, 1000.0, dns=dns),
        load=Load(((0.0, rate),), arrivals="steady"),
        mishaps=mishaps,
        lasts=Seconds(lasts),
    )


def at(second: float, kind: Any, **words: Any) -> Mishap:
    return Mishap(**{"at": Seconds(second), "kind": kind, "fleet": "" if "balancer" in words else "web", **words})


CRASH = at(10, "crash", instances=(0, 1), lasts=Seconds(30))
WORLDS = {
    "quiet": world(),
    "overload": world(rate=3000),
    "a crash, in turns": world(CRASH, fleet={"algorithm": "round_robin"}),
    "a crash, by load": world(CRASH),
    "a crash, by load, with WebSockets": world(CRASH, fleet={"sockets": Sockets(40_000)}),
    "a crash, seen by its answers": world(CRASH, fleet={"passive": PassiveCheck(eject=Seconds(20))}),
    "a crash, mended": world(CRASH, fleet={"retry": Retry(3, 0.3)}),
    "a hang, in turns": world(
        at(10, "hang", instances=(0, 1)), fleet={"algorithm": "round_robin", "timeout": Seconds(1)}
    ),
    "a balancer dies": world(at(10, "crash", balancer=1, lasts=Seconds(30))),
    "all are slow": world(at(10, "slow", share=1.0, amount=2.5, lasts=Seconds(20))),
    "one is slow, in turns": world(at(10, "slow", instances=(0,), amount=5.0), fleet={"algorithm": "round_robin"}),
    "one is slow, by load": world(at(10, "slow", instances=(0,), amount=5.0)),
    "a deploy": world(
        at(10, "deploy", amount=0.2, drain=Seconds(5), restart=Seconds(3)), fleet={"sockets": Sockets(10_000)}
    ),
    "carts": world(CRASH, fleet={"sticky": Seconds(1800), "carts": Carts(0.6, 3000)}),
    "scaling": world(
        rate=1900,
        lasts=120,
        fleet={"scaling": Scaling(10, 20, target=0.7, period=Seconds(20), up_after=1, warm_up=Seconds(10))},
    ),
}


@cache
def both(name: str) -> tuple[Tape, Tape]:
    return play_flow(WORLDS[name]).tape, play(WORLDS[name])


def windows(tape: Tape, count: Callable[[tuple[int, int]], float]) -> list[float]:
    return [count((second, second + WINDOW)) for second in range(0, tape.seconds, WINDOW)]


def apart(name: str, *counts: str) -> float:
    """How far apart the two are in these counts: the mean over the windows, as a share of what was offered."""
    flow, exact = both(name)
    gaps = [
        abs(ours - theirs)
        for ours, theirs in zip(*(windows(tape, _summed(tape, counts)) for tape in (flow, exact)), strict=True)
    ]
    return float(sum(gaps) / exact.total("offered"))


def _summed(tape: Tape, counts: tuple[str, ...]) -> Callable[[tuple[int, int]], float]:
    return lambda between: sum(tape.total(name, between=between) for name in counts)


@pytest.mark.parametrize("name", WORLDS)
def test_both_serve_shed_and_lose_the_same_in_every_window(name: str) -> None:
    within = WITHIN_LEANING if name in LEANING else WITHIN
    assert apart(name, "served") < within
    assert apart(name, "shed", "shed_by_balancer") < within
    assert apart(name, "failed_before", "failed_after") < within


@pytest.mark.parametrize("name", sorted({*WORLDS} - {HOLDS_SLOTS}))
def test_both_see_the_same_utilisation(name: str) -> None:
    flow, exact = (tape.utilisation("web") for tape in both(name))
    gaps = [abs(ours - theirs) for ours, theirs in zip(flow, exact, strict=True)]
    assert sum(gaps) / len(gaps) < (WITHIN_LEANING if name in LEANING else WITHIN)


def test_both_scale_at_the_same_time_by_as_many() -> None:
    flow, exact = (tape.series("instances") for tape in both("scaling"))
    changes = [
        [(second, now) for second, now in enumerate(there) if now != there[second - 1]] for there in (flow, exact)
    ]
    assert len(changes[0]) == len(changes[1]) > 1
    for ours, theirs in zip(*changes, strict=True):
        assert ours[1] == theirs[1]
        assert abs(ours[0] - theirs[0]) <= 1


def test_both_lose_about_as_many_carts_and_websockets() -> None:
    carts = [tape.total("carts_lost") for tape in both("carts")]
    assert carts[0] == pytest.approx(carts[1], rel=0.2)
    cut = [tape.total("sockets_lost") for tape in both("a deploy")]
    assert cut[0] == pytest.approx(cut[1], rel=0.2)
