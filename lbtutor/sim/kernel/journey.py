"""The journey of one request: to an instance, perhaps to others, and to its end.

A request is refused by a machine that is down, held by one that hangs, and otherwise worked on or put in line. One
that the machine took longer for than `timeout` is counted as failed when the machine is done, not when its client went.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from math import ceil, log

from lbtutor.core.backend import LATENCY_GAIN
from lbtutor.sim.kernel.beliefs import is_in, judge
from lbtutor.sim.kernel.calendar import give_record, schedule
from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.dice import CHOICE, uniform
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.picks import pick
from lbtutor.sim.kernel.rows import (
    belief_times_at,
    count_at,
    fleet_at,
    fleet_times_at,
    group_at,
    instance_at,
    is_offered,
    request_at,
    spent_at,
    times_at,
    told_at,
)
from lbtutor.trace.histogram import LOG_GROWTH

REFUSED, CLOSED, TIMED_OUT, FULL, NOBODY = range(5)
"""How an attempt ends that is not served; FULL is a 503 of the instance, NOBODY one of the balancer."""


@compiled
def send(m: Memory, r: int, f: int, now: float) -> None:
    """Send a request to an instance, and to others while it fails at once and may be tried again."""
    row = request_at(m, r)
    b = m.n[row + BALANCER]
    why = NOBODY
    while True:
        g = _choose(m, r, f, now)
        if g < 0:
            end(m, r, f, why)
            return
        m.n[row + INSTANCE] = g
        m.x[times_at(m, r) + SENT] = now
        m.n[m.n[AT_PICKED] + g] += 1
        enter(m, b, g)
        why = _offer(m, r, f, g, now)
        if why < 0:
            return
        if not failed(m, r, f, why, now):
            end(m, r, f, why)
            return
        if m.n[row + STATE] == BACKING_OFF:
            return


@compiled
def _choose(m: Memory, r: int, f: int, now: float) -> int:
    """The cart's own instance when there is one to come back to; otherwise as the algorithm says."""
    row = request_at(m, r)
    b, cart, attempt = m.n[row + BALANCER], m.n[row + CART], m.n[row + ATTEMPT]
    if cart >= 0 and attempt == 1 and m.n[fleet_at(m, f) + STICKY]:
        home = m.n[m.n[AT_CART_HOME] + cart]
        seen = m.x[m.n[AT_CART_TIMES] + cart * 3 + 1]
        m.x[m.n[AT_CART_TIMES] + cart * 3 + 1] = now
        if home >= 0 and now - seen <= m.x[fleet_times_at(m, f) + STICKY_FOR]:
            g = home % MOST_GLOBAL
            if is_offered(m, b * m.n[Z_INSTANCES] + g):
                return g  # type: ignore[no-any-return]
    return pick(m, b, f, m.n[row + CLIENT], attempt, m.n[row + TRIED], now)


@compiled
def enter(m: Memory, b: int, g: int) -> None:
    """Balancer `b` has one more in flight at instance `g`."""
    m.n[m.n[AT_KEYS] + b * m.n[Z_INSTANCES] + g] += ONE_IN_FLIGHT


@compiled
def leave(m: Memory, b: int, g: int) -> None:
    """One less."""
    m.n[m.n[AT_KEYS] + b * m.n[Z_INSTANCES] + g] -= ONE_IN_FLIGHT


@compiled
def _offer(m: Memory, r: int, f: int, g: int, now: float) -> int:
    """Bring a request to its machine: why that failed at once, or -1."""
    machine = instance_at(m, g)
    state = m.n[machine + UP]
    if state == DOWN:
        return REFUSED
    if state == HANGS:
        m.n[request_at(m, r) + STATE] = HELD
        m.n[machine + HERE] += 1
        schedule(m, r, now + m.x[fleet_times_at(m, f) + TIMEOUT])
        return -1
    if m.n[machine + AT_WORK] < m.n[fleet_at(m, f) + SLOTS]:
        m.n[machine + AT_WORK] += 1
        count_busy_of(m, f, 1, now)
        _start(m, r, g, now)
    elif m.n[machine + IN_LINE] < m.n[fleet_at(m, f) + QUEUE]:
        m.n[request_at(m, r) + STATE] = WAITING
        m.n[request_at(m, r) + NEXT] = -1
        if m.n[machine + IN_LINE]:
            m.n[request_at(m, m.n[machine + LAST_IN_LINE]) + NEXT] = r
        else:
            m.n[machine + FIRST_IN_LINE] = r
        m.n[machine + LAST_IN_LINE] = r
        m.n[machine + IN_LINE] += 1
    else:
        return FULL
    m.n[machine + HERE] += 1
    return -1


@compiled
def count_busy_of(m: Memory, f: int, change: int, now: float) -> None:
    since = fleet_times_at(m, f) + BUSY_SINCE
    m.x[spent_at(m, f) + T_BUSY] += m.n[fleet_at(m, f) + BUSY] * (now - m.x[since])
    m.x[since] = now
    m.n[fleet_at(m, f) + BUSY] += change


@compiled
def _start(m: Memory, r: int, g: int, now: float) -> None:
    m.n[request_at(m, r) + STATE] = RUNNING
    schedule(m, r, now + m.x[times_at(m, r) + WORK] * m.x[m.n[AT_SLOW] + g])


@compiled
def failed(m: Memory, r: int, f: int, why: int, now: float) -> bool:
    """An attempt failed: may it be sent again now? (Or later: then it is in the calendar, backing off.)"""
    row = request_at(m, r)
    b, g, attempt = m.n[row + BALANCER], m.n[row + INSTANCE], m.n[row + ATTEMPT]
    fleet = fleet_at(m, f)
    leave(m, b, g)
    if m.n[fleet + PASSIVE]:
        judge(m, b, g, m.x[times_at(m, r) + SENT], now, failed=True)
    worth = m.n[fleet + RETRY_CONNECT + why]
    if attempt >= m.n[fleet + ATTEMPTS] or not worth:
        return False
    tried = m.n[row + TRIED] << 20 | (g + 1)
    if not _somebody_else(m, b, f, tried):
        return False
    saved = group_at(m, b, f) + SAVED
    if m.n[fleet + EARNS] >= 0:
        if m.n[saved] < MILLION:
            return False
        m.n[saved] -= MILLION
    m.n[row + ATTEMPT] = attempt + 1
    m.n[row + TRIED] = tried
    m.n[count_at(m, f) + N_RETRIED] += 1
    m.n[row + STATE] = RUNNING
    backoff = m.x[fleet_times_at(m, f) + BACKOFF]
    if backoff > 0.0:
        m.n[row + STATE] = BACKING_OFF
        schedule(m, r, now + uniform(m.dice, CHOICE) * backoff * min(2**attempt, 10))
    return True


@compiled
def _somebody_else(m: Memory, b: int, f: int, tried: int) -> bool:
    base = b * m.n[Z_INSTANCES] + m.n[fleet_at(m, f) + FIRST]
    for i in range(m.n[group_at(m, b, f) + HOW_MANY]):
        g = m.n[m.n[AT_OFFERED] + base + i] + 1
        if tried & 0xFFFFF != g and (tried >> 20) & 0xFFFFF != g and (tried >> 40) & 0xFFFFF != g:
            return True
    return False


@compiled
def end(m: Memory, r: int, f: int, why: int) -> None:
    """A request ends unserved."""
    row = request_at(m, r)
    b, g = m.n[row + BALANCER], m.n[row + INSTANCE]
    if why in (NOBODY, FULL):
        m.n[count_at(m, f) + N_SHED] += 1
    else:
        m.n[count_at(m, f) + (N_FAILED_BEFORE if is_in(m, b, g) else N_FAILED_AFTER)] += 1
        m.n[told_at(m, b) + A_FAILED] += 1
    m.n[fleet_at(m, f) + RUNNING_NOW] -= 1
    give_record(m, r)


@compiled
def _served(m: Memory, r: int, f: int, now: float) -> None:
    row = request_at(m, r)
    times = times_at(m, r)
    b, g, cart = m.n[row + BALANCER], m.n[row + INSTANCE], m.n[row + CART]
    leave(m, b, g)
    took = now - m.x[times + CAME]
    m.n[count_at(m, f) + N_SERVED] += 1
    if m.n[row + ATTEMPT] > 1:
        m.n[count_at(m, f) + N_SERVED_LATE] += 1
    m.x[spent_at(m, f) + T_TOOK] += took
    bucket = ceil(log(took) / LOG_GROWTH) - LOWEST_BUCKET if took > 1e-6 else 0
    m.n[m.n[AT_LATENCY] + f * BUCKETS + min(bucket, BUCKETS - 1)] += 1
    if m.n[fleet_at(m, f) + PASSIVE]:
        judge(m, b, g, m.x[times + SENT], now, failed=False)
    if m.n[fleet_at(m, f) + ALGORITHM] == LEAST_RESPONSE_TIME:
        view = belief_times_at(m, b * m.n[Z_INSTANCES] + g)
        before, this = m.x[view + LATENCY], now - m.x[times + SENT]
        m.x[view + LATENCY] = this if before < 0.0 else before + LATENCY_GAIN * (this - before)
        m.x[view + LATENCY_AT] = now
    if cart >= 0:
        _put_in_cart(m, f, cart, g, m.x[times + SENT], now)
    m.n[fleet_at(m, f) + RUNNING_NOW] -= 1
    give_record(m, r)


@compiled
def _put_in_cart(m: Memory, f: int, cart: int, g: int, sent: float, now: float) -> None:
    """The cart is here, unless there is no store and another machine, or this one before it died, had it.

    One that came to be elsewhere while this request was on its way is not lost: a customer does not race himself.
    """
    home, since = m.n[instance_at(m, g) + LIFE] * MOST_GLOBAL + g, m.n[AT_CART_TIMES] + cart * 3 + 2
    had = m.n[m.n[AT_CART_HOME] + cart]
    if had == home or (had >= 0 and sent < m.x[since]):
        return
    if had >= 0 and not m.n[fleet_at(m, f) + STORE]:
        m.n[count_at(m, f) + N_CARTS_LOST] += 1
    m.n[m.n[AT_CART_HOME] + cart] = home
    m.x[since] = now


@compiled
def play_end(m: Memory, r: int, now: float) -> None:
    row = request_at(m, r)
    state = m.n[row + STATE]
    if state == VOID:
        give_record(m, r)
        return
    g = m.n[row + INSTANCE]
    machine = instance_at(m, g)
    f = m.n[machine + FLEET]
    if state == BACKING_OFF:
        if m.n[row + BALANCER] < 0:
            give_record(m, r)
        else:
            send(m, r, f, now)
        return
    if state == RUNNING:
        if m.n[machine + UP] == HANGS:
            m.n[row + STATE] = HELD
            schedule(m, r, max(now, m.x[times_at(m, r) + SENT] + m.x[fleet_times_at(m, f) + TIMEOUT]))
            return
        _work_on(m, f, g, now)
    m.n[machine + HERE] -= 1
    if m.n[row + BALANCER] < 0:
        give_record(m, r)
    elif state == HELD or now - m.x[times_at(m, r) + SENT] > m.x[fleet_times_at(m, f) + TIMEOUT]:
        if not failed(m, r, f, TIMED_OUT, now):
            end(m, r, f, TIMED_OUT)
        elif m.n[row + STATE] != BACKING_OFF:
            send(m, r, f, now)
    else:
        _served(m, r, f, now)


@compiled
def _work_on(m: Memory, f: int, g: int, now: float) -> None:
    """A slot is free: the first in line gets it."""
    machine = instance_at(m, g)
    if m.n[machine + IN_LINE] == 0:
        m.n[machine + AT_WORK] -= 1
        count_busy_of(m, f, -1, now)
        return
    r = m.n[machine + FIRST_IN_LINE]
    m.n[machine + FIRST_IN_LINE] = m.n[request_at(m, r) + NEXT]
    m.n[machine + IN_LINE] -= 1
    m.x[spent_at(m, f) + T_WAITED] += now - m.x[times_at(m, r) + SENT]
    _start(m, r, g, now)


@compiled
def count_busy(m: Memory, now: float) -> None:
    """Add up what the slots have done until now."""
    for f in range(m.n[Z_FLEETS]):
        count_busy_of(m, f, 0, now)
