"""A stage for the simulator: one pool behind one door, and a run's whole trace as a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import pytest

from lbtutor.core import Act, ListenerConfig, MachineConfig, Plan, PoolConfig, Service, Traffic
from lbtutor.core.algorithms import AlgorithmConfig
from lbtutor.core.events import Event
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import BackendConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds
from lbtutor.sim import simulate


def _make_plan(
    names: str = "abc",
    *,
    algorithm: AlgorithmConfig = "round_robin",
    weights: Sequence[float] | None = None,
    rate: float = 10,
    arrivals: Literal["steady", "poisson"] = "steady",
    clients: int = 3,
    workers: int = 8,
    service: Service | None = None,
    errors: float = 0.0,
    health: HealthCheck | None = None,
    attempts: int = 1,
    all_down: Literal["reject", "fail_open"] = "reject",
    response_timeout: float = 60,
    acts: Sequence[Act] = (),
    extra_machines: str = "",
    lasts: float = 30,
    drain: float = 10,
    seed: int = 1,
) -> Plan:
    """A pool `web` with one backend a letter of `names`, each with a machine."""
    return Plan(
        listeners=(ListenerConfig("front"),),
        routes=(Route("web"),),
        pools=(
            PoolConfig(
                "web",
                algorithm,
                tuple(
                    BackendConfig(name, weight) for name, weight in zip(names, weights or [1] * len(names), strict=True)
                ),
                health,
                Retry(attempts),
                all_down,
                response_timeout=Seconds(response_timeout),
            ),
        ),
        machines=tuple(
            MachineConfig("web", name, workers, service or Service("constant", 0.02), errors)
            for name in names + extra_machines
        ),
        traffic=(Traffic("front", rate, arrivals, clients),),
        acts=tuple(acts),
        lasts=Seconds(lasts),
        drain=Seconds(drain),
        seed=seed,
    )


def _play(plan: Plan) -> list[Event]:
    """Everything that the simulator reports of a run."""
    trace: list[Event] = []
    simulate(plan, trace.append)
    return trace


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    return _make_plan


@pytest.fixture
def play() -> Callable[[Plan], list[Event]]:
    return _play
