"""Frozen numbers of a living pool."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from lbtutor.core.messages import BackendConfig, Request
from lbtutor.core.pool import Pool, PoolConfig
from lbtutor.core.snapshot import BackendSnapshot, PoolSnapshot, snapshot_of
from lbtutor.core.waiting import Waiting


def test_a_snapshot_holds_the_numbers_of_its_moment_and_does_not_follow() -> None:
    backends = (BackendConfig("a"), BackendConfig("b", weight=2, limit=4, backup=True))
    pool = Pool(PoolConfig("web", "least_connections", backends), Random(1), now=0.0)
    pool.members["a"].in_flight = 2
    pool.members["a"].answered(0.25, now=1.0)
    pool.members["b"].disabled = True
    taken = snapshot_of(pool)
    pool.members["a"].in_flight = 7
    assert taken == PoolSnapshot(
        "web",
        "LeastConnections",
        (
            BackendSnapshot("a", 1, 2, 0.25, "up", None, full_weight=1, limit=None, backup=False),
            BackendSnapshot("b", 2, 0, None, "up", "in maintenance", full_weight=2, limit=4, backup=True),
        ),
    )
    assert msgspec.json.decode(msgspec.json.encode(taken), type=PoolSnapshot) == taken


def test_it_tells_the_slow_start_the_backup_and_the_queue() -> None:
    backends = (BackendConfig("a", weight=4, limit=1), BackendConfig("b", backup=True))
    pool = Pool(PoolConfig("web", backends=backends), Random(1), now=0.0)
    pool.members["a"].grow_to(3)
    pool.line[7] = Waiting(Request(7, 0.0), pool, 2.0)
    taken = snapshot_of(pool)
    assert taken.backends[0].weight == pytest.approx(1.2)
    assert taken.backends[0].full_weight == 4
    assert [one.excluded for one in taken.backends] == [None, "backup"]
    assert taken.waiting == 1
    pool.members["a"].in_flight = 1
    pool.filled_or_freed()
    assert [one.excluded for one in snapshot_of(pool).backends] == ["full, 1 of 1", None]
