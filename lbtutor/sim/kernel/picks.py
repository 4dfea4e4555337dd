"""The algorithms once more, over flat arrays: the same picks as `lbtutor.core.algorithms` on the same inputs.

Each is written for speed where that of the core is written to be read; `tests/sim/test_kernel_picks.py` holds the two
together. What makes them fast: who is offered is listed when that changes, not at each pick, and least connections
compares one number a backend, in which the requests in flight, the last turn and the place in the fleet lie one above
the other, so that the smallest of them is the answer, ties and all.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from lbtutor.core.algorithms.load import STALE_AFTER
from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.dice import CHOICE, uniform
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.rows import (
    belief_at,
    belief_times_at,
    fleet_at,
    group_at,
    in_flight,
    is_offered,
    last_pick,
    set_last_pick,
)


@compiled
def pick(m: Memory, b: int, f: int, client: int, attempt: int, tried: int, now: float) -> int:
    """The instance that balancer `b` sends a request for fleet `f` to; -1 when there is none to offer.

    `tried` holds, 20 bits each, one more than the number of every instance that the request has been at.
    """
    group = group_at(m, b, f)
    count = m.n[group + HOW_MANY]
    if count == 0:
        return -1
    algorithm = m.n[fleet_at(m, f) + ALGORITHM]
    if attempt > 1:
        return _pick_again(m, b, f, client, tried, now)
    if m.n[group + CHANGED]:
        _look_again(m, b, f)
    base = b * m.n[Z_INSTANCES] + m.n[fleet_at(m, f) + FIRST]
    if algorithm == LEAST_CONNECTIONS and m.n[group + UNIFORM]:
        return _least_key(m, b, f)
    if algorithm == ROUND_ROBIN:
        return _next_turn(m, b, f)
    if algorithm == WEIGHTED_ROUND_ROBIN:
        return _richest(m, b, m.n[AT_OFFERED] + base, count)
    if algorithm in (LEAST_CONNECTIONS, LEAST_RESPONSE_TIME):
        chosen = _least(m, b, m.n[AT_OFFERED] + base, count, algorithm, now)
        m.n[group + PICKS] += 1
        set_last_pick(m, b * m.n[Z_INSTANCES] + chosen, m.n[group + PICKS])
        m.x[belief_times_at(m, b * m.n[Z_INSTANCES] + chosen) + ASKED_AT] = now
        return chosen
    return _drawn(m, b, f, m.n[AT_OFFERED] + base, m.n[AT_ENDS] + base, count, algorithm, client)


@compiled
def _pick_again(m: Memory, b: int, f: int, client: int, tried: int, now: float) -> int:
    """A retry: among those not tried yet, and without spending anybody's turn."""
    instances = m.n[Z_INSTANCES]
    group = group_at(m, b, f)
    base = b * instances + m.n[fleet_at(m, f) + FIRST]
    count = 0
    places = 0.0
    for i in range(m.n[group + HOW_MANY]):
        g = m.n[m.n[AT_OFFERED] + base + i]
        if tried & 0xFFFFF != g + 1 and (tried >> 20) & 0xFFFFF != g + 1 and (tried >> 40) & 0xFFFFF != g + 1:
            places += m.x[belief_times_at(m, b * instances + g) + WEIGHT]
            m.n[m.n[AT_REST] + count] = g
            m.x[m.n[AT_REST_ENDS] + count] = places
            count += 1
    if count == 0:
        return -1
    algorithm = m.n[fleet_at(m, f) + ALGORITHM]
    if algorithm == ROUND_ROBIN:
        return m.n[m.n[AT_REST] + _due(m, b, f, m.n[AT_REST], count)]  # type: ignore[no-any-return]
    if algorithm == WEIGHTED_ROUND_ROBIN:
        return _would_be_richest(m, b, m.n[AT_REST], count)
    if algorithm == LEAST_CONNECTIONS:
        return _least(m, b, m.n[AT_REST], count, algorithm, now)
    if algorithm == LEAST_RESPONSE_TIME:
        chosen = _least(m, b, m.n[AT_REST], count, algorithm, now)
        m.x[belief_times_at(m, b * instances + chosen) + ASKED_AT] = now
        return chosen
    return _drawn(m, b, f, m.n[AT_REST], m.n[AT_REST_ENDS], count, algorithm, client)


@compiled
def _look_again(m: Memory, b: int, f: int) -> None:
    """Who is offered has changed since the last pick: whose turn is it, and whose past is forgotten?"""
    instances = m.n[Z_INSTANCES]
    group = group_at(m, b, f)
    first, room = m.n[fleet_at(m, f) + FIRST], m.n[fleet_at(m, f) + ROOM]
    base, count = b * instances + first, m.n[group + HOW_MANY]
    m.n[group + TURN] = m.n[m.n[AT_OFFERED] + base + _due(m, b, f, m.n[AT_OFFERED] + base, count)]
    for g in range(first, first + room):
        row = b * instances + g
        offered = is_offered(m, row)
        if not offered:
            set_last_pick(m, row, 0)
            m.x[belief_times_at(m, row) + ASKED_AT] = -NEVER
        if not (m.n[belief_at(m, row) + SEEN] and offered):
            m.x[belief_times_at(m, row) + PURSE] = 0.0
        m.n[belief_at(m, row) + SEEN] = offered
    m.n[group + CHANGED] = 0


@compiled
def _due(m: Memory, b: int, f: int, base: int, count: int) -> int:
    """Of the `count` at `base`, the position of whoever is due: from the turn on, the first who was there before."""
    instances = m.n[Z_INSTANCES]
    turn = m.n[group_at(m, b, f) + TURN]
    before = -1
    for position in range(count):
        g = m.n[base + position]
        if m.n[belief_at(m, b * instances + g) + SEEN]:
            if g >= turn:
                return position
            if before < 0:
                before = position
    return max(before, 0)


@compiled
def _next_turn(m: Memory, b: int, f: int) -> int:
    group = group_at(m, b, f)
    base, count = b * m.n[Z_INSTANCES] + m.n[fleet_at(m, f) + FIRST], m.n[group + HOW_MANY]
    chosen = m.n[group + TURN]
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if m.n[m.n[AT_OFFERED] + base + middle] <= chosen:
            low = middle + 1
        else:
            high = middle
    m.n[group + TURN] = m.n[m.n[AT_OFFERED] + base + low] if low < count else m.n[m.n[AT_OFFERED] + base]
    return chosen  # type: ignore[no-any-return]


@compiled
def _least_key(m: Memory, b: int, f: int) -> int:
    """Least connections with weights of 1: the least key."""
    first, room = m.n[fleet_at(m, f) + FIRST], m.n[fleet_at(m, f) + ROOM]
    base = b * m.n[Z_INSTANCES] + first
    keys = m.n[AT_KEYS] + base
    least = NOT_OFFERED * 2 - 1
    for key in m.n[keys : keys + room]:
        least = min(least, key)
    place = least & (ONE_PICK - 1)
    group = group_at(m, b, f)
    m.n[group + PICKS] += 1
    picks = m.n[group + PICKS]
    m.n[keys + place] = (least & ~(ONE_IN_FLIGHT - 1)) | (picks * ONE_PICK) | place
    return first + place  # type: ignore[no-any-return]


@compiled
def _least(m: Memory, b: int, base: int, count: int, algorithm: int, now: float) -> int:
    """The lowest score of those at the `count` at `base`; among equals the one picked longest ago."""
    row = b * m.n[Z_INSTANCES]
    fastest = _fastest(m, row, base, count, now) if algorithm == LEAST_RESPONSE_TIME else 0.0
    best, best_score, best_pick = -1, 0.0, 0
    for position in range(base, base + count):
        g = m.n[position]
        times = belief_times_at(m, row + g)
        if algorithm == LEAST_RESPONSE_TIME:
            seconds = _seconds(m, row + g, now)
            if seconds < 0.0:
                seconds = fastest * _faded(m, row + g, now)
            score = seconds * (in_flight(m, row + g) + 1) / m.x[times + WEIGHT]
        else:
            score = in_flight(m, row + g) / m.x[times + WEIGHT]
        last = last_pick(m, row + g)
        if best < 0 or score < best_score or (score == best_score and last < best_pick):
            best, best_score, best_pick = g, score, last
    return best


@compiled
def _fastest(m: Memory, row: int, base: int, count: int, now: float) -> float:
    fastest = -1.0
    for position in range(base, base + count):
        seconds = _seconds(m, row + m.n[position], now)
        if seconds >= 0.0 and (fastest < 0.0 or seconds < fastest):
            fastest = seconds
    return fastest if fastest >= 0.0 else 1.0


@compiled
def _seconds(m: Memory, row: int, now: float) -> float:
    """The mean latency, to the microsecond, faded while nobody asks; below 0 when there is none."""
    latency = m.x[belief_times_at(m, row) + LATENCY]
    if latency < 0.0:
        return -1.0
    return int(latency * _faded(m, row, now) * 1e6 + 0.5) / 1e6


@compiled
def _faded(m: Memory, row: int, now: float) -> float:
    """Half for each whole `STALE_AFTER` since anything was heard of it or asked of it."""
    times = belief_times_at(m, row)
    heard = max(m.x[times + SINCE], m.x[times + LATENCY_AT], m.x[times + ASKED_AT])
    faded = 1.0
    for _ in range(min(60, int((now - heard) // STALE_AFTER))):
        faded *= 0.5
    return faded


@compiled
def _richest(m: Memory, b: int, base: int, count: int) -> int:
    """Smooth weighted round robin: everybody earns its weight, the richest pays what all earned."""
    row = b * m.n[Z_INSTANCES]
    earned, best, most = 0.0, -1, 0.0
    for position in range(base, base + count):
        times = belief_times_at(m, row + m.n[position])
        weight = m.x[times + WEIGHT]
        purse = m.x[times + PURSE] + weight
        m.x[times + PURSE] = purse
        earned += weight
        if best < 0 or purse > most:
            best, most = m.n[position], purse
    m.x[belief_times_at(m, row + best) + PURSE] -= earned
    return best


@compiled
def _would_be_richest(m: Memory, b: int, base: int, count: int) -> int:
    row = b * m.n[Z_INSTANCES]
    best, most = -1, 0.0
    for position in range(count):
        times = belief_times_at(m, row + m.n[base + position])
        seen = m.n[belief_at(m, row + m.n[base + position]) + SEEN]
        purse = (m.x[times + PURSE] if seen else 0.0) + m.x[times + WEIGHT]
        if best < 0 or purse > most:
            best, most = m.n[base + position], purse
    return best


@compiled
def _drawn(m: Memory, b: int, f: int, base: int, first_end: int, count: int, algorithm: int, client: int) -> int:
    """Those that look for a place: drawn, or hashed."""
    row, places = b * m.n[Z_INSTANCES], m.x[first_end + count - 1]
    if algorithm == CONSISTENT_HASH:
        return _walk(m, row, f, client, base, count)
    if algorithm == IP_HASH:
        return m.n[base + _holder(m, first_end, m.n[m.n[AT_CLIENT_HASH] + client] % places, 0, count)]  # type: ignore[no-any-return]
    draw = uniform(m.dice, CHOICE)
    one = _holder(m, first_end, draw * places, 0, count - 1)
    if algorithm == RANDOM:
        return m.n[base + one]  # type: ignore[no-any-return]
    other = _holder_besides(m, first_end, count, one, uniform(m.dice, CHOICE))
    one_load, other_load = _load(m, row + m.n[base + one]), _load(m, row + m.n[base + other])
    return m.n[base + one] if one_load <= other_load else m.n[base + other]  # type: ignore[no-any-return]


@compiled
def _load(m: Memory, row: int) -> float:
    return in_flight(m, row) / m.x[belief_times_at(m, row) + WEIGHT]  # type: ignore[no-any-return]


@compiled
def _holder(m: Memory, first: int, place: float, low: int, high: int) -> int:
    """The first position from `low` on whose end lies beyond `place`, `high` at most (`bisect_right`)."""
    while low < high:
        middle = (low + high) >> 1
        if place < m.x[first + middle]:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def _holder_besides(m: Memory, first: int, count: int, one: int, draw: float) -> int:
    """The same with the places of `one` taken away."""
    last = count - 1
    if last == 0:
        return one
    start = m.x[first + one - 1] if one else 0.0
    end = m.x[first + one]
    place = draw * (start + (m.x[first + last] - end))
    if one == last or place < start:
        return _holder(m, first, place, 0, one - 1)
    return _holder(m, first, place - start + end, one + 1, last)


@compiled
def _walk(m: Memory, row: int, f: int, client: int, base: int, count: int) -> int:
    """Round the ring from the client's place to the first point of one who is offered and not tried."""
    fleet = fleet_at(m, f)
    points, first = m.n[fleet + POINTS], m.n[fleet + FIRST_POINT]
    start = m.n[m.n[AT_RING_START] + m.n[fleet + FIRST_START] + client]
    for step in range(points):
        g = m.n[m.n[AT_RING_OWNER] + first + (start + step) % points]
        if is_offered(m, row + g) and m.n[base + _place_of(m, base, count, g)] == g:
            return g  # type: ignore[no-any-return]
    return m.n[base]  # type: ignore[no-any-return]


@compiled
def _place_of(m: Memory, base: int, count: int, g: int) -> int:
    """Where `g` stands in the `count` at `base`, which is in order, or would stand."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) >> 1
        if m.n[base + middle] < g:
            low = middle + 1
        else:
            high = middle
    return low
