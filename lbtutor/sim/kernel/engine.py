"""The engine: what happens next, and what follows from it.

Four clocks say what comes next: the next arrival, the next end of a request, the next WebSocket, the next timer of
somebody's beliefs. Ends are in a calendar (R. Brown, "Calendar queues", CACM 31(10), 1988): a ring of buckets, each one
end wide or so, each a sorted list linked through the requests themselves. To put one in or take one out costs the same
however many there are, where a heap of ten thousand takes fourteen steps. An end beyond the ring's horizon waits at the
back of its bucket's list until the ring has come round to it.

A request is refused by a machine that is down, held by one that hangs, and otherwise worked on or put in line. One
that the machine took longer for than `timeout` is counted as failed when the machine is done, not when its client went.
What a balancer adds to a request is counted with its latency, but the request reaches its machine at once: the order
at the machine is that of arrival, and the picks are made with what is known then.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from math import ceil, log, sqrt
from typing import Any

from lbtutor.core.backend import LATENCY_GAIN
from lbtutor.sim.kernel.beliefs import control, forget, is_in, is_willing, judge, list_offered
from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.dice import CHOICE, NAMES, SOCKET, TRAFFIC, exponential, uniform, work
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.picks import pick
from lbtutor.trace.histogram import LOG_GROWTH

REFUSED, CLOSED, TIMED_OUT, FULL, NOBODY = range(5)
"""How an attempt ends that is not served; FULL is a 503 of the instance, NOBODY one of the balancer."""


@compiled
def advance(m: Memory, until: float, rate: float, slope: float) -> bool:
    """Play until that time, while customers come at `rate` a second, which changes by `slope` each second.

    False when there is no room for one more request: give it more, and call again with the rate of that moment.
    """
    m.zt[Z_NEXT_ARRIVAL] = _next_arrival(m, m.zt[Z_NOW], rate, slope)
    began = m.zt[Z_NOW]
    while True:
        now = min(until, m.zt[Z_NEXT_ARRIVAL], m.zt[Z_CONTROL], m.zt[Z_SOCKET])
        _play_ends(m, now)
        if m.zt[Z_CONTROL] < now:  # an end has set a timer
            now = m.zt[Z_CONTROL]
        if m.z[Z_FREE_COUNT] == 0 or now >= until:
            m.zt[Z_LEFT] -= _expected(now - m.zt[Z_NOW], rate + slope * (m.zt[Z_NOW] - began), slope)
            m.zt[Z_NOW] = now
            return now >= until  # type: ignore[no-any-return]
        m.zt[Z_LEFT] -= _expected(now - m.zt[Z_NOW], rate + slope * (m.zt[Z_NOW] - began), slope)
        m.zt[Z_NOW] = now
        if now == m.zt[Z_NEXT_ARRIVAL]:
            m.zt[Z_LEFT] = 1.0 if m.z[Z_STEADY] else exponential(m.dice, TRAFFIC)
            m.zt[Z_NEXT_ARRIVAL] = _next_arrival(m, now, rate + slope * (now - began), slope)
            _arrive(m, now)
        elif now == m.zt[Z_CONTROL]:
            control(m, now)
        else:
            _play_sockets(m, now)


@compiled
def _expected(seconds: float, rate: float, slope: float) -> float:
    """How many come in so many seconds, on average."""
    return seconds * (rate + 0.5 * slope * seconds)


@compiled
def _next_arrival(m: Memory, now: float, rate: float, slope: float) -> float:
    """When so many more are expected as are left until the next one comes: exact for a rate that is a straight line."""
    left = max(m.zt[Z_LEFT], 0.0)
    if slope == 0.0:
        return now + left / rate if rate > 0.0 else NEVER
    inside = rate * rate + 2.0 * slope * left
    return now + 2.0 * left / (rate + sqrt(inside)) if inside > 0.0 and rate + sqrt(inside) > 0.0 else NEVER


# requests


@compiled
def _arrive(m: Memory, now: float) -> None:
    f = _wanted_fleet(m, uniform(m.dice, TRAFFIC))
    client = int(uniform(m.dice, TRAFFIC) * m.z[Z_CLIENTS])
    fleet, times = f * FLEET_ROW, f * FLEET_TIMES
    shape, mean = m.fleet[fleet + SHAPE], m.fleet_times[times + MEAN]
    takes = work(m.dice, TRAFFIC, shape, mean, m.fleet_times[times + MU], m.fleet_times[times + SIGMA])
    cart = _cart(m, f, now) if m.fleet[fleet + CARTS] else -1
    b = _resolve(m, client, now)
    m.count[f * N_COUNTS + N_OFFERED] += 1
    m.at_balancer[b * N_AT + A_OFFERED] += 1
    if m.balancer[b * BALANCER_ROW + B_UP] == 0:
        known = m.balancer[b * BALANCER_ROW + B_BELIEVED] != HEALTHY
        m.count[f * N_COUNTS + (N_FAILED_AFTER if known else N_FAILED_BEFORE)] += 1
        m.at_balancer[b * N_AT + A_FAILED] += 1
        return
    free_at = max(m.balancer_times[b * BALANCER_TIMES + B_FREE_AT], now)
    if free_at - now > m.zt[Z_B_QUEUE]:
        m.count[f * N_COUNTS + N_SHED_BY_BALANCER] += 1
        m.at_balancer[b * N_AT + A_SHED] += 1
        return
    m.balancer_times[b * BALANCER_TIMES + B_FREE_AT] = free_at + m.zt[Z_B_COST]
    added = free_at - now + m.zt[Z_B_ADDS]
    m.spent[f * N_TIMES + T_ADDED] += added
    m.fleet[fleet + RUNNING_NOW] += 1
    if m.fleet[fleet + EARNS] >= 0:
        saved = (b * m.z[Z_FLEETS] + f) * GROUP + SAVED
        m.group[saved] = min(m.group[saved] + m.fleet[fleet + EARNS], 100 * MILLION)
    r = take_record(m)
    row = r * REQUEST
    m.request[row + BALANCER] = b
    m.request[row + CART] = cart
    m.request[row + CLIENT] = client
    m.request[row + ATTEMPT] = 1
    m.request[row + TRIED] = 0
    m.times[r * REQUEST_TIMES + CAME] = now - added
    m.times[r * REQUEST_TIMES + WORK] = takes
    _send(m, r, f, now)


@compiled
def _wanted_fleet(m: Memory, draw: float) -> int:
    for f in range(m.z[Z_FLEETS] - 1):
        if draw < m.fleet_times[f * FLEET_TIMES + SHARE_UP_TO]:
            return f
    return m.z[Z_FLEETS] - 1  # type: ignore[no-any-return]


@compiled
def _cart(m: Memory, f: int, now: float) -> int:
    """The cart that this request belongs to, if any; one whose time is over is followed by a new one."""
    if uniform(m.dice, TRAFFIC) >= m.fleet_times[f * FLEET_TIMES + CART_SHARE]:
        return -1
    cart = m.fleet[f * FLEET_ROW + FIRST_CART] + int(uniform(m.dice, TRAFFIC) * m.fleet[f * FLEET_ROW + CARTS])
    if now >= m.cart_times[cart * 2]:
        m.cart_times[cart * 2] = now + m.fleet_times[f * FLEET_TIMES + CART_LASTS]
        m.cart_home[cart] = -1
    return cart  # type: ignore[no-any-return]


@compiled
def _resolve(m: Memory, client: int, now: float) -> int:
    """The balancer that this client's name leads to; it asks again when its answer is too old."""
    b = m.client_at[client]
    if m.client_until[client] > now:
        return b  # type: ignore[no-any-return]
    # the first answers were got at any time before the beginning
    age = uniform(m.dice, NAMES) if b < 0 else 0.0
    m.client_until[client] = now + m.zt[Z_TTL] * (1.0 - age)
    count = m.z[Z_BALANCERS]
    chosen = m.z[Z_DNS_TURN]
    for step in range(count):
        candidate = (m.z[Z_DNS_TURN] + step) % count
        if m.balancer[candidate * BALANCER_ROW + B_BELIEVED] == HEALTHY:
            chosen = candidate
            break
    m.z[Z_DNS_TURN] = (chosen + 1) % count
    if b >= 0:
        m.at_balancer[b * N_AT + A_CLIENTS] -= 1
    m.at_balancer[chosen * N_AT + A_CLIENTS] += 1
    m.client_at[client] = chosen
    return chosen  # type: ignore[no-any-return]


@compiled
def _send(m: Memory, r: int, f: int, now: float) -> None:
    """Send a request to an instance, and to others while it fails at once and may be tried again."""
    row = r * REQUEST
    b = m.request[row + BALANCER]
    why = NOBODY
    while True:
        g = _choose(m, r, f, now)
        if g < 0:
            _end(m, r, f, why, now)
            return
        m.request[row + INSTANCE] = g
        m.times[r * REQUEST_TIMES + SENT] = now
        m.picked[g] += 1
        _enter(m, b, g)
        why = _offer(m, r, f, g, now)
        if why < 0:
            return
        if not _failed(m, r, f, why, now):
            _end(m, r, f, why, now)
            return
        if m.request[row + STATE] == BACKING_OFF:
            return


@compiled
def _choose(m: Memory, r: int, f: int, now: float) -> int:
    """The cart's own instance when there is one to come back to; otherwise as the algorithm says."""
    row = r * REQUEST
    b, cart, attempt = m.request[row + BALANCER], m.request[row + CART], m.request[row + ATTEMPT]
    if cart >= 0 and attempt == 1 and m.fleet[f * FLEET_ROW + STICKY]:
        home = m.cart_home[cart]
        seen = m.cart_times[cart * 2 + 1]
        m.cart_times[cart * 2 + 1] = now
        if home >= 0 and now - seen <= m.fleet_times[f * FLEET_TIMES + STICKY_FOR]:
            g = home % MOST_GLOBAL
            if m.belief[(b * m.z[Z_INSTANCES] + g) * VIEW + OFFERED]:
                return g  # type: ignore[no-any-return]
    return pick(m, b, f, m.request[row + CLIENT], attempt, m.request[row + TRIED], now)


@compiled
def _enter(m: Memory, b: int, g: int) -> None:
    row = b * m.z[Z_INSTANCES] + g
    m.belief[row * VIEW + IN_FLIGHT] += 1
    if m.belief[row * VIEW + OFFERED]:
        m.keys[row] += ONE_IN_FLIGHT


@compiled
def _leave(m: Memory, b: int, g: int) -> None:
    row = b * m.z[Z_INSTANCES] + g
    m.belief[row * VIEW + IN_FLIGHT] -= 1
    if m.belief[row * VIEW + OFFERED]:
        m.keys[row] -= ONE_IN_FLIGHT


@compiled
def _offer(m: Memory, r: int, f: int, g: int, now: float) -> int:
    """Bring a request to its machine: why that failed at once, or -1."""
    machine = g * INSTANCE_ROW
    state = m.instance[machine + UP]
    if state == DOWN:
        return REFUSED
    if state == HANGS:
        m.request[r * REQUEST + STATE] = HELD
        m.instance[machine + HERE] += 1
        _schedule(m, r, now + m.fleet_times[f * FLEET_TIMES + TIMEOUT])
        return -1
    if m.instance[machine + AT_WORK] < m.fleet[f * FLEET_ROW + SLOTS]:
        m.instance[machine + AT_WORK] += 1
        _count_busy(m, f, 1, now)
        _start(m, r, g, now)
    elif m.instance[machine + IN_LINE] < m.fleet[f * FLEET_ROW + QUEUE]:
        m.request[r * REQUEST + STATE] = WAITING
        m.request[r * REQUEST + NEXT] = -1
        if m.instance[machine + IN_LINE]:
            m.request[m.instance[machine + LAST_IN_LINE] * REQUEST + NEXT] = r
        else:
            m.instance[machine + FIRST_IN_LINE] = r
        m.instance[machine + LAST_IN_LINE] = r
        m.instance[machine + IN_LINE] += 1
    else:
        return FULL
    m.instance[machine + HERE] += 1
    return -1


@compiled
def _count_busy(m: Memory, f: int, change: int, now: float) -> None:
    since = f * FLEET_TIMES + BUSY_SINCE
    m.spent[f * N_TIMES + T_BUSY] += m.fleet[f * FLEET_ROW + BUSY] * (now - m.fleet_times[since])
    m.fleet_times[since] = now
    m.fleet[f * FLEET_ROW + BUSY] += change


@compiled
def _start(m: Memory, r: int, g: int, now: float) -> None:
    m.request[r * REQUEST + STATE] = RUNNING
    _schedule(m, r, now + m.times[r * REQUEST_TIMES + WORK] * m.slow[g])


@compiled
def _failed(m: Memory, r: int, f: int, why: int, now: float) -> bool:
    """An attempt failed: may it be sent again now? (Or later: then it is in the calendar, backing off.)"""
    row = r * REQUEST
    b, g, attempt = m.request[row + BALANCER], m.request[row + INSTANCE], m.request[row + ATTEMPT]
    fleet = f * FLEET_ROW
    _leave(m, b, g)
    if m.fleet[fleet + PASSIVE]:
        judge(m, b, g, True, m.times[r * REQUEST_TIMES + SENT], now)
    worth = m.fleet[fleet + RETRY_CONNECT + why]
    if attempt >= m.fleet[fleet + ATTEMPTS] or not worth:
        return False
    tried = m.request[row + TRIED] << 20 | (g + 1)
    if not _somebody_else(m, b, f, tried):
        return False
    saved = (b * m.z[Z_FLEETS] + f) * GROUP + SAVED
    if m.fleet[fleet + EARNS] >= 0:
        if m.group[saved] < MILLION:
            return False
        m.group[saved] -= MILLION
    m.request[row + ATTEMPT] = attempt + 1
    m.request[row + TRIED] = tried
    m.count[f * N_COUNTS + N_RETRIED] += 1
    m.request[row + STATE] = RUNNING
    backoff = m.fleet_times[f * FLEET_TIMES + BACKOFF]
    if backoff > 0.0:
        m.request[row + STATE] = BACKING_OFF
        _schedule(m, r, now + uniform(m.dice, CHOICE) * backoff * min(2**attempt, 10))
    return True


@compiled
def _somebody_else(m: Memory, b: int, f: int, tried: int) -> bool:
    base = b * m.z[Z_INSTANCES] + m.fleet[f * FLEET_ROW + FIRST]
    for i in range(m.group[(b * m.z[Z_FLEETS] + f) * GROUP + HOW_MANY]):
        g = m.offered[base + i] + 1
        if tried & 0xFFFFF != g and (tried >> 20) & 0xFFFFF != g and (tried >> 40) & 0xFFFFF != g:
            return True
    return False


@compiled
def _end(m: Memory, r: int, f: int, why: int, now: float) -> None:
    """A request ends unserved."""
    row = r * REQUEST
    b, g = m.request[row + BALANCER], m.request[row + INSTANCE]
    if why == NOBODY or why == FULL:
        m.count[f * N_COUNTS + N_SHED] += 1
    else:
        m.count[f * N_COUNTS + (N_FAILED_BEFORE if is_in(m, b, g) else N_FAILED_AFTER)] += 1
        m.at_balancer[b * N_AT + A_FAILED] += 1
    m.fleet[f * FLEET_ROW + RUNNING_NOW] -= 1
    give_record(m, r)


@compiled
def _served(m: Memory, r: int, f: int, now: float) -> None:
    row, times = r * REQUEST, r * REQUEST_TIMES
    b, g, cart = m.request[row + BALANCER], m.request[row + INSTANCE], m.request[row + CART]
    _leave(m, b, g)
    took = now - m.times[times + CAME]
    m.count[f * N_COUNTS + N_SERVED] += 1
    if m.request[row + ATTEMPT] > 1:
        m.count[f * N_COUNTS + N_SERVED_LATE] += 1
    m.spent[f * N_TIMES + T_TOOK] += took
    bucket = ceil(log(took) / LOG_GROWTH) - LOWEST_BUCKET if took > 1e-6 else 0
    m.latency[f * BUCKETS + min(bucket, BUCKETS - 1)] += 1
    if m.fleet[f * FLEET_ROW + PASSIVE]:
        judge(m, b, g, False, m.times[times + SENT], now)
    if m.fleet[f * FLEET_ROW + ALGORITHM] == LEAST_RESPONSE_TIME:
        view = (b * m.z[Z_INSTANCES] + g) * VIEW_TIMES
        before, this = m.belief_times[view + LATENCY], now - m.times[times + SENT]
        m.belief_times[view + LATENCY] = this if before < 0.0 else before + LATENCY_GAIN * (this - before)
        m.belief_times[view + LATENCY_AT] = now
    if cart >= 0:
        _put_in_cart(m, f, cart, g)
    m.fleet[f * FLEET_ROW + RUNNING_NOW] -= 1
    give_record(m, r)


@compiled
def _put_in_cart(m: Memory, f: int, cart: int, g: int) -> None:
    """The cart is here, unless there is a store and another machine, or this one before it died, had it."""
    home = m.instance[g * INSTANCE_ROW + LIFE] * MOST_GLOBAL + g
    if m.cart_home[cart] == home:
        return
    if m.cart_home[cart] >= 0 and not m.fleet[f * FLEET_ROW + STORE]:
        m.count[f * N_COUNTS + N_CARTS_LOST] += 1
    m.cart_home[cart] = home


# the calendar, and room for requests


@compiled
def take_record(m: Memory) -> int:
    """A free place for a request; there is one."""
    r = m.z[Z_FREE]
    m.z[Z_FREE] = m.request[r * REQUEST + NEXT]
    m.z[Z_FREE_COUNT] -= 1
    return r  # type: ignore[no-any-return]


@compiled
def give_record(m: Memory, r: int) -> None:
    """The place is free again."""
    m.request[r * REQUEST + STATE] = FREE
    m.request[r * REQUEST + NEXT] = m.z[Z_FREE]
    m.z[Z_FREE] = r
    m.z[Z_FREE_COUNT] += 1


@compiled
def _schedule(m: Memory, r: int, at: float) -> None:
    """Put a request into the calendar, behind those of the same time."""
    m.times[r * REQUEST_TIMES + ENDS] = at
    bucket = int(at * m.zt[Z_PER_WIDTH]) & m.z[Z_MASK]
    before, other = -1, m.bucket[bucket]
    while other >= 0 and m.times[other * REQUEST_TIMES + ENDS] <= at:
        before, other = other, m.request[other * REQUEST + NEXT]
    m.request[r * REQUEST + NEXT] = other
    if before < 0:
        m.bucket[bucket] = r
    else:
        m.request[before * REQUEST + NEXT] = r


@compiled
def _play_ends(m: Memory, until: float) -> None:
    """Everything in the calendar up to that time, in order."""
    per_width, mask = m.zt[Z_PER_WIDTH], m.z[Z_MASK]
    cursor, last = m.z[Z_CURSOR], int(until * per_width)
    while True:
        bucket = cursor & mask
        r = m.bucket[bucket]
        while r >= 0:
            ends = m.times[r * REQUEST_TIMES + ENDS]
            if ends > until or int(ends * per_width) > cursor:
                break
            if m.zt[Z_CONTROL] < ends:
                m.z[Z_CURSOR] = cursor
                return
            m.bucket[bucket] = m.request[r * REQUEST + NEXT]
            _play_end(m, r, ends)
            r = m.bucket[bucket]
        if cursor >= last:
            m.z[Z_CURSOR] = last
            return
        cursor += 1


@compiled
def _play_end(m: Memory, r: int, now: float) -> None:
    row = r * REQUEST
    state = m.request[row + STATE]
    if state == VOID:
        give_record(m, r)
        return
    g = m.request[row + INSTANCE]
    machine = g * INSTANCE_ROW
    f = m.instance[machine + FLEET]
    if state == BACKING_OFF:
        if m.request[row + BALANCER] < 0:
            give_record(m, r)
        else:
            _send(m, r, f, now)
        return
    if state == RUNNING:
        if m.instance[machine + UP] == HANGS:
            m.request[row + STATE] = HELD
            _schedule(m, r, max(now, m.times[r * REQUEST_TIMES + SENT] + m.fleet_times[f * FLEET_TIMES + TIMEOUT]))
            return
        _work_on(m, f, g, now)
    m.instance[machine + HERE] -= 1
    if m.request[row + BALANCER] < 0:
        give_record(m, r)
    elif state == HELD or now - m.times[r * REQUEST_TIMES + SENT] > m.fleet_times[f * FLEET_TIMES + TIMEOUT]:
        if not _failed(m, r, f, TIMED_OUT, now):
            _end(m, r, f, TIMED_OUT, now)
        elif m.request[row + STATE] != BACKING_OFF:
            _send(m, r, f, now)
    else:
        _served(m, r, f, now)


@compiled
def _work_on(m: Memory, f: int, g: int, now: float) -> None:
    """A slot is free: the first in line gets it."""
    machine = g * INSTANCE_ROW
    if m.instance[machine + IN_LINE] == 0:
        m.instance[machine + AT_WORK] -= 1
        _count_busy(m, f, -1, now)
        return
    r = m.instance[machine + FIRST_IN_LINE]
    m.instance[machine + FIRST_IN_LINE] = m.request[r * REQUEST + NEXT]
    m.instance[machine + IN_LINE] -= 1
    m.spent[f * N_TIMES + T_WAITED] += now - m.times[r * REQUEST_TIMES + SENT]
    _start(m, r, g, now)


# WebSockets: only counted, for one is like another


@compiled
def draw_socket(m: Memory, f: int, now: float) -> None:
    """When the next WebSocket of a fleet opens, ends or comes back: all three have no memory, so draw anew."""
    times, fleet = f * FLEET_TIMES, f * FLEET_ROW
    if m.fleet_times[times + SOCKET_LASTS] == 0.0:
        return
    rate = (
        m.fleet[fleet + SOCKETS_OPEN] / m.fleet_times[times + SOCKET_LASTS]
        + m.fleet[fleet + SOCKETS_AWAY] / m.fleet_times[times + SOCKET_AWAY]
        + m.fleet_times[times + SOCKET_BIRTHS]
    )
    m.fleet_times[times + NEXT_SOCKET] = now + exponential(m.dice, SOCKET) / rate if rate > 0.0 else NEVER
    soonest = NEVER
    for other in range(m.z[Z_FLEETS]):
        soonest = min(soonest, m.fleet_times[other * FLEET_TIMES + NEXT_SOCKET])
    m.zt[Z_SOCKET] = soonest


@compiled
def _play_sockets(m: Memory, now: float) -> None:
    for f in range(m.z[Z_FLEETS]):
        if m.fleet_times[f * FLEET_TIMES + NEXT_SOCKET] <= now:
            _play_socket(m, f, now)
            draw_socket(m, f, now)


@compiled
def _play_socket(m: Memory, f: int, now: float) -> None:
    times, fleet = f * FLEET_TIMES, f * FLEET_ROW
    ends = m.fleet[fleet + SOCKETS_OPEN] / m.fleet_times[times + SOCKET_LASTS]
    returns = m.fleet[fleet + SOCKETS_AWAY] / m.fleet_times[times + SOCKET_AWAY]
    draw = uniform(m.dice, SOCKET) * (ends + returns + m.fleet_times[times + SOCKET_BIRTHS])
    if draw < ends:
        _close_any_socket(m, f)
        return
    if draw < ends + returns:
        m.fleet[fleet + SOCKETS_AWAY] -= 1
    _open_socket(m, f, now)


@compiled
def _open_socket(m: Memory, f: int, now: float) -> None:
    client = int(uniform(m.dice, SOCKET) * m.z[Z_CLIENTS])
    b = _resolve(m, client, now)
    g = pick(m, b, f, client, 1, 0, now) if m.balancer[b * BALANCER_ROW + B_UP] else -1
    if g < 0 or m.instance[g * INSTANCE_ROW + UP] != RUNS:
        m.fleet[f * FLEET_ROW + SOCKETS_AWAY] += 1
        return
    m.count[f * N_COUNTS + N_SOCKETS_OPENED] += 1
    add_sockets(m, b, f, g, 1)


@compiled
def add_sockets(m: Memory, b: int, f: int, g: int, count: int) -> None:
    """So many more are open between a balancer and an instance."""
    row = b * m.z[Z_INSTANCES] + g
    m.belief[row * VIEW + SOCKETS] += count
    m.belief[row * VIEW + IN_FLIGHT] += count
    m.fleet[f * FLEET_ROW + SOCKETS_OPEN] += count
    if m.belief[row * VIEW + OFFERED]:
        m.keys[row] += ONE_IN_FLIGHT * count


@compiled
def _close_any_socket(m: Memory, f: int) -> None:
    fleet = f * FLEET_ROW
    which = int(uniform(m.dice, SOCKET) * m.fleet[fleet + SOCKETS_OPEN])
    for b in range(m.z[Z_BALANCERS]):
        for g in range(m.fleet[fleet + FIRST], m.fleet[fleet + FIRST] + m.fleet[fleet + ROOM]):
            which -= m.belief[(b * m.z[Z_INSTANCES] + g) * VIEW + SOCKETS]
            if which < 0:
                add_sockets(m, b, f, g, -1)
                return


@compiled
def _lose_sockets(m: Memory, b: int, f: int, g: int) -> None:
    lost = m.belief[(b * m.z[Z_INSTANCES] + g) * VIEW + SOCKETS]
    add_sockets(m, b, f, g, -lost)
    m.fleet[f * FLEET_ROW + SOCKETS_AWAY] += lost
    m.count[f * N_COUNTS + N_SOCKETS_LOST] += lost


# what befalls machines; whoever calls these has seen to it that there is room for `HERE` more requests


@compiled
def strike(m: Memory, g: int, state: int, slow: float, now: float) -> None:
    """An instance is down, runs or hangs from now on, with `slow` times the work.

    Whatever it had under way is lost, unless it only becomes slow or begins to hang.
    """
    f, machine = m.instance[g * INSTANCE_ROW + FLEET], g * INSTANCE_ROW
    was = m.instance[machine + UP]
    m.slow[g] = slow
    if state == was and state == RUNS and slow != 1.0:
        return
    if state == HANGS and was == RUNS:
        m.instance[machine + UP] = HANGS
        _hold_line(m, f, g, now)
        return
    fresh = not (state == RUNS and was == RUNS)
    if not fresh:
        return
    m.instance[machine + UP] = DOWN
    m.instance[machine + LIFE] += 1
    _close_all(m, f, g, now)
    m.instance[machine + UP] = state
    draw_socket(m, f, now)


@compiled
def _hold_line(m: Memory, f: int, g: int, now: float) -> None:
    """Those in line wait on, until their time is over."""
    machine = g * INSTANCE_ROW
    r = m.instance[machine + FIRST_IN_LINE]
    for _ in range(m.instance[machine + IN_LINE]):
        after = m.request[r * REQUEST + NEXT]
        m.request[r * REQUEST + STATE] = HELD
        _schedule(m, r, max(now, m.times[r * REQUEST_TIMES + SENT] + m.fleet_times[f * FLEET_TIMES + TIMEOUT]))
        r = after
    m.instance[machine + IN_LINE] = 0


@compiled
def _close_all(m: Memory, f: int, g: int, now: float) -> None:
    machine = g * INSTANCE_ROW
    _count_busy(m, f, -m.instance[machine + AT_WORK], now)
    m.instance[machine + AT_WORK] = m.instance[machine + IN_LINE] = m.instance[machine + HERE] = 0
    for b in range(m.z[Z_BALANCERS]):
        _lose_sockets(m, b, f, g)
    for r in range(m.z[Z_USED]):
        state = m.request[r * REQUEST + STATE]
        if m.request[r * REQUEST + INSTANCE] == g and (state == RUNNING or state == WAITING or state == HELD):
            _close(m, r, f, state, now)


@compiled
def _close(m: Memory, r: int, f: int, state: int, now: float) -> None:
    """Its connection breaks. What is in the calendar stays there, void; the request itself goes on in a new place."""
    if m.request[r * REQUEST + BALANCER] < 0:
        if state == WAITING:
            give_record(m, r)
        else:
            m.request[r * REQUEST + STATE] = VOID
        return
    other = take_record(m)
    for column in range(BALANCER, REQUEST):
        m.request[other * REQUEST + column] = m.request[r * REQUEST + column]
    m.request[other * REQUEST + INSTANCE] = m.request[r * REQUEST + INSTANCE]
    for column in range(REQUEST_TIMES):
        m.times[other * REQUEST_TIMES + column] = m.times[r * REQUEST_TIMES + column]
    if state == WAITING:
        give_record(m, r)
    else:
        m.request[r * REQUEST + STATE] = VOID
    m.request[other * REQUEST + STATE] = BACKING_OFF
    if not _failed(m, other, f, CLOSED, now):
        _end(m, other, f, CLOSED, now)
    elif m.request[other * REQUEST + STATE] != BACKING_OFF:
        _send(m, other, f, now)


@compiled
def strike_balancer(m: Memory, b: int, up: bool, now: float) -> None:
    """A balancer dies, and all that went through it with it; or it answers again, with what it believed before."""
    if m.balancer[b * BALANCER_ROW + B_UP] == up:
        return
    m.balancer[b * BALANCER_ROW + B_UP] = up
    m.balancer_times[b * BALANCER_TIMES + B_FREE_AT] = now
    instances = m.z[Z_INSTANCES]
    if up:
        for row in range(b * instances, (b + 1) * instances):
            if m.belief_times[row * VIEW_TIMES + NEXT_PROBE] < NEVER:
                m.belief_times[row * VIEW_TIMES + NEXT_PROBE] = now
        for f in range(m.z[Z_FLEETS]):
            list_offered(m, b, f, now)
        m.zt[Z_CONTROL] = now
        return
    for r in range(m.z[Z_USED]):
        row = r * REQUEST
        state = m.request[row + STATE]
        if m.request[row + BALANCER] == b and state != FREE and state != VOID:
            f = m.instance[m.request[row + INSTANCE] * INSTANCE_ROW + FLEET]
            if state != BACKING_OFF:
                _leave(m, b, m.request[row + INSTANCE])
            m.request[row + BALANCER] = -1
            m.fleet[f * FLEET_ROW + RUNNING_NOW] -= 1
            m.count[f * N_COUNTS + N_FAILED_BEFORE] += 1
            m.at_balancer[b * N_AT + A_FAILED] += 1
    for f in range(m.z[Z_FLEETS]):
        for g in range(m.fleet[f * FLEET_ROW + FIRST], m.fleet[f * FLEET_ROW + FIRST] + m.fleet[f * FLEET_ROW + ROOM]):
            _lose_sockets(m, b, f, g)
        draw_socket(m, f, now)


@compiled
def tell(m: Memory, g: int, member: bool, draining: bool, anew: bool, now: float) -> None:
    """The operator tells every balancer: instance `g` is a member or not, drains or not; `anew`: as a new one."""
    f = m.instance[g * INSTANCE_ROW + FLEET]
    m.instance[g * INSTANCE_ROW + MEMBER] = member
    m.instance[g * INSTANCE_ROW + DRAINING] = draining
    if anew:
        forget(m, g, now)
    for b in range(m.z[Z_BALANCERS]):
        list_offered(m, b, f, now)


@compiled
def list_all(m: Memory, now: float) -> None:
    """Every balancer lists whom it offers."""
    for b in range(m.z[Z_BALANCERS]):
        for f in range(m.z[Z_FLEETS]):
            list_offered(m, b, f, now)


@compiled
def count_busy(m: Memory, now: float) -> None:
    """Add up what the slots have done until now."""
    for f in range(m.z[Z_FLEETS]):
        _count_busy(m, f, 0, now)
