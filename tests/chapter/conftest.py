"""The chapter's stage: servers 1, 2 and 3 behind one balancer, simulated, and the whole trace as a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import pytest

from lbtutor.core import Act, Algorithm, ListenerConfig, MachineConfig, Plan, PoolConfig, Service, Traffic
from lbtutor.core.events import Event
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import BackendConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds
from lbtutor.sim import simulate


def _play(
    *,
    algorithm: str | Algorithm = "round_robin",
    servers: int = 3,
    weights: Sequence[float] | None = None,
    workers: Sequence[int] | None = None,
    service: Service | None = None,
    rate: float = 10,
    arrivals: Literal["steady", "poisson"] = "steady",
    clients: int = 3,
    health: HealthCheck | None = None,
    attempts: int = 1,
    acts: Sequence[Act] = (),
    newcomer: str = "",
    lasts: float = 30,
    seed: int = 1,
) -> list[Event]:
    names = [str(number + 1) for number in range(servers)]
    configs = tuple(BackendConfig(name, weight) for name, weight in zip(names, weights or [1] * servers, strict=True))
    name = algorithm if isinstance(algorithm, str) else "round_robin"
    own: Mapping[str, Algorithm] | None = None if isinstance(algorithm, str) else {"servers": algorithm}
    plan = Plan(
        listeners=(ListenerConfig("front"),),
        routes=(Route("servers"),),
        pools=(PoolConfig("servers", name, configs, health, Retry(attempts)),),
        machines=tuple(
            MachineConfig("servers", name, count, service or Service("constant", 0.02))
            for name, count in zip(
                [*names, *newcomer], [*(workers or [8] * servers), *[8] * len(newcomer)], strict=True
            )
        ),
        traffic=(Traffic("front", rate, arrivals, clients),),
        acts=tuple(acts),
        lasts=Seconds(lasts),
        seed=seed,
    )
    trace: list[Event] = []
    simulate(plan, trace.append, algorithms=own)
    return trace


@pytest.fixture
def play() -> Callable[..., list[Event]]:
    """Play traffic on servers 1, 2, 3 … of the pool `servers`, and return the trace."""
    return _play
