"""Names: which balancer a client asks, as the answer that it has cached says."""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

from lbtutor.sim.kernel.compiled import compiled
from lbtutor.sim.kernel.dice import NAMES, uniform
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.rows import balancer_at, told_at


@compiled
def resolve(m: Memory, client: int, now: float) -> int:
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
