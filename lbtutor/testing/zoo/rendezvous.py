"""Rendezvous hashing (highest random weight): right ones by different hashes and formulas, and wrong ones."""

import hashlib
import math
import random
import zlib


def score(name, key):
    """A number in 0..1, by which that server wants that key."""
    digest = hashlib.blake2b(f"{name}|{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**64


class Offered:
    """Right: ours, in one line, with the logarithm that makes weights exact (Schindelhauer and Schomaker)."""

    def pick(self, request, backends):
        return min(backends, key=lambda b: (-math.log(score(b.name, request.key)) / b.weight, b.name))


class Members:
    """Right: its own books, a loop over whoever is up, weighted by the same formula."""

    def __init__(self, backends):
        self.weights = dict(backends)
        self.down = set()

    def alive(self):
        return [name for name in self.weights if name not in self.down and self.weights[name] > 0]

    def wish(self, name, client):
        return -self.weights[name] / math.log(score(name, client))

    def pick(self, client, now):
        best, best_wish = None, -1.0
        for name in self.alive():
            wish = self.wish(name, client)
            if wish > best_wish:
                best, best_wish = name, wish
        return best

    def set_healthy(self, name, healthy):
        if healthy:
            self.down.discard(name)
        elif name in self.weights:
            self.down.add(name)

    def add(self, name, weight):
        self.weights[name] = weight

    def remove(self, name):
        self.weights.pop(name, None)
        self.down.discard(name)


class Copies:
    """Right: as many entries for a server as it has weight, MD5, a list kept sorted."""

    def __init__(self, backends):
        self.nodes = sorted(backends)
        self.healthy = {name: True for name, _ in backends}

    def pick(self, client):
        wishes = []
        for node, weight in self.nodes:
            if self.healthy[node]:
                for copy in range(int(weight)):
                    wishes.append((hashlib.md5(f"{client}-{node}-{copy}".encode()).hexdigest(), node))
        return max(wishes)[1] if wishes else None

    def set_healthy(self, node, healthy):
        if node in self.healthy:
            self.healthy[node] = healthy

    def add(self, node, weight=1):
        self.nodes = sorted([entry for entry in self.nodes if entry[0] != node] + [(node, weight)])
        self.healthy.setdefault(node, True)

    def remove(self, node):
        self.nodes = [entry for entry in self.nodes if entry[0] != node]
        self.healthy.pop(node, None)


class NobodyUp(Members):
    """Wrong: max() of nothing raises when nobody is up."""

    def pick(self, client, now):
        return max(self.alive(), key=lambda name: self.wish(name, client))


class IgnoresHealth(Members):
    """Wrong: asks all members, also those that are down."""

    def alive(self):
        return [name for name in self.weights if len(self.down) < len(self.weights)]


class SpillsOver(Members):
    """Wrong: nobody wins more than two keys that are still open; clients wander when their server is busy."""

    def __init__(self, backends):
        super().__init__(backends)
        self.open = {}

    def pick(self, client, now):
        free = [name for name in self.alive() if self.open.get(name, 0) < 2] or self.alive()
        return max(free, key=lambda name: self.wish(name, client), default=None)

    def started(self, name, now):
        self.open[name] = self.open.get(name, 0) + 1

    def finished(self, name, now, latency, ok):
        self.open[name] = max(0, self.open.get(name, 0) - 1)


class BuiltinHash:
    """Wrong: Python's hash() of text, which is different in every process."""

    def pick(self, request, backends):
        chance = {b: (hash(f"{b.name}|{request.key}") % 2**32 + 0.5) / 2**32 for b in backends}
        return max(backends, key=lambda b: -b.weight / math.log(chance[b]))


class Salted(Members):
    """Wrong: a random salt for each object, so that two balancers never agree."""

    def __init__(self, backends):
        super().__init__(backends)
        self.salt = random.random()

    def wish(self, name, client):
        return super().wish(name, f"{self.salt}{client}")


class ByPlace(Members):
    """Wrong: the place in the list is hashed, not the name, so whoever leaves shifts everybody after it."""

    def pick(self, client, now):
        alive = self.alive()
        wishes = [(-self.weights[name] / math.log(score(str(k), client)), k) for k, name in enumerate(alive)]
        return alive[max(wishes)[1]] if wishes else None


class CountInTheKey(Members):
    """Wrong: how many servers are up goes into the hash, so that every change moves nearly everybody."""

    def wish(self, name, client):
        return super().wish(name, f"{client}/{len(self.alive())}")


class HashedApart(Members):
    """Wrong: name and key are hashed apart and added, so the same server wins for nearly every key."""

    def wish(self, name, client):
        mixed = (zlib.crc32(name.encode()) % 1000 + zlib.crc32(client.encode()) % 500) / 1501
        return -self.weights[name] / math.log(mixed + 1e-6)


class FewValues(Members):
    """Wrong: only the key's first letters are hashed, so that clients go in a few large herds."""

    def wish(self, name, client):
        return super().wish(name, client[:2])


class WeightIgnored(Members):
    """Wrong: weights do not count."""

    def wish(self, name, client):
        return score(name, client)
