"""A stage for the simulator: one pool behind one door, and a run's whole trace as a list."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbtutor.core import Plan
from lbtutor.core.events import Event
from lbtutor.sim import simulate


def _play(plan: Plan) -> list[Event]:
    """Everything that the simulator reports of a run."""
    trace: list[Event] = []
    simulate(plan, trace.append)
    return trace


@pytest.fixture
def make_plan(one_pool: Callable[..., Plan]) -> Callable[..., Plan]:
    return one_pool


@pytest.fixture
def play() -> Callable[[Plan], list[Event]]:
    return _play
