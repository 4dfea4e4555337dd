"""The stories of passive ejection: requests end on servers, well or badly, and the code under test throws these out.

Who is out is what the code answered after each moment. Until when it means to keep somebody out it does not say, so
what stands there is the time that it was told to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lbtutor.core.events import Ejected, Event, Left, Readmitted
from lbtutor.core.messages import Outcome
from lbtutor.testing.program import SILENT, Program
from lbtutor.testing.staging.telling import ENDS, POOL, SETTLES, WELL, arrived, ended, joined, sent
from lbtutor.testing.worlds.ejection import Sight

BADLY = Outcome.answered(500)


def events(program: Program, moments: Sequence[Sight], beat: float, component: str) -> Iterator[Event]:  # noqa: ARG001
    """What the stage shows of these moments."""
    yield from joined(program.setting["names"])
    for number, moment in enumerate(moments, 1):
        at = number * beat
        match moment.kind:
            case "finish" | "finish_left" | "finish_unknown":
                ok = moment.kind == "finish" and _ended_well(program, moment)
                yield from _request(moment, number, at, beat, ok=ok)
            case "add":
                yield from joined([moment.name], at)
            case "remove":
                yield Left(at, POOL, moment.name, 0)
        if moment.answer is not SILENT:
            yield from _changed(moment, at + SETTLES * beat, program.setting["eject"])


def _ended_well(program: Program, sight: Sight) -> bool:
    op = program.ops[sight.op]
    return op[0] == "finish" and bool(op[2])


def _request(sight: Sight, request: int, at: float, beat: float, *, ok: bool) -> Iterator[Event]:
    yield arrived(at, request)
    yield sent(at, request, sight.name, "it was chosen elsewhere")
    yield ended(at + ENDS * beat, request, sight.name, WELL if ok else BADLY)


def _changed(sight: Sight, at: float, eject: float) -> Iterator[Event]:
    """Who is out now and was not before, and the other way round."""
    for name in sorted(sight.out - sight.before):
        failures = sight.row.get(name, 0)
        because = f"the code says so, after {failures} failure{'' if failures == 1 else 's'} in a row"
        yield Ejected(at, POOL, name, at + eject, because)
    for name in sorted((sight.before - sight.out) & set(sight.members)):
        yield Readmitted(at, POOL, name)
