"""Frozen numbers of a living pool, for screens and for people: what `Balancer.snapshot` hands out."""

from __future__ import annotations

from msgspec import Struct

from lbtutor.core.backend import Backend
from lbtutor.core.events import Health
from lbtutor.core.pool import Pool


class BackendSnapshot(Struct, frozen=True):
    """One backend's numbers at a moment; `excluded` says why it gets no traffic, None when it is available."""

    name: str
    weight: float
    in_flight: int
    latency: float | None
    health: Health
    excluded: str | None


class PoolSnapshot(Struct, frozen=True):
    """One pool's members in configuration order; `algorithm` is the name of the class that chooses."""

    name: str
    algorithm: str
    backends: tuple[BackendSnapshot, ...]


def snapshot_of(pool: Pool) -> PoolSnapshot:
    """The pool's numbers at this moment."""
    return PoolSnapshot(pool.name, type(pool.algorithm).__name__, tuple(map(_freeze, pool.members.values())))


def _freeze(backend: Backend) -> BackendSnapshot:
    return BackendSnapshot(
        backend.name, backend.weight, backend.in_flight, backend.latency, backend.believed, backend.excluded
    )
