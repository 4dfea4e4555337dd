"""WebSockets. One is like another, so they are counted for each balancer and instance, and not followed.

A life without memory may be drawn anew at any time: one clock a fleet says when the next of them opens, ends or comes
back, and it is set again whenever their number changes.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.dice import SOCKET, exponential, uniform
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.names import resolve
from lbtutor.sim.kernel.picks import pick
from lbtutor.sim.kernel.rows import balancer_at, belief_at, count_at, fleet_at, fleet_times_at, instance_at


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
def play_sockets(m: Memory, now: float) -> None:
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
    b = resolve(m, client, now)
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
    m.n[fleet_at(m, f) + SOCKETS_OPEN] += count
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
def lose_sockets(m: Memory, b: int, f: int, g: int) -> None:
    lost = m.n[belief_at(m, b * m.n[Z_INSTANCES] + g) + SOCKETS]
    add_sockets(m, b, f, g, -lost)
    m.n[fleet_at(m, f) + SOCKETS_AWAY] += lost
    m.n[count_at(m, f) + N_SOCKETS_LOST] += lost
