"""Consistent hashing with bounded loads: right ones, as papers, libraries and products have them, and wrong ones."""

import bisect
import hashlib
import math
import random

C = 1.25


def place(text):
    """Where on the ring of 2**32 places that text is."""
    return int.from_bytes(hashlib.md5(text.encode()).digest()[:4], "big")


class Offered:
    """Right: ours; a ring, and the paper's bound: the mean with this request, times 1.25, rounded up."""

    POINTS = 60

    def __init__(self):
        self.names = None

    def walk(self, key, backends):
        names = [b.name for b in backends]
        if names != self.names:
            self.names = names
            self.ring = sorted((place(f"{name}#{k}"), name) for name in names for k in range(self.POINTS))
        now = {b.name: b for b in backends}
        at = bisect.bisect(self.ring, (place(key), ""))
        for step in range(len(self.ring)):
            yield now[self.ring[(at + step) % len(self.ring)][1]]

    def most(self, backends):
        return math.ceil(C * (sum(b.in_flight for b in backends) + 1) / len(backends))

    def pick(self, request, backends):
        most = self.most(backends)
        return next((b for b in self.walk(request.key, backends) if b.in_flight < most), backends[0])


class Keeper:
    """Right: its own books; a mean of whole requests that is at least 1, as in lafikl/consistent."""

    POINTS = 60

    def __init__(self, backends):
        self.names = {}
        self.points = []
        self.open = {}
        self.down = set()
        for name, weight in backends:
            self.add(name, weight)

    def places(self, name):
        return [(place(f"{name}-{k}"), name) for k in range(self.POINTS)]

    def add(self, name, weight):
        if name not in self.names:
            self.open.setdefault(name, 0)
            self.points = sorted(self.points + self.places(name))
        self.names[name] = weight

    def remove(self, name):
        if name in self.names:
            del self.names[name]
            self.open.pop(name, None)
            self.points = [point for point in self.points if point[1] != name]
        self.down.discard(name)

    def set_healthy(self, name, healthy):
        if healthy:
            self.down.discard(name)
        elif name in self.names:
            self.down.add(name)

    def up(self):
        return [name for name in self.names if name not in self.down]

    def has_room(self, name):
        up = self.up()
        mean = max(1, (sum(self.open[each] for each in up) + 1) // len(up))
        return self.open[name] + 1 <= math.ceil(mean * C)

    def walk(self, client):
        at = bisect.bisect(self.points, (place(client), ""))
        for step in range(len(self.points)):
            name = self.points[(at + step) % len(self.points)][1]
            if name not in self.down:
                yield name

    def home(self, client):
        return next(self.walk(client), None)

    def pick(self, client, now):
        return next((name for name in self.walk(client) if self.has_room(name)), self.home(client))

    def started(self, name, now):
        if name in self.open:
            self.open[name] += 1

    def finished(self, name, now, latency, ok):
        if name in self.open:
            self.open[name] = max(0, self.open[name] - 1)


class Slots:
    """Right: as HAProxy does it: slots for all requests, dealt out by weight, the remainder to one after the other."""

    def __init__(self, backends):
        self.weights = dict(backends)
        self.served = dict.fromkeys(self.weights, 0)
        self.off = set()
        self.rebuild()

    def rebuild(self):
        live = {n: w for n, w in self.weights.items() if n not in self.off}
        self.tree = sorted((place(f"{n}/{k}"), n) for n, w in live.items() for k in range(max(1, int(40 * w))))
        self.cumulative, total = {}, 0
        for n, w in live.items():
            self.cumulative[n] = total
            total += w
        self.total = total

    def eligible(self, n):
        slots = math.ceil((sum(self.served.values()) + 1) * 125 / 100)
        before = int(self.cumulative[n] * slots // self.total)
        upto = int((self.cumulative[n] + self.weights[n]) * slots // self.total)
        return self.served[n] < max(1, upto - before)

    def pick(self, key, now=None):
        if not self.tree:
            return None
        start = bisect.bisect_left(self.tree, (place(key), "")) % len(self.tree)
        loop = self.tree[start:] + self.tree[:start]
        return next((n for _, n in loop if self.eligible(n)), loop[0][1])

    def started(self, server):
        self.served[server] = self.served.get(server, 0) + 1

    def finished(self, server):
        if self.served.get(server, 0) > 0:
            self.served[server] -= 1

    def set_healthy(self, server, healthy):
        if healthy:
            self.off.discard(server)
        elif server in self.weights:
            self.off.add(server)
        self.rebuild()

    def add(self, server, weight):
        self.weights[server] = weight
        self.served.setdefault(server, 0)
        self.rebuild()

    def remove(self, server):
        self.weights.pop(server, None)
        self.served.pop(server, None)
        self.off.discard(server)
        self.rebuild()


class ByScore:
    """Right: ours; rendezvous hashing, whose next best score comes next; the load is compared with 1.25 of the mean."""

    def pick(self, request, backends):
        mean = sum(b.in_flight for b in backends) / len(backends)
        ranked = sorted(backends, key=lambda b: place(f"{request.key}@{b.name}"), reverse=True)
        roomy = [b for b in ranked if b.in_flight <= C * mean]
        return (roomy or ranked)[0]


class Shuffled:
    """Right: as Envoy does it: a full server's keys go to the first with room in an order that the key alone decides;
    counts when it chooses."""

    def __init__(self, hosts):
        self.active = {name: 0 for name, _ in hosts}
        self.healthy = {name: True for name in self.active}

    def pick(self, key):
        hosts = sorted(name for name in self.active if self.healthy[name])
        if not hosts:
            return None
        home = max(hosts, key=lambda name: (place(name + key), name))
        slots = max(1, math.ceil((sum(self.active.values()) + 1) * C / len(hosts)))
        order = [name for name in hosts if name != home]
        random.Random(place(key)).shuffle(order)
        roomy = [name for name in [home, *order] if self.active[name] < slots]
        chosen = roomy[0] if roomy else min(hosts, key=self.active.get)
        self.active[chosen] += 1
        return chosen

    def finished(self, name):
        if self.active.get(name):
            self.active[name] -= 1

    def set_healthy(self, name, up):
        if name in self.healthy:
            self.healthy[name] = up


class RehashedWhenFull(Keeper):
    """Right: does not walk on: it hashes the key again with a number, until that finds somebody with room."""

    def pick(self, client, now):
        for attempt in range(50):
            name = self.home(f"{client}|{attempt}" if attempt else client)
            if name is None or self.has_room(name):
                return name
        return min(self.up(), key=self.open.get)

    def has_room(self, name):
        up = self.up()
        return self.open[name] < math.ceil(C * (sum(self.open.values()) + 1) / len(up))


class Raises(Keeper):
    """Wrong: with nobody up it raises instead of answering None."""

    def pick(self, client, now):
        return next(name for name in self.walk(client) if self.has_room(name))


class RoundsDown(Keeper):
    """Wrong: the bound is rounded down, so nobody has room for the first request, and it finds no server at all."""

    def has_room(self, name):
        return self.open[name] < math.floor(C * (sum(self.open.values()) + 1) / len(self.up()))

    def pick(self, client, now):
        roomy = [name for name in self.walk(client) if self.has_room(name)]
        return roomy[0] if self.up() else None


class OnToTheDead(Keeper):
    """Wrong: the walk on from a full server asks who has room, and no more who is up."""

    def pick(self, client, now):
        home = self.home(client)
        if home is None or self.has_room(home):
            return home
        at = bisect.bisect(self.points, (place(client), ""))
        walk = self.points[at:] + self.points[:at]
        return next((name for _, name in walk if self.has_room(name)), home)


class OneBook(Keeper):
    """Wrong: the counts are the class's, so two balancers take each other's requests for their own."""

    open = {}

    def __init__(self, backends):
        self.names, self.points, self.down = {}, [], set()
        for name, weight in backends:
            self.add(name, weight)


class Unbounded(Offered):
    """Wrong: a plain ring: nobody is ever full."""

    def most(self, backends):
        return math.inf


class OneTooMany(Offered):
    """Wrong: whoever has the bound already takes one more: `<=` where `<` belongs."""

    def pick(self, request, backends):
        most = self.most(backends)
        return next((b for b in self.walk(request.key, backends) if b.in_flight <= most), backends[0])


class OfAllEver(Keeper):
    """Wrong: the mean is of all requests there ever were, so the bound rises for ever."""

    ever = 0

    def pick(self, client, now):
        self.ever += 1
        return super().pick(client, now)

    def has_room(self, name):
        return self.open[name] < math.ceil(C * self.ever / len(self.up()))


class OverTheOthers(Offered):
    """Wrong: the mean is that of the other servers, without the one that may be full: too much."""

    def most(self, backends):
        return math.ceil(C * (sum(b.in_flight for b in backends) + 1) / max(1, len(backends) - 1))


class TwiceTheMean(Offered):
    """Wrong: twice the mean instead of 1.25 times."""

    def most(self, backends):
        return math.ceil(2 * (sum(b.in_flight for b in backends) + 1) / len(backends))


class OverTheDead(Keeper):
    """Wrong: the mean counts servers that are down, so all are taken for full, and the least busy gets it."""

    def has_room(self, name):
        return self.open[name] < math.ceil(C * (sum(self.open[each] for each in self.up()) + 1) / len(self.names))

    def pick(self, client, now):
        walk = list(dict.fromkeys(self.walk(client)))
        roomy = [name for name in walk if self.has_room(name)]
        return roomy[0] if roomy else min(walk, key=self.open.get, default=None)


class NoMoreThanTheMean(Offered):
    """Wrong: the factor is forgotten: whoever has the mean is full, so keys leave home though there is room."""

    def most(self, backends):
        return math.ceil((sum(b.in_flight for b in backends) + 1) / len(backends))


class OffersToTheIdle(Keeper):
    """Wrong: whose server has work goes to the next idle one."""

    def pick(self, client, now):
        return next((name for name in self.walk(client) if not self.open[name]), super().pick(client, now))


class MovedForGood(Keeper):
    """Wrong: a key that was sent on is remembered there, and never comes home."""

    def __init__(self, backends):
        self.moved = {}
        super().__init__(backends)

    def pick(self, client, now):
        stays = self.moved.get(client)
        if stays in self.up() and self.has_room(stays):
            return stays
        chosen = super().pick(client, now)
        if chosen != self.home(client):
            self.moved[client] = chosen
        return chosen


class FullForEver(Keeper):
    """Wrong: a server that was full once is passed over until the pool changes."""

    def __init__(self, backends):
        self.was_full = set()
        super().__init__(backends)

    def set_healthy(self, name, healthy):
        super().set_healthy(name, healthy)
        self.was_full = set()

    def has_room(self, name):
        if not super().has_room(name):
            self.was_full.add(name)
        return name not in self.was_full


class AnywhereElse(Offered):
    """Wrong: a full server's keys go to anybody with room, by chance: every cache fetches the hot key."""

    def pick(self, request, backends):
        most, home = self.most(backends), next(self.walk(request.key, backends))
        return home if home.in_flight < most else random.choice([b for b in backends if b.in_flight < most])


class ToTheLeastBusy(Offered):
    """Wrong: a full server's keys go to whoever has least to do, which is another one all the time."""

    def pick(self, request, backends):
        home = next(self.walk(request.key, backends))
        return home if home.in_flight < self.most(backends) else min(backends, key=lambda b: b.in_flight)


class FailuresNeverEnd(Keeper):
    """Wrong: only a success is counted down, so failures fill a server for ever."""

    def finished(self, name, now, latency, ok):
        if ok:
            super().finished(name, now, latency, ok)


class BelowZero(Keeper):
    """Wrong: an end that is told twice makes the count negative."""

    def finished(self, name, now, latency, ok):
        if name in self.open:
            self.open[name] -= 1


class Reserves(Keeper):
    """Wrong: it counts when it chooses and again when the request starts."""

    def pick(self, client, now):
        chosen = super().pick(client, now)
        if chosen is not None:
            self.open[chosen] += 1
        return chosen


class Modulo(Offered):
    """Wrong: no ring: the hash modulo the number of servers, so that nearly all keys move with each change."""

    def walk(self, key, backends):
        ordered = sorted(backends, key=lambda b: b.name)
        at = place(key) % len(ordered)
        return ordered[at:] + ordered[:at]


class BuiltinHash(Keeper):
    """Wrong: Python's hash() places the servers, in every process elsewhere."""

    def places(self, name):
        return [(hash(f"{name}-{k}") & 0xFFFFFFFF, name) for k in range(self.POINTS)]


class OnePoint(Offered):
    """Wrong: one point for each server: whoever has a long way before it is at the bound all the time."""

    POINTS = 1
