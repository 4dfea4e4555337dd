"""Cookie affinity: a client keeps its server while that is well, and gets a new one for good when it is not."""


class CookieAffinity:
    """The cookie is the server's name; whoever has none that is of use gets the next server in turn."""

    def __init__(self, names):
        self.names = list(names)
        self.turn = 0

    def route(self, cookie, healthy):
        """Where a client with that cookie (None: it has none) goes, and the cookie that it is given.

        `healthy` are the names of the servers that are well. Answer `(name, cookie)`, with None in place of the cookie
        when the client keeps the one that it has; `(None, None)` when there is nobody to go to.
        """
        up = [name for name in self.names if name in healthy]
        if not up:
            return None, None
        if cookie in self.names:  # the gap: is this enough to send it there?
            return cookie, None
        self.turn += 1
        name = up[self.turn % len(up)]
        return name, name

    def add(self, name):
        """A server joins."""
        if name not in self.names:
            self.names.append(name)

    def remove(self, name):
        """A server leaves."""
        if name in self.names:
            self.names.remove(name)
