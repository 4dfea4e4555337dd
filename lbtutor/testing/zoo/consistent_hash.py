"""The consistent hash ring: right ones, as textbooks and libraries write them, and wrong ones."""

import bisect
import hashlib
import random


def place(text):
    """Where on the ring of 2**32 places that text is."""
    return int.from_bytes(hashlib.md5(text.encode()).digest()[:4], "big")


class Offered:
    """Right: ours; 100 points for each unit of weight, rebuilt when another tuple is offered."""

    def __init__(self):
        self.seen = None

    def pick(self, request, backends):
        if backends is not self.seen:
            self.seen = backends
            self.ring = sorted((place(f"{b.name}#{k}"), b.name) for b in backends for k in range(int(100 * b.weight)))
            self.by_name = {b.name: b for b in backends}
        at = bisect.bisect(self.ring, (place(request.key), ""))
        return self.by_name[self.ring[at % len(self.ring)][1]]


class Ring:
    """Right: a sorted list of points with an owner each; dead servers are walked past."""

    POINTS = 80

    def __init__(self, backends):
        self.weights = {}
        self.points = []
        self.owner = {}
        self.down = set()
        for name, weight in backends:
            self.add(name, weight)

    def labels(self, name, weight):
        return [place(f"{name}#{k}") for k in range(int(self.POINTS * weight))]

    def add(self, name, weight):
        if name in self.weights:
            down = name in self.down
            self.remove(name)
            if down:
                self.down.add(name)
        self.weights[name] = weight
        for point in self.labels(name, weight):
            if point not in self.owner or name < self.owner[point]:
                if point not in self.owner:
                    bisect.insort(self.points, point)
                self.owner[point] = name

    def remove(self, name):
        if self.weights.pop(name, None) is not None:
            self.points = [point for point in self.points if self.owner[point] != name]
            self.owner = {point: owner for point, owner in self.owner.items() if owner != name}
        self.down.discard(name)

    def set_healthy(self, name, healthy):
        if healthy:
            self.down.discard(name)
        elif name in self.weights:
            self.down.add(name)

    def pick(self, client, now):
        at = bisect.bisect(self.points, place(client))
        for step in range(len(self.points)):
            name = self.owner[self.points[(at + step) % len(self.points)]]
            if name not in self.down:
                return name
        return None


class HashRing:
    """Right: the textbook's class, with other names, SHA-1 and a ring of whoever is up, built anew on each change."""

    def __init__(self, nodes, replicas=60):
        self.replicas = replicas
        self.nodes = dict(nodes)
        self.dead = []
        self._build()

    def _hash(self, value):
        return int(hashlib.sha1(value.encode("utf-8")).hexdigest(), 16)

    def _build(self):
        self._ring = {}
        for node, weight in self.nodes.items():
            if node not in self.dead:
                for i in range(round(self.replicas * weight)):
                    self._ring[self._hash("%s:%d" % (node, i))] = node
        self._keys = sorted(self._ring)

    def pick(self, key):
        if not self._keys:
            return None
        index = bisect.bisect_left(self._keys, self._hash(key))
        if index == len(self._keys):
            index = 0
        return self._ring[self._keys[index]]

    def set_healthy(self, node, healthy):
        if node in self.dead:
            self.dead.remove(node)
        if not healthy:
            self.dead.append(node)
        self._build()

    def add(self, node, weight):
        self.nodes[node] = weight
        self._build()

    def remove(self, node):
        self.nodes.pop(node, None)
        if node in self.dead:
            self.dead.remove(node)
        self._build()


class NobodyUp(Ring):
    """Wrong: walks on until somebody is up, and raises when nobody is."""

    def pick(self, client, now):
        alive = [point for point in self.points if self.owner[point] not in self.down]
        return self.owner[alive[bisect.bisect(alive, place(client)) % len(alive)]]


class EndOfTheRing(Ring):
    """Wrong: behind the last point there is nobody, so some keys raise: the ring is not closed."""

    def pick(self, client, now):
        alive = [point for point in self.points if self.owner[point] not in self.down]
        return self.owner[alive[bisect.bisect(alive, place(client))]] if alive else None


class NeighbourOfTheDead(Ring):
    """Wrong: whose server is down gets the owner of the next point, who may be down as well."""

    def pick(self, client, now):
        if len(self.down) == len(self.weights):
            return None
        at = bisect.bisect(self.points, place(client))
        name = self.owner[self.points[at % len(self.points)]]
        return self.owner[self.points[(at + 1) % len(self.points)]] if name in self.down else name


class LeavesPointsBehind(Ring):
    """Wrong: a server that leaves with less weight than it once had leaves points behind."""

    def add(self, name, weight):
        self.weights[name] = weight
        for point in self.labels(name, weight):
            if point not in self.owner:
                bisect.insort(self.points, point)
                self.owner[point] = name

    def remove(self, name):
        if name in self.weights:
            for point in self.labels(name, self.weights.pop(name)):
                if self.owner.get(point) == name:
                    self.points.remove(point)
                    del self.owner[point]
        self.down.discard(name)


class OffersToTheIdle(Ring):
    """Wrong: whose server has work gets the next idle one: a client wanders with the load."""

    def __init__(self, backends):
        super().__init__(backends)
        self.open = {}

    def pick(self, client, now):
        at = bisect.bisect(self.points, place(client))
        walk = [self.owner[self.points[(at + step) % len(self.points)]] for step in range(len(self.points))]
        alive = [name for name in walk if name not in self.down]
        return next((name for name in alive if not self.open.get(name)), alive[0] if alive else None)

    def started(self, name, now):
        self.open[name] = self.open.get(name, 0) + 1

    def finished(self, name, now, latency, ok):
        self.open[name] = max(0, self.open.get(name, 0) - 1)


class BuiltinHash(Ring):
    """Wrong: Python's hash() places servers and clients, in every process elsewhere."""

    def labels(self, name, weight):
        return [hash(f"{name}#{k}") & 0xFFFFFFFF for k in range(int(self.POINTS * weight))]


class RandomPoints(Ring):
    """Wrong: points are drawn, so that every balancer has a ring of its own."""

    def __init__(self, backends):
        self.drawn = {}
        super().__init__(backends)

    def labels(self, name, weight):
        count = int(self.POINTS * weight)
        return self.drawn.setdefault((name, count), [random.getrandbits(32) for _ in range(count)])


class ByNumber(Ring):
    """Wrong: points belong to the number of the server in the list, not to its name."""

    def labels(self, name, weight):
        number = list(self.weights).index(name)
        return [place(f"server-{number}-{k}") for k in range(int(self.POINTS * weight))]


class Modulo(Ring):
    """Wrong: no ring at all: the hash modulo the number of servers."""

    def pick(self, client, now):
        alive = sorted(name for name in self.weights if name not in self.down for _ in range(int(self.weights[name])))
        return alive[place(client) % len(alive)] if alive else None


class EqualParts(HashRing):
    """Wrong: the ring is cut into equal parts by the number of points, so a newcomer shifts every border."""

    def _build(self):
        super()._build()
        owners = [self._ring[key] for key in self._keys]
        step = (1 << 160) // max(1, len(owners))
        self._ring = {(number + 1) * step: owner for number, owner in enumerate(owners)}
        self._keys = sorted(self._ring)


class OnePoint(Ring):
    """Wrong: one point for each unit of weight: whoever has a long way before it gets most clients."""

    POINTS = 1


class FewPoints(Ring):
    """Wrong: four points for each unit of weight are too few to be fair."""

    POINTS = 4


class WeightIgnored(Ring):
    """Wrong: every server has as many points, whatever its weight."""

    def labels(self, name, weight):
        return super().labels(name, 1)
