"""Drain: a server leaves politely. It gets nothing new, and has time for what it has begun."""


class Drain:
    """One server's way out: active, draining, drained."""

    def __init__(self, deadline):
        self.deadline = deadline  # seconds that a drain lasts at most
        self.open = 0
        self.since = None  # when the drain began

    def started(self):
        """A request began on the server."""
        self.open += 1

    def finished(self):
        """A request ended there."""
        self.open = max(0, self.open - 1)

    def drain(self, now):
        """The operator wants it out; `now` in seconds."""
        if self.since is None:
            self.since = now

    def cancel(self, now):
        """The operator wants it back."""
        self.since = None

    def state(self, now):
        """One of "active", "draining" (it has requests and time) or "drained"."""
        if self.since is None:
            return "active"
        if self.open and now - self.since < self.deadline:
            return "draining"
        return "drained"

    def accepts(self, now):
        """Whether it may get a new request."""
        return self.since is None
