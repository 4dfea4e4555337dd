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

from lbtutor.core.backend import LATENCY_GAIN
from lbtutor.sim.kernel.beliefs import control, forget, is_in, judge, list_offered
from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.dice import CHOICE, NAMES, SOCKET, TRAFFIC, exponential, uniform, work
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.picks import pick
from lbtutor.sim.kernel.rows import (
    balancer_at,
    balancer_times_at,
    belief_at,
    belief_times_at,
    count_at,
    fleet_at,
    fleet_times_at,
    group_at,
    instance_at,
    request_at,
    spent_at,
    times_at,
    told_at,
)
from lbtutor.trace.histogram import LOG_GROWTH

REFUSED, CLOSED, TIMED_OUT, FULL, NOBODY = range(5)
"""How an attempt ends that is not served; FULL is a 503 of the instance, NOBODY one of the balancer."""


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
        if m.n[Z_FREE_COUNT] == 0 or now >= until:
            m.x[Z_LEFT] -= _expected(now - m.x[Z_NOW], rate + slope * (m.x[Z_NOW] - began), slope)
            m.x[Z_NOW] = now
            return now >= until  # type: ignore[no-any-return]
        m.x[Z_LEFT] -= _expected(now - m.x[Z_NOW], rate + slope * (m.x[Z_NOW] - began), slope)
        m.x[Z_NOW] = now
        if now == m.x[Z_NEXT_ARRIVAL]:
            m.x[Z_LEFT] = 1.0 if m.n[Z_STEADY] else exponential(m.dice, TRAFFIC)
            m.x[Z_NEXT_ARRIVAL] = _next_arrival(m, now, rate + slope * (now - began), slope)
            _arrive(m, now)
        elif now == m.x[Z_CONTROL]:
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
    left = max(m.x[Z_LEFT], 0.0)
    if slope == 0.0:
        return now + left / rate if rate > 0.0 else NEVER
    inside = rate * rate + 2.0 * slope * left
    return now + 2.0 * left / (rate + sqrt(inside)) if inside > 0.0 and rate + sqrt(inside) > 0.0 else NEVER


# requests


@compiled
def _arrive(m: Memory, now: float) -> None:
    f = _wanted_fleet(m, uniform(m.dice, TRAFFIC))
    client = int(uniform(m.dice, TRAFFIC) * m.n[Z_CLIENTS])
    fleet = fleet_at(m, f)
    times = fleet_times_at(m, f)
    shape, mean = m.n[fleet + SHAPE], m.x[times + MEAN]
    takes = work(m.dice, TRAFFIC, shape, mean, m.x[times + MU], m.x[times + SIGMA])
    cart = _cart(m, f, now) if m.n[fleet + CARTS] else -1
    b = _resolve(m, client, now)
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
    _send(m, r, f, now)


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
    if now >= m.x[m.n[AT_CART_TIMES] + cart * 2]:
        m.x[m.n[AT_CART_TIMES] + cart * 2] = now + m.x[fleet_times_at(m, f) + CART_LASTS]
        m.n[m.n[AT_CART_HOME] + cart] = -1
    return cart  # type: ignore[no-any-return]


@compiled
def _resolve(m: Memory, client: int, now: float) -> int:
    """The balancer that this client's name leads to; it asks again when its answer is too old."""
    b = m.n[m.n[AT_CLIENT_AT] + client]
    if m.x[m.n[AT_CLIENT_UNTIL] + client] > now:
        return b  # type: ignore[no-any-return]
    # the first answers were got at any time before the beginning
    age = uniform(m.dice, NAMES) if b < 0 else 0.0
    m.x[m.n[AT_CLIENT_UNTIL] + client] = now + m.x[Z_TTL] * (1.0 - age)
    count = m.n[Z_BALANCERS]
    chosen = m.n[Z_DNS_TURN]
    for step in range(count):
        candidate = (m.n[Z_DNS_TURN] + step) % count
        if m.n[balancer_at(m, candidate) + B_BELIEVED] == HEALTHY:
            chosen = candidate
            break
    m.n[Z_DNS_TURN] = (chosen + 1) % count
    if b >= 0:
        m.n[told_at(m, b) + A_CLIENTS] -= 1
    m.n[told_at(m, chosen) + A_CLIENTS] += 1
    m.n[m.n[AT_CLIENT_AT] + client] = chosen
    return chosen  # type: ignore[no-any-return]


@compiled
def _send(m: Memory, r: int, f: int, now: float) -> None:
    """Send a request to an instance, and to others while it fails at once and may be tried again."""
    row = request_at(m, r)
    b = m.n[row + BALANCER]
    why = NOBODY
    while True:
        g = _choose(m, r, f, now)
        if g < 0:
            _end(m, r, f, why)
            return
        m.n[row + INSTANCE] = g
        m.x[times_at(m, r) + SENT] = now
        m.n[m.n[AT_PICKED] + g] += 1
        _enter(m, b, g)
        why = _offer(m, r, f, g, now)
        if why < 0:
            return
        if not _failed(m, r, f, why, now):
            _end(m, r, f, why)
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
        seen = m.x[m.n[AT_CART_TIMES] + cart * 2 + 1]
        m.x[m.n[AT_CART_TIMES] + cart * 2 + 1] = now
        if home >= 0 and now - seen <= m.x[fleet_times_at(m, f) + STICKY_FOR]:
            g = home % MOST_GLOBAL
            if m.n[belief_at(m, b * m.n[Z_INSTANCES] + g) + OFFERED]:
                return g  # type: ignore[no-any-return]
    return pick(m, b, f, m.n[row + CLIENT], attempt, m.n[row + TRIED], now)


@compiled
def _enter(m: Memory, b: int, g: int) -> None:
    row = b * m.n[Z_INSTANCES] + g
    m.n[belief_at(m, row) + IN_FLIGHT] += 1
    if m.n[belief_at(m, row) + OFFERED]:
        m.n[m.n[AT_KEYS] + row] += ONE_IN_FLIGHT


@compiled
def _leave(m: Memory, b: int, g: int) -> None:
    row = b * m.n[Z_INSTANCES] + g
    m.n[belief_at(m, row) + IN_FLIGHT] -= 1
    if m.n[belief_at(m, row) + OFFERED]:
        m.n[m.n[AT_KEYS] + row] -= ONE_IN_FLIGHT


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
        _schedule(m, r, now + m.x[fleet_times_at(m, f) + TIMEOUT])
        return -1
    if m.n[machine + AT_WORK] < m.n[fleet_at(m, f) + SLOTS]:
        m.n[machine + AT_WORK] += 1
        _count_busy(m, f, 1, now)
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
def _count_busy(m: Memory, f: int, change: int, now: float) -> None:
    since = fleet_times_at(m, f) + BUSY_SINCE
    m.x[spent_at(m, f) + T_BUSY] += m.n[fleet_at(m, f) + BUSY] * (now - m.x[since])
    m.x[since] = now
    m.n[fleet_at(m, f) + BUSY] += change


@compiled
def _start(m: Memory, r: int, g: int, now: float) -> None:
    m.n[request_at(m, r) + STATE] = RUNNING
    _schedule(m, r, now + m.x[times_at(m, r) + WORK] * m.x[m.n[AT_SLOW] + g])


@compiled
def _failed(m: Memory, r: int, f: int, why: int, now: float) -> bool:
    """An attempt failed: may it be sent again now? (Or later: then it is in the calendar, backing off.)"""
    row = request_at(m, r)
    b, g, attempt = m.n[row + BALANCER], m.n[row + INSTANCE], m.n[row + ATTEMPT]
    fleet = fleet_at(m, f)
    _leave(m, b, g)
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
        _schedule(m, r, now + uniform(m.dice, CHOICE) * backoff * min(2**attempt, 10))
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
def _end(m: Memory, r: int, f: int, why: int) -> None:
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
    _leave(m, b, g)
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
        _put_in_cart(m, f, cart, g)
    m.n[fleet_at(m, f) + RUNNING_NOW] -= 1
    give_record(m, r)


@compiled
def _put_in_cart(m: Memory, f: int, cart: int, g: int) -> None:
    """The cart is here, unless there is a store and another machine, or this one before it died, had it."""
    home = m.n[instance_at(m, g) + LIFE] * MOST_GLOBAL + g
    if m.n[m.n[AT_CART_HOME] + cart] == home:
        return
    if m.n[m.n[AT_CART_HOME] + cart] >= 0 and not m.n[fleet_at(m, f) + STORE]:
        m.n[count_at(m, f) + N_CARTS_LOST] += 1
    m.n[m.n[AT_CART_HOME] + cart] = home


# the calendar, and room for requests


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
def _schedule(m: Memory, r: int, at: float) -> None:
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
            _play_end(m, r, ends)
            r = m.n[m.n[AT_BUCKET] + bucket]
        if cursor >= last:
            m.n[Z_CURSOR] = last
            return
        cursor += 1


@compiled
def _play_end(m: Memory, r: int, now: float) -> None:
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
            _send(m, r, f, now)
        return
    if state == RUNNING:
        if m.n[machine + UP] == HANGS:
            m.n[row + STATE] = HELD
            _schedule(m, r, max(now, m.x[times_at(m, r) + SENT] + m.x[fleet_times_at(m, f) + TIMEOUT]))
            return
        _work_on(m, f, g, now)
    m.n[machine + HERE] -= 1
    if m.n[row + BALANCER] < 0:
        give_record(m, r)
    elif state == HELD or now - m.x[times_at(m, r) + SENT] > m.x[fleet_times_at(m, f) + TIMEOUT]:
        if not _failed(m, r, f, TIMED_OUT, now):
            _end(m, r, f, TIMED_OUT)
        elif m.n[row + STATE] != BACKING_OFF:
            _send(m, r, f, now)
    else:
        _served(m, r, f, now)


@compiled
def _work_on(m: Memory, f: int, g: int, now: float) -> None:
    """A slot is free: the first in line gets it."""
    machine = instance_at(m, g)
    if m.n[machine + IN_LINE] == 0:
        m.n[machine + AT_WORK] -= 1
        _count_busy(m, f, -1, now)
        return
    r = m.n[machine + FIRST_IN_LINE]
    m.n[machine + FIRST_IN_LINE] = m.n[request_at(m, r) + NEXT]
    m.n[machine + IN_LINE] -= 1
    m.x[spent_at(m, f) + T_WAITED] += now - m.x[times_at(m, r) + SENT]
    _start(m, r, g, now)


# WebSockets: only counted, for one is like another


@compiled
def draw_socket(m: Memory, f: int, now: float) -> None:
    """When the next WebSocket of a fleet opens, ends or comes back: all three have no memory, so draw anew."""
    times = fleet_times_at(m, f)
    fleet = fleet_at(m, f)
    if m.x[times + SOCKET_LASTS] == 0.0:
        return
    rate = (
        m.n[fleet + SOCKETS_OPEN] / m.x[times + SOCKET_LASTS]
        + m.n[fleet + SOCKETS_AWAY] / m.x[times + SOCKET_AWAY]
        + m.x[times + SOCKET_BIRTHS]
    )
    m.x[times + NEXT_SOCKET] = now + exponential(m.dice, SOCKET) / rate if rate > 0.0 else NEVER
    soonest = NEVER
    for other in range(m.n[Z_FLEETS]):
        soonest = min(soonest, m.x[fleet_times_at(m, other) + NEXT_SOCKET])
    m.x[Z_SOCKET] = soonest


@compiled
def _play_sockets(m: Memory, now: float) -> None:
    for f in range(m.n[Z_FLEETS]):
        if m.x[fleet_times_at(m, f) + NEXT_SOCKET] <= now:
            _play_socket(m, f, now)
            draw_socket(m, f, now)


@compiled
def _play_socket(m: Memory, f: int, now: float) -> None:
    times = fleet_times_at(m, f)
    fleet = fleet_at(m, f)
    ends = m.n[fleet + SOCKETS_OPEN] / m.x[times + SOCKET_LASTS]
    returns = m.n[fleet + SOCKETS_AWAY] / m.x[times + SOCKET_AWAY]
    draw = uniform(m.dice, SOCKET) * (ends + returns + m.x[times + SOCKET_BIRTHS])
    if draw < ends:
        _close_any_socket(m, f)
        return
    if draw < ends + returns:
        m.n[fleet + SOCKETS_AWAY] -= 1
    _open_socket(m, f, now)


@compiled
def _open_socket(m: Memory, f: int, now: float) -> None:
    client = int(uniform(m.dice, SOCKET) * m.n[Z_CLIENTS])
    b = _resolve(m, client, now)
    g = pick(m, b, f, client, 1, 0, now) if m.n[balancer_at(m, b) + B_UP] else -1
    if g < 0 or m.n[instance_at(m, g) + UP] != RUNS:
        m.n[fleet_at(m, f) + SOCKETS_AWAY] += 1
        return
    m.n[count_at(m, f) + N_SOCKETS_OPENED] += 1
    add_sockets(m, b, f, g, 1)


@compiled
def add_sockets(m: Memory, b: int, f: int, g: int, count: int) -> None:
    """So many more are open between a balancer and an instance."""
    row = b * m.n[Z_INSTANCES] + g
    m.n[belief_at(m, row) + SOCKETS] += count
    m.n[belief_at(m, row) + IN_FLIGHT] += count
    m.n[fleet_at(m, f) + SOCKETS_OPEN] += count
    if m.n[belief_at(m, row) + OFFERED]:
        m.n[m.n[AT_KEYS] + row] += ONE_IN_FLIGHT * count


@compiled
def _close_any_socket(m: Memory, f: int) -> None:
    fleet = fleet_at(m, f)
    which = int(uniform(m.dice, SOCKET) * m.n[fleet + SOCKETS_OPEN])
    for b in range(m.n[Z_BALANCERS]):
        for g in range(m.n[fleet + FIRST], m.n[fleet + FIRST] + m.n[fleet + ROOM]):
            which -= m.n[belief_at(m, b * m.n[Z_INSTANCES] + g) + SOCKETS]
            if which < 0:
                add_sockets(m, b, f, g, -1)
                return


@compiled
def _lose_sockets(m: Memory, b: int, f: int, g: int) -> None:
    lost = m.n[belief_at(m, b * m.n[Z_INSTANCES] + g) + SOCKETS]
    add_sockets(m, b, f, g, -lost)
    m.n[fleet_at(m, f) + SOCKETS_AWAY] += lost
    m.n[count_at(m, f) + N_SOCKETS_LOST] += lost


# what befalls machines; whoever calls these has seen to it that there is room for `HERE` more requests


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
        _schedule(m, r, max(now, m.x[times_at(m, r) + SENT] + m.x[fleet_times_at(m, f) + TIMEOUT]))
        r = after
    m.n[machine + IN_LINE] = 0


@compiled
def _close_all(m: Memory, f: int, g: int, now: float) -> None:
    machine = instance_at(m, g)
    _count_busy(m, f, -m.n[machine + AT_WORK], now)
    m.n[machine + AT_WORK] = m.n[machine + IN_LINE] = m.n[machine + HERE] = 0
    for b in range(m.n[Z_BALANCERS]):
        _lose_sockets(m, b, f, g)
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
    if not _failed(m, other, f, CLOSED, now):
        _end(m, other, f, CLOSED)
    elif m.n[request_at(m, other) + STATE] != BACKING_OFF:
        _send(m, other, f, now)


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
                _leave(m, b, m.n[row + INSTANCE])
            m.n[row + BALANCER] = -1
            m.n[fleet_at(m, f) + RUNNING_NOW] -= 1
            m.n[count_at(m, f) + N_FAILED_BEFORE] += 1
            m.n[told_at(m, b) + A_FAILED] += 1
    for f in range(m.n[Z_FLEETS]):
        for g in range(m.n[fleet_at(m, f) + FIRST], m.n[fleet_at(m, f) + FIRST] + m.n[fleet_at(m, f) + ROOM]):
            _lose_sockets(m, b, f, g)
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


@compiled
def count_busy(m: Memory, now: float) -> None:
    """Add up what the slots have done until now."""
    for f in range(m.n[Z_FLEETS]):
        _count_busy(m, f, 0, now)
