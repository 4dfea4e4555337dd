"""What each balancer believes: probes, ejections, slow starts, and who is therefore offered.

The rules are those of `lbtutor.core.health` and `lbtutor.core.ejection`. A timer is a time in a row; `control` looks at
all of them when the earliest is due, for there are few and they are rarely due.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.layout import *
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
)

_STEPS = 10


@compiled
def is_in(m: Memory, b: int, g: int) -> bool:
    """Does nothing speak against instance `g`, as far as balancer `b` knows?"""
    view = belief_at(m, b * m.n[Z_INSTANCES] + g)
    return m.n[view + BELIEVED] == HEALTHY and m.n[view + EJECTED] == 0  # type: ignore[no-any-return]


@compiled
def is_willing(m: Memory, g: int) -> bool:
    """Does the operator let instance `g` have traffic?"""
    row = instance_at(m, g)
    return m.n[row + MEMBER] == 1 and m.n[row + DRAINING] == 0  # type: ignore[no-any-return]


@compiled
def list_offered(m: Memory, b: int, f: int, now: float) -> None:
    """Make the list of those that balancer `b` offers for fleet `f`, and what picking from it needs."""
    fleet = fleet_at(m, f)
    first, room = m.n[fleet + FIRST], m.n[fleet + ROOM]
    anybody = False
    for g in range(first, first + room):
        anybody = anybody or (is_willing(m, g) and is_in(m, b, g))
    opens = not anybody and m.n[fleet + FAIL_OPEN] == 1
    base = b * m.n[Z_INSTANCES] + first
    count = 0
    for place in range(room):
        view = belief_at(m, base + place)
        came = is_willing(m, first + place) and is_in(m, b, first + place)
        if came and not m.n[view + KNOWN]:
            _came(m, f, base + place, now)
        m.n[view + KNOWN] = came
        key = m.n[m.n[AT_KEYS] + base + place] & (NOT_OFFERED - 1)
        m.n[m.n[AT_KEYS] + base + place] = key | NOT_OFFERED
        if came or (opens and is_willing(m, first + place)):
            m.n[m.n[AT_KEYS] + base + place] = key
            m.n[m.n[AT_OFFERED] + base + count] = first + place
            count += 1
    group = group_at(m, b, f)
    m.n[group + HOW_MANY] = count
    m.n[group + CHANGED] = 1
    add_weights(m, b, f)


@compiled
def add_weights(m: Memory, b: int, f: int) -> None:
    """Where each one's places end, and whether all weights are 1."""
    group = group_at(m, b, f)
    base = b * m.n[Z_INSTANCES] + m.n[fleet_at(m, f) + FIRST]
    places, uniform = 0.0, 1
    for position in range(base, base + m.n[group + HOW_MANY]):
        weight = m.x[belief_times_at(m, b * m.n[Z_INSTANCES] + m.n[m.n[AT_OFFERED] + position]) + WEIGHT]
        places += weight
        m.x[m.n[AT_ENDS] + position] = places
        if weight != 1.0:
            uniform = 0
    m.n[group + UNIFORM] = uniform


@compiled
def _came(m: Memory, f: int, row: int, now: float) -> None:
    """It is back, or new: with a slow start it begins with a tenth of its weight, unless the world just began."""
    m.x[belief_times_at(m, row) + SINCE] = now
    slow = m.x[fleet_times_at(m, f) + SLOW_START]
    if slow > 0.0 and now > 0.0:
        m.n[belief_at(m, row) + STEP] = 1
        m.x[belief_times_at(m, row) + NEXT_STEP] = now + slow / _STEPS
        _weigh(m, row)
        m.x[Z_CONTROL] = min(m.x[Z_CONTROL], now + slow / _STEPS)


@compiled
def _weigh(m: Memory, row: int) -> None:
    full = m.x[m.n[AT_WEIGHTS] + row % m.n[Z_INSTANCES]]
    step = m.n[belief_at(m, row) + STEP]
    m.x[belief_times_at(m, row) + WEIGHT] = full if step == _STEPS else full * step / _STEPS


@compiled
def judge(m: Memory, b: int, g: int, began: float, now: float, failed: bool) -> None:
    """Passive checks: an attempt that began then has ended so."""
    row = b * m.n[Z_INSTANCES] + g
    f = m.n[instance_at(m, g) + FLEET]
    if m.n[belief_at(m, row) + EJECTED] or began < m.x[belief_times_at(m, row) + READMITTED_AT]:
        return
    if not failed:
        m.n[belief_at(m, row) + FAILURES] = 0
        return
    fails = m.n[fleet_at(m, f) + FAILS]
    rows = m.n[Z_MOST_FAILS]
    count = m.n[belief_at(m, row) + FAILURES]
    m.x[m.n[AT_FAILED_AT] + row * rows + count % fails] = now
    m.n[belief_at(m, row) + FAILURES] = count + 1
    oldest = m.x[m.n[AT_FAILED_AT] + row * rows + (count + 1) % fails]
    if count + 1 >= fails and now - oldest <= m.x[fleet_times_at(m, f) + WINDOW]:
        _eject(m, b, f, g, now)


@compiled
def _eject(m: Memory, b: int, f: int, g: int, now: float) -> None:
    instances = m.n[Z_INSTANCES]
    fleet = fleet_at(m, f)
    ejected, members = 0, 0
    for other in range(m.n[fleet + FIRST], m.n[fleet + FIRST] + m.n[fleet + ROOM]):
        members += m.n[instance_at(m, other) + MEMBER]
        ejected += m.n[belief_at(m, b * instances + other) + EJECTED]
    too_many = ejected and (ejected + 1) / members > m.x[fleet_times_at(m, f) + MOST_EJECTED]
    if members < 2 or too_many or not is_willing(m, g):
        return
    view = belief_at(m, b * instances + g)
    times = belief_times_at(m, b * instances + g)
    eject = m.x[fleet_times_at(m, f) + EJECT]
    forgiven = int((now - m.x[times + READMITTED_AT]) / eject)
    m.n[view + TIMES_EJECTED] = min(max(m.n[view + TIMES_EJECTED] - forgiven, 0) + 1, 10)
    m.n[view + EJECTED] = 1
    m.x[times + EJECTED_UNTIL] = now + m.n[view + TIMES_EJECTED] * eject
    m.x[Z_CONTROL] = min(m.x[Z_CONTROL], m.x[times + EJECTED_UNTIL])
    m.n[count_at(m, f) + N_EJECTED] += 1
    list_offered(m, b, f, now)


@compiled
def control(m: Memory, now: float) -> None:
    """Do what is due, and find out when the next is."""
    soonest = NEVER
    for b in range(m.n[Z_BALANCERS]):
        if m.n[Z_DNS_CHECKED]:
            soonest = min(soonest, _look_at_balancer(m, b, now))
        if m.n[balancer_at(m, b) + B_UP]:
            for f in range(m.n[Z_FLEETS]):
                soonest = min(soonest, _look_at_fleet(m, b, f, now))
    m.x[Z_CONTROL] = soonest


@compiled
def _look_at_fleet(m: Memory, b: int, f: int, now: float) -> float:
    fleet = fleet_at(m, f)
    soonest, changed, weighed = NEVER, False, False
    for g in range(m.n[fleet + FIRST], m.n[fleet + FIRST] + m.n[fleet + ROOM]):
        row = b * m.n[Z_INSTANCES] + g
        times = belief_times_at(m, row)
        if m.x[times + PROBE_ENDS] <= now:
            m.x[times + PROBE_ENDS] = NEVER
            changed = _probed(m, f, row, passed=False) or changed
        if m.x[times + NEXT_PROBE] <= now:
            changed = _probe(m, f, g, row, now) or changed
        if m.x[times + EJECTED_UNTIL] <= now:
            m.n[belief_at(m, row) + EJECTED] = m.n[belief_at(m, row) + FAILURES] = 0
            m.x[times + EJECTED_UNTIL] = NEVER
            m.x[times + READMITTED_AT] = now
            changed = True
        if m.x[times + NEXT_STEP] <= now:
            _grow(m, f, row, now)
            weighed = True
    if changed:
        list_offered(m, b, f, now)
    elif weighed:
        add_weights(m, b, f)
    for row in range(
        b * m.n[Z_INSTANCES] + m.n[fleet + FIRST], b * m.n[Z_INSTANCES] + m.n[fleet + FIRST] + m.n[fleet + ROOM]
    ):
        times = belief_times_at(m, row)
        soonest = min(
            soonest,
            m.x[times + PROBE_ENDS],
            m.x[times + NEXT_PROBE],
            m.x[times + EJECTED_UNTIL],
            m.x[times + NEXT_STEP],
        )
    return soonest


@compiled
def _grow(m: Memory, f: int, row: int, now: float) -> None:
    m.n[belief_at(m, row) + STEP] += 1
    done = m.n[belief_at(m, row) + STEP] >= _STEPS
    m.x[belief_times_at(m, row) + NEXT_STEP] = NEVER if done else now + m.x[fleet_times_at(m, f) + SLOW_START] / _STEPS
    _weigh(m, row)


@compiled
def _probe(m: Memory, f: int, g: int, row: int, now: float) -> bool:
    """Send a probe; what it hears at once counts at once, and silence when its time is over."""
    times = belief_times_at(m, row)
    m.x[times + NEXT_PROBE] += m.x[fleet_times_at(m, f) + INTERVAL]
    state = m.n[instance_at(m, g) + UP]
    if state == HANGS:
        m.x[times + PROBE_ENDS] = now + m.x[fleet_times_at(m, f) + PROBE_TIMEOUT]
        return False
    return _probed(m, f, row, state == RUNS)


@compiled
def _probed(m: Memory, f: int, row: int, passed: bool) -> bool:
    """Take in a result; True when it changes the belief."""
    view = belief_at(m, row)
    believed = m.n[view + BELIEVED]
    if (believed == HEALTHY and passed) or (believed == SICK and not passed):
        m.n[view + STREAK] = 0
        return False
    needed = 1
    if believed != UNCHECKED:
        needed = m.n[fleet_at(m, f) + RISE] if passed else m.n[fleet_at(m, f) + FALL]
    m.n[view + STREAK] += 1
    if m.n[view + STREAK] < needed:
        return False
    m.n[view + BELIEVED] = HEALTHY if passed else SICK
    m.n[view + STREAK] = 0
    return True


@compiled
def _look_at_balancer(m: Memory, b: int, now: float) -> float:
    """The name server's probe of a balancer: a dead one refuses."""
    row = balancer_at(m, b)
    if m.x[balancer_times_at(m, b) + B_NEXT_PROBE] <= now:
        m.x[balancer_times_at(m, b) + B_NEXT_PROBE] += m.x[Z_DNS_INTERVAL]
        passed = m.n[row + B_UP] == 1
        if passed == (m.n[row + B_BELIEVED] == HEALTHY):
            m.n[row + B_STREAK] = 0
        else:
            m.n[row + B_STREAK] += 1
            if m.n[row + B_STREAK] >= (m.n[Z_DNS_RISE] if passed else m.n[Z_DNS_FALL]):
                m.n[row + B_BELIEVED] = HEALTHY if passed else SICK
                m.n[row + B_STREAK] = 0
    return m.x[balancer_times_at(m, b) + B_NEXT_PROBE]  # type: ignore[no-any-return]


@compiled
def forget(m: Memory, g: int, now: float) -> None:
    """Instance `g` joins anew: no balancer knows anything of it but its weight."""
    f = m.n[instance_at(m, g) + FLEET]
    for b in range(m.n[Z_BALANCERS]):
        row = b * m.n[Z_INSTANCES] + g
        unchecked = m.n[fleet_at(m, f) + UNCHECKED_FIRST] == 1
        m.n[belief_at(m, row) + BELIEVED] = UNCHECKED if unchecked else HEALTHY
        m.n[belief_at(m, row) + STREAK] = m.n[belief_at(m, row) + EJECTED] = m.n[belief_at(m, row) + FAILURES] = 0
        m.n[belief_at(m, row) + STEP] = _STEPS
        _weigh(m, row)
        times = belief_times_at(m, row)
        m.x[times + EJECTED_UNTIL] = m.x[times + PROBE_ENDS] = m.x[times + NEXT_STEP] = NEVER
        m.x[times + READMITTED_AT] = now
        m.x[times + NEXT_PROBE] = now if m.n[fleet_at(m, f) + CHECKED] else NEVER
    if m.n[fleet_at(m, f) + CHECKED]:
        m.x[Z_CONTROL] = now
