"""Whatever throws servers out for the answers that clients got from them.

    cls(names, fails, eject, max_ejected)    `fails` failures in a row throw a server out, for `eject` seconds (the n-th
                                             time for n times as long, or as long again: both are right), while no more
                                             than the share `max_ejected` of the members is out; one always may be
    finished(name, ok, now)                  a request ended; `now` in seconds, which never goes back
    available(now) -> [name, …]              who is not ejected; or `ejected(now) -> [name, …]`, `is_ejected(name, now)`
    add(name), remove(name)                  where there are such

A class with `succeeded(name, now)` and `failed(name, now)` instead of `finished` is understood as well.

    operation          what happens
    finish k ok        a request ends on server k, well or badly, wherever that server is now
    worse k            so many requests in a row fail on server k as it takes to throw it out
    finish_left k      a request ends on a server that has left; finish_unknown: on one that nobody knows
    wait s             seconds pass
    add · readd k      a newcomer; one that left comes back
    remove k           server k leaves, if two stay of which one is in

After each operation the code is asked who is in, so laws look at what changed from one answer to the next; where it is
free to do either, the model follows its answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import floor, inf, nan
from typing import Any

from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw, operations
from lbtutor.testing.program import SILENT, Moment, Op, Program
from lbtutor.testing.sandbox.room import Class, Room
from lbtutor.testing.worlds.calling import Asked, method

KINDS = {
    "finish": 6.0, "worse": 3.0, "wait": 2.5, "add": 0.6, "remove": 0.8, "readd": 0.6, "finish_left": 0.5,
    "finish_unknown": 0.3,
}  # fmt: skip
SHAPE = "finished(name, ok, now), available(now)"
SEEN = ("available", "ejected", "is_ejected", "is_available")
"""The ways to say who is out; a class that has several is asked the first."""
NAMES = "abcdefgh"
STRANGER = "x"
MOMENTARY = 10.0
"""Failures within so many seconds are a row to everybody, also to those who forget old ones."""


class Record:
    """What is known of one server. `row` failures in a row count for everybody, `most` for whoever also counts what
    ended while it was out; `out` is since when it is out, None while it is in."""

    __slots__ = ("began", "most", "out", "row", "times")

    def __init__(self) -> None:
        self.row = 0
        self.most = 0.0
        self.began = 0.0
        self.out: float | None = None
        self.times = 0

    def count(self, now: float, *, ok: bool) -> None:
        if self.out is None:
            self.began = self.began if self.row else now
            self.row = 0 if ok else self.row + 1
        self.most = 0 if ok else self.most + 1

    def eject(self, now: float) -> None:
        self.row, self.most, self.out = 0, 0, now
        self.times += 1

    def readmit(self, *, forgets: bool) -> None:
        self.row, self.out = 0, None
        self.most = self.most if forgets else inf


class Sight(Moment):
    """Who is out after something happened, and who was `before`. `row` and `most` are the failures in a row of each
    member, as `Record` counts them, with this one; `since` and `times` are those of whoever was out before. `strange`
    is who was listed and is no member, or was listed twice; `brief`: the failures came within a few seconds."""

    name: str = ""
    now: float = 0.0
    members: tuple[str, ...] = ()
    before: frozenset[str] = frozenset()
    out: frozenset[str] = frozenset()
    strange: tuple[str, ...] = ()
    row: Mapping[str, int] = {}
    most: Mapping[str, float] = {}
    since: Mapping[str, float] = {}
    times: Mapping[str, int] = {}
    brief: bool = True

    def room(self, share: float) -> int:
        """How many may be out at once."""
        return max(1, floor(share * len(self.members) + 1e-9))


def recognise(cls: Class) -> str | None:
    told = method(cls, "finished") or (method(cls, "failed") and method(cls, "succeeded"))
    seen = any(method(cls, word) for word in SEEN)
    return SHAPE if told and seen else None


def grammar(draw: Draw, component: str) -> Program:  # noqa: ARG001 (there is one component)
    setting = {
        "names": list(NAMES[: draw.one((3, 2, 4, 5, 6))]),
        "fails": draw.one((3, 2, 1, 5)),
        "eject": draw.one((10.0, 30.0)),
        "max_ejected": draw.one((0.5, 0.75, 0.25, 0.67)),
    }
    fails = draw.one((0.8, 0.5, 0.3))
    return Program(setting, tuple(_op(draw, kind, fails) for kind in operations(draw, KINDS)))


def _op(draw: Draw, kind: str, fails: float) -> Op:
    match kind:
        case "finish":
            return (kind, draw.one((0, 1, 2, 3, 4, 5), (4, 3, 1, 1, 1, 1)), not draw.chance(fails))
        case "wait":
            return (kind, draw.one((1, 5, 9.5, 10.5, 29.5, 30.5, 61, 100)))
        case "add" | "finish_unknown":
            return (kind,)
        case _:
            return (kind, draw.number(0, 5))


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Model:
    return Model(room, target, setting)


class Model:
    """Who is out, by what the code says; how long and why, by what happened."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any]) -> None:
        self.moments: list[Sight] = []
        self._now = 0.0
        self._fails: int = setting["fails"]
        self._forgets = bool(target.claims.get("forgets", True))
        self._records = {name: Record() for name in setting["names"]}
        self._left: list[str] = []
        self._times: dict[str, int] = {}
        self._joined = len(self._records)
        told = ("name", "ok", "now")
        words = {"finished": told, "failed": ("name", "now"), "succeeded": ("name", "now"), "add": ("name", "now"),
                 "remove": ("name", "now"), "available": ("now",), "ejected": ("now",), "is_ejected": ("name", "now"),
                 "is_available": ("name", "now")}  # fmt: skip
        share = setting["max_ejected"]
        given = {key: setting[key] for key in ("names", "fails", "eject", "max_ejected")} | {"percent": share * 100}
        self._code = Asked(room, target, words, given, basic=4)

    def do(self, op: int, what: Op) -> None:
        getattr(self, f"_do_{what[0]}")(op, *what[1:])

    # --- what happens

    def _do_finish(self, op: int, k: int, ok: bool) -> None:
        name = list(self._records)[k % len(self._records)]
        late = ", which is out" if self._records[name].out is not None else ""
        sight = self._tell(op, "finish", f"a request {'ends well' if ok else 'fails'} on {name}{late}", name)
        self._records[name].count(self._now, ok=ok)
        sight.brief = self._now - self._records[name].began <= MOMENTARY
        self._told(name, ok=ok)
        self._look(sight)

    def _do_worse(self, op: int, k: int) -> None:
        for _ in range(self._fails):
            self._do_finish(op, k, ok=False)

    def _do_finish_left(self, op: int, k: int) -> None:
        if self._left:
            name = self._left[k % len(self._left)]
            sight = self._tell(op, "finish_left", f"a request fails on {name}, which has left", name)
            self._told(name, ok=False, odd=True)
            self._look(sight)

    def _do_finish_unknown(self, op: int) -> None:
        sight = self._tell(op, "finish_unknown", f"a request fails on {STRANGER}, a server that nobody knows", STRANGER)
        self._told(STRANGER, ok=False, odd=True)
        self._look(sight)

    def _do_wait(self, op: int, seconds: float) -> None:
        self._now += seconds
        self._look(self._tell(op, "wait", f"{seconds:g} s pass"))

    def _do_add(self, op: int) -> None:
        if self._code.can("add") and self._joined < len(NAMES):
            self._join(op, NAMES[self._joined], "is added")
            self._joined += 1

    def _do_readd(self, op: int, k: int) -> None:
        if self._code.can("add") and self._left:
            name = self._left.pop(k % len(self._left))
            self._join(op, name, "is added again", inf)

    def _join(self, op: int, name: str, how: str, most: float = 0) -> None:
        self._records[name] = Record()
        self._records[name].most = most
        self._records[name].times = self._times.get(name, 0)  # some do not forget how often it was out
        sight = self._tell(op, "add", f"{name} {how}", name)
        self._code.ask("add", name=name, now=self._now)
        self._look(sight)

    def _do_remove(self, op: int, k: int) -> None:
        name = list(self._records)[k % len(self._records)]
        rest = [record for other, record in self._records.items() if other != name]
        if self._code.can("remove") and len(rest) > 1 and any(record.out is None for record in rest):
            self._times[name] = self._records.pop(name).times
            self._left.append(name)
            sight = self._tell(op, "remove", f"{name} is removed", name)
            self._code.ask("remove", name=name, now=self._now)
            self._look(sight)

    # --- what the code is told and says

    def _told(self, name: str, *, ok: bool, odd: bool = False) -> None:
        how = self._code.odd if odd else self._code.ask
        if self._code.can("finished"):
            how("finished", name=name, ok=ok, now=self._now)
        else:
            how("succeeded" if ok else "failed", name=name, now=self._now)

    def _tell(self, op: int, kind: str, says: str, name: str = "") -> Sight:
        before = frozenset(name for name, record in self._records.items() if record.out is not None)
        sight = Sight(
            op, kind, says, SILENT, name=name, asked=True, now=self._now, members=tuple(self._records), before=before
        )
        self.moments.append(sight)
        return sight

    def _look(self, sight: Sight) -> None:
        """Ask who is in; note what is known, and follow."""
        records = self._records
        sight.row = {name: record.row for name, record in records.items()}
        sight.most = {name: record.most for name, record in records.items()}
        sight.since = {name: record.out for name, record in records.items() if record.out is not None}
        sight.times = {name: record.times for name, record in records.items()}
        sight.out, sight.strange = self._seen()
        sight.answer = f"{', '.join(sorted(sight.out))} out" if sight.out else "nobody is out"
        sight.answer += f"; {', '.join(sight.strange)} too much in the list" if sight.strange else ""
        for name in sight.out - sight.before:
            records[name].eject(nan if sight.kind == "add" else self._now)  # out as before it left: nobody knows when
        for name in sight.before - sight.out:
            records[name].readmit(forgets=self._forgets)

    def _seen(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """Who is out, and who was listed that should not be."""
        members = list(self._records)
        word = next(word for word in SEEN if self._code.can(word))
        if word.startswith("is_"):
            says = {name: bool(self._code.ask(word, name=name, now=self._now)) for name in members}
            return frozenset(name for name in members if says[name] == (word == "is_ejected")), ()
        answer = self._code.ask(word, now=self._now)
        listed = answer if isinstance(answer, tuple) else (answer,)
        strange = [name for number, name in enumerate(listed) if name not in members or name in listed[:number]]
        is_listed = frozenset(name for name in members if name in listed)
        return frozenset(members) - is_listed if word == "available" else is_listed, tuple(map(str, strange))


def simpler(program: Program) -> Iterator[Program]:
    """Fewer servers, fewer failures, one failure instead of a row, the first server."""
    setting, ops = program.setting, program.ops
    if len(setting["names"]) > 2:
        yield Program({**setting, "names": setting["names"][:-1]}, ops)
    if setting["fails"] > 1:
        yield Program({**setting, "fails": setting["fails"] - 1}, ops)
    for key, dull in (("max_ejected", 0.5), ("eject", 10.0)):
        if setting[key] != dull:
            yield Program({**setting, key: dull}, ops)
    for number, op in enumerate(ops):
        for duller in _duller(op):
            yield Program(setting, (*ops[:number], duller, *ops[number + 1 :]))


def _duller(op: Op) -> Iterator[Op]:
    match op:
        case ("worse", k):
            yield ("finish", k, False)
            if k:
                yield ("worse", 0)
        case ("finish", k, ok) if k:
            yield ("finish", 0, ok)
        case ("wait", seconds) if seconds > 1:
            yield ("wait", 1)


def picture(setting: Mapping[str, Any], moments: list[Moment], upto: int) -> list[str]:  # noqa: ARG001 (as others need)
    row = f"{setting['fails']} failures in a row are" if setting["fails"] > 1 else "one failure is"
    return [
        f"servers: {', '.join(setting['names'])}",
        f"{row} too many; out for {setting['eject']:g} s; at most {setting['max_ejected']:.0%} of them, or one",
    ]
