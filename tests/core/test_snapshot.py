"""Frozen numbers of a living pool."""

from __future__ import annotations

from random import Random

import msgspec

from lbtutor.core.messages import BackendConfig
from lbtutor.core.pool import Pool, PoolConfig
from lbtutor.core.snapshot import BackendSnapshot, PoolSnapshot, snapshot_of


def test_a_snapshot_holds_the_numbers_of_its_moment_and_does_not_follow() -> None:
    backends = (BackendConfig("a"), BackendConfig("b", weight=2))
    pool = Pool(PoolConfig("web", "least_connections", backends), Random(1), now=0.0)
    pool.members["a"].in_flight = 2
    pool.members["a"].answered(0.25, now=1.0)
    pool.members["b"].disabled = True
    taken = snapshot_of(pool)
    pool.members["a"].in_flight = 7
    assert taken == PoolSnapshot(
        "web",
        "LeastConnections",
        (BackendSnapshot("a", 1, 2, 0.25, "up", None), BackendSnapshot("b", 2, 0, None, "up", "in maintenance")),
    )
    assert msgspec.json.decode(msgspec.json.encode(taken), type=PoolSnapshot) == taken
