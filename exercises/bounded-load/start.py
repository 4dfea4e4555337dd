"""The ring with bounded loads: from a full server, a key goes on to the next that has room."""

import bisect
import hashlib
import math

POINTS = 100
"""How many places on the ring a server of weight 1 has."""
BOUND = 1.25
"""No server has more than so many times the mean of all."""


def place(text):
    """Where on the ring of 2**64 places this text lies; in every process the same."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


class BoundedLoad:
    """A ring on which whoever is full is walked past."""

    def __init__(self):
        self.names = []
        self.ring = []  # (place, number of the server in the list), in the order of the places

    def pick(self, request, backends):
        """The first of `backends`, from the place of `request.key` on, that has room."""
        names = [backend.name for backend in backends]
        if names != self.names:
            self.build(backends)
            self.names = names
        most = self.most(backends)
        at = bisect.bisect(self.ring, (place(request.key),))
        for _, number in self.ring[at:] + self.ring[:at]:
            if backends[number].in_flight < most:
                return backends[number]
        raise RuntimeError(f"nobody has room: each may have {most}")

    def most(self, backends):
        """How many requests a server may have at most when this one is among them: BOUND times the mean, rounded up."""
        return math.inf  # the gap: nobody is ever full

    def build(self, backends):
        """Give each server its places: POINTS of them for each unit of its weight."""
        self.ring = sorted(
            (place(f"{backend.name}#{copy}"), number)
            for number, backend in enumerate(backends)
            for copy in range(int(POINTS * backend.weight))
        )
