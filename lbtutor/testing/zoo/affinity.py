"""Cookie affinity: right ones with different cookies, and wrong ones as people write them."""

import hashlib
import hmac
import itertools
import random


class Named:
    """Right: the cookie is the server's name; newcomers in turn."""

    def __init__(self, names):
        self.names = list(names)
        self.turn = 0

    def newcomer(self, up):
        self.turn += 1
        return up[self.turn % len(up)]

    def usable(self, healthy):
        return [name for name in self.names if name in healthy]

    def route(self, cookie, healthy):
        up = self.usable(healthy)
        if not up:
            return None, None
        if cookie in up:
            return cookie, None
        name = self.newcomer(up)
        return name, name

    def add(self, name):
        if name not in self.names:
            self.names.append(name)

    def remove(self, name):
        if name in self.names:
            self.names.remove(name)


class Signed:
    """Right: a signed cookie, set anew with every answer; newcomers at random."""

    SECRET = b"not very"

    def __init__(self, names):
        self.names = set(names)
        self.rng = random.Random(5)

    def _sign(self, name):
        return hmac.new(self.SECRET, name.encode(), hashlib.sha256).hexdigest() + "." + name

    def route(self, cookie, healthy):
        up = sorted(self.names & set(healthy))
        if not up:
            return (None, None)
        _, _, name = (cookie or "").partition(".")
        if name not in up or cookie != self._sign(name):
            name = self.rng.choice(up)
        return (name, self._sign(name))

    def add(self, name):
        self.names.add(name)

    def remove(self, name):
        self.names.discard(name)


class Sessions:
    """Right: a table of sessions; after a failure the session moves, and the cookie stays as it is."""

    def __init__(self, servers):
        self.servers = list(servers)
        self.table = {}
        self.numbers = itertools.count(1)

    def route(self, session, healthy):
        up = [server for server in self.servers if server in healthy]
        if not up:
            return [None, None]
        known = session in self.table
        if not known:
            session = f"session-{next(self.numbers)}"
        if self.table.get(session) not in up:
            load = list(self.table.values())
            self.table[session] = min(up, key=load.count)
        return [self.table[session], None if known else session]

    def add(self, server):
        if server not in self.servers:
            self.servers.append(server)

    def remove(self, server):
        self.servers = [one for one in self.servers if one != server]


class NoneRaises(Named):
    """Wrong: takes a missing cookie for a text."""

    def route(self, cookie, healthy):
        return super().route(cookie.strip() or None, healthy)


class Malformed(Named):
    """Wrong: splits the cookie into two parts, so that garbage raises."""

    def route(self, cookie, healthy):
        if cookie is not None:
            _, cookie = cookie.split(":", 1)
        name, given = super().route(cookie, healthy)
        return name, given and "srv:" + given


class NameAlone(Named):
    """Wrong: answers only the name when there is no cookie to set."""

    def route(self, cookie, healthy):
        name, given = super().route(cookie, healthy)
        return (name, given) if given else name


class FollowsTheDead(Named):
    """Wrong: follows the cookie of a server that is down."""

    def route(self, cookie, healthy):
        return (cookie, None) if cookie in self.names else super().route(cookie, healthy)


class FollowsTheGone(Named):
    """Wrong: asks only whether the server is healthy, not whether it is still a member."""

    def route(self, cookie, healthy):
        return (cookie, None) if cookie in healthy else super().route(cookie, healthy)


class Position(Named):
    """Wrong: the cookie is the server's place in the list of whoever is up, which shifts with every failure."""

    def route(self, cookie, healthy):
        up = self.usable(healthy)
        if not up:
            return None, None
        if cookie and cookie.isdigit() and int(cookie) < len(up):
            return up[int(cookie)], None
        name = self.newcomer(up)
        return name, str(up.index(name))


class Prefix(Named):
    """Wrong: finds the server by how its name begins, so web-10's clients go to web-1."""

    def route(self, cookie, healthy):
        for name in self.usable(healthy):
            if cookie and cookie.startswith(name):
                return name, None
        return super().route(cookie, healthy)


class OldCookieKept(Named):
    """Wrong: after a failure no new cookie is set, so each request goes somewhere else until the server is back."""

    def route(self, cookie, healthy):
        name, given = super().route(cookie, healthy)
        return name, None if cookie in self.names else given


class GivesNoCookie(Named):
    """Wrong: balances newcomers and forgets to set a cookie."""

    def route(self, cookie, healthy):
        name, given = super().route(cookie, healthy)
        return name, given if cookie else None


class GarbageStays(Named):
    """Wrong: gives a cookie only to those who have none, so that one with garbage wanders."""

    def route(self, cookie, healthy):
        name, given = super().route(cookie, healthy)
        return name, given if cookie is None or cookie in self.names else None


class FirstServer(Named):
    """Wrong: every newcomer gets the first server that is up."""

    def newcomer(self, up):
        return up[0]


class AlwaysAnew(Named):
    """Wrong: balances every request, cookie or not."""

    def route(self, cookie, healthy):
        return super().route(None, healthy)
