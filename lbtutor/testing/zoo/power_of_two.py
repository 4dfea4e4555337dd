"""Power of two choices: right ones in several styles, and wrong ones as people write them."""

import random


class Sample:
    """Right: ours; two that differ, the less busy one of them."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, request, backends):
        return min(self.rng.sample(backends, min(2, len(backends))), key=lambda b: b.in_flight / b.weight)


class Counting:
    """Right: keeps its own books; draws two places, the second one past the first."""

    def __init__(self, backends, rng=None):
        self.open = {name: 0 for name, _ in backends}
        self.down = set()
        self.rng = rng or random.Random()

    def candidates(self):
        return [name for name in self.open if name not in self.down]

    def pick(self, client, now):
        up = self.candidates()
        if len(up) < 2:
            return up[0] if up else None
        first = self.rng.randrange(len(up))
        second = self.rng.randrange(len(up) - 1)
        second += second >= first
        return self.better(up[first], up[second])

    def better(self, one, other):
        return other if self.open[other] <= self.open[one] else one

    def started(self, name, now):
        if name in self.open:
            self.open[name] += 1

    def finished(self, name, now, latency, ok):
        if self.open.get(name):
            self.open[name] -= 1

    def set_healthy(self, name, healthy):
        (self.down.discard if healthy else self.down.add)(name)

    def add(self, name, weight):
        self.open.setdefault(name, 0)

    def remove(self, name):
        self.open.pop(name, None)
        self.down.discard(name)


class Reservoir(Counting):
    """Right: a reservoir of two (Caddy's `random_choose 2`)."""

    def pick(self, client, now):
        chosen = []
        for seen, name in enumerate(self.candidates(), 1):
            if len(chosen) < 2:
                chosen.append(name)
            elif (place := self.rng.randrange(seen)) < 2:
                chosen[place] = name
        return min(chosen, key=self.open.get) if chosen else None


class DrawsAgain(Counting):
    """Right: draws again while both are the same, with the module's own dice."""

    def pick(self, client, now):
        up = self.candidates()
        if not up:
            return None
        one = other = random.choice(up)
        while other == one and len(up) > 1:
            other = random.choice(up)
        return min(one, other, key=lambda name: self.open[name])


class MaybeTwice(Counting):
    """Wrong: the two draws may be the same server, so that even the busiest can win (Linux IPVS `twos`)."""

    def pick(self, client, now):
        up = self.candidates()
        return self.better(self.rng.choice(up), self.rng.choice(up)) if up else None


class OneChoice(Counting):
    """Wrong: one choice is no choice: at random."""

    def pick(self, client, now):
        up = self.candidates()
        return self.rng.choice(up) if up else None


class BusierOne(Counting):
    """Wrong: the busier of the two."""

    def better(self, one, other):
        return one if self.open[one] > self.open[other] else other


class FirstEight(Counting):
    """Wrong: draws from a table of eight places, so that the ninth server is never drawn."""

    def candidates(self):
        return super().candidates()[:8]


class LeastOfAll(Counting):
    """Wrong: looks at all of them; that is least connections, and herds where counts are stale."""

    def pick(self, client, now):
        return min(self.candidates(), key=self.open.get, default=None)


class FailuresNeverEnd(Counting):
    """Wrong: only a success frees the server."""

    def finished(self, name, now, latency, ok):
        if ok:
            super().finished(name, now, latency, ok)


class NeedsTwo(Counting):
    """Wrong: there are always two to draw, or are there?"""

    def pick(self, client, now):
        up = self.candidates()
        return self.better(*self.rng.sample(up, 2)) if up else None


class OneBook:
    """Wrong: the counts are a default value, and so every balancer's."""

    def __init__(self, backends, rng=None, down=set()):
        self.open = {name: 0 for name, _ in backends}
        self.down = down
        self.rng = rng or random.Random()

    pick, candidates, better = Counting.pick, Counting.candidates, Counting.better
    started, finished, set_healthy = Counting.started, Counting.finished, Counting.set_healthy
    add, remove = Counting.add, Counting.remove


class FailsOpen(Counting):
    """Wrong: with nobody up it draws among those who are down."""

    def candidates(self):
        return super().candidates() or list(self.open)


class DrawsFirst(Counting):
    """Wrong: draws among all members, and looks afterwards who is up; when both are down it sends on all the same."""

    def pick(self, client, now):
        members = list(self.open)
        if not self.candidates():
            return None
        if len(members) < 2:
            return members[0]
        one, other = self.rng.sample(members, 2)
        if one in self.down:
            return other
        return one if other in self.down else self.better(one, other)
