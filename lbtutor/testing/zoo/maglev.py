"""Maglev's lookup table (Eisenbud et al., NSDI 2016): right ones, and wrong ones as people write them."""

import hashlib
import random
import zlib

SIZE = 509
"""Slots; a prime, and small, so that building it is quick."""


def digest(text, salt):
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, person=salt.encode()).digest(), "big")


def permutation(name, size):
    """The slots in the order in which that server wants them."""
    offset, skip = digest(name, "offset") % size, digest(name, "skip") % (size - 1) + 1
    return [(offset + step * skip) % size for step in range(size)]


def fill(weights, size, wishes=permutation):
    """Who has each slot: servers take turns, a server of more weight more of them."""
    names = sorted(weights)
    ways = {name: iter(wishes(name, size)) for name in names}
    table = [None] * size
    taken = {name: 0 for name in names}
    for _ in range(size):
        name = min(names, key=lambda n: (taken[n] / weights[n], n))
        slot = next(slot for slot in ways[name] if table[slot] is None)
        table[slot] = name
        taken[name] += 1
    return table


class Offered:
    """Right: ours, the table built when another tuple is offered."""

    def __init__(self):
        self.seen = None
        self.tables = {}

    def pick(self, request, backends):
        if backends is not self.seen:
            self.seen = backends
            self.by_name = {b.name: b for b in backends}
            key = tuple(sorted((b.name, b.weight) for b in backends))
            if key not in self.tables:
                self.tables[key] = fill(dict(key), SIZE)
            self.table = self.tables[key]
        return self.by_name[self.table[digest(request.key, "key") % SIZE]]


class Lookup:
    """Right: its own books; the table belongs to whoever is up, and is built when it is wanted."""

    def __init__(self, backends):
        self.weights = dict(backends)
        self.down = set()
        self.table = None

    def alive(self):
        return {name: weight for name, weight in self.weights.items() if name not in self.down and weight > 0}

    def build(self):
        return fill(self.alive(), SIZE)

    def slot(self, client):
        return digest(client, "key") % SIZE

    def pick(self, client, now):
        if not self.alive():
            return None
        if self.table is None:
            self.table = self.build()
        return self.table[self.slot(client) % len(self.table)]

    def set_healthy(self, name, healthy):
        if name in self.weights:
            (self.down.discard if healthy else self.down.add)(name)
            self.table = None

    def add(self, name, weight):
        self.weights[name] = weight
        self.table = None

    def remove(self, name):
        self.weights.pop(name, None)
        self.down.discard(name)
        self.table = None


class Paper:
    """Right: the paper's pseudocode, with `next` and `entry`, CRC-32 and Adler-32; several turns for more weight."""

    def __init__(self, nodes, size=503):
        self.M = size
        self.nodes = {n: w for n, w in nodes}
        self.up = {n: True for n, _ in nodes}
        self.populate()

    def h(self, text, seed):
        return int(hashlib.md5((seed + text).encode()).hexdigest()[:12], 16)

    def populate(self):
        nodes = sorted(n for n in self.nodes if self.up[n])
        self.entry = [-1] * self.M
        self.order = nodes
        if not nodes:
            return
        next_ = [0] * len(nodes)
        permutations = []
        for node in nodes:
            offset = self.h(node, "o") % self.M
            skip = self.h(node, "s") % (self.M - 1) + 1
            permutations.append((offset, skip))
        n = 0
        while True:
            for i, node in enumerate(nodes):
                for _ in range(int(self.nodes[node])):
                    offset, skip = permutations[i]
                    c = (offset + next_[i] * skip) % self.M
                    while self.entry[c] >= 0:
                        next_[i] += 1
                        c = (offset + next_[i] * skip) % self.M
                    self.entry[c] = i
                    next_[i] += 1
                    n += 1
                    if n == self.M:
                        return

    def pick(self, client):
        if not self.order:
            return None
        return self.order[self.entry[self.h(client, "k") % self.M]]

    def set_healthy(self, node, up):
        if node in self.up and self.up[node] != up:
            self.up[node] = up
            self.populate()

    def add(self, node, weight):
        self.nodes[node] = weight
        self.up.setdefault(node, True)
        self.populate()

    def remove(self, node):
        if node in self.nodes:
            del self.nodes[node]
            del self.up[node]
            self.populate()


class EmptyTable(Lookup):
    """Wrong: with nobody up there is no table, and looking into it raises."""

    def pick(self, client, now):
        if self.table is None:
            self.table = self.build() if self.alive() else []
        return self.table[self.slot(client) % len(self.table)]


class FailsOpen(Lookup):
    """Wrong: with nobody up the first server is chosen all the same, though its answer is known."""

    def pick(self, client, now):
        return super().pick(client, now) or next(iter(self.weights), None)


class StaleTable(Lookup):
    """Wrong: who goes down stays in the table until the next one is added."""

    def set_healthy(self, name, healthy):
        table = self.table
        super().set_healthy(name, healthy)
        self.table = table


class LeastBusyOfTwo(Lookup):
    """Wrong: two slots are looked up and the less busy one's server is taken, so a client wanders with the load."""

    def __init__(self, backends):
        super().__init__(backends)
        self.open = {}

    def pick(self, client, now):
        first = super().pick(client, now)
        if first is None:
            return None
        second = self.table[self.slot(client + "'")]
        return min(first, second, key=lambda name: self.open.get(name, 0))

    def started(self, name, now):
        self.open[name] = self.open.get(name, 0) + 1

    def finished(self, name, now, latency, ok):
        self.open[name] = max(0, self.open.get(name, 0) - 1)


class BuiltinHash(Lookup):
    """Wrong: Python's hash() finds the slot, in every process another one."""

    def slot(self, client):
        return hash(client) % SIZE


class RandomOrder(Lookup):
    """Wrong: every object draws its own permutations, so two balancers never agree."""

    def __init__(self, backends):
        super().__init__(backends)
        self.salt = str(random.random())

    def build(self):
        return fill(self.alive(), SIZE, lambda name, size: permutation(name + self.salt, size))


class ByNumber(Lookup):
    """Wrong: the permutation belongs to the number of the server in the list, not to its name."""

    def build(self):
        alive = self.alive()
        table = fill({str(k): weight for k, weight in enumerate(alive.values())}, SIZE)
        names = list(alive)
        return [names[int(k)] for k in table]


class SizeFollowsThePool(Lookup):
    """Wrong: the table grows with the pool, so a key's slot changes with the number of servers."""

    def build(self):
        primes = (101, 211, 307, 401, 503, 601, 701, 809, 907)
        return fill(self.alive(), primes[len(self.alive()) % len(primes)])

    def slot(self, client):
        return digest(client, "key")


class Blocks(Lookup):
    """Wrong: everybody gets a block of neighbouring slots; when one goes, all borders move."""

    def build(self):
        alive = self.alive()
        total = sum(alive.values())
        table = []
        for name in sorted(alive):
            table += [name] * max(1, round(SIZE * alive[name] / total))
        return table

    def slot(self, client):
        return digest(client, "key") % SIZE


class FirstTakesAll(Lookup):
    """Wrong: servers do not take turns: the first takes three slots in four, the next three quarters of the rest."""

    def build(self):
        table = [None] * SIZE
        alive = self.alive()
        for name in sorted(alive, key=lambda n: (alive[n], n)):
            free = [slot for slot in permutation(name, SIZE) if table[slot] is None]
            for slot in free[: max(1, len(free) * 3 // 4)]:
                table[slot] = name
        return [entry or name for entry in table]


class SharedTail(Lookup):
    """Wrong: after three turns each, the last server takes what is left of the table."""

    def build(self):
        wishes = fill(self.alive(), SIZE)
        last = max(self.alive(), key=lambda n: (self.weights[n], zlib.crc32(n.encode())))
        return [last if slot % 3 == 0 else name for slot, name in enumerate(wishes)]


class WeightIgnored(Lookup):
    """Wrong: every server takes one slot a turn, whatever its weight."""

    def build(self):
        return fill(dict.fromkeys(self.alive(), 1), SIZE)
