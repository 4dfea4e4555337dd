"""The clients of a world as shares: to which balancer their cached names lead.

Every client asks the name server again when its answer is `ttl` old, and their phases are spread evenly; so of all
clients the share 1 / ttl asks in each second, and is spread evenly over the addresses that are given out then. That is
one ring of as many places as the TTL has seconds, and each second turns it by one. A dead balancer keeps its clients
until the name server has noticed (if it looks at all) and then loses them along a straight line, within one TTL.
"""

from __future__ import annotations

from random import Random

from lbtutor.core.health import HealthCheck
from lbtutor.sim.world import Balancers


class Crowd:
    """Shares of the clients at each balancer; `step` once a second, from second 0 on."""

    def __init__(self, balancers: Balancers, rng: Random) -> None:
        everybody = tuple(range(balancers.count))
        self.share = [1 / balancers.count] * balancers.count
        self.alive = [True] * balancers.count
        self.listed = [True] * balancers.count
        self._check = balancers.dns.health
        self._phases = [rng.random() for _ in everybody]
        self._ring = [everybody] * max(1, round(balancers.dns.ttl))
        self._asks = 1 / len(self._ring)
        self._turns: list[tuple[float, int, bool]] = []
        self._given_out = everybody

    def __repr__(self) -> str:
        return f"<Crowd at {len(self.share)} balancers, {sum(self.alive)} alive, {sum(self.listed)} listed>"

    def strike(self, now: float, balancer: int, alive: bool) -> None:
        """A balancer dies or comes back; the name server will notice when its check says so."""
        self.alive[balancer] = alive
        self._turns = [turn for turn in self._turns if turn[1] != balancer]
        if self._check is not None:
            self._turns.append((now + noticed_after(self._check, alive, self._phases[balancer]), balancer, alive))

    def step(self, second: int) -> None:
        """One second of clients asks the name server."""
        for turn in [turn for turn in self._turns if turn[0] <= second]:
            self._turns.remove(turn)
            self.listed[turn[1]] = turn[2]
            listed = tuple(number for number, is_listed in enumerate(self.listed) if is_listed)
            self._given_out = listed or tuple(range(len(self.share)))
        place = second % len(self._ring)
        old, new = self._ring[place], self._given_out
        if old is not new:
            self._ring[place] = new
            for number in old:
                self.share[number] -= self._asks / len(old)
            for number in new:
                self.share[number] += self._asks / len(new)


def noticed_after(check: HealthCheck, alive: bool, phase: float, silent: bool = False) -> float:
    """Seconds until probes have changed a belief; `phase` (0 to 1) is how far away the first one is, in intervals.

    A machine that refuses fails its probe at once, one that is `silent` only when the probe times out.
    """
    probes = check.rise if alive else check.fall
    return check.interval * (phase + probes - 1) + (check.timeout if silent else 0.0)
