"""Least connections: right ones in several styles, and wrong ones as people write them.

A class whose docstring begins with "Wrong:" is; what follows says what is wrong, and where it was seen.
"""

import heapq
from operator import attrgetter


class Offered:
    """Right: ours, in one line."""

    def pick(self, request, backends):
        return min(backends, key=attrgetter("in_flight"))


class Weighted:
    """Right: ours, per weight and counting this request, ties in rotation."""

    def __init__(self):
        self.turn = 0

    def pick(self, request, backends):
        self.turn += 1
        lowest = min((b.in_flight + 1) / b.weight for b in backends)
        ties = [b for b in backends if (b.in_flight + 1) / b.weight == lowest]
        return ties[self.turn % len(ties)]


class Counting:
    """Right: keeps its own books in a dictionary."""

    def __init__(self, backends):
        self.weight = dict(backends)
        self.open = {name: 0 for name, _ in backends}
        self.down = set()

    def pick(self, client, now):
        up = [name for name in self.open if name not in self.down and self.weight[name] > 0]
        return min(up, key=lambda name: self.open[name] / self.weight[name]) if up else None

    def started(self, name, now):
        if name in self.open:
            self.open[name] += 1

    def finished(self, name, now, latency, ok):
        if name in self.open:
            self.open[name] = max(0, self.open[name] - 1)

    def set_healthy(self, name, healthy):
        (self.down.discard if healthy else self.down.add)(name)

    def add(self, name, weight):
        self.weight[name] = weight
        self.open.setdefault(name, 0)

    def remove(self, name):
        self.open.pop(name, None)
        self.weight.pop(name, None)
        self.down.discard(name)


class FailuresNeverEnd(Counting):
    """Wrong: only a success frees the server, so failures fill it for ever."""

    def finished(self, name, now, latency, ok):
        if ok:
            super().finished(name, now, latency, ok)


class RecoveryForgets(Counting):
    """Wrong: a server that comes back starts from zero, though its requests still run."""

    def set_healthy(self, name, healthy):
        super().set_healthy(name, healthy)
        if healthy and name in self.open:
            self.open[name] = 0


class IgnoresHealth(Counting):
    """Wrong: who is down still gets requests."""

    def set_healthy(self, name, healthy):
        pass


class TotalServed:
    """Wrong: fewest served so far, not fewest under way."""

    def __init__(self):
        self.served = {}

    def pick(self, request, backends):
        chosen = min(backends, key=lambda b: self.served.get(b.name, 0))
        self.served[chosen.name] = self.served.get(chosen.name, 0) + 1
        return chosen


class Heap:
    """Right: a heap of (open, name) with stale entries skipped."""

    def __init__(self, backends):
        self.members = {name: 0 for name, _ in backends}
        self.up = set(self.members)
        self.heap = [(0, name) for name in self.members]

    def _set(self, name, count):
        self.members[name] = count
        heapq.heappush(self.heap, (count, name))

    def pick(self, client, now):
        aside, found = [], None
        while self.heap and found is None:
            count, name = heapq.heappop(self.heap)
            if self.members.get(name) == count:
                aside.append((count, name))
                found = name if name in self.up else None
        for entry in aside:
            heapq.heappush(self.heap, entry)
        return found

    def started(self, name, now):
        if name in self.members:
            self._set(name, self.members[name] + 1)

    def finished(self, name, now, latency, ok):
        if self.members.get(name, 0) > 0:
            self._set(name, self.members[name] - 1)

    def set_healthy(self, name, healthy):
        if name not in self.members:
            return
        if healthy:
            self.up.add(name)
        else:
            self.up.discard(name)

    def add(self, name, weight):
        if name not in self.members:
            self.up.add(name)
            self._set(name, 0)

    def remove(self, name):
        self.members.pop(name, None)
        self.up.discard(name)


class CountsItself:
    """Right: counts when it chooses and has no `started`; an end is `finished(server)`."""

    def __init__(self, servers):
        self.open = {name: 0 for name, _ in servers}
        self.down = set()

    def pick(self, client, now):
        up = [name for name in self.open if name not in self.down]
        if not up:
            return None
        fewest = min(self.open[name] for name in up)
        chosen = [name for name in up if self.open[name] == fewest][-1]
        self.open[chosen] += 1
        return chosen

    def finished(self, server):
        if self.open.get(server, 0):
            self.open[server] -= 1

    def set_healthy(self, server, up):
        if up:
            self.down.discard(server)
        else:
            self.down.add(server)


class KeepsCounting(Counting):
    """Right: counts go by names, and outlive that a server leaves and returns."""

    def started(self, name, now):
        self.open[name] = self.open.get(name, 0) + 1

    def finished(self, name, now, latency, ok):
        self.open[name] = max(0, self.open.get(name, 0) - 1)

    def pick(self, client, now):
        up = [name for name in self.weight if name not in self.down and self.weight[name] > 0]
        return min(up, key=lambda name: (self.open[name] + 1) / self.weight[name]) if up else None

    def remove(self, name):
        self.weight.pop(name, None)
        self.down.discard(name)


class BelowZero(KeepsCounting):
    """Wrong: an end that is told twice makes the count negative."""

    def finished(self, name, now, latency, ok):
        self.open[name] = self.open.get(name, 0) - 1


class AsText:
    """Wrong: ours; counts are compared as text, and '10' comes before '9'."""

    def pick(self, request, backends):
        return min(backends, key=lambda b: f"{b.in_flight}/{b.name}")


class Reserves(Counting):
    """Wrong: a choice reserves a place; when no request comes of it, nobody gives the place back."""

    def __init__(self, backends):
        super().__init__(backends)
        self.reserved = []

    def pick(self, client, now):
        chosen = super().pick(client, now)
        if chosen is not None:
            super().started(chosen, now)
            self.reserved.append(chosen)
        return chosen

    def started(self, name, now):
        if name in self.reserved:
            self.reserved.remove(name)
        else:
            super().started(name, now)


class GhostCount(Counting):
    """Wrong: the late end of a request on a server that left makes an entry of minus one, and it returns with that."""

    def __init__(self, backends):
        super().__init__(backends)
        self.debt = {}

    def finished(self, name, now, latency, ok):
        if name in self.open:
            super().finished(name, now, latency, ok)
        else:
            self.debt[name] = self.debt.get(name, 0) - 1

    def add(self, name, weight):
        if name not in self.open:
            self.open[name] = self.debt.pop(name, 0)
        self.weight[name] = weight

    def pick(self, client, now):
        up = [name for name in self.open if name not in self.down]
        return min(up, key=lambda name: (self.open[name], name)) if up else None


class OneBook(Counting):
    """Wrong: the counts are the class's, so that two pools count in one book."""

    open = {}

    def __init__(self, backends):
        self.weight = dict(backends)
        self.down = set()

    def pick(self, client, now):
        up = [name for name in self.weight if name not in self.down and self.weight[name] > 0]
        return min(up, key=lambda name: self.open.get(name, 0) / self.weight[name]) if up else None

    def started(self, name, now):
        self.open[name] = self.open.get(name, 0) + 1

    def finished(self, name, now, latency, ok):
        self.open[name] = max(0, self.open.get(name, 0) - 1)

    def remove(self, name):
        self.weight.pop(name, None)
        self.down.discard(name)


class MostBusy:
    """Wrong: ours; the wrong end of the list."""

    def pick(self, request, backends):
        return sorted(backends, key=attrgetter("in_flight"))[-1]


class Remembered:
    """Wrong: ours; keeps its choice for half a second, to save work (a cache of the minimum)."""

    def __init__(self):
        self.chosen, self.until = None, -1

    def pick(self, request, backends):
        if self.chosen not in backends or not 0 <= self.until - request.at <= 0.5:
            self.chosen, self.until = min(backends, key=attrgetter("in_flight")), request.at + 0.5
        return self.chosen


class EmptyRaises(Counting):
    """Wrong: with nobody up it raises instead of answering None."""

    def pick(self, client, now):
        return min((n for n in self.open if n not in self.down), key=self.open.get)
