"""Least connections: the next request goes where the least is under way."""


class LeastConnections:
    """Chooses the least busy server."""

    def pick(self, request, backends):
        """The one of `backends` that gets this request.

        `backends` are those that may get one now: never none of them, always in the same order. Each has a `name`, a
        `weight` and `in_flight`, the number of requests that it is working on.
        """
        return backends[0]  # the gap: this is always the first one, however busy it is
