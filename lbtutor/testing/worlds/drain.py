"""Whatever lets a server leave politely: no new requests, and time for those that it has.

    cls(deadline)                  how long a drain lasts at most, in seconds
    started(), finished()          a request began on the server, or ended there
    drain(now), cancel(now)        the operator begins to drain it, or takes that back; `now` in seconds, never going
                                   back
    state(now)                     -> "active", "draining" (requests are open, and there is time) or "drained"
    accepts(now)                   -> bool: may it get a new request? Where there is one

`finished` may be called `ended` or `release`, and all may take `now`.

    operation        what happens
    start            a request begins, also while it drains: it was sent before anybody knew
    end              a request ends, if one is open
    end_again        an end is told although none is open
    drain · cancel   as above; a drain that is over is not taken back
    pass s           seconds pass
    anew             when a drain is over: from here on it is about another server

After each operation the code is asked for its state. When it is drained and a late request begins, it may say either,
and when it is told twice to drain, either time may count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw, operations
from lbtutor.testing.program import SILENT, Moment, Op, Program
from lbtutor.testing.sandbox.room import Class, Room
from lbtutor.testing.worlds.calling import Asked, method

SHAPE = "started(), finished(), drain(now), cancel(now), state(now)"
KINDS = {"start": 4.0, "end": 3.0, "drain": 2.5, "cancel": 1.2, "pass": 3.0, "end_again": 0.5, "anew": 1.5}


class Look(Moment):
    """The state after something happened, as text. `open` requests it has; `drains` while a drain is on, begun `first`
    and told again `last`; `late` when a request began after it may have been drained."""

    open: int = 0
    now: float = 0.0
    drains: bool = False
    first: float = 0.0
    last: float = 0.0
    late: bool = False
    accepts: bool | None = None


def recognise(cls: Class) -> str | None:
    return SHAPE if all(method(cls, word) for word in ("drain", "state", "started", "ended")) else None


def grammar(draw: Draw, component: str) -> Program:  # noqa: ARG001 (there is one component)
    deadline = draw.one((30.0, 10.0, 60.0))
    ops = [(kind, _part(draw) * deadline) if kind == "pass" else (kind,) for kind in operations(draw, KINDS)]
    return Program({"deadline": deadline}, (*(_long(draw, deadline) if draw.chance(0.2) else ()), *ops))


def _long(draw: Draw, deadline: float) -> tuple[Op, ...]:
    """A drain that lasts to the end of its time, with something going on meanwhile: rare by chance alone."""
    half = ("pass", 0.6 * deadline)
    return ("start",), ("start",), ("drain",), half, draw.one((("end",), ("start",), ("drain",))), half, half


def _part(draw: Draw) -> float:
    """How much of the deadline passes: two of the middle ones are more than the whole."""
    return draw.one((0.1, 0.5, 0.6, 1.1))


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Model:
    return Model(room, target, setting)


class Model:
    """How many requests are open, and since when it drains."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any]) -> None:
        self.moments: list[Look] = []
        self._room, self._target = room, target
        self._now = 0.0
        self._deadline: float = setting["deadline"]
        self._begin()

    def _begin(self) -> None:
        self._open = 0
        self._drains = self._late = self._over = False
        self._first = self._last = 0.0
        words = dict.fromkeys(("started", "ended", "drain", "cancel", "state", "accepts"), ("now",))
        self._code = Asked(self._room, self._target, words, {"deadline": self._deadline}, basic=1)

    def do(self, op: int, what: Op) -> None:
        getattr(self, f"_do_{what[0]}")(op, *what[1:])

    def _tell(self, op: int, kind: str, says: str) -> Look:
        """Note what happens; what is true then is noted by `_look`."""
        look = Look(op, kind, says, SILENT, asked=True)
        self.moments.append(look)
        return look

    def _look(self, look: Look) -> None:
        look.open, look.now, look.drains = self._open, self._now, self._drains
        look.first, look.last, look.late = self._first, self._last, self._late
        self._over = self._drains and (not self._open or self._now >= self._first + self._deadline)
        answer = self._code.ask("state", now=self._now)
        look.answer = answer.strip().lower() if isinstance(answer, str) else answer
        if self._code.can("accepts"):
            look.accepts = bool(self._code.ask("accepts", now=self._now))

    def _do_start(self, op: int) -> None:
        look = self._tell(op, "start", "a request begins" + (", sent before it drained" if self._drains else ""))
        self._open += 1
        self._late = self._late or self._over
        self._code.ask("started", now=self._now)
        self._look(look)

    def _do_end(self, op: int) -> None:
        if self._open:
            self._open -= 1
            rest = f"{self._open} are" if self._open > 1 else "1 is" if self._open else "none is"
            look = self._tell(op, "end", f"a request ends; {rest} open")
            self._code.ask("ended", now=self._now)
            self._look(look)

    def _do_end_again(self, op: int) -> None:
        if not self._open:
            look = self._tell(op, "end_again", "an end is told, though nothing is open")
            self._code.odd("ended", now=self._now)
            self._look(look)

    def _do_drain(self, op: int) -> None:
        look = self._tell(op, "drain", "it is to drain" + (" (once more)" if self._drains else ""))
        self._last = self._now
        self._first = self._first if self._drains else self._now
        self._drains = True
        self._code.ask("drain", now=self._now)
        self._look(look)

    def _do_cancel(self, op: int) -> None:
        if self._drains and not self._over and not self._late and self._code.can("cancel"):
            look = self._tell(op, "cancel", "the drain is taken back")
            self._drains = False
            self._code.ask("cancel", now=self._now)
            self._look(look)

    def _do_pass(self, op: int, seconds: float) -> None:
        look = self._tell(op, "pass", f"{seconds:g} s pass")
        self._now += seconds
        self._look(look)

    def _do_anew(self, op: int) -> None:
        if self._over:
            look = self._tell(op, "anew", "it is gone, and a new server takes its place")
            self._begin()
            self._look(look)


def simpler(program: Program) -> Iterator[Program]:
    """Shorter waits."""
    for number, op in enumerate(program.ops):
        if op[0] == "pass" and op[1] > program.setting["deadline"] / 10:
            duller = ("pass", program.setting["deadline"] / 10)
            yield Program(program.setting, (*program.ops[:number], duller, *program.ops[number + 1 :]))


def picture(setting: Mapping[str, Any], moments: list[Moment], upto: int) -> list[str]:  # noqa: ARG001 (as others need)
    return [f"one server, active, without requests; a drain lasts {setting['deadline']:g} s at most"]
