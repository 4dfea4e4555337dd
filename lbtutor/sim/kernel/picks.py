"""The algorithms once more, over flat arrays: the same picks as `lbtutor.core.algorithms` on the same inputs.

Each is written for speed where that of the core is written to be read; `tests/sim/test_kernel_picks.py` holds the two
together. What makes them fast: who is offered is listed when that changes, not at each pick, and least connections
compares one number a backend, in which the requests in flight, the last turn and the place in the fleet lie one above
the other, so that the smallest of them is the answer, ties and all.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from typing import Any

from lbtutor.core.algorithms.load import STALE_AFTER
from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.dice import CHOICE, uniform
from lbtutor.sim.kernel.layout import *


@compiled
def pick(m: Memory, b: int, f: int, client: int, attempt: int, tried: int, now: float) -> int:
    """The instance that balancer `b` sends a request for fleet `f` to; -1 when there is none to offer.

    `tried` holds, 20 bits each, one more than the number of every instance that the request has been at.
    """
    group = (b * m.z[Z_FLEETS] + f) * GROUP
    count = m.group[group + HOW_MANY]
    if count == 0:
        return -1
    algorithm = m.fleet[f * FLEET_ROW + ALGORITHM]
    if attempt > 1:
        return _pick_again(m, b, f, client, tried, now)
    if m.group[group + CHANGED]:
        _look_again(m, b, f)
    base = b * m.z[Z_INSTANCES] + m.fleet[f * FLEET_ROW + FIRST]
    if algorithm == LEAST_CONNECTIONS and m.group[group + UNIFORM]:
        return _least_key(m, b, f)
    if algorithm == ROUND_ROBIN:
        return _next_turn(m, b, f)
    if algorithm == WEIGHTED_ROUND_ROBIN:
        return _richest(m, b, m.offered, base, count)
    if algorithm == LEAST_CONNECTIONS or algorithm == LEAST_RESPONSE_TIME:
        chosen = _least(m, b, m.offered, base, count, algorithm, now)
        m.group[group + PICKS] += 1
        m.belief[(b * m.z[Z_INSTANCES] + chosen) * VIEW + LAST_PICK] = m.group[group + PICKS]
        m.belief_times[(b * m.z[Z_INSTANCES] + chosen) * VIEW_TIMES + ASKED_AT] = now
        return chosen
    return _drawn(m, b, f, m.offered, base, m.ends, base, count, algorithm, client)


@compiled
def _pick_again(m: Memory, b: int, f: int, client: int, tried: int, now: float) -> int:
    """A retry: among those not tried yet, and without spending anybody's turn."""
    fleets, instances = m.z[Z_FLEETS], m.z[Z_INSTANCES]
    group = (b * fleets + f) * GROUP
    base = b * instances + m.fleet[f * FLEET_ROW + FIRST]
    count = 0
    places = 0.0
    for i in range(m.group[group + HOW_MANY]):
        g = m.offered[base + i]
        if tried & 0xFFFFF != g + 1 and (tried >> 20) & 0xFFFFF != g + 1 and (tried >> 40) & 0xFFFFF != g + 1:
            places += m.belief_times[(b * instances + g) * VIEW_TIMES + WEIGHT]
            m.rest[count] = g
            m.rest_ends[count] = places
            count += 1
    if count == 0:
        return -1
    algorithm = m.fleet[f * FLEET_ROW + ALGORITHM]
    if algorithm == ROUND_ROBIN:
        return m.rest[_due(m, b, f, m.rest, 0, count)]  # type: ignore[no-any-return]
    if algorithm == WEIGHTED_ROUND_ROBIN:
        return _would_be_richest(m, b, m.rest, count)
    if algorithm == LEAST_CONNECTIONS:
        return _least(m, b, m.rest, 0, count, algorithm, now)
    if algorithm == LEAST_RESPONSE_TIME:
        chosen = _least(m, b, m.rest, 0, count, algorithm, now)
        m.belief_times[(b * instances + chosen) * VIEW_TIMES + ASKED_AT] = now
        return chosen
    return _drawn(m, b, f, m.rest, 0, m.rest_ends, 0, count, algorithm, client)


@compiled
def _look_again(m: Memory, b: int, f: int) -> None:
    """Who is offered has changed since the last pick: whose turn is it, and whose past is forgotten?"""
    fleets, instances = m.z[Z_FLEETS], m.z[Z_INSTANCES]
    group = (b * fleets + f) * GROUP
    first, room = m.fleet[f * FLEET_ROW + FIRST], m.fleet[f * FLEET_ROW + ROOM]
    base, count = b * instances + first, m.group[group + HOW_MANY]
    m.group[group + TURN] = m.offered[base + _due(m, b, f, m.offered, base, count)]
    for g in range(first, first + room):
        view = (b * instances + g) * VIEW
        if not m.belief[view + OFFERED]:
            m.belief[view + LAST_PICK] = 0
            m.belief_times[(b * instances + g) * VIEW_TIMES + ASKED_AT] = -NEVER
        if not (m.belief[view + SEEN] and m.belief[view + OFFERED]):
            m.belief_times[(b * instances + g) * VIEW_TIMES + PURSE] = 0.0
        m.belief[view + SEEN] = m.belief[view + OFFERED]
    m.group[group + CHANGED] = 0


@compiled
def _due(m: Memory, b: int, f: int, among: Any, base: int, count: int) -> int:
    """The position in `among` of whoever is due: in the order last seen, from the turn on, the first who is there."""
    instances = m.z[Z_INSTANCES]
    turn = m.group[(b * m.z[Z_FLEETS] + f) * GROUP + TURN]
    before = -1
    for position in range(count):
        g = among[base + position]
        if m.belief[(b * instances + g) * VIEW + SEEN]:
            if g >= turn:
                return position
            if before < 0:
                before = position
    return max(before, 0)


@compiled
def _next_turn(m: Memory, b: int, f: int) -> int:
    group = (b * m.z[Z_FLEETS] + f) * GROUP
    base, count = b * m.z[Z_INSTANCES] + m.fleet[f * FLEET_ROW + FIRST], m.group[group + HOW_MANY]
    chosen = m.group[group + TURN]
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if m.offered[base + middle] <= chosen:
            low = middle + 1
        else:
            high = middle
    m.group[group + TURN] = m.offered[base + low] if low < count else m.offered[base]
    return chosen  # type: ignore[no-any-return]


@compiled
def _least_key(m: Memory, b: int, f: int) -> int:
    """Least connections with weights of 1: the least key."""
    first, room = m.fleet[f * FLEET_ROW + FIRST], m.fleet[f * FLEET_ROW + ROOM]
    base = b * m.z[Z_INSTANCES] + first
    least = NOT_OFFERED
    for row in range(base, base + room):
        least = min(least, m.keys[row])
    place = least & (ONE_PICK - 1)
    group = (b * m.z[Z_FLEETS] + f) * GROUP
    m.group[group + PICKS] += 1
    picks = m.group[group + PICKS]
    m.belief[(base + place) * VIEW + LAST_PICK] = picks
    m.keys[base + place] = (least & ~(ONE_IN_FLIGHT - 1)) | (picks * ONE_PICK) | place
    return first + place  # type: ignore[no-any-return]


@compiled
def _least(m: Memory, b: int, among: Any, base: int, count: int, algorithm: int, now: float) -> int:
    """The lowest score of those at `among[base:base + count]`; among equals the one picked longest ago."""
    row = b * m.z[Z_INSTANCES]
    fastest = _fastest(m, row, among, base, count, now) if algorithm == LEAST_RESPONSE_TIME else 0.0
    best, best_score, best_pick = -1, 0.0, 0
    for position in range(base, base + count):
        g = among[position]
        view, times = (row + g) * VIEW, (row + g) * VIEW_TIMES
        if algorithm == LEAST_RESPONSE_TIME:
            seconds = _seconds(m, row + g, now)
            if seconds < 0.0:
                seconds = fastest * _faded(m, row + g, now)
            score = seconds * (m.belief[view + IN_FLIGHT] + 1) / m.belief_times[times + WEIGHT]
        else:
            score = m.belief[view + IN_FLIGHT] / m.belief_times[times + WEIGHT]
        last = m.belief[view + LAST_PICK]
        if best < 0 or score < best_score or (score == best_score and last < best_pick):
            best, best_score, best_pick = g, score, last
    return best


@compiled
def _fastest(m: Memory, row: int, among: Any, base: int, count: int, now: float) -> float:
    fastest = -1.0
    for position in range(base, base + count):
        seconds = _seconds(m, row + among[position], now)
        if seconds >= 0.0 and (fastest < 0.0 or seconds < fastest):
            fastest = seconds
    return fastest if fastest >= 0.0 else 1.0


@compiled
def _seconds(m: Memory, row: int, now: float) -> float:
    """The mean latency, to the microsecond, faded while nobody asks; below 0 when there is none."""
    latency = m.belief_times[row * VIEW_TIMES + LATENCY]
    if latency < 0.0:
        return -1.0
    return int(latency * _faded(m, row, now) * 1e6 + 0.5) / 1e6


@compiled
def _faded(m: Memory, row: int, now: float) -> float:
    """Half for each whole `STALE_AFTER` since anything was heard of it or asked of it."""
    times = row * VIEW_TIMES
    heard = max(m.belief_times[times + SINCE], m.belief_times[times + LATENCY_AT], m.belief_times[times + ASKED_AT])
    faded = 1.0
    for _ in range(min(60, int((now - heard) // STALE_AFTER))):
        faded *= 0.5
    return faded


@compiled
def _richest(m: Memory, b: int, among: Any, base: int, count: int) -> int:
    """Smooth weighted round robin: everybody earns its weight, the richest pays what all earned."""
    row = b * m.z[Z_INSTANCES]
    earned, best, most = 0.0, -1, 0.0
    for position in range(base, base + count):
        times = (row + among[position]) * VIEW_TIMES
        weight = m.belief_times[times + WEIGHT]
        purse = m.belief_times[times + PURSE] + weight
        m.belief_times[times + PURSE] = purse
        earned += weight
        if best < 0 or purse > most:
            best, most = among[position], purse
    m.belief_times[(row + best) * VIEW_TIMES + PURSE] -= earned
    return best


@compiled
def _would_be_richest(m: Memory, b: int, among: Any, count: int) -> int:
    row = b * m.z[Z_INSTANCES]
    best, most = -1, 0.0
    for position in range(count):
        times = (row + among[position]) * VIEW_TIMES
        seen = m.belief[(row + among[position]) * VIEW + SEEN]
        purse = (m.belief_times[times + PURSE] if seen else 0.0) + m.belief_times[times + WEIGHT]
        if best < 0 or purse > most:
            best, most = among[position], purse
    return best


@compiled
def _drawn(
    m: Memory, b: int, f: int, among: Any, base: int, ends: Any, first_end: int, count: int, algorithm: int, client: int
) -> int:
    """Those that look for a place: drawn, or hashed."""
    row, places = b * m.z[Z_INSTANCES], ends[first_end + count - 1]
    if algorithm == CONSISTENT_HASH:
        return _walk(m, row, f, client, among, base, count)
    if algorithm == IP_HASH:
        return among[base + _holder(ends, first_end, m.client_hash[client] % places, 0, count)]  # type: ignore[no-any-return]
    draw = uniform(m.dice, CHOICE)
    one = _holder(ends, first_end, draw * places, 0, count - 1)
    if algorithm == RANDOM:
        return among[base + one]  # type: ignore[no-any-return]
    other = _holder_besides(ends, first_end, count, one, uniform(m.dice, CHOICE))
    one_load, other_load = _load(m, row + among[base + one]), _load(m, row + among[base + other])
    return among[base + one] if one_load <= other_load else among[base + other]  # type: ignore[no-any-return]


@compiled
def _load(m: Memory, row: int) -> float:
    return m.belief[row * VIEW + IN_FLIGHT] / m.belief_times[row * VIEW_TIMES + WEIGHT]  # type: ignore[no-any-return]


@compiled
def _holder(ends: Any, first: int, place: float, low: int, high: int) -> int:
    """The first position from `low` on whose end lies beyond `place`, `high` at most (`bisect_right`)."""
    while low < high:
        middle = (low + high) >> 1
        if place < ends[first + middle]:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def _holder_besides(ends: Any, first: int, count: int, one: int, draw: float) -> int:
    """The same with the places of `one` taken away."""
    last = count - 1
    if last == 0:
        return one
    start = ends[first + one - 1] if one else 0.0
    end = ends[first + one]
    place = draw * (start + (ends[first + last] - end))
    if one == last or place < start:
        return _holder(ends, first, place, 0, one - 1)
    return _holder(ends, first, place - start + end, one + 1, last)


@compiled
def _walk(m: Memory, row: int, f: int, client: int, among: Any, base: int, count: int) -> int:
    """Round the ring from the client's place to the first point of one who is offered and not tried."""
    fleet = f * FLEET_ROW
    points, first = m.fleet[fleet + POINTS], m.fleet[fleet + FIRST_POINT]
    start = m.ring_start[m.fleet[fleet + FIRST_START] + client]
    for step in range(points):
        g = m.ring_owner[first + (start + step) % points]
        if m.belief[(row + g) * VIEW + OFFERED] and among[base + _place_of(among, base, count, g)] == g:
            return g  # type: ignore[no-any-return]
    return among[base]  # type: ignore[no-any-return]


@compiled
def _place_of(among: Any, base: int, count: int, g: int) -> int:
    """Where `g` stands in `among`, which is in order, or would stand."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) >> 1
        if among[base + middle] < g:
            low = middle + 1
        else:
            high = middle
    return low
