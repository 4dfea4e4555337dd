"""The engine: what happens next, and who comes.

Four clocks say what comes next: the next arrival, the next end of a request, the next WebSocket, the next timer of
somebody's beliefs.

What a balancer adds to a request is counted with its latency, but the request reaches its machine at once: the order
at the machine is that of arrival, and the picks are made with what is known then.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from math import sqrt

from lbtutor.sim.kernel.beliefs import control
from lbtutor.sim.kernel.calendar import take_record
from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.dice import TRAFFIC, exponential, uniform, work
from lbtutor.sim.kernel.journey import play_end, send
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.names import resolve
from lbtutor.sim.kernel.rows import (
    balancer_at,
    balancer_times_at,
    count_at,
    fleet_at,
    fleet_times_at,
    group_at,
    request_at,
    spent_at,
    times_at,
    told_at,
)
from lbtutor.sim.kernel.sockets import play_sockets


@compiled
def advance(m: Memory, until: float, rate: float, slope: float) -> bool:
    """Play until that time, while customers come at `rate` a second, which changes by `slope` each second.

    False when there is no room for one more request: give it more, and call again with the rate of that moment.
    """
    m.x[Z_NEXT_ARRIVAL] = _next_arrival(m, m.x[Z_NOW], rate, slope)
    began = m.x[Z_NOW]
    while True:
        now = min(until, m.x[Z_NEXT_ARRIVAL], m.x[Z_CONTROL], m.x[Z_SOCKET])
        _play_ends(m, now)
        if m.x[Z_CONTROL] < now:  # an end has set a timer
            now = m.x[Z_CONTROL]
        m.x[Z_LEFT] -= _expected(now - m.x[Z_NOW], rate + slope * (m.x[Z_NOW] - began), slope)
        m.x[Z_NOW] = now
        if now >= until or m.n[Z_FREE_COUNT] == 0:
            return now >= until  # type: ignore[no-any-return]
        if now == m.x[Z_NEXT_ARRIVAL]:
            m.x[Z_LEFT] = 1.0 if m.n[Z_STEADY] else exponential(m.dice, TRAFFIC)
            m.x[Z_NEXT_ARRIVAL] = _next_arrival(m, now, rate + slope * (now - began), slope)
            _arrive(m, now)
        elif now == m.x[Z_CONTROL]:
            control(m, now)
        else:
            play_sockets(m, now)


@compiled
def _expected(seconds: float, rate: float, slope: float) -> float:
    """How many come in so many seconds, on average."""
    return seconds * (rate + 0.5 * slope * seconds)


@compiled
def _next_arrival(m: Memory, now: float, rate: float, slope: float) -> float:
    """When so many more are expected as are left until the next one comes: exact for a rate that is a straight line."""
    left = max(m.x[Z_LEFT], 0.0)
    if slope == 0.0:
        return now + left / rate if rate > 0.0 else NEVER
    inside = rate * rate + 2.0 * slope * left
    return now + 2.0 * left / (rate + sqrt(inside)) if inside > 0.0 and rate + sqrt(inside) > 0.0 else NEVER


@compiled
def _arrive(m: Memory, now: float) -> None:
    f = _wanted_fleet(m, uniform(m.dice, TRAFFIC))
    client = int(uniform(m.dice, TRAFFIC) * m.n[Z_CLIENTS])
    fleet = fleet_at(m, f)
    times = fleet_times_at(m, f)
    shape, mean = m.n[fleet + SHAPE], m.x[times + MEAN]
    takes = work(m.dice, TRAFFIC, shape, mean, m.x[times + MU], m.x[times + SIGMA])
    cart = _cart(m, f, now) if m.n[fleet + CARTS] else -1
    b = resolve(m, client, now)
    m.n[count_at(m, f) + N_OFFERED] += 1
    m.n[told_at(m, b) + A_OFFERED] += 1
    if m.n[balancer_at(m, b) + B_UP] == 0:
        known = m.n[balancer_at(m, b) + B_BELIEVED] != HEALTHY
        m.n[count_at(m, f) + (N_FAILED_AFTER if known else N_FAILED_BEFORE)] += 1
        m.n[told_at(m, b) + A_FAILED] += 1
        return
    free_at = max(m.x[balancer_times_at(m, b) + B_FREE_AT], now)
    if free_at - now > m.x[Z_B_QUEUE]:
        m.n[count_at(m, f) + N_SHED_BY_BALANCER] += 1
        m.n[told_at(m, b) + A_SHED] += 1
        return
    m.x[balancer_times_at(m, b) + B_FREE_AT] = free_at + m.x[Z_B_COST]
    added = free_at - now + m.x[Z_B_ADDS]
    m.x[spent_at(m, f) + T_ADDED] += added
    m.n[fleet + RUNNING_NOW] += 1
    if m.n[fleet + EARNS] >= 0:
        saved = group_at(m, b, f) + SAVED
        m.n[saved] = min(m.n[saved] + m.n[fleet + EARNS], 100 * MILLION)
    r = take_record(m)
    row = request_at(m, r)
    m.n[row + BALANCER] = b
    m.n[row + CART] = cart
    m.n[row + CLIENT] = client
    m.n[row + ATTEMPT] = 1
    m.n[row + TRIED] = 0
    m.x[times_at(m, r) + CAME] = now - added
    m.x[times_at(m, r) + WORK] = takes
    send(m, r, f, now)


@compiled
def _wanted_fleet(m: Memory, draw: float) -> int:
    for f in range(m.n[Z_FLEETS] - 1):
        if draw < m.x[fleet_times_at(m, f) + SHARE_UP_TO]:
            return f
    return m.n[Z_FLEETS] - 1  # type: ignore[no-any-return]


@compiled
def _cart(m: Memory, f: int, now: float) -> int:
    """The cart that this request belongs to, if any; one whose time is over is followed by a new one."""
    if uniform(m.dice, TRAFFIC) >= m.x[fleet_times_at(m, f) + CART_SHARE]:
        return -1
    cart = m.n[fleet_at(m, f) + FIRST_CART] + int(uniform(m.dice, TRAFFIC) * m.n[fleet_at(m, f) + CARTS])
    if now >= m.x[m.n[AT_CART_TIMES] + cart * 3]:
        m.x[m.n[AT_CART_TIMES] + cart * 3] = now + m.x[fleet_times_at(m, f) + CART_LASTS]
        m.n[m.n[AT_CART_HOME] + cart] = -1
    return cart  # type: ignore[no-any-return]


@compiled
def _play_ends(m: Memory, until: float) -> None:
    """Everything in the calendar up to that time, in order."""
    per_width, mask = m.x[Z_PER_WIDTH], m.n[Z_MASK]
    cursor, last = m.n[Z_CURSOR], int(until * per_width)
    while True:
        bucket = cursor & mask
        r = m.n[m.n[AT_BUCKET] + bucket]
        while r >= 0:
            ends = m.x[times_at(m, r) + ENDS]
            if ends > until or int(ends * per_width) > cursor:
                break
            if m.x[Z_CONTROL] < ends:
                m.n[Z_CURSOR] = cursor
                return
            m.n[m.n[AT_BUCKET] + bucket] = m.n[request_at(m, r) + NEXT]
            play_end(m, r, ends)
            r = m.n[m.n[AT_BUCKET] + bucket]
        if cursor >= last:
            m.n[Z_CURSOR] = last
            return
        cursor += 1
