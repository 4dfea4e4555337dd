"""Whatever gives a server that is new, or back, its weight by degrees.

    cls(window)                        how long it takes, in seconds
    weight(full, since, now)           -> float: what it weighs at `now`, when its whole weight is `full` and it has
                                       been in since `since` (both in seconds on one clock)

A method that is called `share` or `factor` takes `(since, now)` and answers the part of the whole, 0 to 1. Either may
take the `age` in seconds instead. A constructor that has `least` gets 0.1, the least share.

Any curve is right that goes up, such as Envoy's: `full * max(least, (max(age, 1) / window) ** (1 / aggression))`.

    operation        what happens
    look p           when it is in for p percent of the window: what does it weigh?
    early p          what does it weigh so long *before* it came in (its clock was set back)?
    again p          it is back after a failure, p percent of the window later, and starts anew
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lbtutor.testing.components import Target
from lbtutor.testing.draw import Draw
from lbtutor.testing.program import SILENT, Moment, Op, Program
from lbtutor.testing.sandbox.room import Class, Room
from lbtutor.testing.worlds.calling import Asked, method

SHAPE = "weight(full, since, now)"
LEAST = 0.1


class Weighing(Moment):
    """What it weighs, as a `share` of its whole weight, at that `age` (seconds; a part of the `window` as `part`);
    `life` counts how often it has come in."""

    age: float = 0.0
    part: float = 0.0
    life: int = 0
    share: float = 0.0
    full: float = 1.0
    bottom: float = 0.0
    """The least share that its constructor was told of, else 0."""
    other: float = 0.0
    """The share that a server of ten times the weight has at that time."""


def recognise(cls: Class) -> str | None:
    return SHAPE if method(cls, "slow") or method(cls, "share") else None


def grammar(draw: Draw, component: str) -> Program:  # noqa: ARG001 (there is one component)
    setting = {
        "window": draw.one((60.0, 10.0, 300.0)),
        "full": draw.one((10, 20, 50, 100)),  # no less: many round to whole weights, and to 1 at least
        "since": draw.one((0.0, 100.0, 1e6)),
    }
    ops = _life(draw)
    while draw.chance(0.4):
        ops += [("again", draw.one((0, 10, 50, 200))), *_life(draw)]
    if draw.chance(0.3):
        ops.append(("early", draw.one((10, 100, 1000))))
    return Program(setting, tuple(ops))


PARTS = (0, 1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 55, 60, 70, 75, 80, 90, 95, 99, 100, 101, 150, 1000)
"""Ages at which somebody looks, in percent of the window."""


def _life(draw: Draw) -> list[Op]:
    """Looks at growing ages, two of them close together."""
    ages = [draw.one(PARTS) for _ in range(draw.one((2, 4, 8)))]
    begin = draw.number(1, 20) * 5
    return [("look", age) for age in sorted({*ages, begin, begin + 5})]


def world(room: Room, target: Target, setting: Mapping[str, Any]) -> Model:
    return Model(room, target, setting)


class Model:
    """When it came in, and what time it is."""

    def __init__(self, room: Room, target: Target, setting: Mapping[str, Any]) -> None:
        self.moments: list[Weighing] = []
        self._full: float = setting["full"]
        self._window: float = setting["window"]
        self._since = self._now = float(setting["since"])
        self._life = 0
        words = {"slow": ("full", "since", "now", "age"), "share": ("since", "now", "age")}
        self._code = Asked(room, target, words, {"window": self._window, "least": LEAST}, basic=1)
        self._word = "slow" if self._code.can("slow") else "share"

    def do(self, op: int, what: Op) -> None:
        getattr(self, f"_do_{what[0]}")(op, *what[1:])

    def _do_look(self, op: int, percent: float) -> None:
        self._now = max(self._now, self._since + self._window * percent / 100)
        self._weigh(op, "look", f"it is in for {self._now - self._since:g} s and weighs", self._now)

    def _do_again(self, op: int, percent: float) -> None:
        self._now += self._window * percent / 100
        self._since = self._now
        self._life += 1
        self._weigh(op, "look", "it is back after a failure, and weighs", self._now)

    def _do_early(self, op: int, percent: float) -> None:
        before = self._window * percent / 100
        self._weigh(op, "early", f"the clock shows {before:g} s before it came in; it weighs", self._since - before)

    def _weigh(self, op: int, kind: str, says: str, now: float) -> None:
        age = now - self._since
        moment = Weighing(op, kind, says, SILENT, asked=True, age=age, life=self._life, full=self._full)
        moment.part = age / self._window
        moment.bottom = LEAST if "least" in self._code.knows else 0.0
        self.moments.append(moment)
        other = self._full * 10
        answer = self._ask(self._full, now)
        moment.share, moment.other = self._part(answer, self._full), self._part(self._ask(other, now), other)
        moment.answer = f"{moment.share * self._full:.4g}" if isinstance(answer, int | float) else str(answer)

    def _ask(self, full: float, now: float) -> Any:
        return self._code.ask(self._word, full=full, since=self._since, now=now, age=now - self._since)

    def _part(self, answer: Any, full: float) -> float:
        """The share of its whole weight that an answer means; what is no number is less than nothing."""
        if not isinstance(answer, int | float):
            return -1.0
        return answer / full if self._word == "slow" else answer


def simpler(program: Program) -> Iterator[Program]:
    """From time 0, a minute, whole percents."""
    for key, dull in (("since", 0.0), ("window", 60.0), ("full", 10)):
        if program.setting[key] != dull:
            yield Program({**program.setting, key: dull}, program.ops)


def picture(setting: Mapping[str, Any], moments: list[Moment], upto: int) -> list[str]:  # noqa: ARG001 (as others need)
    since = f", and it comes in at {setting['since']:g} s" if setting["since"] else ""
    return [f"one server of weight {setting['full']:g}; it gets all of it within {setting['window']:g} s{since}"]
