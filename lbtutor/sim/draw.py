"""Whom a fleet's requests fall on in the flow model: algorithms told apart by what a fluid can show.

    looks at load          a slow instance gets less, a full one nothing that another could take
    and nobody is there    a machine that refuses everything always looks idle, so it is loved
    and WebSockets are     they count as in flight: who comes back without any gets all, until it has as many as others
    does not look          each gets its turn, dead or slow

Least connections and least response time are the first three, two choices are in between: they are never drawn to
anybody more than twice as often as to the rest.
"""

from __future__ import annotations

from math import exp

from lbtutor.sim.herd import Herd, over_all
from lbtutor.sim.world import Fleet

_LOOKS_AT_LOAD = {"least_connections", "power_of_two", "least_response_time"}


class Draw:
    """One fleet's algorithm, as shares of its requests."""

    def __init__(self, fleet: Fleet, balancers: int) -> None:
        self.looks = fleet.algorithm in _LOOKS_AT_LOAD
        self._fleet = fleet
        self._balancers = balancers

    def __repr__(self) -> str:
        return f"<Draw of {self._fleet.algorithm}>"

    def dead(self, herds: list[Herd], herd: Herd, pull: float, total: float) -> float:
        """The share of all picks that falls on a dead herd, of which so large a part believes that it lives."""
        count = len(herd.members)
        fair = pull * count / total
        if not self.looks or herd.state == "hung" or fair >= 1:
            return fair
        if self._fleet.algorithm == "power_of_two":
            return min(1.0, 2 * fair)
        if self._fleet.sockets is not None:
            return min(1.0, pull)
        rivals = (total / count - pull) * count * exp(-self.each_has(herds))
        return max(fair, pull * count / (count + rivals))

    def lean(self, herds: list[Herd], loose: float, weights: list[float]) -> list[float]:
        """The weights of who looks at what is in flight, where WebSockets are: they count, and outnumber all else."""
        if not self.looks or self._fleet.sockets is None:
            return weights
        if self._fleet.algorithm == "power_of_two":
            return self._better_of_two(herds, weights)
        return self._poured(herds, loose * self._fleet.work, weights)

    def _poured(self, herds: list[Herd], amount: float, weights: list[float]) -> list[float]:
        """How so much in flight comes to lie, poured on top of the WebSockets until the lowest are level: what one
        instance of each herd gets, as a weight."""
        rising = sorted(
            (herd.sockets, len(herd.members), number)
            for number, (herd, weight) in enumerate(zip(herds, weights, strict=True))
            if weight > 0
        )
        poured = [0.0] * len(weights)
        level, width, left = 0.0, 0, max(amount, 1e-9)
        for height, count, _ in rising:
            if width and (height - level) * width >= left:
                break
            left -= (height - level) * width
            level, width = height, width + count
        level += left / width if width else 0.0
        for height, _, number in rising:
            poured[number] = max(0.0, level - height)
        return poured

    def _better_of_two(self, herds: list[Herd], weights: list[float]) -> list[float]:
        """Of two drawn at random the one with fewer WebSockets, when that is one in fifty or more."""
        rising = sorted((herd.sockets, number) for number, herd in enumerate(herds) if weights[number] > 0)
        total = over_all(herds, weights)
        better = [0.0] * len(weights)
        behind = total
        for step in _steps(rising):
            here = sum(weights[number] * len(herds[number].members) for number in step)
            share = (behind**2 - (behind - here) ** 2) / total / here
            behind -= here
            for number in step:
                better[number] = weights[number] * share
        return better

    def each_has(self, herds: list[Herd]) -> float:
        """Requests under way at one live instance from one balancer."""
        alive = [herd for herd in herds if herd.state == "up" and herd.rate]
        count = sum(len(herd.members) for herd in alive)
        work = sum(herd.rate * len(herd.members) * herd.factor for herd in alive) * self._fleet.work
        return work / count / self._balancers if count else 0.0

    def fill(self, herds: list[Herd], flowing: float, kept: list[float], weights: list[float]) -> list[float]:
        """Requests for one instance of each herd: those of its carts, and its part of the rest, which `flowing` is.

        Who looks at load passes what one cannot take on to the others.
        """
        alive = over_all(herds, weights)
        own = [mine if herd.state == "up" else 0.0 for mine, herd in zip(kept, herds, strict=True)]
        rates = [flowing * weight / alive + mine for weight, mine in zip(weights, own, strict=True)]
        if not self.looks:
            return rates
        for _ in range(2):
            over = room = 0.0
            spares = [self._fleet.capacity / herd.factor - rate for herd, rate in zip(herds, rates, strict=True)]
            for number, (herd, weight) in enumerate(zip(herds, weights, strict=True)):
                over += min(max(0.0, -spares[number]), rates[number] - own[number]) * len(herd.members)
                room += max(0.0, spares[number]) * len(herd.members) if weight else 0.0
            if not over or not room:
                break
            moves, filled = min(1.0, room / over), min(1.0, over / room)
            for number, weight in enumerate(weights):
                if spares[number] < 0:
                    rates[number] -= min(-spares[number], rates[number] - own[number]) * moves
                elif weight:
                    rates[number] += spares[number] * filled
        return rates


def _steps(rising: list[tuple[float, int]]) -> list[list[int]]:
    """Herds in groups of about as many WebSockets, fewest first."""
    steps: list[list[int]] = []
    floor = 0.0
    for height, number in rising:
        if not steps or height > floor * 1.02 + 1:
            steps.append([])
            floor = height
        steps[-1].append(number)
    return steps
