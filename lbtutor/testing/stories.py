"""Stories: what a balancer did, as plain rows that anybody's law can be asked about.

Somebody who writes a law needs no class of ours: a story is a list of dictionaries, each with what was so before it.

    {"what": "pick", "chosen": "b", "up": ["a", "b"], "open": {"a": 2, "b": 0}, "at": 0.5, "client": "10.0.0.1"}
    {"what": "down", "server": "a", …}        also `up`, `start` and `finish`, with the server that it happens to

Stories are told by the specimens of the zoo, right and wrong ones alike. A story in which the code under test raised,
or answered nothing, is not told: there is no law to be had from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from msgspec import Struct

from lbtutor.testing.components import Target, family
from lbtutor.testing.components import component as component_of
from lbtutor.testing.draw import Dice
from lbtutor.testing.program import Program
from lbtutor.testing.sandbox.faults import Fault
from lbtutor.testing.sandbox.inside import InProcess
from lbtutor.testing.sandbox.room import Plain
from lbtutor.testing.zoo import Specimen, specimens

KINDS = {"serve": 5.0, "pick": 2.0, "start": 1.0, "finish": 3.0, "health": 3.0}
"""What happens in a story, by its odds. Nobody joins or leaves: whose count is right then is a matter of taste."""
FLAPPING = {"pick": 2.0, "serve": 1.0, "health": 2.0, "nap": 1.0}
"""What happens in every other story, so that few requests lie between two changes of who is up; who takes a nap is down
for one choice."""

NAMES = ("a", "b", "c", "d")
_EVENTS = {("health", True): "up", ("health", False): "down"}


class Story(Struct, frozen=True):
    """One story: the rows that a law is asked about; the same in sentences, one a row, and what is there at first."""

    rows: list[Plain]
    picture: tuple[str, ...]
    sentences: tuple[str, ...]

    def upto(self, row: int) -> Story:
        """The same story, ending with that row (the first is 1)."""
        return Story(self.rows[:row], self.picture, self.sentences[:row])

    @property
    def told(self) -> tuple[str, ...]:
        """It in lines, with a mark at its last row."""
        return (*self.picture, *self.sentences[:-1], f"{self.sentences[-1]}   X")


class Told(Struct, frozen=True):
    """The stories of one specimen."""

    specimen: Specimen
    stories: tuple[Story, ...]


def stories(component: str, seed: int, count: int = 60) -> list[Told]:
    """What each specimen of a component did in the same `count` histories, the specimens in an order by chance."""
    programs = _programs(Dice(seed), count)
    told = [Told(specimen, tuple(_stories(specimen, programs))) for specimen in specimens(component)]
    Random(seed).shuffle(told)
    return told


def _programs(draw: Dice, count: int) -> list[Program]:
    return [_program(draw, number, FLAPPING if number % 2 else KINDS) for number in range(count)]


def _program(draw: Dice, number: int, kinds: dict[str, float]) -> Program:
    names = NAMES[: draw.one((2, 3, 4))]
    up = [True] * len(names)
    drawn = (draw.one(list(kinds), list(kinds.values())) for _ in range(draw.one((6, 12, 20))))
    ops = tuple(op for kind in drawn for op in _ops(draw, kind, up))
    return Program({"servers": [[name, 1] for name in names], "seed": number}, ops)


def _ops(draw: Dice, kind: str, up: list[bool]) -> Iterator[tuple[Any, ...]]:
    """What happens; `up` says who is, and is kept. A change of health always is one."""
    match kind:
        case "finish":
            yield (kind, draw.number(0, 5), not draw.chance(0.3), 10)
        case "health":
            which = draw.number(0, len(up) - 1)
            up[which] = not up[which]
            yield (kind, which, up[which])
        case "nap":
            which = draw.number(0, len(up) - 1)
            yield from [("health", which, False)] * up[which]
            yield from (("pick", draw.number(0, 30)), ("health", which, True))
            up[which] = True
        case _:
            yield (kind, draw.number(0, 30))


def _stories(specimen: Specimen, programs: Sequence[Program]) -> list[Story]:
    made = family(component_of(specimen.component).family)
    room = InProcess(specimen.file)
    with room:
        from lbtutor.testing.checking import recognised

        target = recognised(room.describe(), specimen.name, specimen.component)
        played = (_played(room, target, program) for program in programs)
        return [
            Story(
                [_row(moment) for moment in moments], tuple(made.picture(program.setting, moments, 0)), _told(moments)
            )
            for program, moments in zip(programs, played, strict=True)
            if moments
        ]


def _played(room: InProcess, target: Target, program: Program) -> list[Any]:
    """The moments; none if the code under test did not get to the end."""
    room.fresh()
    try:
        world = family(component_of(target.component).family).world(room, target, program.setting)
        for number, op in enumerate(program.ops):
            world.do(number, op)
    except Fault:
        return []
    return world.moments


def _row(moment: Any) -> dict[str, Plain]:
    row: dict[str, Plain] = {
        "what": moment.kind,
        "at": moment.now,
        "up": list(moment.eligible),
        "open": dict(moment.active),
    }
    if moment.kind == "pick":
        return row | {"client": moment.client, "chosen": moment.answer}
    what = _EVENTS.get((moment.kind, moment.says.endswith("is healthy")), moment.kind)
    return row | {"what": what, "server": moment.name}


def _told(moments: list[Any]) -> tuple[str, ...]:
    answered = [f" -> {moment.answer}" if moment.asked else "" for moment in moments]
    return tuple(f"{number:2}  {moment.says}{answered[number - 1]}" for number, moment in enumerate(moments, 1))
