"""The calendar of the ends of requests, and the places where requests are kept.

A ring of buckets, each a few ends wide and a sorted list linked through the requests themselves (R. Brown, "Calendar
queues", CACM 31(10), 1988). To put one in or take one out costs the same however many there are, where a heap of ten
thousand takes fourteen steps. An end beyond the ring's horizon waits at the back of its bucket's list until the ring
has come round to it.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.rows import request_at, times_at


@compiled
def take_record(m: Memory) -> int:
    """A free place for a request; there is one."""
    r = m.n[Z_FREE]
    m.n[Z_FREE] = m.n[request_at(m, r) + NEXT]
    m.n[Z_FREE_COUNT] -= 1
    return r  # type: ignore[no-any-return]


@compiled
def give_record(m: Memory, r: int) -> None:
    """The place is free again."""
    m.n[request_at(m, r) + STATE] = FREE
    m.n[request_at(m, r) + NEXT] = m.n[Z_FREE]
    m.n[Z_FREE] = r
    m.n[Z_FREE_COUNT] += 1


@compiled
def schedule(m: Memory, r: int, at: float) -> None:
    """Put a request into the calendar, behind those of the same time."""
    m.x[times_at(m, r) + ENDS] = at
    bucket = int(at * m.x[Z_PER_WIDTH]) & m.n[Z_MASK]
    before, other = -1, m.n[m.n[AT_BUCKET] + bucket]
    while other >= 0 and m.x[times_at(m, other) + ENDS] <= at:
        before, other = other, m.n[request_at(m, other) + NEXT]
    m.n[request_at(m, r) + NEXT] = other
    if before < 0:
        m.n[m.n[AT_BUCKET] + bucket] = r
    else:
        m.n[request_at(m, before) + NEXT] = r
