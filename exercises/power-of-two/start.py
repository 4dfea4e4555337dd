"""Power of two choices: look at two servers only, and take the less busy one."""


class PowerOfTwo:
    """Draws two different servers by lot."""

    def __init__(self, rng):
        self.rng = rng  # a random.Random: the only chance that an algorithm may use

    def pick(self, request, backends):
        """The less busy one (`in_flight`) of two different ones of `backends`; of a single one, that one."""
        one, other = self.rng.choice(backends), self.rng.choice(backends)  # the gap: these may be the same
        return min(one, other, key=lambda backend: backend.in_flight)
