"""Weighted round robin: right ones in several styles, and wrong ones as people write them."""

import heapq
import random


class CurrentWeights:
    """Right: ours; everybody earns its weight, the richest is chosen and pays for all (NGINX)."""

    def __init__(self):
        self.current = {}

    def pick(self, request, backends):
        for b in backends:
            self.current[b] = self.current.get(b, 0) + b.weight
        best = max(backends, key=self.current.get)
        self.current[best] -= sum(b.weight for b in backends)
        return best


class Server:
    def __init__(self, name, weight):
        self.name = name
        self.weight = weight
        self.current = 0
        self.up = True


class Smooth:
    """Right: keeps its own books, the same current weights on objects."""

    def __init__(self, backends):
        self.servers = {name: Server(name, weight) for name, weight in backends}

    def pick(self, client, now):
        best, total = None, 0
        for server in self.servers.values():
            if not server.up or server.weight <= 0:
                continue
            server.current += server.weight
            total += server.weight
            if best is None or server.current > best.current:
                best = server
        if best is None:
            return None
        best.current -= total
        return best.name

    def set_healthy(self, name, healthy):
        if name in self.servers:
            self.servers[name].up = healthy

    def add(self, name, weight):
        if name in self.servers:
            self.servers[name].weight = weight
        else:
            self.servers[name] = Server(name, weight)

    def remove(self, name):
        self.servers.pop(name, None)


class Deadlines:
    """Right: earliest deadline first, the next one 1/weight later (Envoy, Traefik)."""

    def __init__(self, backends):
        self.weights = {}
        self.down = set()
        self.heap = []
        self.clock = 0.0
        self.order = 0
        for name, weight in backends:
            self.add(name, weight)

    def _push(self, name):
        self.order += 1
        heapq.heappush(self.heap, (self.clock + 1 / self.weights[name], self.order, name))

    def _drop(self, name):
        self.heap = [entry for entry in self.heap if entry[2] != name]
        heapq.heapify(self.heap)

    def pick(self, client, now):
        if not self.heap:
            return None
        self.clock, _, name = heapq.heappop(self.heap)
        self._push(name)
        return name

    def _schedule(self, name):
        self._drop(name)
        if name in self.weights and name not in self.down and self.weights[name] > 0:
            self._push(name)

    def set_healthy(self, name, healthy):
        if name not in self.weights or healthy == (name not in self.down):
            return
        (self.down.discard if healthy else self.down.add)(name)
        self._schedule(name)

    def add(self, name, weight):
        if self.weights.get(name) != weight:
            self.weights[name] = weight
            self._schedule(name)

    def remove(self, name):
        self.weights.pop(name, None)
        self.down.discard(name)
        self._drop(name)


class Interleaved:
    """Right: rounds; in round r whoever weighs more than r has a turn. Written anew with each change."""

    def __init__(self, backends):
        self.weights = dict(backends)
        self.down = set()
        self.schedule = None
        self.position = 0

    def pick(self, client, now):
        if self.schedule is None:
            up = {n: w for n, w in self.weights.items() if n not in self.down and w > 0}
            self.schedule = [n for r in range(max(up.values(), default=0)) for n, w in up.items() if w > r]
            self.position = 0
        if not self.schedule:
            return None
        chosen = self.schedule[self.position]
        self.position = (self.position + 1) % len(self.schedule)
        return chosen

    def set_healthy(self, name, healthy):
        before = set(self.down)
        (self.down.discard if healthy else self.down.add)(name)
        if before != self.down:
            self.schedule = None

    def add(self, name, weight):
        self.weights[name] = weight
        self.schedule = None

    def remove(self, name):
        self.weights.pop(name, None)
        self.down.discard(name)
        self.schedule = None


class FurthestBehind:
    """Right: ours; whoever has had least for its weight, counted since the pool last changed."""

    def __init__(self):
        self.seen = None
        self.served = {}

    def pick(self, request, backends):
        if request.attempt == 1 and backends is not self.seen:
            self.seen, self.served = backends, {}
        chosen = min(backends, key=lambda b: (self.served.get(b, 0) + 0.5) / b.weight)
        self.served[chosen] = self.served.get(chosen, 0) + 1
        return chosen


class InARow(Interleaved):
    """Wrong: five in a row for weight 5 (NGINX before 1.3.1, Caddy's weighted_round_robin)."""

    def pick(self, client, now):
        if self.schedule is None:
            up = {n: w for n, w in self.weights.items() if n not in self.down}
            self.schedule = [n for n, w in up.items() for _ in range(w)]
            self.position = 0
        return super().pick(client, now)


class WholeOnly:
    """Wrong: ours; weights are cut to whole numbers, so in a slow start nobody has any."""

    def __init__(self):
        self.current = {}

    def pick(self, request, backends):
        for b in backends:
            self.current[b] = self.current.get(b, 0) + max(1, int(b.weight))
        best = max(backends, key=self.current.get)
        self.current[best] -= sum(max(1, int(b.weight)) for b in backends)
        return best


class Lottery(Smooth):
    """Wrong: drawn by weight, which is right only in the long run."""

    def __init__(self, backends):
        super().__init__(backends)
        self.random = random.Random(5)

    def pick(self, client, now):
        up = [s for s in self.servers.values() if s.up and s.weight > 0]
        return self.random.choices([s.name for s in up], [s.weight for s in up])[0] if up else None


class AtLeastOne(Smooth):
    """Wrong: weight 0 is taken for 1, so a server cannot be drained by its weight."""

    def __init__(self, backends):
        super().__init__([(name, max(1, weight)) for name, weight in backends])

    def add(self, name, weight):
        super().add(name, max(1, weight))


class OldDeadline(Deadlines):
    """Wrong: its deadline waits in the heap while it is down, so on its return it gets all that it missed."""

    def pick(self, client, now):
        aside = []
        while self.heap and self.heap[0][2] in self.down:
            aside.append(heapq.heappop(self.heap))
        chosen = None
        if self.heap:
            self.clock, _, chosen = heapq.heappop(self.heap)
        for entry in aside:
            heapq.heappush(self.heap, entry)
        if chosen is not None:
            self.clock += 1 / self.weights[chosen]
            self.order += 1
            heapq.heappush(self.heap, (self.clock, self.order, chosen))
        return chosen

    def set_healthy(self, name, healthy):
        if name in self.weights:
            (self.down.discard if healthy else self.down.add)(name)


class FirstWeightStays(Smooth):
    """Wrong: a server that is added once more keeps the weight that it had."""

    def add(self, name, weight):
        if name not in self.servers or self.servers[name].weight == 0:
            super().add(name, weight)


class WeightsByNames:
    """Wrong: ours; weights are read when other servers are offered, and not when only their weights changed."""

    def __init__(self):
        self.names = None

    def pick(self, request, backends):
        names = [b.name for b in backends]
        if names != self.names:
            self.names, self.weights, self.current = names, [b.weight for b in backends], [0] * len(names)
        for i, weight in enumerate(self.weights):
            self.current[i] += weight
        best = self.current.index(max(self.current))
        self.current[best] -= sum(self.weights)
        return backends[best]


class FailsOpen(Smooth):
    """Wrong: with nobody up it sends on to the first one all the same (Envoy's panic, ALB's fail open)."""

    def pick(self, client, now):
        return super().pick(client, now) or next(iter(self.servers), None)


class OneTotal(Smooth):
    """Wrong: the total is summed up once; whoever is chosen while one is down pays for that one too."""

    def __init__(self, backends):
        super().__init__(backends)
        self.total = sum(weight for _, weight in backends)

    def pick(self, client, now):
        up = [s for s in self.servers.values() if s.up and s.weight > 0]
        for server in up:
            server.current += server.weight
        if not up:
            return None
        best = max(up, key=lambda s: s.current)
        best.current -= self.total
        return best.name


class Accounts:
    """Wrong: ours; the accounts belong to the class and go by names, so two pools pay from one."""

    current = {}

    def pick(self, request, backends):
        for b in backends:
            self.current[b.name] = self.current.get(b.name, 0) + b.weight
        best = max(backends, key=lambda b: self.current[b.name])
        self.current[best.name] -= sum(b.weight for b in backends)
        return best


class DownEarnsToo(Smooth):
    """Wrong: who is down stays in the running, and is found to be down only when it was chosen."""

    def pick(self, client, now):
        total = sum(s.weight for s in self.servers.values())
        for server in self.servers.values():
            server.current += server.weight
        best = max(self.servers.values(), key=lambda s: s.current, default=None)
        if best is None:
            return None
        best.current -= total
        return best.name if best.up else next((s.name for s in self.servers.values() if s.weight > 0), None)


class NobodyUp(Smooth):
    """Wrong: with nobody up, the best of none."""

    def pick(self, client, now):
        up = [s for s in self.servers.values() if s.up and s.weight > 0]
        for server in up:
            server.current += server.weight
        best = max(up, key=lambda s: s.current)
        best.current -= sum(s.weight for s in up)
        return best.name


class RoundTooMany:
    """Wrong: the bar goes down to 0 before it begins anew, so each round has one turn for everybody on top (LVS)."""

    def __init__(self, servers):
        self.servers = [(name, weight) for name, weight in servers if weight > 0]
        self.place, self.bar = -1, 0

    def pick(self, client, now):
        while self.servers:
            self.place = (self.place + 1) % len(self.servers)
            if self.place == 0:
                self.bar -= 1
                if self.bar < 0:
                    self.bar = max(weight for _, weight in self.servers)
            if self.servers[self.place][1] >= self.bar:
                return self.servers[self.place][0]
        return None


class FirstOfAll:
    """Wrong: a newcomer's first deadline counts from the beginning of time, so it gets all that went before."""

    def __init__(self, servers):
        self.weights = {name: weight for name, weight in servers if weight > 0}
        self.due = {name: 1 / weight for name, weight in self.weights.items()}

    def pick(self, client, now):
        if not self.due:
            return None
        name = min(self.due, key=self.due.get)
        self.due[name] += 1 / self.weights[name]
        return name

    def add(self, name, weight):
        self.remove(name)
        if weight > 0:
            self.weights[name], self.due[name] = weight, 1 / weight

    def remove(self, name):
        self.weights.pop(name, None)
        self.due.pop(name, None)
