"""The model of a pool: who is a member, who is up, what everybody has to do and what time it is.

Each operation of a program changes it, tells the code under test, and is noted as a moment with what was true before.
What the operations are is told in `balancer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import field

from lbtutor.testing.components import Target
from lbtutor.testing.program import SILENT, Moment, Op
from lbtutor.testing.sandbox.faults import Raised
from lbtutor.testing.sandbox.room import Room
from lbtutor.testing.worlds.ledgers import Ledgers
from lbtutor.testing.worlds.subjects import APART, Beside, BookKeeper, Chooser, Subject, Work

CHOOSES, KEEPS_BOOKS = "pick(request, backends)", "a balancer that keeps its own books"
"""The two shapes, by what they are called in a report."""

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


def address(client: int | str) -> str:
    """The address of client number so and so. Neighbours differ in every octet: to hash three of them is legal."""
    if isinstance(client, str):
        return client
    return f"{client * 37 % 223 + 1}.{client * 91 % 256}.{client * 57 % 253}.{(client * 13 + client // 251) % 254 + 1}"


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

    def _do_pile(self, op: int, k: int, count: int) -> None:
        name = self._member(k)
        if name is not None:
            self._tell(
                op, "pile", f"{count} request{'s start' if count > 1 else ' starts'} on {name}, chosen elsewhere", name
            )
            for _ in range(count):
                self._start(Work(self._title(), name, self._uids[name], self.now))

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

    def _do_swap(self, op: int, k: int) -> None:
        name = self._member(k)
        if name is not None:
            weight = self._members[name]
            self._do_remove(op, k)
            self._join(op, name, weight, f"{name} is added again")

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
        speeds = ", ".join(f"{name} in {ms:g} ms" for name, ms in latency.items())
        self._tell(op, "closed", f"requests come one after the other, and are answered: by {speeds}")
        for number in range(count):
            work = self._ask(op, number, starts=True)
            if work is not None:
                self._start(work)
                ms = latency.get(work.name, 10)
                self.now += ms / 1000
                self._end(work, ms / 1000, ok=ok)
            self.now += pause / 1000
