"""Where a row begins: `m.n[fleet_at(m, f) + SLOTS]` is column SLOTS of fleet f. And what a key says."""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.layout import *


@compiled
def fleet_at(m: Memory, f: int) -> int:
    return m.n[AT_FLEET] + f * FLEET_ROW  # type: ignore[no-any-return]


@compiled
def fleet_times_at(m: Memory, f: int) -> int:
    return m.n[AT_FLEET_TIMES] + f * FLEET_TIMES  # type: ignore[no-any-return]


@compiled
def belief_at(m: Memory, row: int) -> int:
    return m.n[AT_BELIEF] + row * VIEW  # type: ignore[no-any-return]


@compiled
def belief_times_at(m: Memory, row: int) -> int:
    return m.n[AT_BELIEF_TIMES] + row * VIEW_TIMES  # type: ignore[no-any-return]


@compiled
def request_at(m: Memory, r: int) -> int:
    return m.n[AT_REQUEST] + r * REQUEST  # type: ignore[no-any-return]


@compiled
def times_at(m: Memory, r: int) -> int:
    return m.n[AT_TIMES] + r * REQUEST_TIMES  # type: ignore[no-any-return]


@compiled
def instance_at(m: Memory, g: int) -> int:
    return m.n[AT_INSTANCE] + g * INSTANCE_ROW  # type: ignore[no-any-return]


@compiled
def balancer_at(m: Memory, b: int) -> int:
    return m.n[AT_BALANCER] + b * BALANCER_ROW  # type: ignore[no-any-return]


@compiled
def balancer_times_at(m: Memory, b: int) -> int:
    return m.n[AT_BALANCER_TIMES] + b * BALANCER_TIMES  # type: ignore[no-any-return]


@compiled
def count_at(m: Memory, f: int) -> int:
    return m.n[AT_COUNT] + f * N_COUNTS  # type: ignore[no-any-return]


@compiled
def spent_at(m: Memory, f: int) -> int:
    return m.n[AT_SPENT] + f * N_TIMES  # type: ignore[no-any-return]


@compiled
def told_at(m: Memory, b: int) -> int:
    return m.n[AT_TOLD] + b * N_AT  # type: ignore[no-any-return]


@compiled
def group_at(m: Memory, b: int, f: int) -> int:
    return m.n[AT_GROUP] + (b * m.n[Z_FLEETS] + f) * GROUP  # type: ignore[no-any-return]


@compiled
def in_flight(m: Memory, row: int) -> int:
    return (m.n[m.n[AT_KEYS] + row] & (NOT_OFFERED - 1)) // ONE_IN_FLIGHT  # type: ignore[no-any-return]


@compiled
def last_pick(m: Memory, row: int) -> int:
    return (m.n[m.n[AT_KEYS] + row] & (ONE_IN_FLIGHT - 1)) // ONE_PICK  # type: ignore[no-any-return]


@compiled
def is_offered(m: Memory, row: int) -> bool:
    return m.n[m.n[AT_KEYS] + row] < NOT_OFFERED  # type: ignore[no-any-return]


@compiled
def set_last_pick(m: Memory, row: int, pick: int) -> None:
    key = m.n[m.n[AT_KEYS] + row]
    m.n[m.n[AT_KEYS] + row] = (key & ~((MOST_PICKS) * ONE_PICK)) | (pick * ONE_PICK)
