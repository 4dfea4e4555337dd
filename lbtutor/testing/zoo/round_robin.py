"""Round robin: right ones in several styles, and wrong ones as people write them.

A class whose docstring begins with "Wrong:" is; what follows says what is wrong, and where it was seen.
"""

import itertools
import random
from collections import OrderedDict, deque


class LongestAgo:
    """Right: ours; whoever was chosen longest ago is next."""

    def __init__(self):
        self.clock = 0
        self.chosen_at = {}

    def pick(self, request, backends):
        chosen = min(backends, key=lambda b: self.chosen_at.get(b, 0))
        self.clock += 1
        self.chosen_at[chosen] = self.clock
        return chosen


class Queue:
    """Right: a queue of the members; whoever is served, goes to its end."""

    def __init__(self, backends):
        self.queue = deque(name for name, _ in backends)
        self.down = set()

    def pick(self, client, now):
        for name in self.queue:
            if name not in self.down:
                self.queue.remove(name)
                self.queue.append(name)
                return name
        return None

    def set_healthy(self, name, healthy):
        if healthy:
            self.down.discard(name)
        else:
            self.down.add(name)

    def add(self, name, weight):
        if name not in self.queue:
            self.queue.append(name)

    def remove(self, name):
        if name in self.queue:
            self.queue.remove(name)
        self.down.discard(name)


class Cursor:
    """Right: the textbook's index, moved along when the list before it changes."""

    def __init__(self, backends):
        self.servers = [{"name": name, "healthy": True} for name, _ in backends]
        self.index = 0

    def _find(self, name):
        for i, server in enumerate(self.servers):
            if server["name"] == name:
                return i
        return None

    def pick(self, client, now):
        for _ in range(len(self.servers)):
            server = self.servers[self.index]
            self.index = (self.index + 1) % len(self.servers)
            if server["healthy"]:
                return server["name"]
        return None

    def set_healthy(self, name, healthy):
        i = self._find(name)
        if i is not None:
            self.servers[i]["healthy"] = healthy

    def add(self, name, weight):
        if self._find(name) is None:
            self.servers.append({"name": name, "healthy": True})

    def remove(self, name):
        i = self._find(name)
        if i is None:
            return
        del self.servers[i]
        if i < self.index:
            self.index -= 1
        if self.index >= len(self.servers):
            self.index = 0


class NextAfterLast:
    """Right: ours; the next name after the last one, in the alphabet's order, wherever that is."""

    def __init__(self):
        self.last = ""

    def pick(self, request, backends):
        later = [b for b in backends if b.name > self.last]
        chosen = min(later or backends, key=lambda b: b.name)
        self.last = chosen.name
        return chosen


class Ordered:
    """Right: an ordered dictionary as the queue, and it hears of nothing but health."""

    def __init__(self, backends):
        self.up = OrderedDict((name, True) for name, _ in backends)

    def pick(self, client, now):
        for name, up in self.up.items():
            if up:
                self.up.move_to_end(name)
                return name
        return None

    def set_healthy(self, name, healthy):
        if name in self.up:
            self.up[name] = healthy


class CountOverHealthy:
    """Wrong: a counter over however many are up; when that number changes, turns are lost."""

    def __init__(self, backends):
        self.names = [name for name, _ in backends]
        self.down = set()
        self.count = 0

    def pick(self, client, now):
        up = [name for name in self.names if name not in self.down]
        if not up:
            return None
        chosen = up[self.count % len(up)]
        self.count += 1
        return chosen

    def set_healthy(self, name, healthy):
        (self.down.discard if healthy else self.down.add)(name)

    def add(self, name, weight):
        if name not in self.names:
            self.names.append(name)

    def remove(self, name):
        if name in self.names:
            self.names.remove(name)
        self.down.discard(name)


class RetryTakesPlaces:
    """Wrong: ours; a counter over whoever is offered, so that every retry shifts everybody's place."""

    def __init__(self):
        self.count = -1

    def pick(self, request, backends):
        self.count += 1
        return backends[self.count % len(backends)]


class RemovalSkips(Cursor):
    """Wrong: a server before the cursor leaves, and the next one loses its turn."""

    def remove(self, name):
        i = self._find(name)
        if i is not None:
            del self.servers[i]
            self.index = self.index % len(self.servers) if self.servers else 0


class ChangeStartsAgain(Cursor):
    """Wrong: with every change it begins at the top, so a flapping server starves the last ones."""

    def set_healthy(self, name, healthy):
        super().set_healthy(name, healthy)
        self.index = 0


class ByteCounter:
    """Wrong: ours; the clock that tells who waited longest is a byte, and starts again after 255."""

    def __init__(self):
        self.clock = 0
        self.chosen_at = {}

    def pick(self, request, backends):
        chosen = min(backends, key=lambda b: self.chosen_at.get(b, -1))
        self.chosen_at[chosen] = self.clock
        self.clock = (self.clock + 1) & 0xFF
        return chosen


class StartMovesToo(Cursor):
    """Wrong: the start of a request moves the cursor once more."""

    def started(self, name, now):
        if self.servers:
            self.index = (self.index + 1) % len(self.servers)


class SharedDefault(Queue):
    """Wrong: a mutable default, made once: who is down in one pool is down in every pool."""

    def __init__(self, backends, down=set()):
        super().__init__(backends)
        self.down = down


class SharedCount:
    """Wrong: ours; one counter for the module, so that a second pool takes every other turn."""

    counter = itertools.count()

    def pick(self, request, backends):
        return backends[next(self.counter) % len(backends)]


class SkipsOnlyOnce(Cursor):
    """Wrong: it steps over one server that is down, but not over two."""

    def pick(self, client, now):
        if not any(server["healthy"] for server in self.servers):
            return None
        server = self.servers[self.index]
        self.index = (self.index + 1) % len(self.servers)
        if not server["healthy"]:
            server = self.servers[self.index]
            self.index = (self.index + 1) % len(self.servers)
        return server["name"]


class TurnsForEver(Queue):
    """Wrong: with nobody up it turns the queue until Python stops it."""

    def pick(self, client, now):
        if not self.queue:
            return None
        name = self.queue[0]
        self.queue.rotate(-1)
        return name if name not in self.down else self.pick(client, now)


class AddsTheSame(Queue):
    """Wrong: a server that leaves while it is down and returns is still taken for down."""

    def remove(self, name):
        if name in self.queue:
            self.queue.remove(name)


class AnyOne:
    """Wrong: chosen by lot; equal in the long run only."""

    def __init__(self):
        self.random = random.Random(7)

    def pick(self, request, backends):
        return self.random.choice(backends)


class AddedTwice(Queue):
    """Wrong: a server that is added once more stands in the queue twice."""

    def add(self, name, weight):
        self.queue.append(name)
