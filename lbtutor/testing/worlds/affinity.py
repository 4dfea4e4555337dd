"""Clients with cookies: the family of sticky balancers.

The code under test is built with the names of the servers, `cls(names)`, and asked `route(cookie, healthy)`: the cookie
that a client shows, or None, and a list of whoever is healthy (which may name servers that were removed). It answers
`(name, set_cookie)`: where the client goes, and the cookie it is given, or None to leave it the one it has.

The model knows what each client shows and where it was last. What a cookie looks like is the implementation's business.

    operation                what happens
    visit c                  client c comes, with whatever cookie it has
    foreign c t              client c comes, with text number t in place of its cookie: nobody ever gave it that
    fail k · heal k          server k stops, or is healthy again
    add · readd k            a newcomer; one that left, or is still there, is added (again)
    remove k                 server k leaves, healthy as it is
    remove_unknown           somebody leaves whom nobody knows
    newcomers n              n clients come for the first time
    forge                    strangers come with the cookie of one client, in which one letter is that of another's
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from typing import Any

from lbtutor.testing.adapt import Fit, fit
from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw, operations
from lbtutor.testing.program import SILENT, Moment, Op, Program
from lbtutor.testing.sandbox.faults import Raised
from lbtutor.testing.sandbox.room import Class, Room

SHAPE = "route(cookie, healthy) -> (name, set_cookie)"

METHODS = ("route", "pick", "choose", "select", "handle", "assign")

KINDS = {
    "visit": 6.0, "fail": 2.0, "heal": 1.5, "foreign": 1.0, "remove": 1.0, "add": 0.8, "readd": 0.8,
    "remove_unknown": 0.3,
}  # fmt: skip

NAMES = (
    ("a", "b", "c", "d", "e", "f", "g", "h"),
    ("web-10", "web-1", "web-100", "web-2", "web", "web-11", "web-1b", "we"),
    ("10.0.0.1:80", "10.0.0.1:8080", "10.0.0.11:80", "[::1]:80", "10.0.0.1", "h.x:80", "h:81", "h"),
    ("A", "a", "b c", "größe", "a=b;c", "日本", "a|b", "ÿ"),
)

FOREIGN = ("garbage", "", "no-such-server", "süß", "{}", "x.y.z", "AAAA====", "x" * 10_000)
"""Cookies that nobody gave out. No numbers: whoever numbers servers for good may have given these."""

CLIENTS = ("alice", "bob", "carol", "dave")


class Visit(Moment):
    """A moment of a sticky balancer. What was so before it: who was a member and healthy (`eligible`), the cookie that
    the client `shows`, the server that it had with it last (`home`, "" for none) and first (`first`), and where it was
    sent when it got this one (`named`). `known` is False for a cookie that nobody gave it. `given` is the cookie that
    came with the answer; `fits` whether it was a pair. `server` is whom it befalls, where that is one. `moved`: others
    can be used than when this client came last. `forged`: it shows a cookie of somebody whose `home` that is, with one
    letter changed."""

    client: str = ""
    eligible: tuple[str, ...] = ()
    shows: str | None = None
    known: bool = True
    home: str = ""
    first: str = ""
    named: str = ""
    given: Any = None
    fits: bool = True
    server: str = ""
    moved: bool = False
    forged: bool = False


class Client:
    """Somebody with a cookie: whether it was given to it, where it was last with that, and where first; where it was
    sent when it got this one (`named`), and who could be used when it came last (`saw`)."""

    def __init__(self) -> None:
        self.given = False
        self.cookie: str | None = None
        self.home = ""
        self.first = ""
        self.saw: tuple[str, ...] = ()
        self.named = ""


def recognise(cls: Class) -> str | None:
    """By its one method, which takes two values, and a constructor that takes names."""
    method = _method(cls)
    if method is None or not cls.constructor:
        return None
    return SHAPE if len(cls.methods[method].parameters) == 2 else None


def _method(cls: Class) -> str | None:
    return next((name for name in METHODS if name in cls.methods), None)


def grammar(draw: Draw, component: str) -> Program:  # noqa: ARG001 (there is one component)
    names = draw.one(NAMES, (4, 2, 1, 2))
    count = draw.one((2, 3, 1, 4, 5, 0), (5, 5, 1, 2, 1, 0.4))
    ops = tuple(_op(draw, kind) for kind in operations(draw, KINDS))
    return Program({"servers": list(names[:count]), "names": list(names)}, ops)


def _op(draw: Draw, kind: str) -> Op:
    match kind:
        case "visit":
            return (kind, draw.number(0, 2))
        case "foreign":
            return (kind, draw.number(0, 3), draw.number(0, len(FOREIGN) - 1))
        case "add" | "remove_unknown":
            return (kind,)
        case _:
            return (kind, draw.number(0, 4))


def newcomers(draw: Draw) -> Program:
    names = draw.one(NAMES)
    return Program({"servers": list(names[: draw.one((2, 3, 5))]), "names": list(names)}, (("newcomers", 100),))


FORGED = 60
"""So many forgeries at most are tried."""


def forgeries(draw: Draw) -> Program:
    names = draw.one(NAMES)
    setting = {"servers": list(names[: draw.one((2, 3, 5))]), "names": list(names)}
    return Program(setting, (("newcomers", 6), ("forge",)))


def _mixed(one: Client, two: Client) -> Iterator[str]:
    """The cookie of one with a letter from that of the other, who is elsewhere: one place after the other."""
    ours, theirs = one.cookie or "", two.cookie or ""
    for at, (letter, other) in enumerate(zip(ours, theirs, strict=False)):
        if letter != other and one.home != two.home:
            yield ours[:at] + other + ours[at + 1 :]


def simpler(program: Program) -> Iterator[Program]:
    """Fewer servers, dull names, one client, the dullest foreign text."""
    setting, ops = program.setting, program.ops
    pool = setting["servers"]
    for k in range(len(pool)):
        yield Program({**setting, "servers": pool[:k] + pool[k + 1 :]}, ops)
    if setting["names"] != list(NAMES[0]):
        yield Program({"servers": list(NAMES[0][: len(pool)]), "names": list(NAMES[0])}, ops)
    for number, op in enumerate(ops):
        for duller in _duller(op):
            yield Program(setting, (*ops[:number], duller, *ops[number + 1 :]))


def _duller(op: Op) -> Iterator[Op]:
    match op:
        case ("foreign", c, t):
            yield ("visit", c)
            if (c, t) != (0, 0):
                yield ("foreign", 0, 0)
                yield ("foreign", 0, t)
        case (kind, int(k)) if k != 0 and kind != "newcomers":
            yield (kind, 0)


def picture(setting: Mapping[str, Any], _moments: list[Moment], _upto: int) -> list[str]:
    pool = setting["servers"]
    return [f"servers: {', '.join(pool) or 'none'}{', all healthy' if len(pool) > 1 else ''}"]


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Model:
    return Model(room, target, setting)


class Model:
    """Who is a member, who is healthy, and what each client has."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any]) -> None:
        self.moments: list[Visit] = []
        self._room = room
        self._lenient = target.claims.get("unknown") == "raise"
        self._members: list[str] = list(setting["servers"])
        self._names: list[str] = list(setting["names"])
        self._known = list(self._members)
        self._down: set[str] = set()
        self._clients: dict[str, Client] = {}
        self._route = _ask_by(target)
        self._add = fit(target.cls, target.adapter.add, ("name",))
        self._remove = fit(target.cls, target.adapter.remove, ("name",))
        self._handle = room.make(target.cls.name, list(self._members))

    def do(self, op: int, what: Op) -> None:
        getattr(self, f"_do_{what[0]}")(op, *what[1:])

    # --- clients

    def _do_visit(self, op: int, c: int) -> None:
        self._visit(op, CLIENTS[c % len(CLIENTS)])

    def _do_foreign(self, op: int, c: int, t: int) -> None:
        client = CLIENTS[c % len(CLIENTS)]
        self._visit(op, client, FOREIGN[t % len(FOREIGN)])

    def _do_newcomers(self, op: int, count: int) -> None:
        for number in range(count):
            self._visit(op, f"client {number + 1}")

    def _do_forge(self, op: int) -> None:
        clients = [client for client in self._clients.values() if client.cookie and client.home]
        forged = ((one.home, text) for one, two in pairwise(clients) for text in _mixed(one, two))
        for number, (home, text) in enumerate(islice(forged, FORGED), 1):
            self._visit(op, f"mallory {number}", text)
            self.moments[-1].forged, self.moments[-1].home = True, home

    def _visit(self, op: int, name: str, foreign: str | None = None) -> None:
        client = self._clients.setdefault(name, Client())
        if foreign is not None:
            client.cookie, client.given, client.home, client.first = foreign, False, "", ""
            client.named = ""
        moment = Visit(
            op, "visit", _says(name, client, foreign), SILENT, True, name, self._eligible(), client.cookie,  # noqa: FBT003
            foreign is None, client.home, client.first, client.named,
        )  # fmt: skip
        moment.moved = moment.eligible != client.saw and client.named != client.home
        client.saw = moment.eligible
        self.moments.append(moment)
        healthy = [one for one in self._known if one not in self._down]
        method, values = self._route
        answer = self._room.call(self._handle, method, *values({"cookie": client.cookie, "healthy": healthy}))
        self._note(moment, client, answer)

    def _note(self, moment: Visit, client: Client, answer: Any) -> None:
        moment.fits = isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], str | None)
        moment.answer, moment.given = answer if moment.fits else (answer, None)
        client.cookie = client.cookie if moment.given is None else moment.given
        client.given = client.given or moment.given is not None
        client.home = moment.answer if client.given and moment.answer in moment.eligible else ""
        client.first = client.first or client.home
        client.named = client.home if moment.given not in (None, moment.shows) else client.named

    def _eligible(self) -> tuple[str, ...]:
        return tuple(name for name in self._members if name not in self._down)

    # --- servers

    def _do_fail(self, op: int, k: int) -> None:
        if self._members:
            name = self._members[k % len(self._members)]
            self.moments.append(Visit(op, "fail", f"{name} stops", server=name))
            self._down.add(name)

    def _do_heal(self, op: int, k: int) -> None:
        down = sorted(self._down)
        if down:
            name = down[k % len(down)]
            self.moments.append(Visit(op, "heal", f"{name} is healthy again", server=name))
            self._down.discard(name)

    def _do_add(self, op: int) -> None:
        name = next((name for name in self._names if name not in self._known), f"new{len(self._known)}")
        self._join(op, name, f"{name} is added")

    def _do_readd(self, op: int, k: int) -> None:
        if self._known:
            name = self._known[k % len(self._known)]
            self._join(op, name, f"{name} is added {'once more' if name in self._members else 'again'}")

    def _join(self, op: int, name: str, says: str) -> None:
        if self._add is not None:
            self.moments.append(Visit(op, "add", says, server=name))
            twice = name in self._members
            self._members += [] if twice else [name]
            self._known += [] if name in self._known else [name]
            self._tell(self._add, name, odd=twice)

    def _do_remove(self, op: int, k: int) -> None:
        if self._members and self._remove is not None:
            name = self._members[k % len(self._members)]
            says = f"{name} is removed" + ("" if name in self._down else ", though it is healthy")
            self.moments.append(Visit(op, "remove", says, server=name))
            self._members.remove(name)
            for client in self._clients.values():  # what a cookie of a server that left means later is free
                client.home = "" if name in (client.home, client.named) else client.home
                client.first = "" if client.first == name else client.first
            self._tell(self._remove, name)

    def _do_remove_unknown(self, op: int) -> None:
        if self._remove is not None:
            self.moments.append(Visit(op, "remove", "a server is removed that nobody knows"))
            self._tell(self._remove, "nobody", odd=True)

    def _tell(self, how: tuple[str, Fit], name: str, *, odd: bool = False) -> None:
        """Tell of a server that comes or goes; who may raise the usual errors at what is odd, may."""
        try:
            self._room.call(self._handle, how[0], *how[1]({"name": name}))
        except Raised as fault:
            if not (odd and self._lenient and fault.kind in ("KeyError", "ValueError", "LookupError", "IndexError")):
                raise


def _says(name: str, client: Client, foreign: str | None) -> str:
    if foreign is not None:
        text = repr(foreign) if len(foreign) <= 20 else f"of {len(foreign)} letters"
        return f"{name} comes with a cookie that nobody gave it, {text}"
    if client.cookie is None:
        return f"{name} comes without a cookie"
    return f"{name} comes with its cookie"


def _ask_by(target: Target) -> tuple[str, Fit]:
    found = fit(target.cls, target.adapter.route, ("cookie", "healthy"))
    if found is not None:
        return found
    method = _method(target.cls)
    assert method is not None, "recognised"
    return method, lambda values: (values["cookie"], values["healthy"])
