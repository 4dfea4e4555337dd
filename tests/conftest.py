"""What tests of several floors share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest

from lbtutor.core import (
    Act,
    BackendConfig,
    Conversation,
    ListenerConfig,
    MachineConfig,
    Plan,
    PoolConfig,
    Retry,
    Route,
    Seconds,
    Service,
    Traffic,
)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What `-n auto` comes to: half as many again as there are cores, since much of the suite waits for sockets."""
    cores = os.cpu_count() or 1
    return cores + cores // 2


def _one_pool(
    names: str = "abc",
    *,
    weights: Sequence[float] | None = None,
    limit: int | None = None,
    backups: str = "",
    rate: float = 10,
    arrivals: Literal["steady", "poisson"] = "steady",
    clients: int = 3,
    method: str = "GET",
    path: str = "/",
    header: Mapping[str, str] | None = None,
    cookies: bool = True,
    websocket: Conversation | None = None,
    stop: float | None = None,
    workers: int = 8,
    service: Service | None = None,
    errors: float = 0.0,
    sessions: str = "",
    attempts: int = 1,
    response_timeout: float = 60,
    listener: ListenerConfig | None = None,
    extra_machines: str = "",
    acts: Sequence[Act] = (),
    lasts: float = 30,
    drain: float = 10,
    seed: int = 1,
    **pool: Any,
) -> Plan:
    """A pool `web` with one backend a letter of `names`, each with a machine, behind one door, `front`.

    `pool` holds other words of `PoolConfig`.
    """
    weighted = zip(names, weights or [1] * len(names), strict=True)
    backends = tuple(BackendConfig(name, weight, "", limit, name in backups) for name, weight in weighted)
    work = service or Service("constant", 0.02)
    until = None if stop is None else Seconds(stop)
    return Plan(
        listeners=(listener or ListenerConfig("front"),),
        routes=(Route("web"),),
        pools=(
            PoolConfig(
                "web",
                backends=backends,
                response_timeout=Seconds(response_timeout),
                **{"retry": Retry(attempts), **pool},
            ),
        ),
        machines=tuple(MachineConfig("web", name, workers, work, errors, sessions) for name in names + extra_machines),
        traffic=(
            Traffic(
                "front",
                rate,
                arrivals,
                clients,
                method,
                "",
                path,
                stop=until,
                header=header or {},
                cookies=cookies,
                websocket=websocket,
            ),
        ),
        acts=tuple(acts),
        lasts=Seconds(lasts),
        drain=Seconds(drain),
        seed=seed,
    )


@pytest.fixture
def one_pool() -> Callable[..., Plan]:
    """Make a plan with one pool."""
    return _one_pool
