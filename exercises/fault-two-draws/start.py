"""A power of two choices with a fault that a well-known web server had: of two servers, the busy one gets half.

Going through the servers once, each takes one of two places by lot, so that every pair is equally likely.
"""


class PowerOfTwo:
    """Two by lot, and the less busy one of them."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, request, backends):
        """The less busy one of two; places that stayed empty are skipped."""
        places = [None, None]
        for number, backend in enumerate(backends):
            place = self.rng.randrange(number + 1)
            if place < 2:
                places[place] = backend
        drawn = [backend for backend in places if backend is not None]
        return min(drawn, key=lambda backend: backend.in_flight)
