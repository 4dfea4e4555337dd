"""What is believed of one server, from one probe to the next: the family of health state machines.

A machine is built with two thresholds, `cls(rise, fall)`, and hears of one result after the other; each time it answers
whether it takes its server to be up. Which words it has for that is free.

    operation      what happens
    new            a machine for another server, with the same thresholds; what follows is about this one
    probe ok       a probe of the newest machine's server passed, or failed
    row "++-"      a new machine hears all these results
    long n ok      so many equal results, of which only the last answer is looked at
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from lbtutor.testing.adapt import Fit, fit
from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw
from lbtutor.testing.program import SILENT, Moment, Op, Program
from lbtutor.testing.sandbox.room import Class, Room

SHAPE = "on_probe(ok) -> up or down"

METHODS = (
    "on_probe", "probe", "on_result", "result", "record", "observe", "report", "update", "on_check", "check", "feed",
    "add_result", "probed", "step",
)  # fmt: skip
"""What the one method may be called."""

STATES = ("state", "status", "is_up", "is_healthy", "healthy", "up", "available", "get_state", "current")
"""A method that tells the state, for machines whose `on_probe` answers nothing."""

UP = frozenset({"up", "healthy", "true", "1", "alive", "ok", "passing", "available", "in"})
DOWN = frozenset({"down", "unhealthy", "false", "0", "dead", "fail", "failed", "failing", "unavailable", "out"})
UNDECIDED = frozenset({"unknown", "unchecked", "none", "initial", "init", "starting", "pending", "new"})

LETTERS = {"+": True, "-": False}


class Belief(Moment):
    """A moment of a machine: `passed` is the result it hears, `heard` all results of this machine up to it, `before`
    what it answered last ("" if nothing yet), `state` what it answers now, in our words."""

    machine: int = 0
    passed: bool = False
    heard: str = ""
    before: str = ""
    state: str = ""


def recognise(cls: Class) -> str | None:
    """By its one method, and two thresholds in its constructor."""
    thresholds = sum(parameter.kind in ("plain", "keyword") for parameter in cls.constructor)
    return SHAPE if _method(cls) is not None and thresholds >= 2 else None


def _method(cls: Class) -> str | None:
    return next((name for name in METHODS if name in cls.methods), None)


def grammar(draw: Draw, component: str) -> Program:  # noqa: ARG001 (there is one component)
    """A few machines of one kind, each with a row of results; most results repeat the one before."""
    setting = {"rise": draw.number(1, 4), "fall": draw.number(1, 4)}
    return Program(setting, tuple(("row", _row(draw)) for _ in range(draw.number(1, 3))))


def _row(draw: Draw) -> str:
    row = draw.one("+-")
    for _ in range(draw.one((6, 12, 24))):
        row += row[-1] if draw.chance(0.65) else draw.one("+-")
    return row


def every_row() -> Iterator[Program]:
    """Every row of results, for small thresholds; and rows that began with a long quiet time."""
    for rise, fall in product((1, 2, 3), (1, 2, 3, 4)):
        rows = product("+-", repeat=min(7, rise + fall + 2))
        yield Program({"rise": rise, "fall": fall}, tuple(("row", "".join(row)) for row in rows))
    for rise, fall in ((3, 2), (2, 3), (5, 1), (1, 5), (7, 4)):
        turns = tuple(
            ("row", first + "-" * fall + "+" * rise + "-" * fall) for first in ("", "+", "++++++++", "--------")
        )
        yield Program({"rise": rise, "fall": fall}, turns)
    for first, second in ((True, False), (False, True)):
        for much in (40, 300):
            slow: list[Op] = [("new",), ("long", much, first), *[("probe", second)] * 4, *[("probe", first)] * 4]
            yield Program({"rise": 3, "fall": 2}, tuple(slow))


def simpler(program: Program) -> Iterator[Program]:
    """Smaller thresholds, then rows as single probes, then less of a long time."""
    setting, ops = program.setting, program.ops
    for name in ("rise", "fall"):
        if setting[name] > 1:
            yield Program({**setting, name: setting[name] - 1}, ops)
    for number, op in enumerate(ops):
        for instead in _plainer(op):
            yield Program(setting, (*ops[:number], *instead, *ops[number + 1 :]))


def _plainer(op: Op) -> Iterator[tuple[Op, ...]]:
    match op:
        case ("row", str(row)):
            yield (("new",), *[("probe", LETTERS[letter]) for letter in row])
        case ("long", int(count), ok) if count > 1:
            yield (("long", count // 2, ok),)
            yield (("long", count - 1, ok),)
        case ("long", _, ok):
            yield (("probe", ok),)


def picture(setting: Mapping[str, Any], _moments: list[Moment], _upto: int) -> list[str]:
    rise, fall = setting["rise"], setting["fall"]
    return [
        f"a server is up after {_times(rise, 'pass', 'passes')}, and down after {_times(fall, 'failure', 'failures')}"
    ]


def _times(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many} in a row"


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Machines:
    return Machines(room, target, setting)


class Machines:
    """Machines one after the other, what each of them heard, and what it said."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any]) -> None:
        self.moments: list[Belief] = []
        self._room = room
        self._cls = target.cls
        self._fit = _ask_by(target)
        self._tell_by = next((name for name in STATES if name in target.cls.methods and name != self._fit[0]), None)
        self._thresholds = _thresholds(target.cls, setting["rise"], setting["fall"])
        self._count = 0
        self._new()

    def _new(self) -> None:
        args, kwargs = self._thresholds
        self._handle = self._room.make(self._cls.name, *args, **kwargs)
        self._heard = self._last = ""
        self._count += 1

    def do(self, op: int, what: Op) -> None:
        getattr(self, f"_do_{what[0]}")(op, *what[1:])

    def _do_new(self, op: int) -> None:
        if self._heard:
            self._new()
            self.moments.append(Belief(op, "new", "another server, with a machine of its own"))

    def _do_probe(self, op: int, ok: bool) -> None:
        self._hear(op, [ok], f"a probe {'passes' if ok else 'fails'}")

    def _do_row(self, op: int, row: str) -> None:
        self._do_new(op)
        self._hear(op, [LETTERS[letter] for letter in row])

    def _do_long(self, op: int, count: int, ok: bool) -> None:
        self._hear(op, [ok] * count, f"{count} probes {'pass' if ok else 'fail'}")

    def _hear(self, op: int, results: list[bool], says: str = "") -> None:
        """All results at once; a moment for each, but only the last of those that share a sentence."""
        method, values = self._fit
        waiting = self._moment(op, results[0], says)
        waiting.answer = SILENT
        self.moments.append(waiting)
        if self._tell_by is None:
            answers = self._room.batch(self._handle, method, [values({"ok": ok}) for ok in results])
        else:
            answers = [self._by_state(method, values, ok) for ok in results]
        self.moments.pop()
        heard: list[Belief] = []
        for ok, answer in zip(results, answers, strict=True):
            moment = self._moment(op, ok, says)
            moment.answer, moment.state = answer, in_our_words(answer)
            self._last = moment.state
            self._heard = moment.heard
            heard.append(moment)
        self.moments += heard[-1:] if says else heard

    def _by_state(self, method: str, values: Fit, ok: bool) -> Any:
        answer = self._room.call(self._handle, method, *values({"ok": ok}))
        return answer if answer is not None or self._tell_by is None else self._room.call(self._handle, self._tell_by)

    def _moment(self, op: int, ok: bool, says: str) -> Belief:
        return Belief(
            op, "probe", says or f"a probe {'passes' if ok else 'fails'}", None, True,  # noqa: FBT003
            self._count, ok, self._heard + ("+" if ok else "-"), self._last,
        )  # fmt: skip


def _ask_by(target: Target) -> tuple[str, Fit]:
    found = fit(target.cls, target.adapter.on_probe, ("ok",))
    if found is not None:
        return found
    method = _method(target.cls)
    assert method is not None, "recognised"
    return method, lambda values: (values["ok"],)


def _thresholds(cls: Class, rise: int, fall: int) -> tuple[tuple[int, ...], dict[str, int]]:
    """How the constructor wants them: by its names if these tell which is which, else rise before fall."""
    first_two = [parameter for parameter in cls.constructor if parameter.kind in ("plain", "keyword")][:2]
    meant = {parameter.name: _meant(parameter.name, rise, fall) for parameter in first_two}
    values = [value for value in meant.values() if value is not None]
    if len(values) == 2 and len({_is_rise(name) for name in meant}) == 2:
        return (), {name: value for name, value in meant.items() if value is not None}
    return (rise, fall), {}


def _is_rise(name: str) -> bool:
    return not any(word in name.lower() for word in ("fall", "fail", "unhealthy", "down", "error"))


def _meant(name: str, rise: int, fall: int) -> int | None:
    if not _is_rise(name):
        return fall
    return rise if any(word in name.lower() for word in ("rise", "success", "healthy", "up", "pass", "ok")) else None


def in_our_words(answer: Any) -> str:
    """`up`, `down` or `undecided`; "" for an answer that is none of these."""
    word = str(answer).rsplit(".", 1)[-1].strip().lower()
    return "up" if word in UP else "down" if word in DOWN else "undecided" if word in UNDECIDED else ""
