"""A power of two choices that draws two different servers, each pair equally likely: a reservoir sample."""


class PowerOfTwo:
    """Two by lot, and the less busy one of them."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, request, backends):
        """The less busy one of two."""
        places = [None, None]
        for number, backend in enumerate(backends):
            place = number if number < 2 else self.rng.randrange(number + 1)
            if place < 2:
                places[place] = backend
        drawn = [backend for backend in places if backend is not None]
        return min(drawn, key=lambda backend: backend.in_flight)
