"""Whatever chooses a server: the family of all balancing algorithms.

The model knows who is a member, who is up, how much everybody has to do and what time it is. An operation changes it
and tells the code under test, in whichever of two shapes that came:

    chooses       our shape: `pick(request, backends)`; we keep the books, and it is offered whoever is up
    keeps books   a balancer of its own: `__init__([(name, weight)])`, `pick(client, now)`, and whatever it has of
                  `started finished set_healthy add remove`

    operation                 what happens
    pick c                    client c asks, and nothing is started
    retry c                   client c asks, whoever was chosen refuses, and it is offered to the others (ours only)
    serve c                   client c asks, and the request starts on whoever was chosen
    start k                   a request starts on server k, chosen by somebody else
    answer k ms               a request starts on server k and ends after so many milliseconds, before anything else
    finish j ok ms            the j-th oldest request ends, after so many milliseconds
    finish_again j            its end is told once more
    finish_unknown            a request ends on a server that nobody knows
    health k up               server k is said to be up or down; health_twice says it twice
    add w · readd k           a newcomer; one that left, or that is still there, is added (again)
    remove k · remove_unknown server k leaves; somebody leaves whom nobody knows
    weigh k w                 server k is added again, with another weight
    wait ms · back ms         time goes on, or runs backwards
    crowd n c                 n different clients, from number c on, ask; nothing is started
    load n c                  n clients ask and stay: each request starts, none ends
    closed n ms {k: ms}       n requests one after the other: each ends after its server's latency, before the next;
                              `ms` passes between them

What a balancer has no method for is not done to it. One that has no `started`, or whose adapter says `counts_in_pick`,
counts when it chooses, so a `pick` is a `serve` to it. With `beside` in the setting a second object of the class is at
work all the time, with one of its servers down: nothing of that is the first one's business. With `grown` our shape is
offered that part of each weight, as in a slow start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import field

from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw, operations
from lbtutor.testing.program import SILENT, Moment, Op, Program
from lbtutor.testing.sandbox.faults import Raised
from lbtutor.testing.sandbox.room import Class, Room
from lbtutor.testing.worlds.ledgers import Ledgers
from lbtutor.testing.worlds.subjects import APART, Beside, BookKeeper, Chooser, Subject, Work, lacking

CHOOSES, KEEPS_BOOKS = "pick(request, backends)", "a balancer that keeps its own books"

MINE = frozenset(
    {"round_robin", "weighted_round_robin", "least_connections", "least_response_time", "peak_ewma", "power_of_two"}
)
"""Those that are offered retries too; no law of the hashes is about these."""

KINDS = {
    "serve": 5.0, "finish": 4.0, "pick": 3.0, "health": 2.0, "start": 2.0, "add": 1.0, "remove": 1.0, "readd": 0.7,
    "weigh": 0.5, "wait": 1.0, "health_twice": 0.5, "finish_again": 0.5, "finish_unknown": 0.5, "remove_unknown": 0.5,
    "back": 0.3, "retry": 1.0,
}  # fmt: skip
"""The odds of an operation. `serve`, which is a pick and a start, makes rare histories ten times as likely (measured:
7.4 % of 40-step programs met the rarest of eight bugs, 0.7 % with even odds); a bare `pick` shows who counts ahead."""

FAILS = (0.15, 0.0, 0.5, 1.0)
"""Shares of requests that fail; programs differ in it."""

WEIGHTED = frozenset({"weighted_round_robin", "least_connections", "consistent_hash", "maglev", "rendezvous"})
HASHING = frozenset({"ip_hash", "consistent_hash", "maglev", "rendezvous"})

ODD_CLIENTS = ("::1", "2001:db8::7", "localhost", "", "größe", "10.0.0.1:5000", "x" * 10_000)
"""What else may name a client: whoever hashes it has to take any text."""

NAMES = (
    ("a", "b", "c", "d", "e", "f", "g", "h"),
    ("n1", "n10", "n11", "n2", "n100", "n1b", "n", "n21"),
    ("10.0.0.1:80", "10.0.0.1:8080", "10.0.0.11:80", "[::1]:80", "10.0.0.1", "h:80", "h:81", "h"),
    ("größe", "b c", "a:b.c", "日本", "-", "A", "a", "ÿ"),
)
"""Families of names: dull ones, ones that begin alike, with ports, and such as people do not think of."""


class Choice(Moment):
    """A moment of a balancer. What was so before it: `members` (name to weight), who was up and so `eligible` (in their
    order), and how many requests each had `active`. `books` are all the ways of counting these that are right: they
    differ only after a server left, or was added once more, with requests open."""

    client: str = ""
    name: str = ""
    now: float = 0.0
    members: dict[str, float] = field(default_factory=dict)
    eligible: tuple[str, ...] = ()
    active: dict[str, int] = field(default_factory=dict)
    books: tuple[dict[str, int], ...] = ()
    starts: bool = False
    """Does a request start on whoever is chosen?"""


def recognise(cls: Class) -> str | None:
    """By `pick`: ours takes a request and backends, and its constructor needs nothing."""
    pick = cls.methods.get("pick")
    if pick is None:
        return None
    needs = [parameter for parameter in cls.constructor if parameter.required and parameter.name != "rng"]
    takes = [parameter for parameter in pick.parameters if parameter.kind == "plain"]
    offered = len(takes) == 2 and takes[1].name.lower() not in ("now", "at", "time", "t", "timestamp", "ts", "clock")
    return CHOOSES if offered and not needs else KEEPS_BOOKS


def address(client: int | str) -> str:
    """The address of client number so and so. Neighbours differ in every octet: to hash three of them is legal."""
    if isinstance(client, str):
        return client
    return f"{client * 37 % 223 + 1}.{client * 91 % 256}.{client * 57 % 253}.{(client * 13 + client // 251) % 254 + 1}"


def servers(count: int, names: tuple[str, ...] = NAMES[0]) -> list[list[Any]]:
    """So many servers of weight 1, for a setting."""
    return [[names[k] if k < len(names) else f"{names[0]}{k}", 1] for k in range(count)]


class Answers(tuple[Any, ...]):
    """What each of a crowd was answered; told in full for a few, as counts for many."""

    __slots__ = ()

    def __str__(self) -> str:
        if len(self) <= 6:
            return ", ".join(map(str, self))
        return ", ".join(f"{count} {name}" for name, count in sorted(Counter(map(str, self)).items()))


def grammar(draw: Draw, component: str) -> Program:
    names = draw.one(NAMES, (5, 1, 1, 1))
    count = draw.one((3, 2, 1, 4, 5, 6, 0), (6, 5, 1, 3, 2, 1, 0.5))
    pool = servers(count, names)
    weighted = component in WEIGHTED
    if weighted and draw.chance(0.7):
        for server in pool:
            server[1] = draw.one((1, 2, 3, 5, 8, 10))
    left_out = {"weigh": not weighted, "retry": component not in MINE}
    kinds = {kind: odds for kind, odds in KINDS.items() if not left_out.get(kind)}
    setting = {"servers": pool, "names": list(names), "seed": draw.number(0, 999)}
    return Program(setting, story(draw, kinds, component))


def story(draw: Draw, kinds: dict[str, float], component: str = "", fails: Sequence[float] = FAILS) -> tuple[Op, ...]:
    """Operations of those kinds, by their odds; one of those shares of requests fails."""
    share = draw.one(fails)
    return tuple(_op(draw, kind, component, share) for kind in operations(draw, kinds))


def _op(draw: Draw, kind: str, component: str, fails: float) -> Op:
    match kind:
        case "pick" | "serve" | "retry":
            odd = component in HASHING and draw.chance(0.1)
            return (kind, draw.one(ODD_CLIENTS) if odd else draw.number(0, 30))
        case "finish":
            return (kind, draw.number(0, 5), not draw.chance(fails), draw.one((10, 1, 100, 1000)))
        case "health" | "health_twice":
            return (kind, draw.number(0, 5), draw.chance(0.5))
        case "add":
            return (kind, draw.one((1, 2, 5)) if component in WEIGHTED else 1)
        case "weigh":
            return (kind, draw.number(0, 5), draw.one((1, 2, 3, 5, 10)))
        case "wait" | "back":
            return (kind, draw.one((10, 100, 1000, 60_000)))
        case "finish_unknown" | "remove_unknown":
            return (kind,)
        case _:
            return (kind, draw.number(0, 5))


def lacks(target: Target) -> frozenset[str]:
    """The operations that this code cannot be told of, for want of a method."""
    return frozenset() if target.shape == CHOOSES else lacking(target)


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Model:
    return Model(room, target, setting)


class Model:
    """What is true; and the code under test beside it, told of everything."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any]) -> None:
        self.moments: list[Choice] = []
        self.now = 0.0
        self._lenient = target.claims.get("unknown") == "raise"
        self._members: dict[str, float] = dict(setting["servers"])
        self._known = list(self._members)
        self._spare = list(setting.get("names", NAMES[0]))
        self._down: set[str] = set()
        self._uids = {name: number for number, name in enumerate(self._members)}
        self._work: list[Work] = []
        self._ended: list[Work] = []
        self._ledgers = Ledgers()
        self._asked = 0
        self._eligible: tuple[str, ...] = ()
        self._shape()
        make: type[Chooser | BookKeeper] = Chooser if target.shape == CHOOSES else BookKeeper
        self._subject: Subject = make(room, target, setting)
        if setting.get("beside"):
            self._subject = Beside(self._subject, make(room, target, setting, APART), setting["servers"])

    def do(self, op: int, what: Op) -> None:
        if what[0] not in self._subject.deaf:
            getattr(self, f"_do_{what[0]}")(op, *what[1:])

    # --- what is true

    def _shape(self) -> None:
        self._eligible = tuple(name for name, weight in self._members.items() if weight > 0 and name not in self._down)

    def _tell(self, op: int, kind: str, says: str, name: str = "", client: str = "", starts: bool = False) -> Choice:
        books = self._ledgers.read((name, self._uids[name]) for name in self._members)
        moment = Choice(
            op, kind, says, client=client, name=name, now=self.now, members=dict(self._members),
            eligible=self._eligible, active=books[0], books=books, starts=starts,
        )  # fmt: skip
        self.moments.append(moment)
        return moment

    def _member(self, k: int) -> str | None:
        names = list(self._members)
        return names[k % len(names)] if names else None

    def _title(self) -> str:
        number, self._asked = self._asked, self._asked + 1
        return chr(ord("A") + number) if number < 26 else f"R{number}"

    # --- requests

    def _ask(self, op: int, client: int | str, *, starts: bool) -> Work | None:
        text, title = address(client), self._title()
        moment = self._tell(op, "pick", f"request {title} arrives from {text}", client=text, starts=starts)
        moment.asked, moment.answer = True, SILENT
        moment.answer = self._subject.pick(text, self.now)
        return self._work_of(title, moment.answer)

    def _work_of(self, title: str, answer: Any) -> Work | None:
        return Work(title, answer, self._uids[answer], self.now) if answer in self._members else None

    def _start(self, work: Work) -> None:
        self._work.append(work)
        self._ledgers.started(work.name, work.uid)
        self._subject.started(work, self.now)

    def _end(self, work: Work, took: float, *, ok: bool) -> None:
        self._work.remove(work)
        self._ledgers.ended(work.name, work.uid)
        self._ended.append(work)
        self._subject.finished(work, self.now, took, ok)

    def _do_pick(self, op: int, client: int | str) -> None:
        if self._subject.counts:
            self._do_serve(op, client)
        else:
            self._ask(op, client, starts=False)

    def _do_serve(self, op: int, client: int | str) -> None:
        work = self._ask(op, client, starts=True)
        if work is not None:
            self._start(work)

    def _do_retry(self, op: int, client: int | str) -> None:
        first = self._ask(op, client, starts=False)
        others = tuple(name for name in self._eligible if first is not None and name != first.name)
        if first is not None and first.name in self._eligible and others:
            says = f"{first.name} refuses it, and {first.title} is offered {' or '.join(others)}"
            moment = self._tell(op, "retry", says, first.name, address(client))
            moment.eligible, moment.asked, moment.answer = others, True, SILENT
            moment.answer = self._subject.retry(address(client), self.now, first.name)

    def _do_start(self, op: int, k: int) -> None:
        name = self._member(k)
        if name is not None:
            work = Work(self._title(), name, self._uids[name], self.now)
            self._tell(op, "start", f"request {work.title} starts on {name}, chosen elsewhere", name)
            self._start(work)

    def _do_answer(self, op: int, k: int, ms: float) -> None:
        name = self._member(k)
        if name is not None:
            work = Work(self._title(), name, self._uids[name], self.now)
            self._tell(op, "answer", f"{name} answers request {work.title} in {ms:g} ms", name)
            self._start(work)
            self.now += ms / 1000
            self._end(work, ms / 1000, ok=True)

    def _do_finish(self, op: int, j: int, ok: bool, ms: float) -> None:
        if self._work:
            work = self._work[j % len(self._work)]
            how = "ends" if ok else "fails"
            self._tell(op, "finish", f"request {work.title} {how} on {work.name} after {ms:g} ms", work.name)
            self._end(work, ms / 1000, ok=ok)

    def _do_finish_again(self, op: int, j: int) -> None:
        # with another request open there, nobody who counts by names could tell one end from the other
        idle = [work for work in self._ended if not any(open_.name == work.name for open_ in self._work)]
        if idle:
            work = idle[j % len(idle)]
            self._tell(op, "finish_again", f"the end of {work.title} on {work.name} is told again", work.name)
            self._odd(lambda: self._subject.finished(work, self.now, took=0.01, ok=True))

    def _do_finish_unknown(self, op: int) -> None:
        self._tell(op, "finish_unknown", "a request ends on a server that nobody knows", "nobody")
        nobodys = Work("?", "nobody", -1, self.now)
        self._odd(lambda: self._subject.finished(nobodys, self.now, took=0.01, ok=True))

    # --- servers

    def _do_health(self, op: int, k: int, up: bool) -> None:
        name = self._member(k)
        if name is not None:
            says = f"{name} is healthy" if up else f"{name} fails its health check"
            self._tell(op, "health", says, name)
            (self._down.discard if up else self._down.add)(name)
            self._shape()
            self._subject.set_healthy(name, up)

    def _do_health_twice(self, op: int, k: int, up: bool) -> None:
        self._do_health(op, k, up)
        self._do_health(op, k, up)

    def _do_add(self, op: int, weight: float = 1) -> None:
        name = next((name for name in self._spare if name not in self._known), f"new{len(self._known)}")
        self._known.append(name)
        self._join(op, name, weight, f"{name} is added" + (f" with weight {weight:g}" if weight != 1 else ""))

    def _do_readd(self, op: int, k: int) -> None:
        if self._known:
            name = self._known[k % len(self._known)]
            there = name in self._members
            self._join(op, name, self._members.get(name, 1), f"{name} is added {'once more' if there else 'again'}")

    def _do_weigh(self, op: int, k: int, weight: float) -> None:
        name = self._member(k)
        if name is not None:
            self._join(op, name, weight, f"{name} gets weight {weight:g}")

    def _join(self, op: int, name: str, weight: float, says: str) -> None:
        there = name in self._members
        if there and name in self._down:
            return  # some take it for a new server, which is up, and some for the old one: both are right
        self._tell(op, "add", says, name)
        uid = self._uids[name] if there else max(self._uids.values(), default=-1) + 1
        if self._odd(lambda: self._subject.add(name, weight, uid, self.now), there):
            self._uids[name], self._members[name] = uid, weight
            if there:
                self._ledgers.added_again(name)
            self._shape()

    def _do_remove(self, op: int, k: int) -> None:
        name = self._member(k)
        if name is not None:
            self._tell(op, "remove", f"{name} is removed", name)
            del self._members[name]
            self._ledgers.left(name)
            self._down.discard(name)
            self._shape()
            self._subject.remove(name)

    def _do_remove_unknown(self, op: int) -> None:
        self._tell(op, "remove_unknown", "a server is removed that nobody knows", "nobody")
        self._odd(lambda: self._subject.remove("nobody"))

    def _odd(self, tell: Callable[[], None], odd: bool = True) -> bool:
        """Tell of what should not happen, and whether it was taken: one who may say so may raise the usual errors."""
        try:
            tell()
        except Raised as fault:
            if not (odd and self._lenient and fault.kind in ("KeyError", "ValueError", "LookupError", "IndexError")):
                raise
            return False
        return True

    # --- time

    def _do_wait(self, op: int, ms: float) -> None:
        self._tell(op, "wait", f"{ms / 1000:g} s pass")
        self.now += ms / 1000

    def _do_back(self, op: int, ms: float) -> None:
        self._tell(op, "back", f"the clock is set back by {ms / 1000:g} s")
        self.now -= ms / 1000

    # --- many at once

    def _do_crowd(self, op: int, count: int, first: int = 0) -> None:
        clients = [address(first + number) for number in range(count)]
        moment = self._tell(op, "crowd", f"{count} clients ask, one after the other")
        moment.asked, moment.answer = True, SILENT
        moment.answer = tuple(self._subject.pick_each(clients, self.now))
        for name in moment.answer if self._subject.counts else ():
            work = self._work_of(self._title(), name)
            if work is not None:
                self._start(work)

    def _do_load(self, op: int, count: int, first: int = 0) -> None:
        for number in range(count):
            self._do_serve(op, first + number)

    def _do_closed(self, op: int, count: int, pause: float, latency: Mapping[str, float], ok: bool = True) -> None:
        for number in range(count):
            work = self._ask(op, number, starts=True)
            if work is not None:
                self._start(work)
                ms = latency.get(work.name, 10)
                self.now += ms / 1000
                self._end(work, ms / 1000, ok=ok)
            self.now += pause / 1000


def simpler(program: Program) -> Iterator[Program]:
    """Fewer servers, dull names, weight 1, then duller operations."""
    setting, ops = program.setting, program.ops
    pool: list[list[Any]] = setting["servers"]
    for k in range(len(pool)):
        yield Program({**setting, "servers": pool[:k] + pool[k + 1 :]}, ops)
    dull = [[NAMES[0][k] if k < 8 else name, weight] for k, (name, weight) in enumerate(pool)]
    if dull != pool:
        yield Program({**setting, "servers": dull, "names": list(NAMES[0])}, ops)
    for k, (name, weight) in enumerate(pool):
        if weight != 1:
            yield Program({**setting, "servers": [*pool[:k], [name, 1], *pool[k + 1 :]]}, ops)
    for number, op in enumerate(ops):
        for duller in _duller(op):
            yield Program(setting, (*ops[:number], duller, *ops[number + 1 :]))


def _duller(op: Op) -> Iterator[Op]:
    match op:
        case ("serve", client):
            yield ("pick", client)
            if client != 0:
                yield ("serve", 0)
        case ("retry", client):
            yield ("pick", client)
            if client != 0:
                yield ("retry", 0)
        case ("pick", client) if client != 0:
            yield ("pick", 0)
        case ("finish", j, ok, ms) if (j, ok, ms) != (0, True, 10):
            yield ("finish", 0, True, 10)
            yield ("finish", j, True, 10)
        case ("health_twice", k, up):
            yield ("health", k, up)
        case ("health" | "start" | "remove" | "readd" as kind, k, *rest) if k != 0:
            yield (kind, 0, *rest)
        case ("add", weight) if weight != 1:
            yield ("add", 1)
        case (("crowd" | "load") as kind, count, *rest) if count > 1:
            first = rest[0] if rest else 0
            yield (kind, count // 2, first)
            yield (kind, count - count // 2, first + count // 2)
        case _:
            return


NOTES = {
    "beside": "beside it works another balancer of this class, whose own first server is down",
    "grown": "all of them in a slow start: `backend.weight` is {:g} of that",
}
"""What a story says of a setting first."""


def picture(setting: Mapping[str, Any], moments: list[Moment], upto: int) -> list[str]:  # noqa: ARG001 (as others need)
    pool = setting["servers"]
    if not pool:
        return ["servers: none"]
    notes = [note.format(setting[key]) for key, note in NOTES.items() if setting.get(key)]
    listed = ", ".join(f"{name} (weight {weight:g})" if weight != 1 else str(name) for name, weight in pool)
    return [f"servers: {listed}, {'all ' if len(pool) > 1 else ''}up", *notes]
