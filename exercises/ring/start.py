"""The consistent hash ring: when a server goes, only its own clients move."""

import bisect
import hashlib

POINTS = 100
"""How many places on the ring a server of weight 1 has."""


def place(text):
    """Where on the ring of 2**64 places this text lies; in every process the same."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


class ConsistentHash:
    """Servers have places on a ring; a key belongs to the first place that follows its own."""

    def __init__(self):
        self.seen = None
        self.ring = []  # (place, backend), in the order of the places

    def pick(self, request, backends):
        """The one of `backends` that `request.key` belongs to. Another tuple means another pool: build again."""
        if backends is not self.seen:
            self.seen = backends
            self.build(backends)
        at = bisect.bisect(self.ring, place(request.key), key=lambda point: point[0])
        return self.ring[at % len(self.ring)][1]

    def build(self, backends):
        """Give each server its places: POINTS of them for each unit of its weight."""
        points = [(place(backend.name), backend) for backend in backends]  # the gap: one place each is a matter of luck
        self.ring = sorted(points, key=lambda point: (point[0], point[1].name))
