"""What requests meet at the instances of the flow model: a line, work, a time-out, and another try.

Waits are those of a line with as many workers as slots (Sakasegawa's approximation of M/M/c, "An approximation formula
Lq = a rho^b / (1 - rho)", Ann. Inst. Stat. Math. 29, 1977), shorter by a constant share where the algorithm is better
than chance, and a full line when there is more than can be done.
"""

from __future__ import annotations

from math import exp, sqrt

from lbtutor.sim.herd import Herd
from lbtutor.sim.world import Fleet

_WAITS = {
    "round_robin": 0.45,
    "weighted_round_robin": 0.45,
    "power_of_two": 0.2,
    "least_connections": 0.08,
    "least_response_time": 0.1,
}
"""How long requests wait in line, as a share of what they would wait if instances were picked at random: so the kernel
has it for 10 instances of 5 slots behind 4 balancers, at 70 to 97 % of capacity."""


class Toil:
    """One fleet's work."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._waits = _WAITS.get(fleet.algorithm, 1.0)
        self._line_power = sqrt(2 * (fleet.slots + 1)) - 1

    def __repr__(self) -> str:
        return f"<Toil of {self._fleet.name}>"

    def work_off(self, herds: list[Herd], rates: list[float]) -> tuple[float, float, float, float, float, float]:
        """Shed, too late, served, and for those served: seconds of work, of waiting; and of slots being busy."""
        fleet = self._fleet
        shed = late = served = work = wait = busy = 0.0
        for herd, rate in zip(herds, rates, strict=True):
            if not rate:
                continue
            count = len(herd.members)
            capacity, takes = fleet.capacity / herd.factor, fleet.work * herd.factor
            full = fleet.queue / capacity
            load = rate / capacity
            if load >= 1:
                line = full
                shed += (rate - capacity) * count
                rate = capacity
            else:
                line = min(full, self._waits * takes / fleet.slots * load**self._line_power / (1 - load))
            missed = self._missed(line, takes)
            done = rate * count * (1 - missed)
            late += rate * count * missed
            served += done
            work += done * takes
            wait += done * line
            busy += rate * count * takes
        return shed, late, served, work, wait, busy

    def _missed(self, line: float, takes: float) -> float:
        """The share of answers that come after the balancer has given up."""
        left = self._fleet.timeout - line
        if left <= 0:
            return 1.0
        if self._fleet.shape == "exponential":
            return exp(-left / takes) if left < 40 * takes else 0.0
        return 1.0 if left < takes else 0.0

    def tries(self, requests: float, failed: float, again: float) -> float:
        """Tries after the first: all that failed, but for those that were the last which their request has, where
        `again` is the chance that a try fails as well; as far as the budget goes."""
        attempts = self._fleet.retry.attempts
        last = again ** (attempts - 1) * (1 - again) / (1 - again**attempts) if again < 1 else 1 / attempts
        wanted = min(failed * (1 - last), requests * (attempts - 1))
        budget = self._fleet.retry.budget
        return wanted if budget is None else min(wanted, budget * requests)
