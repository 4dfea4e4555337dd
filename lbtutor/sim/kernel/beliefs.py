"""What each balancer believes: probes, ejections, slow starts, and who is therefore offered.

The rules are those of `lbtutor.core.health` and `lbtutor.core.ejection`. A timer is a time in a row; `control` looks at
all of them when the earliest is due, for there are few and they are rarely due.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from typing import Any

from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.layout import *

_STEPS = 10


@compiled
def is_in(m: Memory, b: int, g: int) -> bool:
    """Does nothing speak against instance `g`, as far as balancer `b` knows?"""
    view = (b * m.z[Z_INSTANCES] + g) * VIEW
    return m.belief[view + BELIEVED] == HEALTHY and m.belief[view + EJECTED] == 0  # type: ignore[no-any-return]


@compiled
def is_willing(m: Memory, g: int) -> bool:
    """Does the operator let instance `g` have traffic?"""
    row = g * INSTANCE_ROW
    return m.instance[row + MEMBER] == 1 and m.instance[row + DRAINING] == 0  # type: ignore[no-any-return]


@compiled
def list_offered(m: Memory, b: int, f: int, now: float) -> None:
    """Make the list of those that balancer `b` offers for fleet `f`, and what picking from it needs."""
    fleet = f * FLEET_ROW
    first, room = m.fleet[fleet + FIRST], m.fleet[fleet + ROOM]
    anybody = False
    for g in range(first, first + room):
        anybody = anybody or (is_willing(m, g) and is_in(m, b, g))
    opens = not anybody and m.fleet[fleet + FAIL_OPEN] == 1
    base = b * m.z[Z_INSTANCES] + first
    count = 0
    for place in range(room):
        view = (base + place) * VIEW
        came = is_willing(m, first + place) and is_in(m, b, first + place)
        if came and not m.belief[view + KNOWN]:
            _came(m, f, base + place, now)
        m.belief[view + KNOWN] = came
        m.belief[view + OFFERED] = came or (opens and is_willing(m, first + place))
        m.keys[base + place] = NOT_OFFERED
        if m.belief[view + OFFERED]:
            m.offered[base + count] = first + place
            m.keys[base + place] = (
                m.belief[view + IN_FLIGHT] * ONE_IN_FLIGHT + m.belief[view + LAST_PICK] * ONE_PICK + place
            )
            count += 1
    group = (b * m.z[Z_FLEETS] + f) * GROUP
    m.group[group + HOW_MANY] = count
    m.group[group + CHANGED] = 1
    add_weights(m, b, f)


@compiled
def add_weights(m: Memory, b: int, f: int) -> None:
    """Where each one's places end, and whether all weights are 1."""
    group = (b * m.z[Z_FLEETS] + f) * GROUP
    base = b * m.z[Z_INSTANCES] + m.fleet[f * FLEET_ROW + FIRST]
    places, uniform = 0.0, 1
    for position in range(base, base + m.group[group + HOW_MANY]):
        weight = m.belief_times[(b * m.z[Z_INSTANCES] + m.offered[position]) * VIEW_TIMES + WEIGHT]
        places += weight
        m.ends[position] = places
        if weight != 1.0:
            uniform = 0
    m.group[group + UNIFORM] = uniform


@compiled
def _came(m: Memory, f: int, row: int, now: float) -> None:
    """It is back, or new: with a slow start it begins with a tenth of its weight, unless the world just began."""
    m.belief_times[row * VIEW_TIMES + SINCE] = now
    slow = m.fleet_times[f * FLEET_TIMES + SLOW_START]
    if slow > 0.0 and now > 0.0:
        m.belief[row * VIEW + STEP] = 1
        m.belief_times[row * VIEW_TIMES + NEXT_STEP] = now + slow / _STEPS
        _weigh(m, row)
        m.zt[Z_CONTROL] = min(m.zt[Z_CONTROL], now + slow / _STEPS)


@compiled
def _weigh(m: Memory, row: int) -> None:
    full = m.weights[row % m.z[Z_INSTANCES]]
    step = m.belief[row * VIEW + STEP]
    m.belief_times[row * VIEW_TIMES + WEIGHT] = full if step == _STEPS else full * step / _STEPS


@compiled
def judge(m: Memory, b: int, g: int, failed: bool, began: float, now: float) -> None:
    """Passive checks: an attempt that began then has ended so."""
    row = b * m.z[Z_INSTANCES] + g
    f = m.instance[g * INSTANCE_ROW + FLEET]
    if m.belief[row * VIEW + EJECTED] or began < m.belief_times[row * VIEW_TIMES + READMITTED_AT]:
        return
    if not failed:
        m.belief[row * VIEW + FAILURES] = 0
        return
    fails = m.fleet[f * FLEET_ROW + FAILS]
    rows = len(m.failed_at) // (m.z[Z_BALANCERS] * m.z[Z_INSTANCES])
    count = m.belief[row * VIEW + FAILURES]
    m.failed_at[row * rows + count % fails] = now
    m.belief[row * VIEW + FAILURES] = count + 1
    oldest = m.failed_at[row * rows + (count + 1) % fails]
    if count + 1 >= fails and now - oldest <= m.fleet_times[f * FLEET_TIMES + WINDOW]:
        _eject(m, b, f, g, now)


@compiled
def _eject(m: Memory, b: int, f: int, g: int, now: float) -> None:
    instances, fleet = m.z[Z_INSTANCES], f * FLEET_ROW
    ejected, members = 0, 0
    for other in range(m.fleet[fleet + FIRST], m.fleet[fleet + FIRST] + m.fleet[fleet + ROOM]):
        members += m.instance[other * INSTANCE_ROW + MEMBER]
        ejected += m.belief[(b * instances + other) * VIEW + EJECTED]
    too_many = ejected and (ejected + 1) / members > m.fleet_times[f * FLEET_TIMES + MOST_EJECTED]
    if members < 2 or too_many or not is_willing(m, g):
        return
    view, times = (b * instances + g) * VIEW, (b * instances + g) * VIEW_TIMES
    eject = m.fleet_times[f * FLEET_TIMES + EJECT]
    forgiven = int((now - m.belief_times[times + READMITTED_AT]) / eject)
    m.belief[view + TIMES_EJECTED] = min(max(m.belief[view + TIMES_EJECTED] - forgiven, 0) + 1, 10)
    m.belief[view + EJECTED] = 1
    m.belief_times[times + EJECTED_UNTIL] = now + m.belief[view + TIMES_EJECTED] * eject
    m.zt[Z_CONTROL] = min(m.zt[Z_CONTROL], m.belief_times[times + EJECTED_UNTIL])
    m.count[f * N_COUNTS + N_EJECTED] += 1
    list_offered(m, b, f, now)


@compiled
def control(m: Memory, now: float) -> None:
    """Do what is due, and find out when the next is."""
    soonest = NEVER
    for b in range(m.z[Z_BALANCERS]):
        if m.z[Z_DNS_CHECKED]:
            soonest = min(soonest, _look_at_balancer(m, b, now))
        if m.balancer[b * BALANCER_ROW + B_UP]:
            for f in range(m.z[Z_FLEETS]):
                soonest = min(soonest, _look_at_fleet(m, b, f, now))
    m.zt[Z_CONTROL] = soonest


@compiled
def _look_at_fleet(m: Memory, b: int, f: int, now: float) -> float:
    fleet = f * FLEET_ROW
    soonest, changed, weighed = NEVER, False, False
    for g in range(m.fleet[fleet + FIRST], m.fleet[fleet + FIRST] + m.fleet[fleet + ROOM]):
        row = b * m.z[Z_INSTANCES] + g
        times = row * VIEW_TIMES
        if m.belief_times[times + PROBE_ENDS] <= now:
            m.belief_times[times + PROBE_ENDS] = NEVER
            changed = _probed(m, f, row, False) or changed
        if m.belief_times[times + NEXT_PROBE] <= now:
            changed = _probe(m, f, g, row, now) or changed
        if m.belief_times[times + EJECTED_UNTIL] <= now:
            m.belief[row * VIEW + EJECTED] = m.belief[row * VIEW + FAILURES] = 0
            m.belief_times[times + EJECTED_UNTIL] = NEVER
            m.belief_times[times + READMITTED_AT] = now
            changed = True
        if m.belief_times[times + NEXT_STEP] <= now:
            _grow(m, f, row, now)
            weighed = True
    if changed:
        list_offered(m, b, f, now)
    elif weighed:
        add_weights(m, b, f)
    for row in range(b * m.z[Z_INSTANCES] + m.fleet[fleet + FIRST], b * m.z[Z_INSTANCES] + m.fleet[fleet + FIRST] + m.fleet[fleet + ROOM]):
        times = row * VIEW_TIMES
        soonest = min(
            soonest,
            m.belief_times[times + PROBE_ENDS],
            m.belief_times[times + NEXT_PROBE],
            m.belief_times[times + EJECTED_UNTIL],
            m.belief_times[times + NEXT_STEP],
        )
    return soonest


@compiled
def _grow(m: Memory, f: int, row: int, now: float) -> None:
    m.belief[row * VIEW + STEP] += 1
    done = m.belief[row * VIEW + STEP] >= _STEPS
    m.belief_times[row * VIEW_TIMES + NEXT_STEP] = NEVER if done else now + m.fleet_times[f * FLEET_TIMES + SLOW_START] / _STEPS
    _weigh(m, row)


@compiled
def _probe(m: Memory, f: int, g: int, row: int, now: float) -> bool:
    """Send a probe; what it hears at once counts at once, and silence when its time is over."""
    times = row * VIEW_TIMES
    m.belief_times[times + NEXT_PROBE] += m.fleet_times[f * FLEET_TIMES + INTERVAL]
    state = m.instance[g * INSTANCE_ROW + UP]
    if state == HANGS:
        m.belief_times[times + PROBE_ENDS] = now + m.fleet_times[f * FLEET_TIMES + PROBE_TIMEOUT]
        return False
    return _probed(m, f, row, state == RUNS)


@compiled
def _probed(m: Memory, f: int, row: int, passed: bool) -> bool:
    """Take in a result; True when it changes the belief."""
    view = row * VIEW
    believed = m.belief[view + BELIEVED]
    if (believed == HEALTHY and passed) or (believed == SICK and not passed):
        m.belief[view + STREAK] = 0
        return False
    needed = 1
    if believed != UNCHECKED:
        needed = m.fleet[f * FLEET_ROW + RISE] if passed else m.fleet[f * FLEET_ROW + FALL]
    m.belief[view + STREAK] += 1
    if m.belief[view + STREAK] < needed:
        return False
    m.belief[view + BELIEVED] = HEALTHY if passed else SICK
    m.belief[view + STREAK] = 0
    return True


@compiled
def _look_at_balancer(m: Memory, b: int, now: float) -> float:
    """The name server's probe of a balancer: a dead one does not answer, so that is known when the time is over."""
    row = b * BALANCER_ROW
    if m.balancer_times[b * BALANCER_TIMES + B_NEXT_PROBE] <= now:
        m.balancer_times[b * BALANCER_TIMES + B_NEXT_PROBE] += m.zt[Z_DNS_INTERVAL]
        passed = m.balancer[row + B_UP] == 1
        if passed == (m.balancer[row + B_BELIEVED] == HEALTHY):
            m.balancer[row + B_STREAK] = 0
        else:
            m.balancer[row + B_STREAK] += 1
            if m.balancer[row + B_STREAK] >= (m.z[Z_DNS_RISE] if passed else m.z[Z_DNS_FALL]):
                m.balancer[row + B_BELIEVED] = HEALTHY if passed else SICK
                m.balancer[row + B_STREAK] = 0
    return m.balancer_times[b * BALANCER_TIMES + B_NEXT_PROBE]  # type: ignore[no-any-return]


@compiled
def forget(m: Memory, g: int, now: float) -> None:
    """Instance `g` joins anew: no balancer knows anything of it but its weight."""
    f = m.instance[g * INSTANCE_ROW + FLEET]
    for b in range(m.z[Z_BALANCERS]):
        row = b * m.z[Z_INSTANCES] + g
        unchecked = m.fleet[f * FLEET_ROW + UNCHECKED_FIRST] == 1
        m.belief[row * VIEW + BELIEVED] = UNCHECKED if unchecked else HEALTHY
        m.belief[row * VIEW + STREAK] = m.belief[row * VIEW + EJECTED] = m.belief[row * VIEW + FAILURES] = 0
        m.belief[row * VIEW + STEP] = _STEPS
        _weigh(m, row)
        times = row * VIEW_TIMES
        m.belief_times[times + EJECTED_UNTIL] = m.belief_times[times + PROBE_ENDS] = m.belief_times[times + NEXT_STEP] = NEVER
        m.belief_times[times + READMITTED_AT] = now
        m.belief_times[times + NEXT_PROBE] = now if m.fleet[f * FLEET_ROW + CHECKED] else NEVER
    if m.fleet[f * FLEET_ROW + CHECKED]:
        m.zt[Z_CONTROL] = now
