"""Frozen numbers of a living pool, for screens and for people: what `Balancer.snapshot` hands out."""

from __future__ import annotations

from msgspec import Struct

from lbtutor.core.backend import Backend
from lbtutor.core.events import Health
from lbtutor.core.pool import Pool


class BackendSnapshot(Struct, frozen=True):
    """One backend's numbers at a moment; `excluded` says why it gets no traffic, None when it is available.

    `weight` is less than `full_weight` in a slow start. `limit` is how many requests it may have in flight.
    """

    name: str
    weight: float
    in_flight: int
    latency: float | None
    health: Health
    excluded: str | None
    full_weight: float
    limit: int | None
    backup: bool


class PoolSnapshot(Struct, frozen=True):
    """One pool's members in configuration order; `algorithm` is the name of the class that chooses, and `waiting` how
    many requests are in the pool's queue."""

    name: str
    algorithm: str
    backends: tuple[BackendSnapshot, ...]
    waiting: int = 0


def snapshot_of(pool: Pool) -> PoolSnapshot:
    """The pool's numbers at this moment."""
    members = tuple(_freeze(pool, member) for member in pool.members.values())
    return PoolSnapshot(pool.name, type(pool.algorithm).__name__, members, len(pool.line))


def _freeze(pool: Pool, backend: Backend) -> BackendSnapshot:
    return BackendSnapshot(
        backend.name,
        backend.weight,
        backend.in_flight,
        backend.latency,
        backend.believed,
        pool.excluded(backend),
        backend.full_weight,
        backend.limit,
        backend.backup,
    )
