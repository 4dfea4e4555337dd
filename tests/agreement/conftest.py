"""One plan, played by both shells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from lbtutor.core import Plan, Service
from lbtutor.core.events import Arrived, Event, Finished, OriginChanged, ProbeSent
from lbtutor.live.run import LiveRun
from lbtutor.sim import simulate

_SPEEDS = (5.0, 2.0, 1.0)
"""Scenario seconds per wall second: high while the machine keeps time, lower while it is busy with other things."""

_PUNCTUAL = 0.08
"""Scenario seconds by which real events may differ from simulated ones without changing places with others."""

_LONGEST_RUN = 120.0


def _play_both(plan: Plan) -> tuple[list[Event], list[Event]]:
    simulated: list[Event] = []
    simulate(plan, simulated.append)
    live: list[Event] = []
    for speed in _SPEEDS:
        live = _play_live(plan, speed)
        if _kept_time(simulated, live):
            break
    return simulated, live


def _play_live(plan: Plan, speed: float) -> list[Event]:
    run = LiveRun(plan)
    run.set_speed(speed)
    feed = run.feed()
    run.start()
    try:
        assert run.ended.wait(_LONGEST_RUN)
    finally:
        run.stop()
    return feed.drain()


def _kept_time(simulated: list[Event], live: list[Event]) -> bool:
    """Whether the machine was quick enough for its run to be compared: each thing came when it was due."""
    for kind in (Arrived, Finished, ProbeSent, OriginChanged):
        due, came = (sorted(event.at for event in trace if isinstance(event, kind)) for trace in (simulated, live))
        if len(due) != len(came) or any(abs(at - real) > _PUNCTUAL for at, real in zip(due, came, strict=True)):
            return False
    return True


@pytest.fixture
def make_plan(one_pool: Callable[..., Plan]) -> Callable[..., Plan]:
    """Make a plan with a pool `web`, one backend a letter.

    Requests come every 0.2 s, and their work ends 0.1 s away from any arrival: 20 ms of wall time at the highest speed,
    which is far more than loopback needs, so that both shells see everything in the same order.
    """
    return partial(_with_time_between, one_pool)


def _with_time_between(one_pool: Callable[..., Plan], names: str = "abcd", **words: Any) -> Plan:
    usual = {"rate": 5, "clients": 7, "service": Service("constant", 0.5), "lasts": 13}
    return one_pool(names, **{**usual, **words})


@pytest.fixture
def play_both() -> Callable[[Plan], tuple[list[Event], list[Event]]]:
    """The trace of a plan in the simulator, and its trace on real sockets, where it is played anew and slower for as
    long as the machine does not keep time."""
    return _play_both
