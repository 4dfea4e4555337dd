"""Maglev: a table of slots that servers fill in turns, each by its own list of wishes."""

import hashlib

SIZE = 1021
"""Slots in the table; a prime, so that every list of wishes meets each slot once."""


def number(text):
    """A number for this text; in every process the same."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def wishes(name):
    """The slots in the order in which that server wants them."""
    offset, skip = number(f"{name} offset") % SIZE, number(f"{name} skip") % (SIZE - 1) + 1
    return ((offset + step * skip) % SIZE for step in range(SIZE))


class Maglev:
    """A key's slot says its server."""

    def __init__(self):
        self.seen = None
        self.table = []

    def pick(self, request, backends):
        """The one of `backends` in the slot of `request.key`. Another tuple means another pool: fill it again."""
        if backends is not self.seen:
            self.seen = backends
            self.table = self.filled(sorted(backends, key=lambda backend: backend.name))
        return self.table[number(request.key) % SIZE]

    def filled(self, backends):
        """The table: whoever has least slots for its weight takes the next one, until none is free."""
        table = [None] * SIZE
        ways = {backend: wishes(backend.name) for backend in backends}
        taken = {backend: 0 for backend in backends}
        for _ in range(SIZE):
            backend = min(backends, key=lambda one: taken[one] / one.weight)
            slot = table.index(None)  # the gap: the first free slot; but which one does this server wish for?
            table[slot] = backend
            taken[backend] += 1
        return table
