"""What befalls machines, and what the operator says of them.

Whoever calls these has seen to it that there is room for as many more requests as the machine has (`HERE`).
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from lbtutor.sim.kernel.beliefs import forget, list_offered
from lbtutor.sim.kernel.calendar import give_record, schedule, take_record
from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.journey import CLOSED, count_busy_of, end, failed, leave, send
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.rows import (
    balancer_at,
    balancer_times_at,
    belief_times_at,
    count_at,
    fleet_at,
    fleet_times_at,
    instance_at,
    request_at,
    times_at,
    told_at,
)
from lbtutor.sim.kernel.sockets import draw_socket, lose_sockets


@compiled
def strike(m: Memory, g: int, state: int, slow: float, now: float) -> None:
    """An instance is down, runs or hangs from now on, with `slow` times the work.

    Whatever it had under way is lost, unless it only becomes slow or begins to hang.
    """
    f = m.n[instance_at(m, g) + FLEET]
    machine = instance_at(m, g)
    was = m.n[machine + UP]
    m.x[m.n[AT_SLOW] + g] = slow
    if state == was and state == RUNS and slow != 1.0:
        return
    if state == HANGS and was == RUNS:
        m.n[machine + UP] = HANGS
        _hold_line(m, f, g, now)
        return
    fresh = not (state == RUNS and was == RUNS)
    if not fresh:
        return
    m.n[machine + UP] = DOWN
    m.n[machine + LIFE] += 1
    _close_all(m, f, g, now)
    m.n[machine + UP] = state
    draw_socket(m, f, now)


@compiled
def _hold_line(m: Memory, f: int, g: int, now: float) -> None:
    """Those in line wait on, until their time is over."""
    machine = instance_at(m, g)
    r = m.n[machine + FIRST_IN_LINE]
    for _ in range(m.n[machine + IN_LINE]):
        after = m.n[request_at(m, r) + NEXT]
        m.n[request_at(m, r) + STATE] = HELD
        schedule(m, r, max(now, m.x[times_at(m, r) + SENT] + m.x[fleet_times_at(m, f) + TIMEOUT]))
        r = after
    m.n[machine + IN_LINE] = 0


@compiled
def _close_all(m: Memory, f: int, g: int, now: float) -> None:
    machine = instance_at(m, g)
    count_busy_of(m, f, -m.n[machine + AT_WORK], now)
    m.n[machine + AT_WORK] = m.n[machine + IN_LINE] = m.n[machine + HERE] = 0
    for b in range(m.n[Z_BALANCERS]):
        lose_sockets(m, b, f, g)
    for r in range(m.n[Z_USED]):
        state = m.n[request_at(m, r) + STATE]
        if m.n[request_at(m, r) + INSTANCE] == g and state in (RUNNING, WAITING, HELD):
            _close(m, r, f, state, now)


@compiled
def _close(m: Memory, r: int, f: int, state: int, now: float) -> None:
    """Its connection breaks. What is in the calendar stays there, void; the request itself goes on in a new place."""
    if m.n[request_at(m, r) + BALANCER] < 0:
        if state == WAITING:
            give_record(m, r)
        else:
            m.n[request_at(m, r) + STATE] = VOID
        return
    other = take_record(m)
    for column in range(BALANCER, REQUEST):
        m.n[request_at(m, other) + column] = m.n[request_at(m, r) + column]
    m.n[request_at(m, other) + INSTANCE] = m.n[request_at(m, r) + INSTANCE]
    for column in range(REQUEST_TIMES):
        m.x[times_at(m, other) + column] = m.x[times_at(m, r) + column]
    if state == WAITING:
        give_record(m, r)
    else:
        m.n[request_at(m, r) + STATE] = VOID
    m.n[request_at(m, other) + STATE] = BACKING_OFF
    if not failed(m, other, f, CLOSED, now):
        end(m, other, f, CLOSED)
    elif m.n[request_at(m, other) + STATE] != BACKING_OFF:
        send(m, other, f, now)


@compiled
def strike_balancer(m: Memory, b: int, up: bool, now: float) -> None:
    """A balancer dies, and all that went through it with it; or it answers again, with what it believed before."""
    if m.n[balancer_at(m, b) + B_UP] == up:
        return
    m.n[balancer_at(m, b) + B_UP] = up
    m.x[balancer_times_at(m, b) + B_FREE_AT] = now
    instances = m.n[Z_INSTANCES]
    if up:
        for row in range(b * instances, (b + 1) * instances):
            if m.x[belief_times_at(m, row) + NEXT_PROBE] < NEVER:
                m.x[belief_times_at(m, row) + NEXT_PROBE] = now
        for f in range(m.n[Z_FLEETS]):
            list_offered(m, b, f, now)
        m.x[Z_CONTROL] = now
        return
    for r in range(m.n[Z_USED]):
        row = request_at(m, r)
        state = m.n[row + STATE]
        if m.n[row + BALANCER] == b and state != FREE and state != VOID:
            f = m.n[instance_at(m, m.n[row + INSTANCE]) + FLEET]
            if state != BACKING_OFF:
                leave(m, b, m.n[row + INSTANCE])
            m.n[row + BALANCER] = -1
            m.n[fleet_at(m, f) + RUNNING_NOW] -= 1
            m.n[count_at(m, f) + N_FAILED_BEFORE] += 1
            m.n[told_at(m, b) + A_FAILED] += 1
    for f in range(m.n[Z_FLEETS]):
        for g in range(m.n[fleet_at(m, f) + FIRST], m.n[fleet_at(m, f) + FIRST] + m.n[fleet_at(m, f) + ROOM]):
            lose_sockets(m, b, f, g)
        draw_socket(m, f, now)


@compiled
def tell(m: Memory, g: int, what: int, now: float) -> None:
    """The operator tells every balancer of instance `g`: it joins as one that nobody knows, drains, or has left."""
    m.n[instance_at(m, g) + MEMBER] = what != LEFT
    m.n[instance_at(m, g) + DRAINING] = what == DRAINS
    if what == JOINS:
        forget(m, g, now)
    for b in range(m.n[Z_BALANCERS]):
        list_offered(m, b, m.n[instance_at(m, g) + FLEET], now)


@compiled
def list_all(m: Memory, now: float) -> None:
    """Every balancer lists whom it offers."""
    for b in range(m.n[Z_BALANCERS]):
        for f in range(m.n[Z_FLEETS]):
            list_offered(m, b, f, now)
