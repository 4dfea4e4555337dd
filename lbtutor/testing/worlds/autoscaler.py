"""Whatever decides how many instances there should be.

    cls(min, max, target)                  at least and at most so many, and how busy each is to be, such as 0.5
    desired(current, utilisation, now)     -> int: how many there should be, when there are `current`, each so busy: 0
                                           is idle, above 1 is possible, None is "nobody knows"; `now` in seconds, never
                                           going back

A constructor that has `tolerance` gets 0.1 (within a tenth of the target nothing changes), and one that has `window`,
`cooldown` or `stabilisation` gets 300 (seconds after growing before it may shrink).

    operation        what happens
    ask c u          a new object: there are c instances, each u 64ths of the target busy: how many should there be?
    then u           there are as many as it said last, so busy: how many should there be now?
    odd what c       a new object: there are c instances (without c: as many as it said last, or 4), and the
                     measurement is "none", "nan", "negative" or "huge"
    pass s           seconds pass
    loop c load n    a closed loop: c instances share a constant load (`load` and a half of what one does at target),
                     and n times, a minute apart, there are then as many as it said
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw, operations
from lbtutor.testing.program import SILENT, Moment, Op, Program
from lbtutor.testing.sandbox.room import Class, Room
from lbtutor.testing.worlds.calling import Asked, method

SHAPE = "desired(current, utilisation, now)"
TOLERANCE, HOLD = 0.1, 300.0
"""For a constructor that takes them: the share of the target within which nothing changes, and the seconds after
growing before it may shrink."""

PART = 64
"""Utilisations are whole 64ths of the target, and targets are powers of 1/2, so that nobody's rounding matters."""

ODD: Mapping[str, float | None] = {"none": None, "nan": float("nan"), "negative": -0.5, "huge": 1e12}
KINDS = {"ask": 5.0, "then": 4.0, "odd": 1.5, "pass": 2.0}


class Wish(Moment):
    """A question: `current` instances, each busy for `load` times the target (None: nobody can have measured that).
    `bounds` are the least and the most; `grew` is each time it asked for more than there were, and for how many;
    `fresh`: it is the first question to that object."""

    now: float = 0.0
    current: int = 0
    load: float | None = None
    bounds: tuple[int, int] = (1, 1)
    grew: tuple[tuple[float, int], ...] = ()
    fresh: bool = False
    tolerant: bool = False
    holds: bool = False
    """Was its constructor told of a tolerance, or how long to hold?"""

    def within(self, wanted: float) -> int:
        """As many as that, within the bounds."""
        return int(max(self.bounds[0], min(wanted, self.bounds[1])))


class Loop(Wish):
    """A closed loop that has run: `sizes` are the numbers of instances, one after the other."""

    needed: float = 0.0
    sizes: tuple[int, ...] = ()


def recognise(cls: Class) -> str | None:
    return SHAPE if method(cls, "desired") else None


def grammar(draw: Draw, component: str) -> Program:  # noqa: ARG001 (there is one component)
    low = draw.one((1, 2, 3))
    setting = {"min": low, "max": low + draw.one((9, 4, 17, 0)), "target": draw.one((0.5, 0.25))}
    ops = [_op(draw, kind) for kind in operations(draw, KINDS)]
    return Program(setting, (*(_dip(draw) if draw.chance(0.2) else ()), *ops))


def _dip(draw: Draw) -> tuple[Op, ...]:
    """It has to grow, and a while later there is less to do: rare by chance alone."""
    return ("ask", 4, 127), ("pass", draw.one((15, 60, 299))), ("then", draw.one((0, 16, 32)))


def _op(draw: Draw, kind: str) -> Op:
    match kind:
        case "ask":
            return (kind, draw.number(0, 20), _parts(draw))
        case "then":
            return (kind, _parts(draw))
        case "odd":
            what = draw.one(tuple(ODD))
            return (kind, what) if draw.chance(0.5) else (kind, what, draw.number(0, 20))
        case _:
            return (kind, draw.one((15, 60, 299, 301, 3600)))


def _parts(draw: Draw) -> int:
    return draw.one(draw.one(((PART,), (60, 68), (0, 16, 32, 48, 56), (72, 80, 96, 112, 127), (128, 160, 256, 640))))


def loops() -> Iterator[Program]:
    """Each load between none and all, begun from few and from many."""
    for load in (0, 1, 2, 4, 6, 8):
        for current in (1, 5, 10):
            yield Program({"min": 1, "max": 10, "target": 0.5}, (("loop", current, load, 60),))


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Model:
    return Model(room, target, setting)


class Model:
    """What time it is, and when the code last asked for more."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any]) -> None:
        self.moments: list[Wish] = []
        self._now = 0.0
        self._room, self._to_ask = room, target
        self._setting = setting
        self._bounds = setting["min"], setting["max"]
        self._target: float = setting["target"]
        self._unmeasured = target.claims.get("unmeasured") == "hold"
        self._begin(4)

    def _begin(self, current: int) -> None:
        """A new object, and so many instances."""
        self._current, self._fresh = current, True
        self._grew: tuple[tuple[float, int], ...] = ()
        words = {"desired": ("current", "utilisation", "now")}
        given = {key: self._setting[key] for key in ("min", "max", "target")} | {"tolerance": TOLERANCE, "hold": HOLD}
        self._code = Asked(self._room, self._to_ask, words, given, basic=3)

    def do(self, op: int, what: Op) -> None:
        getattr(self, f"_do_{what[0]}")(op, *what[1:])

    def _enter(self, wish: Wish, load: float | None) -> None:
        wish.now, wish.current, wish.load, wish.bounds = self._now, self._current, load, self._bounds
        wish.grew, wish.fresh = self._grew, self._fresh
        wish.tolerant, wish.holds = "tolerance" in self._code.knows, "hold" in self._code.knows
        self.moments.append(wish)

    def _ask(self, utilisation: float | None) -> Any:
        """What it answers, which is what there is from then on."""
        self._fresh = False
        answer = self._code.ask("desired", current=self._current, utilisation=utilisation, now=self._now)
        if not isinstance(answer, int | float):
            return answer
        if answer > self._current:
            self._grew = (*self._grew, (self._now, int(answer)))
        self._current = max(self._bounds[0], min(int(answer), self._bounds[1]))
        return int(answer) if answer == int(answer) else answer

    def _do_ask(self, op: int, current: int, parts: int) -> None:
        self._begin(current)
        self._do_then(op, parts)

    def _do_then(self, op: int, parts: int) -> None:
        busy = self._target * parts / PART
        each = "each " if self._current > 1 else ""
        says = f"{_instances(self._current)}, {each}{busy:.4g} busy; how many should there be?"
        wish = Wish(op, "ask", says, SILENT, asked=True)
        self._enter(wish, parts / PART)
        wish.answer = self._ask(busy)

    def _do_odd(self, op: int, what: str, current: int | None = None) -> None:
        if current is not None:
            self._begin(current)
        if what == "huge" or self._unmeasured:
            says = f"{_instances(self._current)}, and utilisation is {ODD[what]}; how many should there be?"
            wish = Wish(op, "odd", says, SILENT, asked=True)
            self._enter(wish, ODD[what] if what == "huge" else None)
            wish.answer = self._ask(ODD[what])

    def _do_pass(self, op: int, seconds: float) -> None:
        self._enter(Wish(op, "pass", f"{seconds:g} s pass"), None)
        self._now += seconds

    def _do_loop(self, op: int, current: int, load: int, times: int) -> None:
        self._begin(current)
        needed = load + 0.5 if load else 0.0
        says = f"{_instances(current)}, and work for {needed:g} at the target, for {times} minutes; there are"
        loop = Loop(op, "loop", says, SILENT, asked=True, needed=needed)
        self._enter(loop, None)
        sizes = [current]
        for _ in range(times):
            self._ask(self._target * needed / self._current)
            sizes.append(self._current)
            self._now += 60
        loop.sizes = tuple(sizes)
        loop.answer = f"{', '.join(map(str, sizes[:8]))} … {', '.join(map(str, sizes[-3:]))}"


def _instances(count: int) -> str:
    return f"{count} instance{'' if count == 1 else 's'}"


def simpler(program: Program) -> Iterator[Program]:
    """1 to 10 of them, half busy; few, at a plain share."""
    setting, ops = program.setting, program.ops
    for dull in ({"target": 0.5}, {"min": 1}, {"max": max(10, setting["min"])}):
        if setting | dull != setting:
            yield Program(setting | dull, ops)
    for number, op in enumerate(ops):
        if op[0] == "ask" and op[1] > 1:
            for fewer in (1, op[1] // 2, op[1] - 1):
                yield Program(setting, (*ops[:number], ("ask", fewer, op[2]), *ops[number + 1 :]))


def picture(setting: Mapping[str, Any], moments: list[Moment], upto: int) -> list[str]:  # noqa: ARG001 (as others need)
    return [f"{setting['min']} to {setting['max']} instances, each to be {setting['target']:g} busy"]


def needed(wish: Wish) -> int:
    """How many there should be by the public rule: ceil(current * utilisation / target), within the bounds."""
    return wish.within(ceil(wish.current * (wish.load or 0.0)))
